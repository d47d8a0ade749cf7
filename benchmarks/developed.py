"""Measure developed photographs beside real film: halide density, grain, and what happened to the photo's own tones.

    python benchmarks/developed.py --film SCANS --digital PHOTOS --json developed.json

Everything but the shift is measured on 8-bit pictures in the same way for film and photographs: peak density over
the whole picture; sigma, correlation between R and G, and lag-1 autocorrelation of the residual on flat blocks.
`sigma error` is the root mean square of the log ratio to the film's sigma in bands of brightness. `shift` is the
largest distance, in levels of 255, that a band of brightness moved in any photo and channel; `blotch` is the
standard deviation of what 16x16 blocks' colour (R-G and B-G) moved.

`sites` scatters halides another way, to compare with: sites are the peaks of white noise (so never neighbours),
thinned to the film's density by brightness, and their heights are drawn from the film's table, one rank for all
three channels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from d2f_mlx import checkpoint, images
from d2f_mlx.develop import DevelopConfig, Developer, HalideEngine
from d2f_mlx.grain import FlatBlocks, HalideStatistics, density, flat_blocks, halide_mask, peaks
from d2f_mlx.grain.halide import Kind
from d2f_mlx.grain.noise import uniform_at
from d2f_mlx.grain.scatter import Halides
from d2f_mlx.grain.statistics import BANDS, QUANTILES
from d2f_mlx.images.pixels import with_bits

import mlx.core as mx
import numpy as np
from tqdm import tqdm

from report import add_json, publish

FLAT = FlatBlocks(size=32, stride=16, max_structure=0.4, max_edges=1, max_excess=float("inf"))


def sites(photo: mx.array, statistics: HalideStatistics, kind: Kind, key: mx.array, corner: tuple[int, int]) -> Halides:
    """Scatter halides site by site: thinned peaks of white noise with heights from the film's table."""
    height, width, _ = photo.shape
    shape, plane = (height, width, 3), (height, width, 1)
    band = mx.clip((photo * 255 / 256 * BANDS).astype(mx.int32), 0, BANDS - 1)
    mask = mx.zeros(shape, mx.bool_)
    film = photo
    origin = mx.array(corner, mx.int32)
    for index, name in enumerate(("peaks", "valleys")):
        if kind not in (name, "extrema"):
            continue
        shared = mx.broadcast_to(uniform_at(key, origin, plane, 10 + index), shape)
        found = halide_mask(shared, "peaks")
        kept = uniform_at(key, origin, shape, 20 + index)
        rank = np.array(uniform_at(key, origin, plane, 30 + index))[..., 0]
        bands = np.array(band)
        share = np.stack([statistics.density[index, bands[..., c], c] for c in range(3)], -1)
        found = found & (kept < mx.array(share * 9))
        height = np.stack(
            [np.stack([np.interp(rank, QUANTILES, h) for h in statistics.height[index, :, c]], -1) for c in range(3)],
            -1,
        )  # (H, W, BANDS, C)
        height = np.take_along_axis(height, bands[:, :, None, :], 2)[:, :, 0]
        film = mx.where(found & ~mask, mx.clip(photo + mx.array(height / 255, mx.float32), 0, 1), film)
        mask = mask | found
    return Halides(mask, mx.where(mask, film, 0))


class SitesEngine(HalideEngine):
    """Develop from halides that `sites` scattered."""

    def scattered(self, photo: mx.array, key: mx.array, origin: tuple[int, int], size: tuple[int, int]) -> Halides:
        """Scatter halides over one tile, site by site."""
        return sites(photo, self.statistics(max(size)), self.halides, key, origin)


class Figures:
    """Sums over pictures of one kind."""

    def __init__(self) -> None:
        self.densities: list[np.ndarray] = []
        self.sigma: list[np.ndarray] = []
        self.mean: list[np.ndarray] = []
        self.correlation: list[np.ndarray] = []
        self.lag: list[np.ndarray] = []
        self.shift = 0.0
        self.blotch: list[float] = []

    def add(self, pixels: np.ndarray, photo: np.ndarray | None = None) -> None:
        """Add a picture, and what became of the photo it was developed from."""
        self.densities.append(np.array(density(peaks(mx.array(pixels)))))
        residuals, means = flat_blocks(pixels, FLAT)[:2]
        if len(residuals):
            sigma = residuals.std((1, 2))
            unit = residuals / sigma[:, None, None]
            self.sigma.append(sigma)
            self.mean.append(means)
            self.correlation.append((unit[..., 0] * unit[..., 1]).mean((1, 2)))
            self.lag.append((unit[:, :, 1:] * unit[:, :, :-1]).mean((1, 2, 3)))
        if photo is not None:
            moved = pixels.astype(np.float32) - photo
            for c in range(3):
                band = photo[..., c] // (256 // BANDS)
                counts = np.bincount(band.ravel(), minlength=BANDS)
                sums = np.bincount(band.ravel(), moved[..., c].ravel(), minlength=BANDS)
                enough = counts >= 10000
                self.shift = max(self.shift, *np.abs(sums[enough] / counts[enough]))
            height, width = (n // 16 * 16 for n in moved.shape[:2])
            blocks = moved[:height, :width].reshape(height // 16, 16, width // 16, 16, 3).mean((1, 3))
            colour = np.stack([blocks[..., 0] - blocks[..., 1], blocks[..., 2] - blocks[..., 1]])
            self.blotch.append(float(colour.std()))

    def bands(self) -> np.ndarray:
        """Return the median sigma of the flat blocks by band and channel; NaN where there are fewer than 30."""
        sigma, mean = np.concatenate(self.sigma), np.concatenate(self.mean)
        band = (mean / 256 * BANDS).astype(int)
        table = np.full((BANDS, 3), np.nan)
        for b in range(BANDS):
            for c in range(3):
                inside = sigma[band[:, c] == b, c]
                if len(inside) >= 30:
                    table[b, c] = np.median(inside)
        return table

    def row(self, name: str, film: np.ndarray) -> dict[str, object]:
        """Sum up as a row of the table."""
        r, g, b = np.mean(self.densities, 0)
        row: dict[str, object] = {"what": name, "peaks R": float(r), "G": float(g), "B": float(b)}
        row["sigma error"] = float(np.sqrt(np.nanmean(np.log(self.bands() / film) ** 2)))
        row["corr RG"] = float(np.median(np.concatenate(self.correlation)))
        row["lag 1"] = float(np.median(np.concatenate(self.lag)))
        row["shift"] = float(self.shift) if self.blotch else ""
        row["blotch"] = float(np.mean(self.blotch)) if self.blotch else ""
        return row


def measured(paths: Iterable[Path], develop: Callable[[np.ndarray], np.ndarray] | None, name: str) -> Figures:
    figures = Figures()
    for path in tqdm(list(paths), desc=name, disable=None):
        photo = with_bits(images.read(path).pixels, 8)
        figures.add(*((photo,) if develop is None else (develop(photo), photo)))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--film", type=Path, nargs="+", required=True, help="film scans")
    parser.add_argument("--digital", type=Path, nargs="+", required=True, help="digital photographs")
    parser.add_argument("--networks", nargs="+", default=list(checkpoint.bundled()))
    parser.add_argument("--strength", type=float, default=DevelopConfig.strength)
    parser.add_argument("--seed", type=int, default=0)
    add_json(parser)
    arguments = parser.parse_args()
    statistics = checkpoint.statistics_of(arguments.networks[0])
    digital = images.find(arguments.digital)
    reference = statistics.sigma
    rows = [
        measured(images.find(arguments.film), None, "film").row("film", reference),
        measured(digital, None, "digital").row("digital", reference),
    ]
    for name in arguments.networks:
        config = DevelopConfig(name, strength=arguments.strength, grain="halide", colour="photo")
        kinds = {"field": HalideEngine, "sites": SitesEngine}
        if checkpoint.from_pretrained(name).config.way == "absolute":
            del kinds["sites"]
        for scattered, kind in kinds.items():
            developer = Developer(config, engine=kind(config))
            figures = measured(digital, lambda photo, d=developer: d(photo, key=arguments.seed), f"{name}, {scattered}")
            rows.append(figures.row(f"{name}, {scattered}", reference))
    publish("Developed photographs beside film", rows, arguments.json)


if __name__ == "__main__":
    main()
