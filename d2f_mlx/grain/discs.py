"""Discs thrown on film at random: how many, where and how wide.

Film is divided into cells, each with random numbers of its own (a hash of its place): how many discs have their centre
in it, where, how wide. Lengths are whole numbers, some thousands to a cell, so that every place, tile, device and way
of looking decides the same: no rounding enters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import NormalDist
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from .noise import hash_again, hash_at

LEVELS = 2**16
"""Coverage is told apart in so many steps."""
WHITE = 255 / 255.1
"""Coverage of film where full coverage is asked for: the whole plane would take infinitely many discs."""
_RADII = 4096  # equally likely radii that stand for the log-normal law
_CAP = 0.999
_SALT = 1701


@dataclass(frozen=True, eq=False)
class Discs:
    """A law of discs; make it with `discs`.

    Args:
        radii: Equally likely radii in film pixels, rising; one if they are all equal.
        cells: Cells to a film pixel, along each axis.
        bits: A cell is 2^bits units of length wide; a disc's centre is at a whole unit.
        squares: Each radius's square in units, rounded down.
        limits: A cell on film of coverage level v has more than j discs if its 32 bits are above ``limits[j, v]``.
    """

    radii: np.ndarray
    cells: int
    bits: int
    squares: np.ndarray
    limits: np.ndarray

    @property
    def reach(self) -> int:
        """The largest radius, in units."""
        return math.isqrt(int(self.squares[-1]))

    def most(self, levels: np.ndarray) -> int:
        """Return how many discs a cell can have on film of these levels."""
        return int((self.limits[:, levels.max()] < 2**32 - 1).sum())

    def units(self, position: np.ndarray) -> np.ndarray:
        """Round film positions in pixels to units."""
        return np.rint(position * (self.cells * 2.0**self.bits)).astype(np.int64)


@lru_cache(maxsize=4)
def discs(radius: float, radius_sigma: float = 0.0) -> Discs:
    """Lay down the law of discs with radii of this mean and deviation (film pixels): constant, or log-normal.

    The log-normal law is cut off at its 0.999 quantile. Cells are 1 / ceil(1 / radius) pixels wide.

    Raises: ValueError for a radius outside [0.02, 8] or a deviation outside [0, radius].
    """
    if not 0.02 <= radius <= 8:
        raise ValueError(f"discs expect a radius from 0.02 to 8 film pixels, got {radius}")
    if not 0 <= radius_sigma <= radius:
        raise ValueError(f"discs expect radius_sigma from 0 to the radius, {radius}, got {radius_sigma}")
    radii = np.array([radius], float)
    if radius_sigma:
        shape = math.log1p((radius_sigma / radius) ** 2) ** 0.5
        normal = [NormalDist().inv_cdf(min((i + 0.5) / _RADII, _CAP)) for i in range(_RADII)]
        radii = radius * np.exp(shape * np.array(normal) - shape**2 / 2)
    cells = math.ceil(1 / radius)
    widest = math.ceil(radii[-1] * cells) + 1
    bits = 15 - math.ceil(math.log2(widest))  # squared distances stay below 2^31
    squares = np.floor((radii * cells * 2.0**bits) ** 2).astype(np.int32)
    return Discs(radii, cells, bits, squares, _limits(np.pi * (radii**2).mean() * cells**2))


def _limits(area: float) -> np.ndarray:
    """Return the cumulative Poisson law of the discs in a cell for every coverage, in 2^-32.

    Args:
        area: Mean area of a disc, in cells.

    Shape: -> (J, LEVELS), uint32; all counts above J have a probability below 2^-32
    """
    mean = -np.log1p(-WHITE * np.arange(LEVELS) / (LEVELS - 1)) / area
    term = np.exp(-mean)
    total = term
    limits = []
    while (total * 2.0**32 < 2**32 - 1).any():
        limits.append(np.minimum(np.floor(total * 2.0**32), 2**32 - 1).astype(np.uint32))
        term = term * mean / len(limits)
        total = total + term
    return np.array(limits)


class Film(NamedTuple):
    """One channel of what was exposed; beyond its border it goes on as it ends.

    Args:
        levels: Coverage of film pixels, of `LEVELS`. Shape (H, W), uint16
        top: Row of the first one in the whole picture.
        left: Its column.
    """

    levels: np.ndarray
    top: int
    left: int

    def at(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the levels of a grid of film pixels, those beyond the border being the border's."""
        height, width = self.levels.shape
        return self.levels[np.ix_((rows - self.top).clip(0, height - 1), (columns - self.left).clip(0, width - 1))]


def cell_bits(key: mx.array, rows: mx.array, columns: mx.array, channel: mx.array) -> mx.array:
    """Draw the random bits of cells, which tell how many discs they have.

    Shape: rows (R,), columns (S,), channel (1,) -> (R, S), uint32
    """
    return hash_at(key, rows, columns, channel, _SALT)[..., 0]


@mx.compile
def _occupied(
    key: mx.array, rows: mx.array, columns: mx.array, channel: mx.array, limits: mx.array
) -> tuple[mx.array, mx.array]:
    """Draw the bits of cells and tell which have a disc; a limit (P, Q) holds for a pixel's cells."""
    bits = cell_bits(key, rows, columns, channel)
    height, width = limits.shape
    pixels = bits.reshape(height, rows.size // height, width, columns.size // width)
    return bits, pixels > limits[:, None, :, None]


@partial(mx.compile, shapeless=True)
def disc_bits(cell: mx.array, draw: mx.array) -> mx.array:
    """Draw the random bits of a cell's disc number ``draw``: upper 16 for its row in the cell, lower for its column."""
    return hash_again(cell, draw)


@partial(mx.compile, shapeless=True)
def which_radius(disc: mx.array) -> mx.array:
    """Tell from a disc's bits which of the law's radii it has."""
    return hash_again(disc, mx.array(0, mx.uint32)) >> 20


def born(
    law: Discs, film: Film, pixels: list[np.ndarray], key: mx.array, channel: mx.array
) -> Iterator[tuple[np.ndarray, np.ndarray, mx.array]]:
    """List the discs of a region: the first of every cell that has one, the second of every cell that has two, ...

    Yields: row and column of their cells in the region, uint32, and 32 random bits for each
    """
    rows, columns = ((p[:, None] * law.cells + np.arange(law.cells)).reshape(-1).astype(np.int32) for p in pixels)
    levels = film.at(*pixels)
    found = _occupied(key, mx.array(rows), mx.array(columns), channel, mx.array(law.limits[0][levels]))
    mx.eval(found)
    index = np.flatnonzero(np.asarray(found[1]))
    bits = np.asarray(found[0]).reshape(-1)[index]
    row = index // len(columns)
    column = index - row * len(columns)
    level = levels.reshape(-1)[row // law.cells * len(pixels[1]) + column // law.cells]
    row, column = row.astype(np.uint32), column.astype(np.uint32)
    for draw in range(len(law.limits)):
        if draw:
            more = np.flatnonzero(bits > law.limits[draw][level])
            row, column, bits, level = row[more], column[more], bits[more], level[more]
        if not len(row):
            return
        yield row, column, disc_bits(mx.array(bits), mx.array(draw, mx.uint32))
