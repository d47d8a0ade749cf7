"""Photographs in any form to pixels that an engine develops, and back to the form's type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import numpy as np

from .. import images
from ..color import RGBSpace, managed
from ..images.pixels import check_values


@mx.compile
def floats(pixels: mx.array) -> mx.array:
    """Scale decoded integers to [0, 1]; floats are there already."""
    tops = {mx.uint8: 255, mx.uint16: 65535}
    return pixels.astype(mx.float32) / tops[pixels.dtype] if pixels.dtype in tops else pixels


TO_TYPE = {
    "uint8": mx.compile(lambda film: mx.round(film * 255).astype(mx.uint8)),
    "uint16": mx.compile(lambda film: mx.round(film * 65535).astype(mx.uint16)),
    "float32": lambda film: film,
}


def opened(path: str | Path) -> tuple[np.ndarray, RGBSpace]:
    """Read a file's pixels and the space that its colour profile stands for."""
    picture = images.read(path)
    with blaming(Path(path)):
        pixels, space, _ = managed(picture.pixels, picture.icc)
    return pixels, space


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """Begin an error about a photograph with its file's name."""
    try:
        yield
    except images.ImageFileError:
        raise
    except ValueError as error:
        raise images.ImageFileError(f"{path.name}: {error}") from error


def checked(photo: np.ndarray | mx.array) -> np.ndarray:
    """Take integers as they are and floats as float32, refusing what is no photograph."""
    if isinstance(photo, mx.array) and mx.issubdtype(photo.dtype, mx.floating):
        photo = photo.astype(mx.float32)  # NumPy has no bfloat16
    pixels = np.asarray(photo)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"develop expects a photo (H, W, 3), got shape {pixels.shape}")
    check_values("develop", pixels)
    return pixels if pixels.dtype in (np.uint8, np.uint16) else np.clip(pixels, 0, 1).astype(np.float32)
