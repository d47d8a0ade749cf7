"""Colours of pictures, without their grain: what a palette is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from .. import images
from ..color import SRGB, convert, managed

REFERENCE = Path(__file__).with_name("photo_colours.npz")
"""Colours of ordinary digital photographs, 256 of each, a statistic of 13 by R. Laker (repository
rlaker/rlaker.github.io, MIT) and of 4 that scikit-image ships (NASA and SpaceX, public domain; R. Michetti and S. van
der Walt, CC0); made by ``benchmarks/palette.py --reference``."""
CELLS = 160
"""Along a picture's long side: grain averages out in each."""
_BORDER = 0.03  # of the short side, which a scan's frame may take up
_FEWEST = 64
_GREY = 0.7  # rms chroma about a tint

Source = str | Path | images.Picture | np.ndarray


def colours_of(picture: Source, count: int = 2048) -> np.ndarray:
    """Sample the colours of a picture: means of cells, some 160 along its long side, so that grain does not count.

    A border of 3 % is left out; colours of another space are converted to sRGB and clipped to it.

    Args:
        picture: A file, what `images.read` returned, or pixels in sRGB, uint8 or uint16 (H, W, 3).
        count: The most colours to return, drawn at random, always the same ones.

    Shape: -> (N, 3)
    Range: encoded sRGB, [0, 1]
    Raises: ValueError for other pixels; ImageFileError for a file that cannot be read.
    """
    pixels = srgb_pixels(picture)
    border = round(_BORDER * min(pixels.shape[:2]))
    pixels = pixels[border : pixels.shape[0] - border, border : pixels.shape[1] - border]
    cells = cell_means(pixels, cell_shape(pixels.shape[:2])).reshape(-1, 3)
    return cells[np.random.default_rng(0).permutation(len(cells))[:count]]


def srgb_pixels(picture: Source) -> np.ndarray:
    """Return a picture's integer pixels, converted to sRGB where its profile says something else.

    Shape: -> (H, W, 3)
    """
    if isinstance(picture, str | Path):
        picture = images.read(picture)
    if isinstance(picture, np.ndarray):
        picture = images.Picture(picture)
    pixels, space, _ = managed(picture.pixels, picture.icc)
    if space == SRGB:
        return pixels
    return images.from_float(convert(images.to_float(pixels), space, SRGB), pixels.dtype)


def cell_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Say how many cells a picture is divided into, down and across; a cell holds at least one pixel."""
    size = max(1.0, max(shape) / CELLS)
    return max(1, int(shape[0] / size)), max(1, int(shape[1] / size))


def cell_means(pixels: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """Average a picture over cells, whose edges are rounded to whole pixels.

    Shape: (H, W, 3) -> (*cells, 3)
    Range: uint8 or uint16 -> [0, 1]
    """
    rows, columns = (np.linspace(0, n, k + 1).round().astype(int) for n, k in zip(pixels.shape, cells, strict=False))
    total = np.add.reduceat(pixels, rows[:-1], 0, dtype=np.float64)
    total = np.add.reduceat(total, columns[:-1], 1)
    return total / (np.diff(rows)[:, None, None] * np.diff(columns)[:, None]) / np.iinfo(pixels.dtype).max


def without_colour(lab: np.ndarray) -> bool:
    """Tell whether a picture is black and white: its colours are one tint that depends on lightness alone.

    Shape: (N, 3), in L*a*b*
    """
    tint = np.stack([lab[:, 0] ** power for power in range(3)], -1) / [1, 1e2, 1e4]
    rest = lab[:, 1:] - tint @ np.linalg.lstsq(tint, lab[:, 1:], rcond=None)[0]
    return bool(np.sqrt((rest**2).sum(1).mean()) < _GREY)


@cache
def reference() -> tuple[np.ndarray, ...]:
    """Return the bundled colours of ordinary digital photographs, an array a photograph, encoded sRGB in [0, 1]."""
    with np.load(REFERENCE, allow_pickle=False) as file:
        return tuple(file["colours"] / 255)


def checked(caller: str, what: str, pictures: Sequence[np.ndarray], fewest: int) -> list[np.ndarray]:
    """Return pictures' colours as float64.

    Raises: ValueError unless each is (N, 3) of 64 or more, finite, in [0, 1], and there are enough.
    """
    if isinstance(pictures, np.ndarray) and pictures.ndim == 2:
        raise ValueError(
            f"{caller} expects {what} as a list, an array (N, 3) a picture, got one array {pictures.shape}"
        )
    found = [np.asarray(colours, np.float64) for colours in pictures]
    for colours in found:
        if colours.ndim != 2 or colours.shape[1] != 3 or len(colours) < _FEWEST:
            raise ValueError(
                f"{caller} expects {what} of shape (N, 3), {_FEWEST} colours or more each, got {colours.shape}"
            )
        if not (np.isfinite(colours).all() and colours.min() >= 0 and colours.max() <= 1):
            raise ValueError(f"{caller} expects {what} in [0, 1], got {colours.min()} to {colours.max()}")
    if len(found) < fewest:
        raise ValueError(f"{caller} expects {what} from {fewest} pictures or more, got {len(found)}")
    return found
