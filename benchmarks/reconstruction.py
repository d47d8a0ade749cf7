"""Measure the reconstructors on held-out film scans, against classical interpolation from the same halides.

    python benchmarks/scans_by_roll.py DATA rolls
    python benchmarks/reconstruction.py rolls/steel_city rolls/lomo_metropolis --json reconstruction.json

Mean squared error and PSNR between film and its reconstruction, pictures in [0, 1], halides included: in the residual
way over the flat areas that training counts, in the absolute way over all. Of a network that takes noise, one drawing
is measured. The rivals are normalised convolution (d2f_mlx.grain) and SciPy's linear interpolation of scattered data,
with its nearest one outside the hull.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from d2f_mlx import checkpoint, images
from d2f_mlx.data import grid_crops
from d2f_mlx.grain import normalised_convolution
from d2f_mlx.models import ReconstructorConfig
from d2f_mlx.training import Examples, examples, rebuilt

import mlx.core as mx
import numpy as np
from scipy.interpolate import griddata
from tqdm import tqdm

from report import add_json, publish


def scattered(batch: Examples) -> np.ndarray:
    """Interpolate every crop and channel linearly between its halides with SciPy."""
    values, mask = np.array(batch.halides), np.array(batch.mask)
    out = np.empty_like(values)
    rows, columns = np.mgrid[: values.shape[1], : values.shape[2]]
    for b in range(values.shape[0]):
        for c in range(3):
            known = mask[b, ..., c]
            points, heights = np.argwhere(known), values[b, ..., c][known]
            linear = griddata(points, heights, (rows, columns), "linear")
            nearest = griddata(points, heights, (rows, columns), "nearest")
            out[b, ..., c] = np.where(np.isnan(linear), nearest, linear)
    return out


def errors(paths: list[Path], config: ReconstructorConfig, name: str, crops: int) -> dict[str, float]:
    """Return each contestant's mean squared error on the same halides."""
    network = checkpoint.from_pretrained(name)
    sums = {"network": 0.0, "normalised convolution": 0.0, "SciPy griddata": 0.0}
    counted = 0.0
    for path in tqdm(paths, desc=name, disable=None):
        batch = examples(mx.array(grid_crops(path, 128, crops)), config)
        results = {
            "network": rebuilt(network, batch, mx.random.key(0)),
            "normalised convolution": normalised_convolution(batch.halides, batch.mask),
            "SciPy griddata": mx.array(scattered(batch)),
        }
        for what, result in results.items():
            error = (np.array(result) - np.array(batch.target)) * np.array(batch.weight)
            sums[what] += float(np.sum(error**2)) / 4
        counted += float(batch.weight.sum()) * 3
    return {what: total / counted for what, total in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="+", help="held-out film scans, or folders of them")
    parser.add_argument("--networks", nargs="+", default=list(checkpoint.bundled()))
    parser.add_argument("--crops", type=int, default=4, help="crops of 128 x 128 from each scan (default: 4)")
    add_json(parser)
    arguments = parser.parse_args()
    paths = images.find(arguments.scans)
    rows: list[dict[str, object]] = []
    for name in arguments.networks:
        config = checkpoint.from_pretrained(name).config
        found = errors(paths, config, name, arguments.crops)
        for what, mse in found.items():
            row = {"weights": name, "halides": config.halides, "way": config.way, "by": what}
            rows.append({**row, "MSE": mse, "PSNR dB": -10 * float(np.log10(mse)), "ratio": mse / found["network"]})
    publish(f"Reconstruction of {len(paths)} held-out scans", rows, arguments.json)


if __name__ == "__main__":
    main()
