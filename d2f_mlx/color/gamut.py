"""Bring colours that an RGB space cannot show inside it, smoothly."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_BLACK = 1e-30
"""Light that counts as none, so that distances remain numbers."""


def compress(
    linear_rgb: np.ndarray, threshold: ArrayLike = 0.82, limit: ArrayLike = 1.25, power: float = 1.2
) -> np.ndarray:
    """Compress the distances of colours from grey, and leave alone those that are near it.

    With a the largest component, each component c lies at d = (a - c) / a: 0 on the grey axis, 1 on the gamut's
    boundary. Above the threshold t it becomes ``t + s n / (1 + n^p)^(1/p)``, n = (d - t) / s, where s is such that the
    limit comes to 1. The largest component stays, hue nearly so. Monotone, with a continuous slope; colours beyond the
    limit end a little outside and are the caller's to clip; where no component is above 0 the answer is black.

    The defaults are for film prints shown in sRGB: colours up to 82% of the way to the boundary stay as they are, and
    1.25 holds all of Display P3 (1.22, its green), whose gamut was drawn around print film's.

    Args:
        linear_rgb: Of the space that is to show them. Shape (..., 3)
        threshold: t, from 0 to below 1; one, or one for each component (cyan, magenta, yellow).
        limit: The distance that comes to 1, above 1; one or three.
        power: p, at least 1; the larger, the sharper the bend.

    Shape: (..., 3) -> (..., 3), float64
    Range: scene or display light, any sign -> components at least 0 for distances up to the limit

    Raises:
        ValueError: for parameters or a shape other than these.

    Reference: Academy S-2020-001, ACES Reference Gamut Compression, sections 4 and 5
    """
    rgb = np.asarray(linear_rgb, np.float64)
    t, top = np.asarray(threshold, np.float64), np.asarray(limit, np.float64)
    if rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ValueError(f"compress expects colours of shape (..., 3), got {rgb.shape}")
    if {t.shape, top.shape} - {(), (3,)} or not ((t >= 0).all() and (t < 1).all() and (top > 1).all() and power >= 1):
        raise ValueError(
            f"compress expects 0 <= threshold < 1 < limit and power >= 1, got {threshold}, {limit} and {power}"
        )
    largest = rgb.max(axis=-1, keepdims=True)
    distance = np.divide(largest - rgb, largest, out=np.zeros_like(rgb), where=largest > _BLACK)
    scale = (top - t) / (((1 - t) / (top - t)) ** -power - 1) ** (1 / power)
    beyond = np.maximum(distance - t, 0) / scale
    # n / (1 + n^p)^(1/p), in a form that no large n overflows
    least, most = np.minimum(beyond, 1), np.maximum(beyond, 1)
    share = least / ((least / most) ** power + 1) ** (1 / power)
    moved = largest * (1 - t - scale * share)
    return np.where(largest > _BLACK, np.where(distance > t, moved, rgb), 0)
