"""Halides and their statistics: what grain is in a scan, and how to put it into a photograph."""

from .boolean import boolean_monte_carlo, boolean_view
from .boolean_statistics import boolean_covariance, boolean_intensity, boolean_spectrum, boolean_variance
from .filters import flat_areas, guided_base
from .gaussian import GrainField, design_field, unit_grain
from .granularity import rms_granularity, selwyn
from .halide import density, extrema, halide_image, halide_mask, peaks, valleys
from .interpolate import normalised_convolution
from .measure import GrainMeasurement
from .naturalness import jensen_shannon, kullback_leibler
from .patches import STRICT, Blocks, FlatBlocks, flat_blocks
from .scatter import Halides, scatter
from .spectrum import noise_power_spectrum
from .statistics import HalideStatistics

__all__ = [
    "STRICT",
    "Blocks",
    "FlatBlocks",
    "GrainField",
    "GrainMeasurement",
    "HalideStatistics",
    "Halides",
    "boolean_covariance",
    "boolean_intensity",
    "boolean_monte_carlo",
    "boolean_spectrum",
    "boolean_variance",
    "boolean_view",
    "density",
    "design_field",
    "extrema",
    "flat_areas",
    "flat_blocks",
    "guided_base",
    "halide_image",
    "halide_mask",
    "jensen_shannon",
    "kullback_leibler",
    "noise_power_spectrum",
    "normalised_convolution",
    "peaks",
    "rms_granularity",
    "scatter",
    "selwyn",
    "unit_grain",
    "valleys",
]
