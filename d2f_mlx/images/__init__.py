"""Image files to arrays and back, with their metadata; overlapping tiles."""

from .files import (
    MAX_PIXELS,
    SUFFIXES,
    Picture,
    find,
    read,
    replacing,
    write,
)
from .header import ImageFileError, size
from .metadata import subsampled
from .pixels import from_float, to_float
from .tiles import Tile, blend_tiles, map_tiles, read_tile, split

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "ImageFileError",
    "Picture",
    "Tile",
    "blend_tiles",
    "find",
    "from_float",
    "map_tiles",
    "read",
    "read_tile",
    "replacing",
    "size",
    "split",
    "subsampled",
    "to_float",
    "write",
]
