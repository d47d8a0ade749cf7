"""Files through OpenImageIO (extra ``deep``): 16-bit colour, which Pillow would silently reduce, and rows by rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

_LIMIT = Lock()  # OpenImageIO's limit is the whole process's


class DeepFile:
    """The first picture of a JPEG, PNG or TIFF file, decoded by rows at its own bit depth.

    Attributes:
        height: of the picture as it is stored.
        dtype: uint8 or uint16.
        block: how many rows the file stores together; ranges of rows that end at multiples of it are read fastest.
    """

    def __init__(self, source: Any) -> None:
        self._source, self._spec = source, source.spec()
        self.height: int = self._spec.height
        self.dtype = np.dtype(np.uint8 if str(self._spec.format) == "uint8" else np.uint16)
        self.block: int = self._spec.tile_height or 1

    def read(self, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray | None, bool]:
        """Decode a range of rows.

        Returns:
            Colour channels, the alpha channel if there is one, and whether colour is already multiplied by it.

        Shape: (bottom - top, W, 1 or 3), (bottom - top, W, 1)
        Range: uint8 [0, 255] or uint16 [0, 65535]

        Raises:
            ValueError: where OpenImageIO cannot decode them.
        """
        spec, channels, form = self._spec, self._spec.nchannels, self.dtype.name
        if spec.tile_width:
            first = top // self.block * self.block
            last = min(-(-bottom // self.block) * self.block, self.height)
            pixels = self._source.read_tiles(0, spec.width, first, last, 0, 1, 0, channels, form)
        else:
            first = top
            pixels = self._source.read_scanlines(top, bottom, 0, 0, channels, form)
        problem = self._source.geterror()
        if pixels is None or problem:
            raise ValueError(problem or "OpenImageIO cannot decode it")
        pixels = pixels[top - first : bottom - first]
        colour = pixels[..., : 3 if channels > 2 else 1]
        if spec.alpha_channel < 0:
            return colour, None, False
        alpha = pixels[..., spec.alpha_channel : spec.alpha_channel + 1]
        return colour, alpha, not spec.get_int_attribute("oiio:UnassociatedAlpha")


@contextmanager
def opened(path: Path) -> Iterator[DeepFile]:
    """Open a JPEG, PNG or TIFF file.

    Raises:
        ValueError: where OpenImageIO is missing or cannot open the file.
    """
    try:
        import OpenImageIO as oiio
    except ImportError as error:
        raise ValueError("16-bit colour and huge pictures need OpenImageIO: pip install 'd2f_mlx[deep]'") from error
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # do not multiply colour by alpha
    most = "limits:imagesize_MB"
    with _LIMIT:
        limit = oiio.get_int_attribute(most)
        oiio.attribute(most, 0)  # it is the machine's memory, which rows by rows do not need
        try:
            source = oiio.ImageInput.open(str(path), as_stored)
        finally:
            oiio.attribute(most, limit)
    if source is None:
        raise ValueError(oiio.geterror() or "OpenImageIO cannot open it")
    try:
        yield DeepFile(source)
    finally:
        source.close()


def read_deep(path: Path) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Decode a whole picture; returns and raises as `DeepFile.read` does."""
    with opened(path) as source:
        return source.read(0, source.height)
