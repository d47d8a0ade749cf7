"""Optical density and displayed light: where grain is added, and how much of it there is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from ..backend import looked_up

SHADES, DENSITIES = 1024, 4096
"""How many display values and densities the tables of a `Tone` hold."""
_OFFSET, _EXPONENT = 0.055, 2.4


def scan_density(display: np.ndarray) -> np.ndarray:
    """Give the density of a positive that shows as a display value: D = -2.4 log10((V + 0.055) / 1.055).

    That is -log10 of the light by sRGB's power segment, carried on below its linear toe, so that black has a density,
    3.08, and both ways are smooth.

    Range: sRGB-encoded [0, 1] -> [0, 3.08]
    Reference: IEC 61966-2-1:1999 (sRGB)
    """
    return -_EXPONENT * np.log10((np.asarray(display) + _OFFSET) / (1 + _OFFSET))


def scan_display(density: np.ndarray) -> np.ndarray:
    """Give the display value of a positive's density: the inverse of `scan_density`."""
    return (1 + _OFFSET) * 10 ** (-np.asarray(density) / _EXPONENT) - _OFFSET


def density_sigma(display: np.ndarray, sigma_display: np.ndarray) -> np.ndarray:
    """Give the deviation in a positive's density that shows as a small one on display."""
    return np.asarray(sigma_display) / (np.asarray(display) + _OFFSET) * (_EXPONENT / math.log(10))


class Tone(NamedTuple):
    """How a picture's display values and a film's density go together, and how much grain each density has.

    Densities are counted in steps of the ``display`` table, from its beginning.

    Shape: all float32; ``density`` and ``sigma`` (SHADES, C) for display values from 0 to 1, ``display`` (DENSITIES,)
    """

    density: mx.array
    sigma: mx.array
    shown: mx.array  # display values that the densities stand for, as the table below gives them
    display: mx.array


def tabulate(
    density: Callable[[np.ndarray], np.ndarray],
    display: Callable[[np.ndarray], np.ndarray],
    sigma: Callable[[np.ndarray], np.ndarray],
) -> Tone:
    """Tabulate a film's tone for `add_grain`.

    Args:
        density: The film's density behind a display value, strictly monotone. Shape (N,) -> (N,)
        display: Its inverse, on display values a little beyond [0, 1] too.
        sigma: Grain's deviation by density. Shape (N,) -> (N, C)
    """
    shades = density(np.linspace(0, 1, SHADES))
    deviations = sigma(shades)
    margin = 5 * deviations.max() + 0.1
    grid = np.linspace(shades.min() - margin, shades.max() + margin, DENSITIES)
    table, step = display(grid), grid[1] - grid[0]
    density_steps = np.repeat((shades[:, None] - grid[0]) / step, deviations.shape[1], 1)
    shown = np.interp(density_steps, np.arange(DENSITIES), table)
    return Tone(*(mx.array(a, mx.float32) for a in (density_steps, deviations / step, shown, table)))


def add_grain(photo: mx.array, unit: mx.array, tone: Tone, strength: mx.array | float = 1.0) -> mx.array:
    """Add grain to a picture in the film's density: V' = V + V(D(V) + sigma n) - V(D(V)).

    Args:
        photo: Display-encoded. Shape (H, W, C), float32 in [0, 1]
        unit: Grain of mean 0 and variance 1. Shape (H, W, C)
        tone: From `tabulate`.
        strength: Factor on sigma.

    Shape: -> (H, W, C), in [0, 1]
    """
    tone = Tone(*tone)
    shade = mx.clip(photo * (SHADES - 1) + 0.5, 0, SHADES - 1).astype(mx.int32)
    density, sigma, shown = (looked_up(table, shade) for table in (tone.density, tone.sigma, tone.shown))
    place = mx.clip(density + strength * sigma * unit, 0, DENSITIES - 1.001)
    below = place.astype(mx.int32)
    share = place - below
    grained = looked_up(tone.display, below) * (1 - share) + looked_up(tone.display, below + 1) * share
    return mx.clip(photo + (grained - shown), 0, 1)
