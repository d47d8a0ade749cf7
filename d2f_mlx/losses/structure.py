"""Structural similarity, at one scale and at five."""

from __future__ import annotations

import mlx.core as mx

from ..grain.filters import gaussian_taps, smooth
from .pixel import alike, average

_TAPS = gaussian_taps(1.5)  # 11 of them
_RADIUS = len(_TAPS) // 2
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST = 1e-6  # a power of zero has no gradient, one of a negative number no value


def ssim(prediction: mx.array, target: mx.array, data_range: float = 1.0) -> mx.array:
    """Return the mean structural similarity: 1 for equal pictures, about 0 for unrelated ones.

    (2 mp mt + C1) (2 cov + C2) / ((mp^2 + mt^2 + C1) (vp + vt + C2)), with means, variances and covariance in a
    Gaussian window of 11 x 11 pixels and sigma 1.5, where it fits into the picture; C1 = (0.01 R)^2, C2 = (0.03 R)^2.
    More is better: the loss is 1 - SSIM.

    Args:
        prediction: Pictures.
        target: What they should be.
        data_range: R, the largest value less the smallest.

    Shape: (B, H, W, C), (B, H, W, C) -> ()
    Raises: ValueError if a side is below 11 pixels.
    Reference: Wang et al. 2004, 'Image quality assessment', equation 13. doi:10.1109/TIP.2003.819861
    """
    prediction, target = _checked("ssim", prediction, target, 2 * _RADIUS + 1)
    luminance, structure = _comparisons(prediction, target, data_range)
    return average(luminance * structure)


def ms_ssim(prediction: mx.array, target: mx.array, data_range: float = 1.0) -> mx.array:
    """Return the structural similarity over five scales, each half the size of the one before.

    The product over the scales of mean contrast and structure, that of the last with luminance, to the powers 0.0448,
    0.2856, 0.3001, 0.2363 and 0.1333; of each channel of each picture, then averaged. A mean that is negative, of
    pictures of opposite structure, counts as 1e-6, so that other scales keep their gradients. Pictures are halved by
    averages of 2 x 2 pixels; an odd row or column is left out. More is better: the loss is 1 - MS-SSIM.

    Args:
        prediction: Pictures.
        target: What they should be.
        data_range: The largest value less the smallest.

    Shape: (B, H, W, C), (B, H, W, C) -> ()
    Raises: ValueError if a side is below 176 pixels, 11 at the last scale.
    Reference: Wang, Simoncelli and Bovik 2003, 'Multiscale structural similarity', equation 7 and section 3.2.
        doi:10.1109/ACSSC.2003.1292216
    """
    least = (2 * _RADIUS + 1) * 2 ** (len(_WEIGHTS) - 1)
    prediction, target = _checked("ms_ssim", prediction, target, least)
    product = mx.array(1.0)
    for scale, weight in enumerate(_WEIGHTS, 1):
        if scale > 1:
            prediction, target = _halved(prediction), _halved(target)
        luminance, structure = _comparisons(prediction, target, data_range)
        if scale == len(_WEIGHTS):
            structure = luminance * structure
        product = product * mx.maximum(structure.mean(axis=1).mean(axis=1), _LEAST) ** weight  # (B, C)
    return product.mean()


def _checked(name: str, prediction: mx.array, target: mx.array, least: int) -> tuple[mx.array, mx.array]:
    if prediction.ndim != 4 or min(prediction.shape[1:3]) < least:
        raise ValueError(
            f"{name} expects pictures (B, H, W, C) of {least} x {least} pixels or more, got {prediction.shape}"
        )
    return alike(prediction, target)


def _comparisons(prediction: mx.array, target: mx.array, data_range: float) -> tuple[mx.array, mx.array]:
    """Compare luminance, and contrast with structure, where the window fits.

    Shape: (B, H, W, C), (B, H, W, C) -> twice (B, H - 10, W - 10, C)
    """
    moments = [prediction, target, prediction * target, prediction * prediction + target * target]
    means = smooth(mx.concatenate(moments), _TAPS)[:, _RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    p, t, product, squares = mx.split(means, len(moments))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    crossed, squared = 2 * p * t, p * p + t * t
    return (crossed + c1) / (squared + c1), (2 * product - crossed + c2) / (squares - squared + c2)


def _halved(picture: mx.array) -> mx.array:
    batch, height, width, channels = picture.shape
    even = picture[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
