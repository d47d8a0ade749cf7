"""Colour tables: any change of colour as a grid of answers in RGB, read between its points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import mlx.core as mx
import numpy as np
from numpy.typing import ArrayLike

from ..backend import looked_up

MAX_POINTS = 256
"""The most points along an axis."""
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Lut3D:
    """A 3-D colour table, read by tetrahedral interpolation.

    Args:
        table: Answers, indexed [red, green, blue]; kept as a read-only float32 copy. Shape (N, N, N, 3), 2 <= N <= 256
        low: What the first point of each axis stands for. Shape (3,) or a number
        high: What the last point of each axis stands for. Shape (3,) or a number
        title: What people call it.

    Raises:
        ValueError: for a table that is not a cube or not finite, or a domain that does not rise.
    """

    table: np.ndarray
    low: np.ndarray = field(default_factory=lambda: np.zeros(3))
    high: np.ndarray = field(default_factory=lambda: np.ones(3))
    title: str = ""

    def __post_init__(self) -> None:
        shape = np.shape(self.table)
        if len(shape) != 4 or shape[3] != 3 or len({*shape[:3]}) != 1 or not 2 <= shape[0] <= MAX_POINTS:
            raise ValueError(f"Lut3D expects a table of shape (N, N, N, 3), N from 2 to {MAX_POINTS}, got {shape}")
        with np.errstate(over="ignore"):
            table = np.array(self.table, np.float32)
        if not np.isfinite(table).all():
            raise ValueError(f"Lut3D expects a finite table, got {np.sum(~np.isfinite(table))} NaN or infinite values")
        low, high = _corner(self.low), _corner(self.high)
        if not (np.isfinite([low, high]).all() and (low < high).all()):
            raise ValueError(f"Lut3D expects low < high, finite, got {low.tolist()} and {high.tolist()}")
        for name, value in (("table", table), ("low", low), ("high", high)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)

    @property
    def points(self) -> int:
        """How many points an axis has."""
        return len(self.table)

    @classmethod
    def bake(
        cls,
        function: Callable[[np.ndarray], np.ndarray],
        points: int,
        low: ArrayLike = 0.0,
        high: ArrayLike = 1.0,
        title: str = "",
    ) -> Lut3D:
        """Tabulate a function of colours, at most 65536 of them at a time.

        Args:
            function: Takes and returns float64 colours. Shape (M, 3) -> (M, 3)
            points: How many along each axis, 2 to 256.
            low: As in the class.
            high: As in the class.
            title: As in the class.

        Raises:
            ValueError: for arguments other than these, or a function that returns another shape or NaN.
        """
        if not 2 <= points <= MAX_POINTS:
            raise ValueError(f"Lut3D.bake expects 2 to {MAX_POINTS} points, got {points}")
        axes = [np.linspace(a, b, points) for a, b in zip(_corner(low), _corner(high), strict=True)]
        table = np.empty((points**3, 3), np.float32)
        for start in range(0, len(table), _CHUNK):
            place = np.unravel_index(np.arange(start, min(start + _CHUNK, len(table))), (points,) * 3)
            colours = np.stack([axis[i] for axis, i in zip(axes, place, strict=True)], axis=1)
            answers = np.asarray(function(colours))
            if answers.shape != colours.shape:
                raise ValueError(f"Lut3D.bake expects colours of shape {colours.shape}, got {answers.shape}")
            with np.errstate(over="ignore"):  # the class refuses infinity
                table[start : start + _CHUNK] = answers
        return cls(table.reshape(points, points, points, 3), _corner(low), _corner(high), title)

    def __call__(self, pixels: mx.array) -> mx.array:
        """Look colours up; those outside the domain are clamped to it, and NaN to its lower end.

        Each colour lies in one of the six tetrahedra of its cell, between the cell's two grey corners and the two
        corners on the way from one to the other along the axes in the order of their fractions: four points of the
        table, greys from greys alone, exact for affine functions. Elementwise: tiles agree bit for bit.

        Shape: (..., 3) -> (..., 3)
        Range: floating-point in [low, high] -> float32 in the table's range
        Raises: ValueError for another shape, or integers.
        Reference: Sakamoto and Itooka 1981, US patent 4275413 (expired)
        """
        if pixels.ndim < 1 or pixels.shape[-1] != 3 or not mx.issubdtype(pixels.dtype, mx.floating):
            raise ValueError(f"Lut3D expects floating-point pixels (..., 3), got {pixels.shape} of {pixels.dtype}")
        return _interpolate(pixels, *self._arrays)

    @cached_property
    def _arrays(self) -> tuple[mx.array, ...]:
        """What the compiled code reads: the points, channel by channel, the grid, the domain.

        The grid's size is an array too: as a constant it would have the code compiled anew for every size.
        """
        points = self.table.transpose(3, 0, 1, 2).reshape(-1)
        # Points from one to the next in red, in green; the last cell; points in all.
        grid = [self.points**2, self.points, self.points - 2, self.points**3]
        per_step = (self.points - 1) / (self.high - self.low)
        domain = (mx.array(values, mx.float32) for values in (self.low, per_step))
        return mx.array(points), mx.array(grid), *domain

    def save(self, path: str | Path) -> None:
        """Write a ``.cube`` file; see `write_cube`."""
        from .cube import write_cube

        write_cube(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Lut3D:
        """Read a ``.cube`` file; see `read_cube`."""
        from .cube import read_cube

        return read_cube(path)


def _corner(value: ArrayLike) -> np.ndarray:
    corner = np.asarray(value, np.float64)
    if corner.shape not in ((), (3,)):
        raise ValueError(f"Lut3D expects low and high as one number or three, got shape {corner.shape}")
    return np.full(3, corner) if corner.ndim == 0 else corner.copy()


@mx.compile
def _interpolate(pixels: mx.array, points: mx.array, grid: mx.array, low: mx.array, per_step: mx.array) -> mx.array:
    """Interpolate; channels are separated first, since the compiled code is fastest on what lies together."""
    red, green, last, count = grid[0], grid[1], grid[2], grid[3]
    cells, fractions = [], []
    for channel in range(3):
        place = (pixels[..., channel] - low[channel]) * per_step[channel]
        place = mx.where(place > 0, mx.minimum(place, last + 1), 0)  # NaN too becomes 0: never an index outside
        cells.append(mx.minimum(place.astype(mx.int32), last))
        fractions.append(place - cells[-1])
    r, g, b = fractions
    most, least = mx.maximum(mx.maximum(r, g), b), mx.minimum(mx.minimum(r, g), b)
    middle = mx.maximum(mx.minimum(r, g), mx.minimum(mx.maximum(r, g), b))
    cell = cells[0] * red + cells[1] * green + cells[2]
    after_most = cell + mx.where(r == most, red, mx.where(g == most, green, 1))
    before_least = cell + mx.where(b == least, red + green, mx.where(g == least, red + 1, green + 1))
    corners = (cell, after_most, before_least, cell + red + green + 1)
    weights = (1 - most, most - middle, middle - least, least)
    channels = []
    for channel in range(3):
        parts = (looked_up(points, corner + channel * count) for corner in corners)
        first, second, third, fourth = (part * weight for part, weight in zip(parts, weights, strict=True))
        channels.append(first + second + third + fourth)
    return mx.stack(channels, -1)
