"""What halides a film has, measured from scans."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import mlx.core as mx
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from .filters import guided_base
from .halide import peaks, valleys
from .patches import FlatBlocks, flat_blocks

BANDS = 16
"""Brightness bands of 16 levels each."""
QUANTILES = np.array([0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98], np.float32)
"""Where the distribution of a halide's height is tabulated."""
_KERNEL_RADIUS = 4
_HEIGHT_RANGE = 128
_FEWEST_BLOCKS = 50
_STRIP_PIXELS = 2**20  # of a picture at a time, to bound the memory
_FLAT = FlatBlocks(size=32, stride=16, max_structure=0.4, max_edges=1, max_excess=float("inf"))
_REACH = 16  # rows beside a strip that the guided filter and the halides' windows look at, and to spare


@dataclass(frozen=True, eq=False)
class HalideStatistics:
    """A film's halides and the grain they stand on, by channel and brightness; 8-bit levels throughout.

    Bands divide [0, 255] into `BANDS` equal parts, by the channel's own brightness in the denoised picture (by the mean
    of the channels for the joint occupancy). Index 0 of the first axis is for peaks, index 1 for valleys.

    Args:
        density: Share of halides. Shape (2, BANDS, 3).
        occupancy: Probability of each joint state ``r + 2 g + 4 b`` of the three masks. Shape (2, BANDS, 8).
        height: Quantiles of the distance from the local mean (the guided filter's) at the halides, in
            levels; of a valley it is negative as a rule. Shape (2, BANDS, 3, 7), quantiles as in `QUANTILES`.
        sigma: Standard deviation of the grain on flat blocks (median over blocks), in levels. Shape (BANDS, 3).
        correlation: Correlation between the channels' grain on flat blocks. Shape (3, 3).
        kernel: The filter that gives white noise the grain's spectrum, squares sum to one. Shape (9, 9).
        pictures: How many scans were measured.
        blocks: How many flat blocks sigma, correlation and kernel rest on.
    """

    density: np.ndarray
    occupancy: np.ndarray
    height: np.ndarray
    sigma: np.ndarray
    correlation: np.ndarray
    kernel: np.ndarray
    pictures: int
    blocks: int

    def __post_init__(self) -> None:
        shapes = {
            "density": (2, BANDS, 3),
            "occupancy": (2, BANDS, 8),
            "height": (2, BANDS, 3, len(QUANTILES)),
            "sigma": (BANDS, 3),
            "correlation": (3, 3),
            "kernel": (2 * _KERNEL_RADIUS + 1, 2 * _KERNEL_RADIUS + 1),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"HalideStatistics expects {name} of shape {shape}, finite, got {value.shape}")

    @classmethod
    def measure(cls, pictures: Iterable[np.ndarray]) -> HalideStatistics:
        """Measure scans, one at a time.

        Densities and heights are taken over whole pictures rounded to 8-bit levels, with ties marked as in the notes
        (``ties="all"``). Sigma and correlation are medians over flat blocks, so that textured blocks and odd frames do
        not count for much; the spectrum is the mean over blocks brought to unit deviation. Bands without enough pixels
        are interpolated from their neighbours.

        Shape: pictures (H, W, 3), uint8 or uint16
        Raises: ValueError for other pictures, or fewer than 50 flat blocks in all.
        """
        tally = _Tally()
        for pixels in pictures:
            tally.add(pixels)
        return tally.statistics()

    def save(self, path: str | Path) -> None:
        """Write one small .safetensors file, whole or not at all."""
        path = Path(path)
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("pictures", "blocks")}
        metadata = {"kind": "halide statistics", "pictures": str(self.pictures), "blocks": str(self.blocks)}
        partial = path.with_name(f".{path.name}.partial")
        try:
            partial.write_bytes(save({k: np.ascontiguousarray(v, np.float32) for k, v in arrays.items()}, metadata))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> HalideStatistics:
        """Read what `save` wrote.

        Raises: ValueError naming the file if it is missing or holds something else.
        """
        try:
            with safe_open(path, "np") as file:
                found = file.metadata() or {}
                if found.get("kind") != "halide statistics":
                    raise ValueError("it holds something else")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return cls(**arrays, pictures=int(found["pictures"]), blocks=int(found["blocks"]))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: cannot be read as halide statistics ({error})") from None

    def describe(self) -> str:
        """Say in JSON what the film's mean densities, heights and grain are."""
        summary = {
            "pictures": self.pictures,
            "blocks": self.blocks,
            "peak density, mean of bands": _rounded(self.density[0].mean(0)),
            "median peak height, mean of bands": _rounded(self.height[0, :, :, 3].mean(0)),
            "sigma by band": _rounded(self.sigma.mean(1)),
            "correlation RG RB GB": _rounded(self.correlation[[0, 0, 1], [1, 2, 2]]),
        }
        return json.dumps(summary)


def _rounded(values: np.ndarray) -> list[float]:
    return values.astype(float).round(3).tolist()


class _Tally:
    """Sums over the scans seen so far."""

    def __init__(self) -> None:
        self.pixels = np.zeros((BANDS, 3))
        self.states = np.zeros((2, BANDS, 8))
        self.heights = np.zeros((2, BANDS, 3, 2 * _HEIGHT_RANGE))
        self.block_sigma: list[np.ndarray] = []
        self.block_mean: list[np.ndarray] = []
        self.correlations: list[np.ndarray] = []
        self.spectra: list[np.ndarray] = []
        self.pictures = 0
        self._base = mx.compile(guided_base)

    def add(self, pixels: np.ndarray) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"HalideStatistics expects integer pictures (H, W, 3), got {pixels.dtype} {pixels.shape}")
        rows = max(_STRIP_PIXELS // pixels.shape[1] // 64, 1) * 64  # a multiple of the blocks' stride
        for top in range(0, len(pixels), rows):
            self._add_pixels(pixels[max(top - _REACH, 0) : top + rows + _REACH], min(top, _REACH), rows)
            self._add_blocks(pixels[top : top + rows + _FLAT.size - _FLAT.stride])
        self.pictures += 1

    def _add_pixels(self, pixels: np.ndarray, start: int, rows: int) -> None:
        """Count the halides of a strip's rows from ``start`` on; those beside it complete their windows."""
        counted = slice(start, start + rows)
        levels = pixels.astype(np.float32) * np.float32(255.0 / np.iinfo(pixels.dtype).max)
        base = np.array(self._base(mx.array(levels[None] / 255)))[0, counted] * 255
        masks = [np.array(marks(mx.array(np.rint(levels).astype(np.uint8))))[counted] for marks in (peaks, valleys)]
        levels = levels[counted]
        band = (base / 256 * BANDS).astype(int).clip(0, BANDS - 1)
        grey = (base.mean(-1) / 256 * BANDS).astype(int).clip(0, BANDS - 1)
        height = np.rint(levels - base).astype(int).clip(-_HEIGHT_RANGE, _HEIGHT_RANGE - 1) + _HEIGHT_RANGE
        channel = np.broadcast_to(np.arange(3), band.shape)
        self.pixels += np.bincount((band * 3 + channel).ravel(), minlength=BANDS * 3).reshape(BANDS, 3)
        for index, mask in enumerate(masks):
            cell = ((band * 3 + channel) * (2 * _HEIGHT_RANGE) + height)[mask]
            self.heights[index] += np.bincount(cell, minlength=self.heights[0].size).reshape(self.heights[0].shape)
            state = grey * 8 + (mask @ np.array([1, 2, 4]))
            self.states[index] += np.bincount(state.ravel(), minlength=BANDS * 8).reshape(BANDS, 8)

    def _add_blocks(self, pixels: np.ndarray) -> None:
        residuals, means = flat_blocks(pixels, _FLAT)[:2]
        if not len(residuals):
            return
        sigma = residuals.std((1, 2))
        self.block_sigma.append(sigma)
        self.block_mean.append(means)
        unit = residuals / sigma[:, None, None]
        self.correlations.append(np.einsum("nijc,nijd->ncd", unit, unit) / unit[0, :, :, 0].size)
        self.spectra.append((np.abs(np.fft.fft2(unit, axes=(1, 2))) ** 2).mean((0, 3)))

    def statistics(self) -> HalideStatistics:
        blocks = sum(map(len, self.block_sigma))
        if blocks < _FEWEST_BLOCKS:
            raise ValueError(
                f"HalideStatistics expects at least {_FEWEST_BLOCKS} flat blocks to measure grain on, got {blocks} "
                f"in {self.pictures} picture(s): add scans with sky, walls or other plain areas"
            )
        weights = [len(s) for s in self.block_sigma]
        spectrum = np.average(self.spectra, axis=0, weights=weights)
        enough = self.pixels >= 1000
        return HalideStatistics(
            density=_filled(self.heights.sum(-1) / self.pixels.clip(1), enough),
            occupancy=_filled(self.states / self.states.sum(-1, keepdims=True).clip(1), self.states[0].sum(-1) >= 1000),
            height=_quantiles(self.heights, enough),
            sigma=self._sigma(),
            correlation=np.median(np.concatenate(self.correlations), 0).astype(np.float32),
            kernel=_kernel(spectrum),
            pictures=self.pictures,
            blocks=blocks,
        )

    def _sigma(self) -> np.ndarray:
        sigma, mean = np.concatenate(self.block_sigma), np.concatenate(self.block_mean)
        band = (mean / 256 * BANDS).astype(int)
        table, known = np.zeros((BANDS, 3)), np.zeros((BANDS, 3), bool)
        for b in range(BANDS):
            for c in range(3):
                inside = sigma[band[:, c] == b, c]
                if len(inside) >= 10:
                    table[b, c], known[b, c] = np.median(inside), True
        unseen = ~known.any(0)  # blocks too few, or too scattered, to tell the bands apart
        table[:, unseen], known[:, unseen] = np.median(sigma[:, unseen], 0), True
        return _filled(table[None], known)[0]


def _filled(table: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate over the bands that were not seen; constant beyond the outermost that were.

    Shape: table (2, BANDS, ...) or (1, BANDS, ...), known (BANDS,) or (BANDS, 3)
    """
    flat = table.reshape(len(table), BANDS, -1)
    columns = np.broadcast_to(known.reshape(BANDS, -1), (BANDS, known.size // BANDS))
    repeat = flat.shape[2] // columns.shape[1]
    bands = np.arange(BANDS)
    out = np.empty(flat.shape, np.float32)
    for part in range(len(flat)):
        for column in range(flat.shape[2]):
            seen = columns[:, column // repeat]
            out[part, :, column] = np.interp(bands, bands[seen], flat[part, seen, column])
    return out.reshape(table.shape)


def _quantiles(histogram: np.ndarray, enough: np.ndarray) -> np.ndarray:
    share = np.cumsum(histogram, -1) / histogram.sum(-1, keepdims=True).clip(1)
    table = np.stack([(share >= q).argmax(-1) - _HEIGHT_RANGE for q in QUANTILES], -1)
    return _filled(table, enough & (histogram.sum(-1) >= 30).all(0))


def _kernel(spectrum: np.ndarray) -> np.ndarray:
    """Turn a power spectrum (N, N) into a zero-phase filter (9, 9): its square root's transform, cut off smoothly."""
    radius, middle = _KERNEL_RADIUS, spectrum.shape[0] // 2
    amplitude = np.sqrt(spectrum)
    amplitude[0, 0] = amplitude[[0, 1, -1, 0], [1, 0, 0, -1]].mean()  # the plane fit took the mean away
    full = np.fft.fftshift(np.fft.ifft2(amplitude).real)
    cut = full[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    window = np.cos(np.pi / 2 * np.arange(-radius, radius + 1) / (radius + 1))
    kernel = cut * np.outer(window, window)
    return (kernel / np.sqrt((kernel**2).sum())).astype(np.float32)
