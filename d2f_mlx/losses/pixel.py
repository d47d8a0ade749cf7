"""Losses of single pixels, and of a pixel against its neighbours."""

from __future__ import annotations

import math

import mlx.core as mx

TINY = 1e-12
"""Added under a square root, which has no gradient at zero."""
_LEAST_ERROR = 1e-10  # of the squared range: 100 dB


def alike(prediction: mx.array, target: mx.array) -> tuple[mx.array, mx.array]:
    """Return both in float32, which a mean of half-precision values needs.

    Raises: ValueError if their shapes differ: broadcasting would compare everything with everything.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"a loss expects arrays of one shape, got {prediction.shape} and {target.shape}")
    return prediction.astype(mx.float32), target.astype(mx.float32)


def sums(values: mx.array) -> mx.array:
    """Add up each picture, one axis after the other.

    MLX adds up on the CPU one value after the other: of a picture of 12 megapixels a plain mean is wrong by a quarter.

    Shape: (B, ...) -> (B,)
    """
    while values.ndim > 1:
        values = values.sum(axis=1)
    return values


def average(values: mx.array) -> mx.array:
    """Return the mean of all values, with the precision of `sums`.

    Shape: (B, ...) -> ()
    """
    return sums(values).sum() / values.size


def mse(prediction: mx.array, target: mx.array) -> mx.array:
    """Return the mean squared error, mean (p - t)^2.

    Shape: (...), (...) -> ()
    """
    prediction, target = alike(prediction, target)
    return average(mx.square(prediction - target))


def psnr(prediction: mx.array, target: mx.array, data_range: float = 1.0) -> mx.array:
    """Return the peak signal-to-noise ratio in decibels, 10 log10(R^2 / MSE) of each picture, averaged.

    More is better: as a loss, take it negated. At most 100 dB; there, at equal pictures, its gradient is zero.

    Args:
        prediction: Pictures.
        target: What they should be.
        data_range: R, the largest value less the smallest.

    Shape: (B, H, W, C), (B, H, W, C) -> ()
    """
    prediction, target = alike(prediction, target)
    error = sums(mx.square((prediction - target) / data_range)) * (len(prediction) / prediction.size)
    return -10 / math.log(10) * mx.log(mx.maximum(error, _LEAST_ERROR)).mean()


def charbonnier(prediction: mx.array, target: mx.array, epsilon: float = 1e-3) -> mx.array:
    """Return the mean of sqrt((p - t)^2 + epsilon^2), an absolute error that is smooth at zero, where it is epsilon.

    Shape: (...), (...) -> ()
    Raises: ValueError if ``epsilon`` is not above 0: at equal pixels there would be no gradient.
    Reference: Lai et al. 2017, 'Deep Laplacian pyramid networks'. arXiv:1704.03915
    """
    if not epsilon > 0:
        raise ValueError(f"charbonnier expects epsilon > 0, got {epsilon}")
    prediction, target = alike(prediction, target)
    return average(mx.sqrt(mx.square(prediction - target) + epsilon**2))


def total_variation(prediction: mx.array) -> mx.array:
    """Return the anisotropic total variation, (sum |p - the one below| + sum |p - the one to the right|) / (B H W C).

    The sums are TensorFlow's `image.total_variation` and piq's with the norm "l1"; the division makes it independent of
    the picture's size.

    Shape: (B, H, W, C) -> ()
    """
    prediction = prediction.astype(mx.float32)
    down = mx.abs(prediction[:, 1:] - prediction[:, :-1])
    across = mx.abs(prediction[:, :, 1:] - prediction[:, :, :-1])
    return (sums(down) + sums(across)).sum() / prediction.size
