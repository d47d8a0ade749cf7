"""Crops as they might have been: turned, in other colours, altered on their way; and film without its grain."""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx
import numpy as np

from ..data.alterations import ALTERATIONS, Alteration, denoise
from .config import DiscriminatorConfig
from .examples import film_base

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SHIFT = 0.25  # of the range of levels, for gains of e


def augmented(
    crops: np.ndarray,
    config: DiscriminatorConfig,
    rng: np.random.Generator,
    alterations: Mapping[str, Alteration] = ALTERATIONS,
) -> np.ndarray:
    """Alter some crops, turn some, and change the colours of all: the same generator gives the same crops.

    Each crop is altered in one way at most. Turns together with the stream's mirrored crops are all a square's
    symmetries.

    Shape: (B, H, H, 3) -> the same, uint8
    """
    crops = crops.copy()
    altered = rng.random(len(crops)) < config.alter
    kinds = rng.integers(0, max(len(alterations), 1), len(crops))
    for kind, alter in enumerate(alterations.values()):
        chosen = altered & (kinds == kind)
        if chosen.any():
            crops[chosen] = alter(crops[chosen], rng)
    turns = rng.integers(1, 4, len(crops)) * (rng.random(len(crops)) < config.turn)
    for quarter in (1, 2, 3):
        crops[turns == quarter] = np.rot90(crops[turns == quarter], quarter, axes=(1, 2))
    return _recoloured(crops, config, rng)


def bared(film: np.ndarray, digital: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Put film without its grain in the place of some digital crops: then no scene, and no colour, tells the two apart.

    Half of them are denoised by the guided filter, half by thresholding cosines as if grain had 4 to 12 levels.

    Shape: both (B, H, W, 3), uint8 -> the same
    """
    chosen = rng.random(len(film)) < share
    guided = rng.random(len(film)) < 0.5
    sigma = rng.uniform(4, 12, len(film)).astype(np.float32)
    digital = digital.copy()
    if (first := chosen & guided).any():
        base = film_base(mx.array(film[first].astype(np.float32) / 255))
        digital[first] = np.array(mx.clip(mx.round(base * 255), 0, 255).astype(mx.uint8))
    if (second := chosen & ~guided).any():
        digital[second] = denoise(film[second], sigma[second])
    return digital


def _recoloured(crops: np.ndarray, config: DiscriminatorConfig, rng: np.random.Generator) -> np.ndarray:
    """Give each channel another gain and level, mix it with grey, and leave some crops nothing but grey."""
    count = len(crops)
    gain = np.exp(config.colour * rng.standard_normal((count, 1, 1, 3), np.float32))
    shift = 255 * _SHIFT * config.colour * rng.standard_normal((count, 1, 1, 3), np.float32)
    saturation = np.exp(config.colour * rng.standard_normal((count, 1, 1, 1), np.float32))
    saturation[rng.random(count) < config.grey] = 0
    if not config.colour and saturation.all():
        return crops
    level = crops.mean((1, 2), keepdims=True, dtype=np.float32)
    colours = (crops - level) * gain + level + shift
    grey = (colours @ _LUMA)[..., None]
    return np.clip(np.rint(grey + saturation * (colours - grey)), 0, 255).astype(np.uint8)
