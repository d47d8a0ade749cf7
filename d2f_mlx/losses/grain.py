"""Losses on grain's statistics: what has to be like film where grain itself, a random thing, cannot be.

Each compares two residuals (picture less base) crop by crop, over the pixels that count; what does not count is zero on
both sides. All are zero for equal residuals and are in natural logarithms or correlations, so that none depends on how
strong the grain is.

Shape: residuals (B, H, W, C), weight (B, H, W, 1)
Range: any unit, the same on both sides, grain's deviation about ``unit``; weight in [0, 1]
"""

from __future__ import annotations

from functools import lru_cache

import mlx.core as mx
import numpy as np

_FEWEST = 0.1  # share of a crop that has to count for the crop to


def spectrum(prediction: mx.array, target: mx.array, weight: mx.array, unit: float = 0.04, rings: int = 12) -> mx.array:
    """Compare noise power spectra in rings of frequency.

    mean |ln (W_prediction + e) / (W_target + e)| over crops, channels and rings; e = 1e-3 unit^2. Rings are equally
    wide up to 0.5 cycles a pixel; the corners beyond are one more. Crops are windowed (Hann), and those of which less
    than a tenth counts are left out.

    Reference: Dainty and Shaw 1974, ch. 8
    """
    height, width = target.shape[1:3]
    window, member = _rings(height, width, rings)
    found, film = (_powers(x * weight, window, member) for x in (prediction, target))
    gap = mx.abs(mx.log(found + 1e-3 * unit**2) - mx.log(film + 1e-3 * unit**2))
    return _mean(gap.mean((1, 2)), _counts(weight))


def _powers(x: mx.array, window: mx.array, member: mx.array) -> mx.array:
    """Return mean powers in rings, the variance that white noise of that level would have: (B, K, C)."""
    transform = mx.fft.rfft2(x * window[..., None], axes=(1, 2))
    power = mx.real(transform) ** 2 + mx.imag(transform) ** 2
    batch, channels = x.shape[0], x.shape[-1]
    power = power.reshape(batch, -1, channels) / (window * window).sum()
    return member @ power


@lru_cache(maxsize=8)
def _rings(height: int, width: int, rings: int) -> tuple[mx.array, mx.array]:
    """Return a window (H, W), and a matrix (K, frequencies) that averages powers over rings."""
    window = np.sqrt(np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]))
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    ring = np.minimum((np.hypot(down, across) * 2 * rings).astype(int), rings).ravel()
    times = np.where((across == 0) | (across == 0.5), 1.0, 2.0) * np.ones_like(down)  # the half that rfft leaves out
    member = (ring == np.arange(rings + 1)[:, None]) * times.ravel()
    member[0, 0] = 0  # the mean
    total = member.sum(1, keepdims=True)
    kept = total[:, 0] > 0
    return mx.array(window, mx.float32), mx.array(member[kept] / total[kept], mx.float32)


def deviation(
    prediction: mx.array, target: mx.array, weight: mx.array, base: mx.array, unit: float = 0.04, bands: int = 8
) -> mx.array:
    """Compare standard deviations by brightness, over the batch: sigma(D).

    mean |ln (sigma_prediction / sigma_target)| over bands and channels, each band counting by its pixels. A pixel
    belongs to the two bands whose centres are next to it, to each by its nearness.

    Args:
        prediction: Residual.
        target: Film's.
        weight: What counts.
        base: The picture under the grain, which decides the band. Shape (B, H, W, C), in [-1, 1].
        unit: A standard deviation; a hundredth of it is added to both.
        bands: Of brightness.
    """
    place = mx.clip((base + 1) / 2, 0, 1) * (bands - 1)
    shares = mx.maximum(1 - mx.abs(place[..., None] - mx.arange(bands)), 0) * weight[..., None]
    counts = shares.sum((0, 1, 2))  # (C, bands)
    found, film = (((x * x)[..., None] * shares).sum((0, 1, 2)) / mx.maximum(counts, 1) for x in (prediction, target))
    floor = (unit / 100) ** 2
    gap = mx.abs(mx.log(found + floor) - mx.log(film + floor)) / 2
    return _mean(gap, counts)


def covariance(prediction: mx.array, target: mx.array, weight: mx.array, unit: float = 0.04) -> mx.array:
    """Compare the channels' correlations, crop by crop: mean |rho_prediction - rho_target| over pairs of channels."""
    found, film = (_correlations(x * weight, unit) for x in (prediction, target))
    channels = target.shape[-1]
    pairs = max(channels * (channels - 1), 1)  # each is twice in the matrix
    return _mean(mx.abs(found - film).sum((1, 2)) / pairs, _counts(weight))


def _correlations(x: mx.array, unit: float) -> mx.array:
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    products = flat.transpose(0, 2, 1) @ flat / flat.shape[1]
    variance = mx.diagonal(products, axis1=1, axis2=2) + (unit / 100) ** 2
    return products / mx.sqrt(variance[:, :, None] * variance[:, None])


def _counts(weight: mx.array) -> mx.array:
    """Tell how much each crop counts: the share of it that does, or nothing if that is too little."""
    share = weight.mean((1, 2, 3))
    return mx.where(share >= _FEWEST, share, 0)


def _mean(values: mx.array, counts: mx.array) -> mx.array:
    return (values * counts).sum() / mx.maximum(counts.sum(), 1e-6)
