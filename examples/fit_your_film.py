"""Fit a film stock to scans, save it, and give a photograph its grain; then ask how close it came.

    python examples/fit_your_film.py --scans my-scans --photo photo.jpg --out fitted     (about a second a scan)
    python examples/fit_your_film.py --out fitted     (without scans or a photo: stand-ins; some 10 seconds)

Writes my-film.json, photo.png and report.json. Without scans of your own, step wedges with the grain of Kodak Vision3
500T stand in for them: what comes out is what went in.
"""

import argparse
import json
from pathlib import Path

import d2f_mlx as d2f
from d2f_mlx.evaluate import realism

import numpy as np
from skimage import data


def stand_ins() -> list[np.ndarray]:
    """Return step wedges with a known stock's grain, as if scanned from a quarter of a frame's width."""
    steps = np.linspace(0.05, 0.95, 16, dtype=np.float32)
    wedge = np.repeat(np.repeat(steps.reshape(4, 4), 192, 0), 256, 1)[..., None].repeat(3, 2)
    film = d2f.FilmStock.load("kodak-vision3-500t")

    def scan(key: int) -> np.ndarray:
        return d2f.develop(wedge, grain="gaussian", colour="photo", stock=film, enlargement=4, key=key)

    return [d2f.images.from_float(scan(key)) for key in range(3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scans", nargs="*", default=[], help="film scans, or folders of them")
    parser.add_argument("--photo", help="a photograph (default: scikit-image's coffee)")
    parser.add_argument("--out", type=Path, default=Path("fitted"), help="folder (default: fitted)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    scans = d2f.images.find(arguments.scans) if arguments.scans else stand_ins()
    film = d2f.FilmStock.fit(scans, name="my-film")
    film.save(arguments.out / "my-film.json")
    print(f"{film.report['blocks']} flat blocks, correlation {film.correlation.round(2).tolist()}")

    photo = d2f.read(arguments.photo).pixels if arguments.photo else data.coffee()
    developed = d2f.develop(photo, grain="gaussian", colour="photo", stock=arguments.out / "my-film.json", key=1)
    d2f.write(arguments.out / "photo.png", developed)

    report = realism([developed], scans, [photo])
    print(report.table())
    (arguments.out / "report.json").write_text(json.dumps(report.as_dict(), indent=2) + "\n")


if __name__ == "__main__":
    main()
