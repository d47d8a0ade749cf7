"""What the door asks of an engine."""

from __future__ import annotations

import math
from typing import Protocol

import mlx.core as mx

from ..backend import free_memory_bytes
from .colour import Colour

_STEP = 32  # between sides, so that pictures of many sizes ask for few shapes: each is compiled anew
_SMALLEST = 128  # side to which tiles shrink where memory is short


class Engine(Protocol):
    """Give one tile of a picture its grain.

    Attributes:
        tile: Side of the tiles that suit it.
        largest_tile: Side that it must not pass.
        align: What tiles' sides and overlaps are multiples of.
        parallel: How many tiles to compute at once.
        pixel_bytes: Memory that a tile takes at most, for each of its pixels, overlap and all.
    """

    tile: int
    largest_tile: int
    align: int
    parallel: int
    pixel_bytes: int

    def overlap(self, size: tuple[int, int]) -> int:
        """Return how far beyond a tile it looks, in pixels, in a picture of this height and width, colour apart."""
        ...

    def __call__(
        self,
        photo: mx.array,
        key: mx.array,
        origin: tuple[int, int],
        size: tuple[int, int],
        colour: Colour | None = None,
        margin: int = 0,
    ) -> mx.array:
        """Develop a tile.

        Args:
            photo: The tile's pixels. Shape (h, w, 3), float32 in [0, 1]
            key: The picture's random key.
            origin: Row and column in the picture of the tile's first pixel; may be negative.
            size: Height and width of the whole picture.
            colour: What gives the picture the film's colour; None leaves the photo's.
            margin: How many pixels along the tile's edges nobody wants: they are left out, as soon as nothing else
                looks at them.

        Shape: -> (h - 2 margin, w - 2 margin, 3), in [0, 1]
        """
        ...


def tile_side(engine: Engine, size: tuple[int, int], overlap: int, wanted: int = 0) -> int:
    """Choose the side of tiles: what is wanted, else what suits the engine, smaller where memory is short.

    A quarter of what is free is taken at most, but for tiles of 128 pixels. The picture is divided evenly, so that its
    last row and column of tiles, which take as long as the others, are no slivers: to steps of 32 pixels.

    Args:
        engine: What develops the tiles.
        size: Height and width of the picture.
        overlap: How far tiles reach over each other.
        wanted: Side that was asked for; 0 for none.
    """
    side = wanted or engine.tile
    if not wanted:
        edge = math.isqrt(free_memory_bytes() // 4 // (engine.parallel * engine.pixel_bytes))
        side = min(side, max(_SMALLEST, (edge - 2 * overlap) // engine.align * engine.align))
    side = min(side, engine.largest_tile)
    even = max(-(-length // -(-length // side)) for length in size)
    step = math.lcm(_STEP, engine.align)
    return min(-(-even // step) * step, -(-side // engine.align) * engine.align)


def cropped(picture: mx.array, margin: int) -> mx.array:
    """Take a margin off a tile's edges; (H, W, C) -> (H - 2 margin, W - 2 margin, C)."""
    height, width = picture.shape[:2]
    return mx.contiguous(picture[margin : height - margin, margin : width - margin])
