"""Overlapping tiles: pictures of any size through processes of one fixed shape.

The inner squares of the tiles partition the picture. The outer squares, which a process is handed, are larger
by ``overlap`` on each side and all of the same shape (a compiled function is traced once), so they run over
the picture's edges. Pixels out there are read by mirroring without repeating the edge pixel (``np.pad``'s
"reflect", SciPy's "mirror"), as often as it takes: a repeated edge pixel would be a false plateau among
grain's extrema.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

Process = Callable[[np.ndarray, "Tile"], Any]
Cut = Callable[["Tile"], np.ndarray]
Progress = Callable[[int, int], None]

_STEP = 128  # rows that are read at a time, about


@dataclass(frozen=True)
class Tile:
    """One tile's place in its picture.

    Attributes:
        top: first row of the outer square in the picture; may be negative.
        left: first column of the outer square in the picture; may be negative.
        size: edge of the inner square before it is cut to the picture.
        overlap: how far the outer square reaches beyond the inner one.
        rows: the picture's rows that this tile alone covers.
        cols: the picture's columns that this tile alone covers.
    """

    top: int
    left: int
    size: int
    overlap: int
    rows: slice
    cols: slice

    @property
    def edge(self) -> int:
        """Edge of the outer square, the same for every tile of a picture."""
        return self.size + 2 * self.overlap

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where ``rows`` and ``cols`` of the picture lie within the outer square."""
        return (
            slice(self.rows.start - self.top, self.rows.stop - self.top),
            slice(self.cols.start - self.left, self.cols.stop - self.left),
        )

    @property
    def bare(self) -> Tile:
        """The same tile without overlap."""
        return replace(self, top=self.top + self.overlap, left=self.left + self.overlap, overlap=0)


def split(height: int, width: int, size: int, overlap: int) -> Iterator[Tile]:
    """Iterate over a picture's tiles, row by row.

    Raises:
        ValueError: for an empty picture, a size below 1 or a negative overlap.
    """
    if height < 1 or width < 1:
        raise ValueError(f"split expects a picture of at least 1 x 1, got {height} x {width}")
    if size < 1:
        raise ValueError(f"split expects size >= 1, got {size}")
    if overlap < 0:
        raise ValueError(f"split expects overlap >= 0, got {overlap}")
    return (
        Tile(
            top - overlap,
            left - overlap,
            size,
            overlap,
            slice(top, min(top + size, height)),
            slice(left, min(left + size, width)),
        )
        for top in range(0, height, size)
        for left in range(0, width, size)
    )


def _mirrored(start: int, count: int, length: int) -> np.ndarray:
    """Return ``count`` indices from ``start`` on, folded at both ends into [0, length)."""
    period = max(1, 2 * (length - 1))
    index = np.arange(start, start + count) % period
    return np.minimum(index, period - index) if length > 1 else np.zeros(count, int)


def read_tile(pixels: np.ndarray, tile: Tile) -> np.ndarray:
    """Return a tile's outer square, mirrored beyond the picture's edges; a view where it lies inside.

    Shape: pixels (H, W, C) -> (edge, edge, C)
    """
    _check_picture("read_tile", pixels)
    height, width = pixels.shape[:2]
    bottom, right = tile.top + tile.edge, tile.left + tile.edge
    if tile.top >= 0 and tile.left >= 0 and bottom <= height and right <= width:
        return pixels[tile.top : bottom, tile.left : right]
    rows, cols = _mirrored(tile.top, tile.edge, height), _mirrored(tile.left, tile.edge, width)
    return pixels[rows[:, None], cols]


def _check_picture(caller: str, pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.size == 0:
        raise ValueError(f"{caller} expects pixels of shape (H, W, C), none of them 0, got {pixels.shape}")


def _processed(
    caller: str,
    process: Process,
    cut: Cut,
    picture: tuple[int, int],
    size: int,
    overlap: int,
    progress: Progress | None,
    ahead: int = 0,
) -> Iterator[tuple[Tile, np.ndarray]]:
    """Run the process over every tile that is cut from a picture of this height and width, in order.

    A tile whose inner square alone came back has lost its overlap.
    """
    height, width = picture
    tiles = split(height, width, size, overlap)
    total = -(-height // size) * -(-width // size)
    begun = ((tile, process(cut(tile), tile)) for tile in tiles)
    waiting = deque(islice(begun, ahead))
    for done in range(1, total + 1):
        waiting.extend(islice(begun, 1))
        tile, lazy = waiting.popleft()
        result = np.asarray(lazy)
        if result.shape[:2] == (size, size):
            tile = tile.bare
        if result.ndim != 3 or result.shape[:2] != (tile.edge, tile.edge):
            expected = f"({tile.edge}, {tile.edge}, C)"
            raise ValueError(f"{caller} expects process to return shape {expected}, got {result.shape}")
        yield tile, result
        if progress is not None:
            progress(done, total)


def map_tiles(
    process: Process,
    pixels: np.ndarray,
    *,
    size: int,
    overlap: int,
    out: np.ndarray | None = None,
    progress: Progress | None = None,
    ahead: int = 0,
) -> np.ndarray:
    """Process a picture by tiles and keep each result's inner square.

    Exact, the same for every ``size``, for a process that is local: no pixel depends on another further away
    than ``overlap``, nor on where the tile begins unless it asks the `Tile`. Memory beyond the two pictures
    is one tile's.

    Args:
        process: ``process(tile_pixels, tile)``, a NumPy or MLX array of the same height and width, or of the inner
            square alone; channels and dtype are its own.
        pixels: the picture.
        size: edge of the inner squares.
        overlap: at least the process's reach.
        out: where the result goes (a memory map, say); allocated after the first tile where None.
        progress: called with (tiles done, tiles in all).
        ahead: how many results may wait while the next tiles are begun; for a process that returns MLX arrays which
            are still being computed.

    Shape: pixels (H, W, C) -> (H, W, C')

    Raises:
        ValueError: for a wrong shape, size or overlap, or an ``out`` that shares memory with pixels.
    """
    if out is not None and np.may_share_memory(out, pixels):
        raise ValueError("map_tiles expects out apart from pixels, got arrays that share memory")
    _check_picture("map_tiles", pixels)
    picture, cut = (pixels.shape[0], pixels.shape[1]), partial(read_tile, pixels)
    for tile, result in _processed("map_tiles", process, cut, picture, size, overlap, progress, ahead):
        expected = (*picture, result.shape[2])
        if out is None:
            out = np.empty(expected, result.dtype)
        if out.shape != expected:
            raise ValueError(f"map_tiles expects out of shape {expected}, got {out.shape}")
        out[tile.rows, tile.cols] = result[tile.inner]
    assert out is not None  # there is at least one tile
    return out


def map_rows(
    process: Process,
    read: Callable[[int, int], np.ndarray],
    picture: tuple[int, int],
    *,
    size: int,
    overlap: int,
    block: int = 1,
    progress: Progress | None = None,
    ahead: int = 0,
) -> Iterator[np.ndarray]:
    """Process a picture that is read by rows, and give the result by rows of tiles: `map_tiles` for any height.

    The process is handed the very squares that `map_tiles` would hand it. Memory is that of the rows which a row of
    tiles reaches (size + 2 overlap + block), and of one row of tiles' result.

    Args:
        process: as for `map_tiles`.
        read: ``read(top, bottom)``, the picture's rows from top to before bottom, (bottom - top, W, C). It is asked for
            each row once, downward.
        picture: its height and width.
        size: as for `map_tiles`.
        overlap: as for `map_tiles`.
        block: rows are asked for by multiples of so many.
        progress: as for `map_tiles`.
        ahead: as for `map_tiles`.

    Shape: yields (size, W, C'), and at the bottom what is left; the same array each time, with other pixels in it

    Raises:
        ValueError: for a wrong size or overlap.
    """
    cut = _Window(read, picture, size + 2 * overlap, block)
    band = np.empty(0)
    for tile, result in _processed("map_rows", process, cut, picture, size, overlap, progress, ahead):
        if band.size == 0:
            band = np.empty((min(size, picture[0]), picture[1], result.shape[2]), result.dtype)
        rows = tile.rows.stop - tile.rows.start
        band[:rows, tile.cols] = result[tile.inner]
        if tile.cols.stop == picture[1]:
            yield band[:rows]


class _Window:
    """The rows of a picture that a row of tiles reaches, read as they come into it, kept in a ring."""

    def __init__(self, read: Callable[[int, int], np.ndarray], picture: tuple[int, int], edge: int, block: int) -> None:
        self._read, (self._height, self._width) = read, picture
        self._step = -(-_STEP // block) * block
        self._rows = min(self._height, edge + self._step - 1)
        self._ring = np.empty(0)
        self._stop = 0  # the ring holds the rows before this one

    def __call__(self, tile: Tile) -> np.ndarray:
        """Return a tile's outer square as `read_tile` does."""
        rows = _mirrored(tile.top, tile.edge, self._height)
        cols = _mirrored(tile.left, tile.edge, self._width)
        while self._stop <= rows.max():
            stop = min(self._height, self._stop + self._step)
            new = self._read(self._stop, stop)
            if self._stop == 0:
                self._ring = np.empty((self._rows, *new.shape[1:]), new.dtype)
            self._ring[np.arange(self._stop, stop) % self._rows] = new
            self._stop = stop
        return self._ring[rows[:, None] % self._rows, cols]


def blend_tiles(
    process: Process, pixels: np.ndarray, *, size: int, overlap: int, progress: Progress | None = None
) -> np.ndarray:
    """Process a picture by tiles and fade each into its neighbours over twice the overlap.

    For processes that are not local, such as a network with global statistics, where `map_tiles` would show
    seams. The weights are raised cosines and sum to one at every pixel. Arguments as for `map_tiles`, but the process
    returns the whole outer square.

    Shape: pixels (H, W, C) -> (H, W, C') float32

    Raises:
        ValueError: for a wrong shape, size or overlap.
    """
    _check_picture("blend_tiles", pixels)
    height, width = pixels.shape[:2]
    out, cut = np.empty(0, np.float32), partial(read_tile, pixels)
    for tile, result in _processed("blend_tiles", process, cut, (height, width), size, overlap, progress):
        if tile.overlap != overlap:
            raise ValueError(f"blend_tiles expects process to return the outer square, got shape {result.shape}")
        if out.size == 0:
            out = np.zeros((height, width, result.shape[2]), np.float32)
        top, bottom = max(0, tile.top), min(height, tile.top + tile.edge)
        left, right = max(0, tile.left), min(width, tile.left + tile.edge)
        weights = np.outer(
            _weights(np.arange(top, bottom), tile.rows, tile, height),
            _weights(np.arange(left, right), tile.cols, tile, width),
        )
        cut = result[top - tile.top : bottom - tile.top, left - tile.left : right - tile.left]
        out[top:bottom, left:right] += weights[..., None].astype(np.float32) * cut
    return out


def _weights(place: np.ndarray, inner: slice, tile: Tile, length: int) -> np.ndarray:
    """Weigh pixels along one axis: a step up where the tile begins less a step up where the next begins.

    A tile's second step is its neighbour's first, so the sum over all tiles is one for any overlap; the
    picture's own edges have no step.
    """
    begin = _step(place, inner.start, tile.overlap) if inner.start > 0 else np.ones(len(place))
    end = _step(place, inner.stop, tile.overlap) if inner.stop < length else np.zeros(len(place))
    return begin - end


def _step(place: np.ndarray, boundary: int, reach: int) -> np.ndarray:
    """Rise from 0 to 1 as half a cosine over ``reach`` pixels on both sides of a boundary."""
    if reach == 0:
        return (place >= boundary).astype(float)
    phase = np.clip((place + 0.5 - boundary) / reach, -1, 1)  # pixel centres
    return 0.5 + 0.5 * np.sin(0.5 * np.pi * phase)
