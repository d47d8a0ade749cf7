"""What a reconstructor is shown: halides, mask and base, made from a crop of film inside the compiled step."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx

from ..grain import guided_base, halide_mask
from ..models import ReconstructorConfig


class Examples(NamedTuple):
    """A batch for a reconstructor.

    Shape: all (B, H, W, 3)
    Range: halides, base and target in [-1, 1] or differences of such; mask is bool
    """

    halides: mx.array
    mask: mx.array
    base: mx.array
    target: mx.array


def examples(crops: mx.array, config: ReconstructorConfig) -> Examples:
    """Take the halides of film crops, and in the residual way their denoised base.

    Shape: (B, H, W, 3), uint8
    """
    film = crops.astype(mx.float32) / 255
    mask = halide_mask(crops, config.halides)
    base = 2 * guided_base(film) - 1
    target = 2 * film - 1
    if config.way == "residual":
        target = target - base
    return Examples(mx.where(mask, target, 0), mask, base, target)
