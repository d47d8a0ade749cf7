"""Measure a film, train a small reconstructor on it, and develop a photograph with it.

    python examples/train_on_your_scans.py --out .        # under a minute; made-up scans
    python examples/train_on_your_scans.py SCANS --out . --steps 3000

SCANS is a folder of film scans, a folder for each roll. Without it, grainy scans are made up from photographs that come
with scikit-image, so that the example runs anywhere: their grain is Gaussian noise, not film's. Writes my-film/ (the
trained network and the film's statistics; not to exist yet) and my-film.png.
"""

import argparse
from pathlib import Path

import d2f_mlx as d2f
from d2f_mlx.data import StreamConfig, split_by_roll
from d2f_mlx.training import Report, TrainConfig, train_reconstructor

import numpy as np
from skimage import data


def made_up_scans(folder: Path) -> Path:
    """Write two rolls of two pictures with noise of 7 levels that the channels half share."""
    rng = np.random.default_rng(0)
    for roll, photos in (("roll-1", (data.astronaut(), data.coffee())), ("roll-2", (data.chelsea(), data.coffee()))):
        (folder / roll).mkdir(parents=True, exist_ok=True)
        for index, photo in enumerate(photos):
            noise = rng.normal(0, 5, photo.shape) + rng.normal(0, 5, (*photo.shape[:2], 1))
            pixels = np.clip(photo + noise, 0, 255).astype(np.uint8)
            d2f.write(folder / roll / f"{index}.png", pixels)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()

    scans = d2f.images.find(arguments.scans or made_up_scans(arguments.out / "scans"))
    train, held_out = split_by_roll(scans, held_out=0.3)
    statistics = d2f.HalideStatistics.measure(d2f.read(scan).pixels for scan in train)

    def follow(report: Report) -> None:
        if report.evaluation:
            found = report.evaluation
            print(f"step {report.step}: {found['psnr']:.2f} dB, normalised convolution {found['rival_psnr']:.2f} dB")

    network = train_reconstructor(
        train,
        held_out,
        arguments.out / "my-film",
        stream=StreamConfig(crop=64, batch=8),
        config=TrainConfig(steps=arguments.steps, evaluate_every=max(arguments.steps // 3, 1)),
        statistics=statistics,
        callbacks=[follow],
    )
    photo = data.chelsea()
    film = d2f.develop(photo, grain="halide", colour="photo", reconstructor=network, statistics=statistics)
    d2f.write(arguments.out / "my-film.png", film)


if __name__ == "__main__":
    main()
