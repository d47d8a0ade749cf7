"""Encoders for what Pillow cannot write: 16-bit colour PNG, and compressed TIFF with its whole EXIF."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .metadata import parse_exif, raw

_BAND_BYTES = 1 << 20
_LEVEL = 5  # of zlib's 9: 16-bit grain hardly shrinks further, and takes much longer


def _bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Cut a picture into bands of rows of about a mebibyte."""
    rows = max(1, _BAND_BYTES // pixels[0].nbytes)
    for top in range(0, len(pixels), rows):
        yield pixels[top : top + rows]


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def save_png(file: BinaryIO, pixels: np.ndarray, exif: bytes | None, icc: bytes | None) -> None:
    """Write a 16-bit RGB PNG, each row stored as differences from the pixel to the left (filter "Sub").

    Shape: pixels (H, W, 3) uint16
    Reference: W3C, Portable Network Graphics (PNG) Specification, third edition, 2025
    """
    height, width = pixels.shape[:2]
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size + bytes([16, 2, 0, 0, 0])))
    if icc is not None:
        file.write(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif is not None:
        file.write(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packer = zlib.compressobj(_LEVEL)
    for band in _bands(pixels):
        stored = band.astype(">u2").view(np.uint8).reshape(len(band), -1)
        lines = np.ones((len(band), 1 + stored.shape[1]), np.uint8)  # each begins with its filter's number
        lines[:, 1:7] = stored[:, :6]
        np.subtract(stored[:, 6:], stored[:, :-6], out=lines[:, 7:])
        if packed := packer.compress(lines.tobytes()):
            file.write(_chunk(b"IDAT", packed))
    file.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def save_tiff(file: BinaryIO, pixels: np.ndarray, exif: bytes | None, icc: bytes | None) -> None:
    """Write an RGB TIFF with Deflate and horizontal differences (compression 8, predictor 2).

    Shape: pixels (H, W, 3) uint8 or uint16
    Reference: Adobe, TIFF Revision 6.0, 1992, and TIFF Technical Note on Deflate, 2002

    Raises:
        ValueError: where the compressed picture is larger than TIFF's 4 GiB.
    """
    strips = []
    for band in _bands(pixels):
        stored = band.astype(band.dtype.newbyteorder("<"))
        stored[:, 1:] -= band[:, :-1]
        strips.append(zlib.compress(stored.tobytes(), _LEVEL))
    sizes = [len(strip) for strip in strips]
    if sum(sizes) > 2**32 - 2**24:
        raise ValueError("a TIFF holds 4 GiB at most and this picture needs more; write a PNG")
    tags = ImageFileDirectory_v2(b"II\x2a\0\x08\0\0\0")
    for tag, value in {} if exif is None else _tags(parse_exif(exif)).items():
        tags[tag] = value
    tags[256], tags[257], tags[277] = pixels.shape[1], pixels.shape[0], 3
    tags[258], tags[339] = (8 * pixels.itemsize,) * 3, (1, 1, 1)
    tags[259], tags[317], tags[262], tags[284] = 8, 2, 2, 1
    tags[278] = len(next(_bands(pixels)))
    tags.tagtype[273] = tags.tagtype[279] = TiffTags.LONG
    tags[273] = tuple(accumulate(sizes[:-1], initial=0))  # counted from the directory's end
    tags[279] = tuple(sizes)
    if icc is not None:
        tags.tagtype[34675] = TiffTags.UNDEFINED
        tags[34675] = icc
    tags.save(file)
    file.writelines(strips)


def _tags(exif: Image.Exif) -> dict[int, object]:
    """List EXIF's main tags, its inner directories as dictionaries."""
    return {
        tag: {name: raw(value) for name, value in exif.get_ifd(tag).items()}
        if tag in TiffTags.TAGS_V2_GROUPS
        else raw(exif[tag])
        for tag in exif
    }
