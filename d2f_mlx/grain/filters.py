"""Small linear filters whose result for a pixel does not depend on where a tile was cut.

Every output is a fixed sequence of multiplications and additions of shifted copies, never a matrix product or an FFT
whose rounding changes with the shape: two tiles that share a pixel agree on it bit for bit.
"""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np

# How many taps are added up in one compiled kernel: beyond some ten inputs, of which a tap's weight is one, the CPU's
# compiler no longer vectorises. `contiguous`, which is never fused, ends a kernel and copies nothing here.
_TAPS, _PAIRS = 4, 3


def correlate(picture: mx.array, kernel: mx.array) -> mx.array:
    """Correlate every channel with one small kernel and keep the part where the kernel fits.

    Pixels are slices of a flat, contiguous buffer at constant offsets (vectorised on the CPU).

    Shape: picture (B, H, W, C), kernel (K, L) -> (B, H - K + 1, W - L + 1, C)
    Raises: ValueError if the picture is smaller than the kernel.
    """
    batch, height, width, channels = picture.shape
    rows, columns = kernel.shape
    if height < rows or width < columns:
        raise ValueError(f"correlate expects a picture of at least {kernel.shape}, got {(height, width)}")
    flat = picture.reshape(-1)
    row = width * channels
    count = flat.size - (rows - 1) * row - (columns - 1) * channels
    starts = [(i, j, i * row + j * channels) for i in range(rows) for j in range(columns)]
    parts = (flat[start : start + count] * kernel[i, j] for i, j, start in starts)
    total = next(parts)
    for n, part in enumerate(parts, 2):
        total = total + part
        if n % _TAPS == 0:
            total = mx.contiguous(total)
    total = mx.pad(total, (0, flat.size - count)).reshape(batch, height, width, channels)
    return total[:, : height - rows + 1, : width - columns + 1]


def smooth(picture: mx.array, taps: np.ndarray) -> mx.array:
    """Filter down and across with the same symmetric taps; the border is zero (divide by the smoothed ones to undo it).

    Shape: (B, H, W, C), taps (2 r + 1,) -> (B, H, W, C)
    """
    _, height, width, channels = picture.shape
    radius = len(taps) // 2
    padded = mx.pad(picture, [(0, 0), (radius, radius), (radius, radius), (0, 0)])
    flat, steps = padded.reshape(-1), (padded.shape[2] * channels, channels)
    if (taps == 1).all():
        spread = _window_sums(flat, steps, len(taps))
    else:
        spread = separable(flat, steps, mx.array(taps, mx.float32))
    return mx.pad(spread, (0, flat.size - spread.size)).reshape(padded.shape)[:, :height, :width]


def separable(flat: mx.array, steps: tuple[int, int], taps: mx.array) -> mx.array:
    """Filter rows of a flat buffer down and across; ends that would lack a tap are left out, rows run into each other.

    Args:
        flat: Rows of pixels, one after the other.
        steps: From a value to the one below it, and to the one right of it.
        taps: Symmetric.

    Shape: (N,), taps (2 r + 1,) -> (N - 2 r (down + across),)
    """
    radius = taps.size // 2
    for step in steps:
        count = flat.size - 2 * radius * step
        places = [flat[i * step : i * step + count] for i in range(2 * radius + 1)]
        total = places[radius] * taps[radius]
        for i in range(1, radius + 1):
            total = total + (places[radius - i] + places[radius + i]) * taps[radius + i]
            if i % _PAIRS == _PAIRS - 1 or i == radius:
                total = mx.contiguous(total)
        flat = total
    return flat


def _window_sums(flat: mx.array, steps: tuple[int, int], side: int) -> mx.array:
    """Add up square windows, from sums of 1, 2, 4, ... values that double; as `separable` with ones, oddly many.

    Shape: (N,) -> (N - (side - 1) (down + across),)
    """
    for step in steps:
        count = flat.size - (side - 1) * step
        total, sums, start = flat[:count], flat, 1
        for bit in range(1, side.bit_length()):
            sums = sums[: -(step << bit - 1)] + sums[step << bit - 1 :]
            if side >> bit & 1:
                total = total + sums[start * step : start * step + count]
                start += 1 << bit
        flat = total
    return flat


def averaged(picture: mx.array, taps: np.ndarray) -> mx.array:
    """Average with weights down and across; at the border over the pixels that are there.

    Shape: (B, H, W, C), taps (2 r + 1,) -> (B, H, W, C)
    """
    down, across = (mx.array(_weight_inside(count, taps), mx.float32) for count in picture.shape[1:3])
    return smooth(picture, taps) / (down[:, None, None] * across[:, None])


def _weight_inside(count: int, taps: np.ndarray) -> np.ndarray:
    """Return, for each pixel of a line, the sum of the taps that fall on the line."""
    radius = len(taps) // 2
    return np.convolve(np.ones(count), taps[::-1])[radius : radius + count]


def gaussian_taps(sigma: float) -> np.ndarray:
    """Return the taps of a Gaussian of ``sigma`` pixels, cut off at three, that sum to one."""
    reach = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return taps / taps.sum()


def guided_base(picture: mx.array, radius: int = 4, epsilon: float = 0.004) -> mx.array:
    """Denoise film with the guided filter: what is left of the picture without its grain.

    q = mean(a) I + mean(b), a = var(I) / (var(I) + epsilon), b = (1 - a) mean(I): where the variance of a window is
    far below ``epsilon`` (grain) the mean stays, where it is far above (edges) the picture. Each channel guides itself.

    Shape: (B, H, W, C) -> the same
    Range: float32 in [0, 1]; ``epsilon`` in its square (0.004 is a standard deviation of 16 levels of 255)
    Reference: He, Sun and Tang 2013, 'Guided image filtering', equations 5, 6 and 8. doi:10.1109/TPAMI.2012.213
    """
    taps = np.ones(2 * radius + 1)
    mean, variance = _moments(picture, taps)
    gain = variance / (variance + epsilon)
    return averaged(gain, taps) * picture + averaged(mean - gain * mean, taps)


def flat_areas(
    picture: mx.array, sigma: float = 2.0, radius: int = 6, limit: float = 0.2, max_variance: float = 300 / 255**2
) -> mx.array:
    """Tell where all that varies in a film picture is grain.

    A Gaussian of ``sigma`` pixels takes most of grain's variance away and leaves a scene's structure. Flat is where, in
    a window of 2 ``radius`` + 1 pixels, the share of the variance that it leaves is below ``limit`` in every channel
    (0.09 for the grain of ordinary scans): a ratio, so that strong grain passes as well as weak. ``max_variance``, the
    notes' limit, keeps out what is too strong for grain: thin lines, foliage.

    Shape: (B, H, W, C) -> (B, H, W, 1), bool
    """
    taps = np.ones(2 * radius + 1)
    _, variance = _moments(picture, taps)
    _, structure = _moments(averaged(picture, gaussian_taps(sigma)), taps)
    return ((structure < limit * variance) & (variance <= max_variance)).all(axis=-1, keepdims=True)


def _moments(picture: mx.array, taps: np.ndarray) -> tuple[mx.array, mx.array]:
    """Return the local mean and variance in a window."""
    mean = averaged(picture, taps)
    return mean, mx.maximum(averaged(picture * picture, taps) - mean * mean, 0)
