"""Image files to arrays and back, whole or by bands of rows, with their metadata; overlapping tiles."""

from .bands import LARGE, Rows, open_rows
from .files import (
    MAX_PIXELS,
    SUFFIXES,
    Picture,
    check_target,
    find,
    read,
    replacing,
    write,
    write_bands,
)
from .header import ImageFileError, size
from .metadata import subsampled
from .pixels import from_float, to_float
from .tiles import Tile, blend_tiles, map_rows, map_tiles, read_tile, split

__all__ = [
    "LARGE",
    "MAX_PIXELS",
    "SUFFIXES",
    "ImageFileError",
    "Picture",
    "Rows",
    "Tile",
    "blend_tiles",
    "check_target",
    "find",
    "from_float",
    "map_rows",
    "map_tiles",
    "open_rows",
    "read",
    "read_tile",
    "replacing",
    "size",
    "split",
    "subsampled",
    "to_float",
    "write",
    "write_bands",
]
