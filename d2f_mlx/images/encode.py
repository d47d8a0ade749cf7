"""Encoders for PNG and TIFF that take a picture by bands of rows: 8 and 16 bits, any size, with its whole EXIF."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from .metadata import parse_exif, raw
from .pixels import with_bits

_STRIP_BYTES = 1 << 20
_LEVEL = 5  # of zlib's 9: grain hardly shrinks further, and takes much longer
_BACKLOG = 32  # strips that wait for being compressed while the next rows are made
_CLASSIC_BYTES = 2**32 - 2**26  # of pixels: that many are below TIFF's 4 GiB even where Deflate makes them more


def _rows(height: int, row_bytes: int) -> int:
    """Return how many rows a strip of about a mebibyte has."""
    return min(height, max(1, _STRIP_BYTES // row_bytes))


def _strips(bands: Iterable[np.ndarray], rows: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Cut bands of any heights anew into strips of so many rows, copies in a type of so many bits."""
    strip, filled = np.empty(0), 0
    for band in bands:
        start = 0
        while start < len(band):
            if filled == 0:
                strip = np.empty((rows, *band.shape[1:]), band.dtype)
            taken = band[start : start + rows - filled]
            strip[filled : filled + len(taken)] = taken
            start, filled = start + len(taken), filled + len(taken)
            if filled == rows:
                yield with_bits(strip, 8 * dtype.itemsize)
                filled = 0
    if filled:
        yield with_bits(strip[:filled], 8 * dtype.itemsize)


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def save_png(
    file: BinaryIO,
    bands: Iterable[np.ndarray],
    size: tuple[int, int],
    dtype: np.dtype,
    exif: bytes | None,
    icc: bytes | None,
) -> None:
    """Write an RGB PNG, each byte as its difference from the mean of those to the left and above (filter "Average").

    On grain that filter alone beats the choice of one for each row that encoders commonly make.

    Args:
        file: Where to.
        bands: The picture from its top down, (h, W, 3) each; h is free, and 8 or 16 bits. Each is done with before the
            next is asked for.
        size: Height and width of the picture.
        dtype: uint8 or uint16, the file's.
        exif: As in `Picture`.
        icc: As in `Picture`.

    Reference: W3C, Portable Network Graphics (PNG) Specification, third edition, 2025
    """
    height, width = size
    pixel = 3 * dtype.itemsize
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", sides + bytes([8 * dtype.itemsize, 2, 0, 0, 0])))
    if icc is not None:
        file.write(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif is not None:
        file.write(_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    packer = zlib.compressobj(_LEVEL, strategy=zlib.Z_FILTERED)
    above = np.zeros((1, pixel * width), np.uint8)
    for strip in _strips(bands, _rows(height, pixel * width), dtype):
        stored = strip.astype(dtype.newbyteorder(">")).view(np.uint8).reshape(len(strip), -1)
        above = np.concatenate([above[-1:], stored])
        lines = np.full((len(strip), 1 + pixel * width), 3, np.uint8)  # each begins with its filter's number
        lines[:, 1 : 1 + pixel] = stored[:, :pixel] - (above[:-1, :pixel] >> 1)
        left, up = stored[:, :-pixel], above[:-1, pixel:]
        lines[:, 1 + pixel :] = stored[:, pixel:] - ((left & up) + ((left ^ up) >> 1))  # the mean without a carry
        if packed := packer.compress(lines.data):
            file.write(_chunk(b"IDAT", packed))
    file.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def save_tiff(
    file: BinaryIO,
    bands: Iterable[np.ndarray],
    size: tuple[int, int],
    dtype: np.dtype,
    exif: bytes | None,
    icc: bytes | None,
    *,
    big: bool | None = None,
) -> None:
    """Write an RGB TIFF with Deflate and horizontal differences (compression 8, predictor 2).

    The directory lies before the strips, at a size that their number gives, and is written over once their places are
    known.

    Args:
        file: Where to; it must be able to seek.
        bands: As for `save_png`.
        size: As for `save_png`.
        dtype: As for `save_png`.
        exif: As for `save_png`.
        icc: As for `save_png`.
        big: Write BigTIFF; where None, if the pixels may not fit into TIFF's 4 GiB.

    Reference: Adobe, TIFF Revision 6.0, 1992; TIFF Technical Note on Deflate, 2002; BigTIFF, libtiff, 2007
    """
    height, width = size
    row_bytes = 3 * width * dtype.itemsize
    if big is None:
        big = height * row_bytes > _CLASSIC_BYTES
    rows = _rows(height, row_bytes)
    tags = ImageFileDirectory_v2(b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II\x2a\0" + bytes(4))
    for tag, value in {} if exif is None else _tags(parse_exif(exif)).items():
        tags[tag] = value
    tags[256], tags[257], tags[277] = width, height, 3
    tags[258], tags[339] = (8 * dtype.itemsize,) * 3, (1, 1, 1)
    tags[259], tags[317], tags[262], tags[284] = 8, 2, 2, 1
    tags[278] = rows
    tags.tagtype[273] = tags.tagtype[279] = TiffTags.LONG8 if big else TiffTags.LONG
    tags[273] = tags[279] = (0,) * -(-height // rows)
    if icc is not None:
        tags.tagtype[34675] = TiffTags.UNDEFINED
        tags[34675] = icc
    tags.save(file)
    sizes = []
    for strip in _deflated(_strips(bands, rows, dtype)):
        file.write(strip)
        sizes.append(len(strip))
    tags[273] = tuple(accumulate(sizes[:-1], initial=0))  # counted from the directory's end
    tags[279] = tuple(sizes)
    file.seek(0)
    tags.save(file)


def _deflated(strips: Iterable[np.ndarray]) -> Iterator[bytes]:
    """Compress strips of a TIFF on all cores, in order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = deque()
        for strip in strips:
            waiting.append(pool.submit(_deflate, strip))
            if len(waiting) > _BACKLOG:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _deflate(strip: np.ndarray) -> bytes:
    stored = strip.astype(strip.dtype.newbyteorder("<"))
    stored[:, 1:] -= strip[:, :-1]
    return zlib.compress(stored.data, _LEVEL)


def _tags(exif: Image.Exif) -> dict[int, object]:
    """List EXIF's main tags, its inner directories as dictionaries."""
    return {
        tag: {name: raw(value) for name, value in exif.get_ifd(tag).items()}
        if tag in TiffTags.TAGS_V2_GROUPS
        else raw(exif[tag])
        for tag in exif
    }
