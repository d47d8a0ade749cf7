"""Flat blocks of a picture, where all that varies is grain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from .filters import averaged, gaussian_taps

_EDGE_SIGMA = 2.0
_STRIP_PIXELS = 2**20  # of a picture at a time, to bound the memory
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709, on display-encoded values


@dataclass(frozen=True)
class FlatBlocks:
    """How flat a block must be to be measured: the notes' rule, and two that tell structure from strong grain.

    An edge is where the luminance, smoothed by a Gaussian of 2 pixels, rises by more than ``edge`` levels a pixel: a
    step of some 5 ``edge`` levels. Grain itself is none: of a Gaussian field of 12 levels and a lag-1 correlation of
    0.5, 95 % of the blocks pass. A block is also cut into 4x4 cells. Grain averages out over a cell and a scene's
    structure does not, so the spread of the cells' means, against the spread of single pixels, tells one from the
    other without preferring weak grain. Its limit depends on the cells' size: 0.65 suits blocks of 16 pixels (98 % of
    such a field's pass), 0.4 blocks of 32. Last, one picture's grain depends on brightness and nothing else, while dust
    and fine texture come here and there: a block must not vary far more than most that are as bright. (Variances of
    blocks of grain seldom differ by half.) An even texture all over a picture (gravel, a lawn) may still pass.

    Args:
        size: Side of a block in pixels, a multiple of 4.
        stride: Distance between blocks in pixels.
        max_structure: Largest spread of cell means over pixels' spread, after a plane is removed.
        max_variance: Largest variance of a block about a plane in levels of 255, squared.
        max_edges: Largest share of a block's pixels on an edge; 1 to look for none.
        edge: Slope of the smoothed luminance, in levels of 255 a pixel, above which a pixel is on an edge.
        max_excess: Largest variance of a block over the median of the picture's flat blocks in its brightness band of
            16 levels; infinity for no limit.
        margin: Levels of 255 that a block's mean must keep from black and white, where grain is clipped.
    """

    size: int = 16
    stride: int = 8
    max_structure: float = 0.65
    max_variance: float = 300.0
    max_edges: float = 0.01
    edge: float = 4.0
    max_excess: float = 2.0
    margin: float = 4.0

    def __post_init__(self) -> None:
        if self.size < 8 or self.size % 4:
            raise ValueError(f"FlatBlocks expects size to be a multiple of 4, 8 or more, got {self.size}")
        if self.stride < 1:
            raise ValueError(f"FlatBlocks expects stride to be 1 or more, got {self.stride}")
        for name in ("max_structure", "max_variance", "max_edges", "edge", "max_excess", "margin"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"FlatBlocks expects {name} to be 0 or more, got {getattr(self, name)}")


STRICT = FlatBlocks(size=32, stride=16, max_structure=0.3, edge=1.5)
"""For what is to hold of grain alone (fits, realism reports): hardly any texture passes; of strong, coarse grain the
strongest does not either, so both sides of a comparison have to be measured by it."""


class Blocks(NamedTuple):
    """Blocks of a picture, in levels of 255.

    Shape: residual and level (N, S, S, C), mean (N, C), corner (N, 2)
    """

    residual: np.ndarray
    """What is left when a plane is taken away by least squares; a mean of zero."""
    mean: np.ndarray
    level: np.ndarray
    """The values as decoded."""
    corner: np.ndarray
    """Row and column of the first pixel."""


def flat_blocks(pixels: np.ndarray, rule: FlatBlocks | None = None) -> Blocks:
    """Find a picture's flat blocks and take a plane from each (`about_plane`).

    Assumes that grain's correlation length is well below a cell (a quarter of a block).

    Shape: (H, W, C) -> N blocks; N may be 0
    Range: integers as decoded -> levels of 255
    Raises: ValueError for pixels that are not integers (H, W, C).
    """
    rule = rule or FlatBlocks()
    return cut(pixels, flat_corners(pixels, rule), rule.size)


def cut(pixels: np.ndarray, corners: np.ndarray, size: int) -> Blocks:
    """Cut blocks out of a picture and take a plane from each.

    Shape: pixels (H, W, C), corners (N, 2) -> N blocks
    """
    channels, scale = pixels.shape[2], np.float32(255.0 / np.iinfo(pixels.dtype).max)
    if not len(corners):
        empty = np.zeros((0, size, size, channels), np.float32)
        return Blocks(empty, empty[:, 0, 0], empty, corners)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), (0, 1))
    level = np.moveaxis(windows[corners[:, 0], corners[:, 1]].astype(np.float32) * scale, 1, 3)
    residual, mean = about_plane(level)
    return Blocks(residual, mean, level, corners)


def about_plane(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take a plane, fitted by least squares, from each block; return what is left, and the means.

    Shape: (N, S, S, C) -> (N, S, S, C), (N, C)
    """
    count, size, _, channels = values.shape
    planar = np.moveaxis(values, 3, 1).reshape(count, channels, -1)
    mean = planar.mean(-1, keepdims=True)
    rest, slopes = planar - mean, _slopes(size).astype(values.dtype)
    rest -= (rest @ slopes) @ slopes.T
    return np.moveaxis(rest.reshape(count, channels, size, size), 1, 3), mean[..., 0]


@cache
def _slopes(size: int) -> np.ndarray:
    """Return a block's two slopes, down and right, as orthonormal columns (size^2, 2)."""
    axis = _offsets(size, 1) / np.sqrt(size * (_offsets(size, 1) ** 2).sum())
    return np.stack([np.repeat(axis, size), np.tile(axis, size)], 1)


def flat_corners(pixels: np.ndarray, rule: FlatBlocks) -> np.ndarray:
    """Find where a picture's flat blocks begin, strip by strip.

    Shape: (H, W, C) -> (N, 2), in rows' order
    """
    if pixels.ndim != 3 or not np.issubdtype(pixels.dtype, np.integer):
        raise ValueError(f"flat_blocks expects integer pixels (H, W, C), got {pixels.dtype} {pixels.shape}")
    height, width, channels = pixels.shape
    rows = max(_STRIP_PIXELS // width // rule.stride, 1) * rule.stride if width else 1
    empty = np.zeros((0, channels))
    found = [(np.zeros((0, 2), int), empty, empty)]
    for top in range(0, height - rule.size + 1 if width >= rule.size else 0, rows):
        stop = min(top + rows + rule.size - rule.stride, height)
        flat, mean, variance = _moments_allow(pixels[top:stop], rule)
        if rule.max_edges < 1 and flat.any():
            flat &= _edges_allow(pixels, top, stop, rule)
        found.append((np.argwhere(flat) * rule.stride + [top, 0], mean[flat], variance[flat]))
    corners, mean, variance = map(np.concatenate, zip(*found, strict=True))
    return corners[_usual(mean, variance, rule.max_excess)]


def _usual(mean: np.ndarray, variance: np.ndarray, limit: float) -> np.ndarray:
    """Judge blocks (N, C) by their variance against the median of their brightness band."""
    usual = np.ones(len(mean), bool)
    band = (mean / 16).astype(int)
    for c in range(mean.shape[1] if np.isfinite(limit) else 0):
        for b in np.unique(band[:, c]):
            here = band[:, c] == b
            usual[here] &= variance[here, c] <= limit * np.median(variance[here, c])
    return usual


def _moments_allow(pixels: np.ndarray, rule: FlatBlocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Judge the blocks of a strip by mean, variance and structure, from sums over their cells.

    The sums are of integers, so they are exact; a block's plane and the variance about it follow from them. Returns
    which blocks pass, and the means and variances of all.
    """
    size, cell, scale = rule.size, rule.size // 4, 255.0 / np.iinfo(pixels.dtype).max
    step = gcd(cell, rule.stride)
    inside, between = _offsets(cell, 1), _offsets(4, cell)

    def cells(grid: np.ndarray, axis: int, weights: np.ndarray | None = None) -> np.ndarray:
        return window_sums(grid, axis, cell, 1, step, weights)

    def blocks(grid: np.ndarray, down: np.ndarray | None = None, right: np.ndarray | None = None) -> np.ndarray:
        spacing, stride = cell // step, rule.stride // step
        return window_sums(window_sums(grid, 0, 4, spacing, stride, down), 1, 4, spacing, stride, right)

    values = pixels.astype(np.float32 if pixels.dtype == np.uint8 else np.float64)
    across = cells(values, 0)
    total = cells(across, 1).astype(np.float64)
    square = blocks(cells(cells(values * values, 0), 1).astype(np.float64))
    down = blocks(total, down=between) + blocks(cells(cells(values, 0, inside), 1).astype(np.float64))
    right = blocks(total, right=between) + blocks(cells(across, 1, inside).astype(np.float64))

    count, norm = size**2, size * (_offsets(size, 1) ** 2).sum()
    mean = blocks(total) / count
    variance = square / count - mean**2 - (down**2 + right**2) / (norm * count)
    # The cells' means about the same plane, whose slopes are down / norm and right / norm.
    middle = 4 * (between**2).sum()
    spread = blocks(total**2) / cell**4 - 16 * mean**2
    for slope, moment in ((down / norm, blocks(total, down=between)), (right / norm, blocks(total, right=between))):
        spread += slope**2 * middle - 2 * slope * moment / cell**2
    mean, variance, spread = mean * scale, variance * scale**2, spread.clip(0) / 16 * scale**2
    constant = variance < 1e-7  # what rounding leaves of a plane
    flat = (
        (spread < rule.max_structure**2 * variance)
        & (variance <= rule.max_variance)
        & ~constant
        & (mean > rule.margin)
        & (mean < 255 - rule.margin)
    ).all(-1)
    return flat, mean, variance


def _edges_allow(pixels: np.ndarray, top: int, stop: int, rule: FlatBlocks) -> np.ndarray:
    """Judge the blocks of a strip by their share of edge pixels; rows beside it complete the windows."""
    reach = len(gaussian_taps(_EDGE_SIGMA)) // 2 + 1
    first = max(top - reach, 0)
    strip = pixels[first : stop + reach]
    weights = _LUMINANCE if strip.shape[2] == 3 else np.full(strip.shape[2], 1 / strip.shape[2], np.float32)
    weights = mx.array(weights * np.float32(255.0 / np.iinfo(pixels.dtype).max))
    slope = np.array(_slope()(mx.array(strip), weights))[top - first : stop - first]
    edges = (slope > rule.edge**2).astype(np.float32)
    sums = window_sums(window_sums(edges, 0, rule.size, 1, rule.stride), 1, rule.size, 1, rule.stride)
    return sums <= rule.max_edges * rule.size**2


@cache
def _slope():
    def slope(pixels: mx.array, weights: mx.array) -> mx.array:
        luminance = (pixels.astype(mx.float32) * weights).sum(-1)[None, :, :, None]
        smooth = averaged(luminance, gaussian_taps(_EDGE_SIGMA))[0, :, :, 0]
        padded = mx.pad(smooth, 1, mode="edge")
        down = padded[2:, 1:-1] - padded[:-2, 1:-1]
        right = padded[1:-1, 2:] - padded[1:-1, :-2]
        return (down * down + right * right) / 4

    return mx.compile(slope)


def window_sums(
    grid: np.ndarray, axis: int, count: int, spacing: int, stride: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """Add up ``count`` values ``spacing`` apart, beginning at every ``stride``-th."""
    grid = np.moveaxis(grid, axis, 0)
    number = (len(grid) - (count - 1) * spacing - 1) // stride + 1
    total = np.zeros((number, *grid.shape[1:]), grid.dtype)
    for k in range(count):
        part = grid[k * spacing : k * spacing + (number - 1) * stride + 1 : stride]
        total += part if weights is None else part * weights[k].astype(grid.dtype)
    return np.moveaxis(total, 0, axis)


def _offsets(count: int, spacing: int) -> np.ndarray:
    """Return the places of ``count`` points about their middle."""
    return (np.arange(count) - (count - 1) / 2) * spacing
