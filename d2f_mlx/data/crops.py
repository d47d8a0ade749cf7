"""Square crops of a decoded picture: at random to train on, on a grid to evaluate on. NumPy only."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..images import read
from ..images.pixels import with_bits

# A loop costs half a microsecond a crop, which is most of a small one; gathering costs large ones a second copy.
_GATHERED_BELOW = 64


def _check_fits(pixels: np.ndarray, crop: int, count: int) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"crops expect (H, W, 3) uint8 or uint16 pixels, got {pixels.shape} {pixels.dtype}")
    height, width = pixels.shape[:2]
    if crop < 1 or count < 1:
        raise ValueError(f"crops expect crop >= 1 and count >= 1, got crop {crop} and count {count}")
    if min(height, width) < crop:
        raise ValueError(f"crops expect a picture of {crop}x{crop} or more, got {width}x{height}")


def random_crops(
    pixels: np.ndarray,
    crop: int,
    count: int,
    rng: np.random.Generator,
    flip: float = 0.5,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Cut ``count`` crops from anywhere in a picture, each mirrored left to right with probability ``flip``.

    Args:
        pixels: the picture.
        crop: the side of a crop, in pixels.
        count: how many crops.
        rng: places and mirrors them.
        flip: probability of a mirrored crop.
        out: C-contiguous array that the crops are written to; a new one where None.

    Shape: pixels (H, W, 3) -> (count, crop, crop, 3)
    Range: uint8 or uint16 as given
    Raises: ValueError if the picture is smaller than the crop, or ``out`` has another shape or dtype.

    """
    _check_fits(pixels, crop, count)
    height, width = pixels.shape[:2]
    tops = rng.integers(0, height - crop, count, endpoint=True)
    lefts = rng.integers(0, width - crop, count, endpoint=True)
    mirrored = rng.random(count) < flip
    shape = (count, crop, crop, 3)
    crops = np.empty(shape, pixels.dtype) if out is None else out
    if crops.shape != shape or crops.dtype != pixels.dtype:
        raise ValueError(f"random_crops expects out of {shape} {pixels.dtype}, got {crops.shape} {crops.dtype}")
    # The three channels as one value: NumPy then moves pixels, and rows of pixels, at a time.
    pixel = np.dtype((np.void, 3 * pixels.itemsize))
    source, target = np.ascontiguousarray(pixels).view(pixel)[..., 0], crops.view(pixel)[..., 0]
    if crop < _GATHERED_BELOW:
        windows = (height - crop + 1, width - crop + 1, crop, crop)
        target[...] = np.ndarray(windows, pixel, source, strides=source.strides * 2)[tops, lefts]
        target[mirrored] = target[mirrored][:, :, ::-1]
    else:
        for to, top, left, mirror in zip(target, tops.tolist(), lefts.tolist(), mirrored.tolist(), strict=True):
            window = source[top : top + crop, left : left + crop]
            to[...] = window[:, ::-1] if mirror else window
    return crops


def _even(length: int, crop: int, count: int) -> np.ndarray:
    """Place ``count`` crops along one side: centred in equal cells, or edge to edge if they overlap."""
    margin = max(0.0, (length / count - crop) / 2)
    return np.rint(np.linspace(margin, length - crop - margin, count)).astype(int)


def grid_crops(picture: str | os.PathLike[str] | np.ndarray, crop: int, count: int) -> np.ndarray:
    """Cut ``count`` evenly spaced crops, the same ones every time; a single one is the centre crop.

    The crops lie in about sqrt(count * H / W) rows that share them as equally as they can.

    Args:
        picture: a file, or pixels (H, W, 3) in uint8 or uint16.
        crop: the side of a crop, in pixels.
        count: how many crops.

    Shape: (count, crop, crop, 3)
    Range: uint8, as the stream yields them
    Raises: ValueError if the picture is smaller than the crop; ImageFileError if the file cannot be read.

    """
    pixels = picture if isinstance(picture, np.ndarray) else read(Path(picture)).pixels
    try:
        _check_fits(pixels, crop, count)
    except ValueError as error:
        if pixels is picture:
            raise
        raise ValueError(f"{Path(picture).name}: {error}") from None  # type: ignore[arg-type]
    pixels = with_bits(pixels, 8)
    height, width = pixels.shape[:2]
    rows = min(max(round((count * height / width) ** 0.5), 1), count)
    shares = np.diff(np.rint(np.linspace(0, count, rows + 1)).astype(int))
    corners = [
        (top, left)
        for top, share in zip(_even(height, crop, rows), shares, strict=True)
        for left in _even(width, crop, int(share))
    ]
    return np.stack([pixels[top : top + crop, left : left + crop] for top, left in corners])
