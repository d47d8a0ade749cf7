"""What the door asks of an engine."""

from __future__ import annotations

from typing import Protocol

import mlx.core as mx

from .colour import Colour


class Engine(Protocol):
    """Give one tile of a picture its grain.

    Attributes:
        tile: Side of the tiles that suit it.
        largest_tile: Side that it must not pass.
        align: What tiles' sides and overlaps are multiples of.
        parallel: How many tiles to compute at once.
    """

    tile: int
    largest_tile: int
    align: int
    parallel: int

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


def cropped(picture: mx.array, margin: int) -> mx.array:
    """Take a margin off a tile's edges; (H, W, C) -> (H - 2 margin, W - 2 margin, C)."""
    height, width = picture.shape[:2]
    return mx.contiguous(picture[margin : height - margin, margin : width - margin])
