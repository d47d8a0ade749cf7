"""Halides and their statistics: what grain is in a scan, and how to put it into a photograph."""

from .filters import flat_areas, guided_base
from .halide import density, extrema, halide_image, halide_mask, peaks, valleys
from .interpolate import normalised_convolution
from .patches import FlatBlocks, flat_blocks
from .scatter import Halides, scatter
from .statistics import HalideStatistics

__all__ = [
    "FlatBlocks",
    "HalideStatistics",
    "Halides",
    "density",
    "extrema",
    "flat_areas",
    "flat_blocks",
    "guided_base",
    "halide_image",
    "halide_mask",
    "normalised_convolution",
    "peaks",
    "scatter",
    "valleys",
]
