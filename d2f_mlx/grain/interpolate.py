"""The classical way to fill the gaps between halides: the networks' prior, and the rival they have to beat."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from .filters import smooth

RADIUS = 8
"""How far, in pixels, a halide reaches."""
_DECAY = 1.3


def normalised_convolution(values: mx.array, mask: mx.array) -> mx.array:
    """Spread the values at the halides over the picture and pin them where they are known.

    out = (a * (values mask)) / (a * mask), with the applicability a(x, y) = exp(-(|x| + |y|) / 1.3) cut off at 8
    pixels: steep, so that close halides count most, with a tail that reaches over wide gaps. Where no halide is within
    reach the result is zero. Gaussians and other decays had larger errors on film scans.

    Shape: values and mask (B, H, W, C) -> the same
    Reference: Knutsson and Westin 1993, 'Normalized and differential convolution', section 3.
        doi:10.1109/CVPR.1993.341081
    """
    taps = np.exp(-np.abs(np.arange(-RADIUS, RADIUS + 1)) / _DECAY)
    known = mask.astype(values.dtype)
    weight = smooth(known, taps)
    spread = smooth(values * known, taps) / mx.maximum(weight, 1e-20)
    return mx.where(mask, values, spread)
