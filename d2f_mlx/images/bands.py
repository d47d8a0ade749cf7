"""Photographs of any size from files by bands of rows, for memory that does not hold them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from . import deep, metadata
from .files import MAX_PIXELS
from .header import Header, naming, read_header
from .pixels import over_white, upright

LARGE = 200_000_000
"""Pixels from which on a picture is better developed by bands."""
_MAX_PIXELS = 100 * MAX_PIXELS  # what says more is damaged
_MAX_STRIP = 1 << 28  # bytes of compressed rows that are held at once


class Rows:
    """An upright RGB picture whose rows are decoded as they are asked for; `open_rows` makes it.

    Attributes:
        height: of the upright picture.
        width: of the upright picture.
        dtype: uint8 or uint16.
        block: how many rows the file stores together; bands that end at multiples of it are read fastest.
        exif: as in `Picture`.
        icc: as in `Picture`.
    """

    def __init__(self, path: Path, header: Header, source: deep.DeepFile) -> None:
        self._path, self._source = path, source
        self._orientation = _orientation(header)
        self.height, self.width = header.height, header.width
        self.dtype, self.block = source.dtype, source.block
        self.exif, self.icc = header.exif, metadata.rgb_profile(header.image.info.get("icc_profile"))

    def read(self, top: int, bottom: int) -> np.ndarray:
        """Decode the rows from top to before bottom, as `read` does.

        Shape: (bottom - top, W, 3)

        Raises:
            ImageFileError: where they cannot be decoded.
        """
        if not 0 <= top < bottom <= self.height:
            raise ValueError(f"read expects rows within 0 to {self.height}, got {top} to {bottom}")
        if self._orientation in (3, 4):
            top, bottom = self.height - bottom, self.height - top
        with naming(self._path):
            pixels = upright(over_white(*self._source.read(top, bottom)), self._orientation)
        return np.broadcast_to(pixels, (*pixels.shape[:2], 3))  # grey has one channel


@contextmanager
def open_rows(path: str | Path, *, max_pixels: int = _MAX_PIXELS) -> Iterator[Rows]:
    """Open a JPEG, PNG or TIFF file to read it by bands of rows, downward; needs OpenImageIO (``d2f_mlx[deep]``).

    Pixels, EXIF and profile are those that `read` gives. What would need the whole picture in memory is refused:
    orientations that turn it by 90 degrees (any that mirror its rows, but in TIFF), interlaced PNG, progressive JPEG,
    WebP, TIFF whose rows are one large compressed strip, and colours other than grey and RGB.

    Args:
        path: the file.
        max_pixels: a picture whose header says more is refused.

    Raises:
        ImageFileError: where the file is missing, damaged, too large, not a picture, or cannot be read by bands.
    """
    path = Path(path)
    with ExitStack() as stack:
        with naming(path):
            with path.open("rb") as file:
                header = read_header(file)
                if header.height * header.width > max_pixels:
                    raise ValueError(f"{header.width} x {header.height} pixels; at most {max_pixels} are read")
                reason = _not_by_rows(header)
            if reason:
                raise ValueError(f"{reason} cannot be read by rows; save the picture as an upright RGB TIFF first")
            source = stack.enter_context(deep.opened(path))
        yield Rows(path, header, source)


def _orientation(header: Header) -> int:
    return header.tags.get(ExifTags.Base.Orientation, 1)


def _not_by_rows(header: Header) -> str | None:
    """Say what of a file stands against reading it by rows in little memory, if anything does."""
    image, orientation = header.image, _orientation(header)
    if isinstance(image, TiffImageFile):
        tags = image.tag_v2
        kind, packed, tiled = tags.get(262), tags.get(259, 1), 322 in tags
        jpeg = tiled and (kind, packed) == (6, 7)  # in strips it would be decoded as a whole
        if header.bits < 8 or not (kind in (1, 2) or jpeg):
            return "its kind of colour"
        if packed != 1 and max(np.atleast_1d(tags.get(325 if tiled else 279, 0))) > _MAX_STRIP:
            return "so large a compressed strip"
        return f"orientation {orientation}" if orientation in (5, 6, 7, 8) else None
    if isinstance(image, WebPImageFile):
        return "WebP"
    if image.info.get("progressive") or image.info.get("interlace"):
        return "a progressive JPEG" if isinstance(image, JpegImageFile) else "an interlaced PNG"
    if image.mode == "CMYK":
        return "CMYK"
    return f"orientation {orientation}" if orientation in range(3, 9) else None
