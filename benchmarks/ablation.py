"""What each loss is good for: reconstructors trained alike but for their losses, and how near their grain is to film.

    python benchmarks/ablation.py nets --learn rolls/a rolls/b --select rolls/c --test rolls/d rolls/e --steps 600

Every variant starts from the same network, learns from the same crops for the same number of steps, and keeps the
weights that were best on the rolls to select by. It is then measured on the rolls to test by, as
`benchmarks/realism.py` does: the right halves of their scans, denoised, given grain by a stock fitted to the left
halves, against the right halves as they were. A variant that is in its folder already is not trained again; one that
was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from d2f_mlx import checkpoint, images
from d2f_mlx.data import StreamConfig
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.evaluate import FIGURES, INDISTINGUISHABLE, compare
from d2f_mlx.film import FilmStock
from d2f_mlx.grain import GrainMeasurement
from d2f_mlx.models import ReconstructorConfig
from d2f_mlx.training import AdversaryConfig, Report, TrainConfig, can_resume, train_reconstructor

from tqdm import tqdm

from realism import denoised, grained, halves, measured
from report import add_json, publish

MSE = AdversaryConfig(vary=0.8)
STATISTICS = replace(MSE, statistics=1.0)
ADVERSARY = replace(STATISTICS, adversary=0.3)
VARIANTS = {
    "mse": (0, MSE),
    "statistics": (1, STATISTICS),
    "adversary": (1, ADVERSARY),
    "stepped": (1, replace(ADVERSARY, weighting="stepped")),
    "smooth": (1, replace(ADVERSARY, weighting="smooth")),
}
"""Maps of noise, and losses."""


def trained(folder: Path, arguments: argparse.Namespace, variant: str, seed: int) -> float:
    """Train a variant, unless it is there, and return how many minutes it took."""
    done = folder / "minutes.json"
    if done.is_file():
        return float(json.loads(done.read_text()))
    noise, adversary = VARIANTS[variant]
    start = time.perf_counter()
    with tqdm(total=arguments.steps, desc=folder.name, disable=None) as bar:

        def follow(report: Report) -> None:
            bar.update(report.step - bar.n)

        train_reconstructor(
            images.find(arguments.learn),
            images.find(arguments.select),
            folder,
            model=ReconstructorConfig(noise=noise),
            stream=StreamConfig(batch=arguments.batch, seed=seed),
            config=TrainConfig(
                steps=arguments.steps,
                learning_rate=arguments.learning_rate,
                warmup=20,
                evaluate_every=max(arguments.steps // 4, 1),
                ema=0.98,
            ),
            adversary=replace(adversary, start=arguments.start),
            statistics=checkpoint.statistics_of(arguments.start),
            resume=can_resume(folder),
            callbacks=[follow],
        )
    minutes = (time.perf_counter() - start) / 60
    done.write_text(json.dumps(minutes))
    return minutes


class Roll:
    """A roll to test by: its right halves, their denoised bases, and a stock that was fitted to its left halves."""

    def __init__(self, folder: str) -> None:
        self.name = Path(folder).name
        left, right = halves(images.find([folder]))
        self.film = measured(right)
        self.base = [denoised(pixels) for pixels in right]
        self.stock = FilmStock.fit(left, name=self.name, film_format="135")

    def grain(self, network: str, seed: int) -> GrainMeasurement:
        """Measure the grain that a network gives the roll's scenes."""
        config = DevelopConfig(grain="halide", colour="photo", reconstructor=network)
        return measured(grained(Developer(config, stock=self.stock), self.base, seed))

    def row(self, name: str, network: str, draw: int, **also: object) -> dict[str, object]:
        """Return a line of the table."""
        summary = compare(self.grain(network, draw), self.film).summary()
        figures = {FIGURES[figure].title: f"{summary[figure]:.4f}" for figure in INDISTINGUISHABLE}
        return {"losses": name, "roll": self.name, **figures, **also}


def rows_of(rolls: Sequence[Roll], arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Train and measure: every variant with one seed, the last one with all seeds, and with another key."""
    rows = [roll.row(f"{arguments.start}, as it was", arguments.start, 0) for roll in rolls]
    for variant in arguments.variants:
        for seed in arguments.seeds if variant == arguments.winner else arguments.seeds[:1]:
            folder = Path(arguments.out) / f"{variant}-{seed}"
            minutes = trained(folder, arguments, variant, seed)
            for draw in (0, 1) if variant == arguments.winner and seed == arguments.seeds[0] else (0,):
                also = {"training": seed, "grain": draw, "minutes": round(minutes, 1)}
                rows += [roll.row(variant, str(folder), draw, **also) for roll in rolls]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", help="folder for the trained networks")
    parser.add_argument("--learn", nargs="+", required=True, help="rolls to learn from")
    parser.add_argument("--select", nargs="+", required=True, help="rolls to choose the best weights by")
    parser.add_argument("--test", nargs="+", required=True, help="rolls to measure on")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--winner", choices=VARIANTS, default="adversary", help="which is trained with all seeds")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--start", default="unet", help="network that all start from")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    add_json(parser)
    arguments = parser.parse_args()
    rows = rows_of([Roll(folder) for folder in arguments.test], arguments)
    columns = {name: "" for row in rows for name in row}
    publish(f"{arguments.steps} steps", [{**columns, **row} for row in rows], arguments.json)


if __name__ == "__main__":
    main()
