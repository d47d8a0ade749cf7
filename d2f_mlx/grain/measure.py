"""What grain a set of pictures has: everything a realism report compares and a fit aims at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import mlx.core as mx
import numpy as np

from .halide import halide_mask
from .naturalness import nss_histogram
from .patches import Blocks, FlatBlocks, cut, flat_corners
from .spectrum import coherence_of, cross_spectrum, high_frequency_ratio, radial_average, radial_bands

BANDS = 16
"""Brightness bands of 16 levels each."""
REACH = 8
"""The farthest lag of the autocorrelation, in pixels."""
RESIDUAL_REACH = 64
"""Residuals are counted in bins of one level, centred on the integers up to this far from zero."""
FEWEST_BLOCKS = 10
MOST_BLOCKS = 2**14
"""Of a picture with more flat blocks, so many are measured, evenly spread."""
_CHUNK = 2**11  # blocks at a time, to bound the memory
_TILE = 128  # pixels; blocks of one tile are resampled together
_FEWEST_PICTURES = 5
_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class GrainMeasurement:
    """What grain a set of pictures has, measured on their flat blocks; levels of 255.

    A block's residual is what is left when a plane is taken away. That takes a little of the grain with it: 3 / N^2 of
    white grain's variance in blocks of N x N pixels, for which variances are corrected, and 3 A / N^2 of grain whose
    correlation has the area A, W(0) / sigma^2, for which they are not. With a Gaussian correlation of 0.3, 0.5 and 0.7
    at lag 1, in blocks of 16, sigma is found 1, 2 and 4 % low, the autocorrelation 0.02 to 0.03 low at lag 1 and up to
    0.05 beyond, and the spectrum lacks power in its first two rings. What is compared must be measured alike.

    Args:
        pitch_um: Micrometres a pixel; 0 if unknown.
        pictures: How many pictures were measured.
        blocks: On how many flat blocks, `MOST_BLOCKS` of a picture at most.
        band_blocks: How many blocks have their mean in each brightness band. Shape (16, C).
        sigma: Root of the mean block variance by band; NaN below 10 blocks. Shape (16, C).
        sigma_low: Lower end of sigma's 95 % interval, by bootstrap with a fixed seed over pictures (over tiles of 128
            pixels if there are fewer than 5 pictures); NaN where fewer than 3 of them have the band. Shape (16, C).
        sigma_high: Upper end.
        frequency: Mean frequency of each ring (`radial_bands`), cycles a pixel. Shape (K,).
        cross_spectrum: Real part of the channels' cross-spectra, radial, of blocks scaled to unit variance, so that the
            mean of a diagonal entry over the whole frequency plane is 1. Shape (K, C, C).
        correlation: Pearson's correlation of the channels, mean over blocks. Shape (C, C).
        coherence: Shared power |Wxy|^2 / (Wx Wy), radial (`coherence`). Shape (K, C, C).
        autocorrelation: Mean of horizontal and vertical lags 0 to 8, not corrected for the plane. Shape (9, C).
        kurtosis: Excess of each block's fourth moment over a Gaussian field's of the same spectrum: the mean of
            m4 / m2^2, times 1 + 2 / n, minus 3, with n the number of independent pixels that the spectrum leaves a
            block. Zero (to 0.01) for Gaussian grain, however few pixels, and however sigma varies between blocks; heavy
            tails are found a tenth short (2.7 of Laplace's 3). Shape (C,).
        nss: Shares of `nss_histogram`. Shape (C, 149).
        residual: Shares of residuals in bins of one level, -64 to 64; the outermost hold all beyond. Shape (C, 129).
        peaks: Share of 3x3 maxima inside blocks, on 8-bit levels, ties marked. Shape (C,).
        valleys: Share of minima.
        extrema: Share of both.
        occupancy: Share of each joint state r + 2 g + 4 b of the channels' peaks. Shape (2^C,).
        high_frequency: `high_frequency_ratio`, mean over pictures. Shape (C,).
    """

    pitch_um: float
    pictures: int
    blocks: int
    band_blocks: np.ndarray
    sigma: np.ndarray
    sigma_low: np.ndarray
    sigma_high: np.ndarray
    frequency: np.ndarray
    cross_spectrum: np.ndarray
    correlation: np.ndarray
    coherence: np.ndarray
    autocorrelation: np.ndarray
    kurtosis: np.ndarray
    nss: np.ndarray
    residual: np.ndarray
    peaks: np.ndarray
    valleys: np.ndarray
    extrema: np.ndarray
    occupancy: np.ndarray
    high_frequency: np.ndarray

    @classmethod
    def of(
        cls, pictures: Iterable[np.ndarray], *, pitch_um: float = 0.0, rule: FlatBlocks | None = None
    ) -> GrainMeasurement:
        """Measure pictures, one at a time.

        Shape: pictures (H, W, C), integers as decoded, all with the same C of 1 or 3
        Raises: ValueError for other pictures, a negative pitch, or fewer than 10 flat blocks in all.
        """
        if not 0 <= pitch_um < np.inf:
            raise ValueError(f"GrainMeasurement expects pitch_um to be 0 (unknown) or more, got {pitch_um}")
        tally = _Tally(rule or FlatBlocks())
        for pixels in pictures:
            tally.add(pixels)
        return cls(pitch_um=float(pitch_um), **tally.figures())

    def as_dict(self) -> dict[str, object]:
        """Return everything as numbers and lists that JSON can hold; NaN becomes None."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


class _Tally:
    """Sums over the blocks seen so far."""

    def __init__(self, rule: FlatBlocks) -> None:
        self.rule = rule
        self.channels = 0
        self.pictures = 0
        self.blocks = 0
        self.units: list[np.ndarray] = []  # by picture (tiles, 2, BANDS, C): number of blocks, and their variances' sum
        self.high: list[np.ndarray] = []
        self.sums: dict[str, np.ndarray] = {}

    def add(self, pixels: np.ndarray) -> None:
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not np.issubdtype(pixels.dtype, np.integer):
            raise ValueError(
                f"GrainMeasurement expects integer pictures (H, W, 1 or 3), got {pixels.dtype} {pixels.shape}"
            )
        self.channels = self.channels or pixels.shape[2]
        if pixels.shape[2] != self.channels:
            raise ValueError(f"GrainMeasurement expects {self.channels} channel(s) as before, got {pixels.shape[2]}")
        corners = flat_corners(pixels, self.rule)
        if len(corners) > MOST_BLOCKS:
            corners = corners[np.linspace(0, len(corners) - 1, MOST_BLOCKS).round().astype(int)]
        across = -(-pixels.shape[1] // _TILE)
        tiles = -(-pixels.shape[0] // _TILE) * across
        bands = np.zeros((tiles, 2, BANDS, self.channels))
        for start in range(0, len(corners), _CHUNK):
            blocks = cut(pixels, corners[start : start + _CHUNK], self.rule.size)
            tile = (blocks.corner // _TILE) @ [across, 1]
            bands += self._add_blocks(blocks, tile, tiles)
        self.units.append(bands[bands[:, 0].any((1, 2))])
        if len(self.units) >= _FEWEST_PICTURES:
            self.units = [unit.sum(0, keepdims=True) for unit in self.units]
        self.high.append(high_frequency_ratio(pixels))
        self.pictures += 1
        self.blocks += len(corners)

    def _add_blocks(self, blocks: Blocks, tile: np.ndarray, tiles: int) -> np.ndarray:
        """Add up what blocks have, and return their variances by tile and band."""
        count, channels, size = len(tile), self.channels, self.rule.size
        planar = np.ascontiguousarray(blocks.residual.transpose(0, 3, 1, 2)).reshape(count, channels, -1)
        variance = np.einsum("nck,nck->nc", planar, planar) / size**2
        unit = planar / np.sqrt(variance)[..., None]
        square = unit * unit
        lines = unit.reshape(count, channels, size, size)
        self._sum("cross", np.array(cross_spectrum(lines.transpose(0, 2, 3, 1))) * count)
        pooled = unit.transpose(1, 0, 2).reshape(channels, -1)
        self._sum("correlation", pooled @ pooled.T / size**2)
        self._sum("fourth", np.einsum("nck,nck->c", square, square) / size**2)
        turned = lines.swapaxes(2, 3)
        self._sum("products", (turned @ lines).sum(0) + (lines @ turned).sum(0))  # lags across, and down
        self._sum("nss", nss_histogram(blocks.level))
        step = np.rint(planar).clip(-RESIDUAL_REACH, RESIDUAL_REACH).astype(int) + RESIDUAL_REACH
        bins = 2 * RESIDUAL_REACH + 1
        self._sum("residual", [np.bincount(step[:, c].ravel(), minlength=bins) for c in range(channels)])
        self._add_halides(blocks.level)
        band = (blocks.mean / 256 * BANDS).astype(int)
        cell = (tile[:, None] * BANDS + band) * channels + np.arange(channels)
        shape, cells = (tiles, BANDS, channels), tiles * BANDS * channels
        unbiased = variance * (size**2 / (size**2 - 3))
        numbers = [np.bincount(cell.ravel(), weights, cells) for weights in (None, unbiased.ravel())]
        return np.stack([n.reshape(shape) for n in numbers], 1)

    def _add_halides(self, level: np.ndarray) -> None:
        """Count the joint states of peaks (low bits) and valleys at the pixels whose window is inside the block."""
        eight = mx.array(np.rint(level).astype(np.uint8))
        marks = mx.concatenate([halide_mask(eight, kind)[:, 1:-1, 1:-1] for kind in ("peaks", "valleys")], axis=-1)
        state = (marks * mx.array(1 << np.arange(2 * self.channels), mx.uint8)).sum(axis=-1)
        self._sum("states", np.bincount(np.array(state).ravel(), minlength=4**self.channels))

    def _sum(self, name: str, value: np.ndarray | list[np.ndarray]) -> None:
        value = np.asarray(value)
        self.sums[name] = self.sums.get(name, 0) + value.astype(np.result_type(value, np.float64))

    def figures(self) -> dict[str, Any]:
        if self.blocks < FEWEST_BLOCKS:
            raise ValueError(
                f"GrainMeasurement expects at least {FEWEST_BLOCKS} flat blocks to measure grain on, got {self.blocks} "
                f"in {self.pictures} picture(s): add pictures with sky, walls or other plain areas"
            )
        mean = {name: value / self.blocks for name, value in self.sums.items()}
        size, units = self.rule.size, np.concatenate(self.units)
        number, low, high = units[:, 0].sum(0), *_interval(units)
        enough = number >= FEWEST_BLOCKS
        sigma = np.sqrt(units[:, 1].sum(0) / number.clip(1))
        frequency, cross = radial_average(mean["cross"])
        states = self.sums["states"] / self.sums["states"].sum()
        bits = np.arange(len(states))[:, None] >> np.arange(2 * self.channels) & 1
        peaks, valleys = bits[:, : self.channels], bits[:, self.channels :]
        return {
            "pictures": self.pictures,
            "blocks": self.blocks,
            "band_blocks": number.astype(int),
            "sigma": np.where(enough, sigma, np.nan),
            "sigma_low": np.where(enough, low, np.nan),
            "sigma_high": np.where(enough, high, np.nan),
            "frequency": frequency,
            "cross_spectrum": np.real(cross),
            "correlation": mean["correlation"],
            "coherence": coherence_of(mean["cross"]),
            "autocorrelation": _lags(mean["products"], size),
            "kurtosis": mean["fourth"] * (1 + 2 * _shared(mean["cross"])) - 3,
            "nss": self.sums["nss"] / self.sums["nss"].sum(-1, keepdims=True),
            "residual": self.sums["residual"] / self.sums["residual"].sum(-1, keepdims=True),
            "peaks": states @ peaks,
            "valleys": states @ valleys,
            "extrema": states @ (peaks | valleys),
            "occupancy": states.reshape(-1, 2**self.channels).sum(0),
            "high_frequency": _mean_known(self.high),
        }


def _lags(products: np.ndarray, size: int) -> np.ndarray:
    """Turn sums of products of a line's pixels (C, N, N) into the autocorrelation (REACH + 1, C)."""
    reach = range(min(REACH, size - 1) + 1)
    lags = np.stack([np.trace(products, lag, 1, 2) / (size - lag) for lag in reach])
    return lags / lags[0]


def _shared(cross: np.ndarray) -> np.ndarray:
    """Return one over the number of independent pixels in a block: sum of W^2 over the square of the sum of W."""
    power, count = np.einsum("...cc->...c", cross).real, radial_bands(len(cross))[2]
    return np.tensordot(count, power**2, 2) / np.tensordot(count, power, 2) ** 2


def _interval(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of sigma by resampling units (U, 2, BANDS, C)."""
    shape = units.shape[2:]
    draws = np.random.default_rng(0).multinomial(len(units), np.full(len(units), 1 / len(units)), _RESAMPLES)
    numbers, sums = (draws @ units.reshape(len(units), 2, -1)[:, part] for part in (0, 1))
    ends = np.full((2, shape[0] * shape[1]), np.nan)
    for column in np.flatnonzero((units[:, 0] > 0).sum(0).ravel() >= 3):
        known = numbers[:, column] > 0
        ends[:, column] = np.quantile(np.sqrt(sums[known, column] / numbers[known, column]), [0.025, 0.975])
    return ends[0].reshape(shape), ends[1].reshape(shape)


def _mean_known(rows: list[np.ndarray]) -> np.ndarray:
    values = np.stack(rows)
    known = np.isfinite(values)
    return np.where(known.any(0), np.where(known, values, 0).sum(0) / known.sum(0).clip(1), np.nan)
