"""How much of a judge's opinion is left when pictures are filtered, denoised, made noisy, compressed or resized.

    python benchmarks/robustness.py --judges plain judge --film rolls/steel_city rolls/lomo_metropolis \
        --digital photos --json robustness.json

Film scans and digital photographs that no judge learned from are cut into patches, each attack alters the patches of
both, and every judge says what they are. `film` and `digital` are the shares of each that are still called by their
name; `balanced` is the mean of the two, with its 95 % interval by bootstrap over pictures (too narrow where all
pictures are from one or two rolls or cameras: these are alike); 0.5 is a coin's. `AUC` is how often film scores above
digital. All after the same attack on both sides: who attacks one side alone compares the lines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from d2f_mlx import checkpoint, images
from d2f_mlx.data import grid_crops
from d2f_mlx.data.alterations import Alteration, blur, denoise, jpeg, noise, resize, sharpen, wiener
from d2f_mlx.evaluate.judgement import PATCH, film_logits
from d2f_mlx.models import ResNet
from d2f_mlx.scores import accuracy_interval, auc

import numpy as np
from tqdm import tqdm

from report import add_json, publish

DENOISED = 8.0  # levels


def renoised(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Denoise, and add as much white noise, crop by crop, as was taken away."""
    clean = denoise(crops, DENOISED)
    taken = (crops.astype(np.float32) - clean).std((1, 2, 3))
    return noise(clean, taken, rng)


ATTACKS: dict[str, Alteration] = {
    "as they are": lambda crops, rng: crops,
    "Wiener filter, 7x7": lambda crops, rng: wiener(crops, 7),
    "Wiener filter, 3x3": lambda crops, rng: wiener(crops, 3),
    "Gaussian blur, 1 pixel": lambda crops, rng: blur(crops, 1.0),
    f"denoised, {DENOISED:g} levels": lambda crops, rng: denoise(crops, DENOISED),
    "denoised, then white noise as strong": renoised,
    "white noise, 4 levels": lambda crops, rng: noise(crops, 4.0, rng),
    "white noise, 8 levels": lambda crops, rng: noise(crops, 8.0, rng),
    "JPEG 90, 4:2:0": lambda crops, rng: jpeg(crops, 90),
    "JPEG 60, 4:2:0": lambda crops, rng: jpeg(crops, 60),
    "half the size and back": lambda crops, rng: resize(crops, 0.5),
    "twice the size and back": lambda crops, rng: resize(crops, 2.0),
    "resampled by 0.8 and sharpened": lambda crops, rng: sharpen(crops, 1.0),
}
"""What is done to patches, at a strength."""


def figures(network: ResNet, film: Sequence[np.ndarray], digital: Sequence[np.ndarray]) -> dict[str, float]:
    """Have a judge tell pictures' patches apart.

    Shape: each of film and digital (patches, H, W, 3)
    """
    scores = [[film_logits(crops, network) for crops in side] for side in (film, digital)]
    right = [[s > 0 for s in scores[0]], [s <= 0 for s in scores[1]]]
    shares = [float(np.concatenate(side).mean()) for side in right]
    low, high = accuracy_interval(right, np.random.default_rng(0))
    return {
        "film": shares[0],
        "digital": shares[1],
        "balanced": sum(shares) / 2,
        "balanced_low": low,
        "balanced_high": high,
        "auc": auc(*(np.concatenate(side) for side in scores)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--judges", nargs="+", default=["judge"], help="bundled names or folders (default: judge)")
    parser.add_argument("--film", type=Path, nargs="+", required=True, help="scans that no judge learned from")
    parser.add_argument("--digital", type=Path, nargs="+", required=True, help="photographs likewise")
    parser.add_argument("--patch", type=int, default=PATCH, help=f"side of a patch in pixels (default: {PATCH})")
    parser.add_argument("--patches", type=int, default=9, help="from each picture (default: 9)")
    parser.add_argument("--attacks", nargs="+", choices=ATTACKS, default=list(ATTACKS), metavar="ATTACK")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    add_json(parser)
    arguments = parser.parse_args()

    judges = {name: checkpoint.judge(name) for name in arguments.judges}
    sides = [
        [grid_crops(path, arguments.patch, arguments.patches) for path in images.find(paths)]
        for paths in (arguments.film, arguments.digital)
    ]
    rows: list[dict[str, object]] = []
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in judges}
    for attack in tqdm(arguments.attacks, desc="attack", disable=None):
        rng = np.random.default_rng(arguments.seed)
        film, digital = ([ATTACKS[attack](crops, rng) for crops in side] for side in sides)
        row: dict[str, object] = {"attack": attack}
        for name, network in judges.items():
            f = found[name][attack] = figures(network, film, digital)
            row[f"{name}: film"], row[f"{name}: digital"] = f"{f['film']:.3f}", f"{f['digital']:.3f}"
            row[f"{name}: balanced"] = f"{f['balanced']:.3f} ({f['balanced_low']:.3f}-{f['balanced_high']:.3f})"
            row[f"{name}: AUC"] = f"{f['auc']:.3f}"
        rows.append(row)
    count = [len(side) for side in sides]
    title = f"{count[0]} film scans and {count[1]} digital photographs, {arguments.patches} patches of each"
    publish(title, rows, arguments.json, judges=found)


if __name__ == "__main__":
    main()
