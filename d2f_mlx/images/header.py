"""What a picture file says before its pixels are decoded, and errors that begin with the file's name."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from . import metadata

# Opening the format's class itself, not Image.open, keeps Pillow's process-wide pixel limit out of the way.
_OPENERS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"RIFF": WebPImageFile,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
}


class ImageFileError(ValueError):
    """A picture file that cannot be read, written or found; one line that begins with the file's name."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file into one line that begins with its name."""
    try:
        yield
    except ImageFileError:  # of another file, whose name it begins with
        raise
    except Exception as error:  # Pillow raises a dozen kinds on damaged files; the cause stays attached
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        if isinstance(error, struct.error | EOFError | IndexError | KeyError):
            reason = "damaged or truncated"
        raise ImageFileError(f"{path.name or path}: {' '.join(reason.split())}") from error


@dataclass(frozen=True)
class Header:
    """What a file says before its pixels are decoded; height and width are the upright picture's."""

    image: ImageFile.ImageFile
    bits: int
    tags: Image.Exif
    exif: bytes | None
    height: int
    width: int


def _tiff_bits(file: BinaryIO) -> int:
    """Return a TIFF's bits per sample before Pillow decides to reduce them."""
    head = file.read(8)
    tags = ImageFileDirectory_v2(head + file.read(8) if 43 in head[2:4] else head)
    file.seek(tags.next)
    tags.load(file)
    bits = max(np.atleast_1d(tags.get(258, 1)))
    kinds = {1: "", 2: "signed ", 3: "floating-point "}
    kind = kinds.get(int(max(np.atleast_1d(tags.get(339, 1)))), "")
    if kind or (bits > 8 and bits != 16):
        raise ValueError(f"{bits}-bit {kind}samples; d2f_mlx reads 8 and 16-bit unsigned integers")
    if bits == 16 and tags.get(262) not in (0, 1, 2):
        raise ValueError("16-bit samples that are neither grey nor RGB; convert it to RGB first")
    return int(bits)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings in the main thread; elsewhere that would silence the whole process, so let them be."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_header(file: BinaryIO) -> Header:
    """Read everything but the pixels, with Pillow's warnings about harmless damage kept quiet."""
    start = file.read(32)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if not start:
        raise ValueError("the file is empty")
    if opener is None or (opener is WebPImageFile and start[8:12] != b"WEBP"):
        raise ValueError("not a JPEG, PNG, TIFF or WebP picture")
    file.seek(0)
    with _quiet():
        bits = _tiff_bits(file) if opener is TiffImageFile else 8
        if opener is PngImageFile and start[24:25] == b"\x10":
            bits = 16
        file.seek(0)
        image = opener(file)
        tags = metadata.read_exif(image, file)
        width, height = image.size
        if isinstance(image, TiffImageFile):  # Pillow turns a TIFF's size itself, in some versions
            width, height = image.tag_v2[256], image.tag_v2[257]
        if tags.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8):
            width, height = height, width
        return Header(image, bits, tags, metadata.carried_exif(tags, (height, width)), height, width)


def size(path: str | Path) -> tuple[int, int]:
    """Return the upright picture's (height, width) from the file's header, without decoding it.

    Raises:
        ImageFileError: where the file is missing or is not a picture.
    """
    path = Path(path)
    with naming(path), path.open("rb") as file:
        header = read_header(file)
        return header.height, header.width
