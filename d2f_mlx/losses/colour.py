"""Losses of colour: pixel by pixel as people see it, and between whole pictures whose pixels do not correspond."""

from __future__ import annotations

import mlx.core as mx

from ..color import SRGB, RGBSpace, to_lab
from ..color.spaces import transform
from .pixel import TINY, alike, average


def delta_e_76(prediction: mx.array, target: mx.array, space: RGBSpace = SRGB) -> mx.array:
    """Return the mean colour difference CIE76, the distance in L*a*b*; about 2.3 is just noticeable.

    Exactly black values of the prediction get no gradient.

    Args:
        prediction: Pictures.
        target: What they should be.
        space: Of both.

    Shape: (..., 3), (..., 3) -> ()
    Range: [0, 1], display-encoded -> Delta E, from 0 to some 200
    Reference: CIE 15:2018, section 8.2.1
    """
    first, second = (
        to_lab(transform(space.to_xyz, space.decode(picture)), space.white_xyz) for picture in alike(prediction, target)
    )
    return average(mx.sqrt(mx.square(first - second).sum(axis=-1) + TINY))


def histogram_distance(prediction: mx.array, target: mx.array, bins: int = 32) -> mx.array:
    """Return how far apart the histograms of each channel are: the area between their cumulative curves.

    Mean over channels and pictures of sum_k |P_k - T_k| / bins, where P_k, at the edge k / bins, is the soft share of
    pixels below: one counts in full from half a bin below the edge and not at all from half a bin above it, linearly
    between. That is the Wasserstein distance of histograms whose pixels are shared between the two nearest bins; it
    tells, unlike a difference bin by bin, how far a colour has to go. Positions in the picture do not matter, and sizes
    may differ. Every value is compared with every edge: memory is ``bins`` + 1 times that of the pictures.

    Shape: (B, H, W, C), (B, H', W', C) -> ()
    Range: [0, 1] -> [0, 1]; values beyond by more than half a bin count as if they lay there
    Raises: ValueError if pictures or channels are not equally many, or ``bins`` is below 1.
    """
    if bins < 1:
        raise ValueError(f"histogram_distance expects bins >= 1, got {bins}")
    if (prediction.shape[0], prediction.shape[-1]) != (target.shape[0], target.shape[-1]):
        raise ValueError(
            f"histogram_distance expects equally many pictures and channels, got {prediction.shape} and {target.shape}"
        )
    difference = _cumulative(prediction, bins) - _cumulative(target, bins)
    return mx.abs(difference).sum(axis=-1).mean() / bins


def sliced_wasserstein(prediction: mx.array, target: mx.array, key: mx.array, directions: int = 32) -> mx.array:
    """Return how far one picture's colours have to go to become another's, seen along random directions.

    Mean over directions and pictures of the one-dimensional Wasserstein distance, that of the sorted projections:
    mean_i |sort(p d)_i - sort(t d)_i|, d on the unit sphere. Positions in the picture do not matter. It takes the time
    of two sorts per direction: of large pictures, a part of the pixels will do.

    Args:
        prediction: Pictures.
        target: Pictures of as many pixels.
        key: Of the directions; take a new one at each step.
        directions: How many.

    Shape: (B, H, W, C), (B, H', W', C) with H W = H' W' -> ()
    Raises: ValueError if shapes do not fit, or ``directions`` is below 1.
    Reference: Bonneel et al. 2015, 'Sliced and Radon Wasserstein barycenters of measures'.
        doi:10.1007/s10851-014-0506-3
    """
    if directions < 1:
        raise ValueError(f"sliced_wasserstein expects directions >= 1, got {directions}")
    batch, height, width, channels = prediction.shape
    sphere = mx.random.normal((directions, channels), key=key)
    sphere = sphere / mx.linalg.norm(sphere, axis=1, keepdims=True)
    first, second = (
        mx.sort(sphere @ colours.swapaxes(1, 2)) for colours in alike(_colours(prediction), _colours(target))
    )
    return average(mx.abs(first - second).reshape(batch, directions, height, width))


def _cumulative(pictures: mx.array, bins: int) -> mx.array:
    """Return the soft share of pixels below each edge.

    Shape: (B, H, W, C) -> (B, C, bins + 1)
    """
    scaled = pictures.astype(mx.float32)[..., None] * bins
    return mx.clip(mx.arange(bins + 1) + 0.5 - scaled, 0, 1).mean(axis=1).mean(axis=1)


def _colours(pictures: mx.array) -> mx.array:
    return pictures.reshape(pictures.shape[0], -1, pictures.shape[-1])
