"""Which points of a grid lie under a disc, found in two ways that agree bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal, NamedTuple

import mlx.core as mx
import numpy as np

from .discs import LEVELS, WHITE, Discs, Film, born, cell_bits, disc_bits, which_radius

_BUCKET_BITS = 3
_BUCKETS = 2**_BUCKET_BITS  # a cell's parts in which a disc's first point is looked up
_CHUNK = 2**17  # points that a step of the grain-wise way marks
_BLOCK = 2**20  # points that a step of the pixel-wise way tests


class Grid(NamedTuple):
    """Points at every row and column, and where each one's answer is stored: at the sum of its two places.

    Args:
        rows: In units, rising, int64.
        columns: Likewise.
        row_places: Integers; the sums are 0 to n - 1 for n points.
        column_places: Likewise.
    """

    rows: np.ndarray
    columns: np.ndarray
    row_places: np.ndarray
    column_places: np.ndarray

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(self.rows) * len(self.columns)


def covered(
    law: Discs, film: Film, grid: Grid, key: mx.array, channel: int, way: Literal["grain", "pixel", ""] = ""
) -> mx.array:
    """Tell which points lie under a disc.

    Grain by grain: list the discs of the region and mark the points inside each. Pixel by pixel: let each point look
    for discs in the cells around it. The result is the same; the first pays unless points are few and far between.

    Shape: -> (grid.size,), uint8: 0 or 1
    """
    if not way:
        way = "grain" if _grain_cost(law, film, grid) < _pixel_cost(law, film, grid) else "pixel"
    return (_grain_wise if way == "grain" else _pixel_wise)(law, film, grid, key, mx.array([channel], mx.int32))


def _pixels(law: Discs, points: np.ndarray) -> np.ndarray:
    """List the film pixels with discs that can reach the points of one axis."""
    width = law.cells << law.bits
    return np.arange((points[0] - law.reach) // width, (points[-1] + law.reach) // width + 1)


def _grain_cost(law: Discs, film: Film, grid: Grid) -> float:
    """Estimate the nanoseconds of the grain-wise way, on a CPU: cells are hashed, discs listed, points marked."""
    pixels = [_pixels(law, points) for points in grid[:2]]
    cells = len(pixels[0]) * len(pixels[1]) * law.cells**2
    mean = -np.log1p(-WHITE * film.at(*pixels) / (LEVELS - 1)).mean() / (np.pi * (law.radii**2).mean() * law.cells**2)
    points = [1 + 2 * law.squares**0.5 * (len(p) - 1) / max(p[-1] - p[0], 1) for p in grid[:2]]
    sorting = 60 if len(law.radii) > 1 else 0
    return cells * (3 + mean * (10 + sorting + 5 * (points[0] * points[1]).mean()))


def _pixel_cost(law: Discs, film: Film, grid: Grid) -> float:
    """Estimate the nanoseconds of the pixel-wise way: each point tests all discs that the cells around it may have."""
    cells = len(_neighbours(law))
    draws = law.most(film.at(*(_pixels(law, points) for points in grid[:2])))
    return cells * (draws * 1e5 + grid.size * (3 + 5 * draws))


def _sizes(law: Discs, seeds: mx.array) -> Iterator[tuple[np.ndarray | slice, mx.array, int]]:
    """Sort discs into classes of radii.

    Yields: which discs, the squares of their radii and the largest radius of the class, in units
    """
    if len(law.squares) == 1:
        yield slice(None), mx.array(law.squares[0]), law.reach
        return
    which = np.asarray(which_radius(seeds))
    step = np.log(law.radii / law.radii[0]) // math.log(1.4)
    bounds = np.flatnonzero(np.diff(step, prepend=-1, append=step[-1] + 1))
    order = np.argsort(which.astype(np.uint16), kind="stable")
    ends = np.searchsorted(which[order], bounds)
    for low, high, bound in zip(ends[:-1], ends[1:], bounds[1:], strict=True):
        if high > low:
            members = order[low:high]
            yield members, mx.array(law.squares[which[members]]), math.isqrt(int(law.squares[bound - 1]))


def _shifts(law: Discs) -> list[mx.array]:
    """Say by how many bits 16 random ones are too many for a place in a cell, what a cell has, a bucket has."""
    return [mx.array(count, mx.uint32) for count in (16 - law.bits, law.bits, law.bits - _BUCKET_BITS)]


@partial(mx.compile, shapeless=True)
def _placed(
    row: mx.array, column: mx.array, seeds: mx.array, first: tuple[mx.array, mx.array], shifts: list[mx.array]
) -> tuple[mx.array, mx.array, mx.array, mx.array]:
    """Place discs in their cells: row and column in units, modulo 2^32, and the row's and column's bucket."""
    excess, cell, bucket = shifts
    down, across = (seeds >> 16) >> excess, (seeds & 0xFFFF) >> excess
    return (
        ((row + first[0]) << cell) + down,
        ((column + first[1]) << cell) + across,
        (row * _BUCKETS + (down >> bucket)).astype(mx.int32),
        (column * _BUCKETS + (across >> bucket)).astype(mx.int32),
    )


@partial(mx.compile, shapeless=True)
def _squared(points: mx.array, centres: mx.array) -> mx.array:
    """Square distances along one axis; those too long for 32 bits stay too long for any disc."""
    distance = mx.minimum(mx.abs((points - centres).astype(mx.int32)), 32767)
    return distance * distance


@partial(mx.compile, shapeless=True)
def _marks(
    down: mx.array, across: mx.array, squares: mx.array, row: mx.array, column: mx.array, nowhere: mx.array
) -> mx.array:
    return mx.where(down + across <= squares, row + column, nowhere)


class _Axis(NamedTuple):
    """One axis of a grid, ready for gathering: the points near a disc are a few of them from ``first[bucket]`` on."""

    first: mx.array
    most: int
    points: mx.array
    places: mx.array

    @classmethod
    def of(cls, law: Discs, points: np.ndarray, places: np.ndarray, pixels: np.ndarray, reach: int) -> _Axis:
        bucket = 2**law.bits // _BUCKETS
        starts = int(pixels[0] * law.cells << law.bits) + np.arange(len(pixels) * law.cells * _BUCKETS) * bucket
        first = np.searchsorted(points, starts - reach)
        most = int((np.searchsorted(points, starts + (bucket - 1 + reach), "right") - first).max())
        padded = [np.pad(a, (0, most), "edge") for a in (points.astype(np.uint32), places.astype(np.int32))]
        return cls(mx.array(first.astype(np.int32)), most, *map(mx.array, padded))


def _gathered(values: mx.array, index: mx.array) -> mx.array:
    """Look indices of any shape up in a line (five times faster than by plain indexing, on the CPU)."""
    return mx.take_along_axis(values, index.reshape(-1), 0).reshape(index.shape)


def _repeated(values: mx.array, times: int) -> mx.array:
    """Write a line several times: kernels are several times faster on arrays of one shape."""
    return mx.contiguous(mx.broadcast_to(values, (times, values.size))).reshape(-1) if times > 1 else values


def _grain_wise(law: Discs, film: Film, grid: Grid, key: mx.array, channel: mx.array) -> mx.array:
    """Mark the points inside each disc; marks fall on one another in any order."""
    pixels = [_pixels(law, points) for points in grid[:2]]
    field = mx.zeros(grid.size + 1, mx.uint8)  # the last one is for marks that fall outside their disc
    listed = list(born(law, film, pixels, key, channel))
    if not listed:
        return field[:-1]
    rows, columns = (np.concatenate([part[axis] for part in listed]) for axis in (0, 1))
    bits = mx.concatenate([part[2] for part in listed])
    top, left = (mx.array(int(p[0]) * law.cells % 2**32, mx.uint32) for p in pixels)
    shifts = _shifts(law)
    for members, squares, reach in _sizes(law, bits):
        down, across = (_Axis.of(law, grid[axis], grid[axis + 2], pixels[axis], reach) for axis in (0, 1))
        if not (down.most and across.most):
            continue  # no disc of this size has a point near
        drawn = rows[members], columns[members], np.asarray(bits)[members]
        chunk = -(-_CHUNK // across.most)
        for start in range(0, len(drawn[0]), chunk):
            row, column, seeds = (mx.array(part[start : start + chunk]) for part in drawn)
            square = squares[start : start + chunk] if squares.ndim else squares
            field = _marked(field, down, across, _placed(row, column, seeds, (top, left), shifts), square)
            mx.eval(field)
    return field[:-1]


def _marked(
    field: mx.array, down: _Axis, across: _Axis, discs: tuple[mx.array, mx.array, mx.array, mx.array], squares: mx.array
) -> mx.array:
    """Mark the points inside some discs of like size: of a block around each, those that are near enough."""
    row, column, row_bucket, column_bucket = discs
    near = (_gathered(across.first, column_bucket) + mx.arange(across.most)[:, None]).reshape(-1)
    beside = _squared(_gathered(across.points, near), _repeated(column, across.most))
    place = _gathered(across.places, near)
    squares = _repeated(squares, across.most) if squares.ndim else squares
    first = _gathered(down.first, row_bucket)
    one, nowhere = mx.array(1, mx.uint8), mx.array(field.size - 1, mx.int32)
    for line in range(down.most):
        above = _repeated(_squared(_gathered(down.points, first + line), row), across.most)
        line_place = _repeated(_gathered(down.places, first + line), across.most)
        field = mx.put_along_axis(field, _marks(above, beside, squares, line_place, place, nowhere), one, 0)
    return field


def _neighbours(law: Discs) -> list[tuple[int, int]]:
    """List the cells with discs that can reach into a cell."""
    width = 2**law.bits
    steps = range(-(law.reach // width) - 1, law.reach // width + 2)
    gap = {step: max(abs(step) - 1, 0) * width for step in steps}
    return [(i, j) for i in steps for j in steps if gap[i] ** 2 + gap[j] ** 2 <= law.reach**2]


@partial(mx.compile, shapeless=True)
def _inside(
    more: mx.array, seeds: mx.array, rows: mx.array, columns: mx.array, squares: mx.array, excess: mx.array
) -> mx.array:
    down, across = _squared(rows, (seeds >> 16) >> excess), _squared(columns, (seeds & 0xFFFF) >> excess)
    return more & (down + across <= squares)


_cell_bits = mx.compile(cell_bits)


def _pixel_wise(law: Discs, film: Film, grid: Grid, key: mx.array, channel: mx.array) -> mx.array:
    """Look from each point at all the discs that the cells around it can have."""
    places = mx.array(grid.row_places.astype(np.int32))[:, None] + mx.array(grid.column_places.astype(np.int32))
    found = []
    step = max(_BLOCK // len(grid.columns), 1)
    for start in range(0, len(grid.rows), step):
        found.append(_looked_around(law, film, (grid.rows[start : start + step], grid.columns), key, channel))
        mx.eval(found[-1])
    values = mx.concatenate(found).astype(mx.uint8)
    return mx.put_along_axis(mx.zeros(grid.size, mx.uint8), places.reshape(-1), values.reshape(-1), 0)


def _looked_around(
    law: Discs, film: Film, points: tuple[np.ndarray, np.ndarray], key: mx.array, channel: mx.array
) -> mx.array:
    """Tell which points lie under a disc, pixel by pixel.

    Shape: points (R,), (S,) -> (R, S), bool
    """
    cells = [axis >> law.bits for axis in points]
    squares = mx.array(law.squares if len(law.squares) > 1 else law.squares[0])
    found, excess = mx.zeros([len(axis) for axis in points], mx.bool_), _shifts(law)[0]
    for offset in _neighbours(law):
        rows, columns = (cell + step for cell, step in zip(cells, offset, strict=True))
        down, across = (
            mx.array((axis - (cell << law.bits)).astype(np.uint32))
            for axis, cell in zip(points, (rows, columns), strict=True)
        )
        bits = _cell_bits(key, mx.array(rows.astype(np.int32)), mx.array(columns.astype(np.int32)), channel)
        levels = film.at(rows // law.cells, columns // law.cells)
        level = mx.array(levels.astype(np.int32))
        for draw in range(law.most(levels)):
            more = bits > _gathered(mx.array(law.limits[draw]), level)
            seeds = disc_bits(bits, mx.array(draw, mx.uint32))
            reached = _gathered(squares, which_radius(seeds).astype(mx.int32)) if squares.ndim else squares
            found = found | _inside(more, seeds, down[:, None], across[None], reached, excess)
        mx.eval(found)
    return found
