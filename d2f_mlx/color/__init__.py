"""Colour: RGB spaces, L*a*b*, gamut compression, 3-D tables, ICC profiles."""

from .cube import read_cube, write_cube
from .gamut import compress
from .icc import profile_of
from .lab import delta_e_2000, from_lab, to_lab
from .lut import Lut3D
from .profiles import managed
from .spaces import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SPACES, SRGB, RGBSpace, adaptation, between, convert

__all__ = [
    "ADOBE_RGB",
    "DISPLAY_P3",
    "PROPHOTO",
    "SPACES",
    "SRGB",
    "Lut3D",
    "RGBSpace",
    "adaptation",
    "between",
    "compress",
    "convert",
    "delta_e_2000",
    "from_lab",
    "managed",
    "profile_of",
    "read_cube",
    "to_lab",
    "write_cube",
]
