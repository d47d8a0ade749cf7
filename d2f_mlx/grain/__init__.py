"""Halides and their statistics: what grain is in a scan, and how to put it into a photograph."""

from .halide import density, extrema, halide_image, halide_mask, peaks, valleys

__all__ = ["density", "extrema", "halide_image", "halide_mask", "peaks", "valleys"]
