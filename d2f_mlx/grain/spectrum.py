"""How grain is spread over frequencies, distances and channels."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from .patches import window_sums

HIGH_FREQUENCY = 0.125
"""Cycles a pixel above which `high_frequency_ratio` counts energy."""
_TILE = 64
_TILES = 3
_MARGIN = 15.0


def noise_power_spectrum(blocks: mx.array | np.ndarray, pitch_um: float = 1.0) -> mx.array:
    """Estimate the noise power spectrum of flat-field grain.

    W(fx, fy) = (pitch^2 / N^2) <|FFT(D - mean D)|^2>, the mean over blocks. Its integral over all frequencies (a step
    is 1 / (N pitch)) is the mean variance of the blocks. Assumes grain is stationary within each block. Blocks that a
    plane was taken from have lost what is below about one cycle a block.

    Shape: (B, N, N, C) -> (N, N // 2 + 1, C)
    Range: optical density -> density^2 um^2 (or any other unit, squared)
    Raises: ValueError for another shape or a pitch that is not positive.
    Reference: Dainty & Shaw 1974, ch. 8
    """
    _check("noise_power_spectrum", blocks, pitch_um)
    values = _centred(blocks)
    return mx.abs(mx.fft.rfft2(values, axes=(1, 2))).square().mean(axis=0) * (pitch_um / values.shape[1]) ** 2


def cross_spectrum(blocks: mx.array | np.ndarray) -> mx.array:
    """Estimate the cross-spectra of the channels; the diagonal is `noise_power_spectrum` with a pitch of 1.

    W_cd = <FFT(c) conj(FFT(d))> / N^2

    Shape: (B, N, N, C) -> (N, N // 2 + 1, C, C), complex and Hermitian
    """
    _check("cross_spectrum", blocks)
    waves = mx.fft.rfft2(_centred(blocks), axes=(1, 2))
    real, imag = mx.real(waves), mx.imag(waves)
    channels = waves.shape[3]
    rows: list[list[mx.array]] = [[mx.array(0)] * channels for _ in range(channels)]
    for c in range(channels):
        for d in range(c, channels):
            together = (real[..., c] * real[..., d] + imag[..., c] * imag[..., d]).mean(axis=0)
            apart = (imag[..., c] * real[..., d] - real[..., c] * imag[..., d]).mean(axis=0)
            rows[c][d] = together + 1j * apart
            rows[d][c] = together - 1j * apart
    return mx.stack([mx.stack(row, axis=-1) for row in rows], axis=-2) / waves.shape[1] ** 2


def radial_bands(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide the frequencies of an N x N block into rings of one step (1 / N) about the multiples of it, without DC.

    Returns the mean frequency of each ring in cycles a pixel (K,), and for the layout of `numpy.fft.rfft2` the ring of
    each entry (N, N // 2 + 1; DC is -1) and how often it counts (columns stand for their mirror images too).
    """
    down, right = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    frequency = np.hypot(down, right)
    count = np.where((right == 0) | (right == 0.5), 1.0, 2.0) * np.ones_like(down)
    ring = np.rint(frequency * size).astype(int) - 1
    known = ring >= 0
    weight = np.bincount(ring[known], count[known])
    return np.bincount(ring[known], (count * frequency)[known]) / weight, ring, count


def radial_average(spectrum: mx.array | np.ndarray, pitch_um: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Average a spectrum over rings of equal frequency (see `radial_bands`).

    Shape: (N, N // 2 + 1, ...) -> (K,), (K, ...)
    Range: frequency in cycles per micrometre, or per pixel with the default pitch
    """
    values = np.array(spectrum)
    frequency, ring, count = radial_bands(values.shape[0])
    if values.shape[:2] != ring.shape:
        raise ValueError(f"radial_average expects a spectrum (N, N // 2 + 1, ...), got shape {values.shape}")
    inside = ring.ravel() >= 0
    rings = np.zeros((len(frequency), ring.size))
    rings[ring.ravel()[inside], np.flatnonzero(inside)] = count.ravel()[inside]
    rings /= rings.sum(1, keepdims=True)
    average = rings @ values.reshape(ring.size, -1)
    return frequency / pitch_um, average.reshape(-1, *values.shape[2:])


def autocorrelation(blocks: mx.array | np.ndarray, reach: int = 8) -> mx.array:
    """Estimate the autocorrelation of grain for lags up to ``reach`` pixels in both directions.

    The inverse Fourier transform of blocks' power, padded with zeros so that no edge meets the other, over the number
    of pairs at each lag, over the variance. Assumes blocks of one stationary field; the block's mean is taken as given
    (residuals), so a plane fit's bias stays in: about -(1 - rho) 3 A / N^2, with A the area of the correlation.

    Shape: (B, N, N, C) -> (2 reach + 1, 2 reach + 1, C), lag zero in the middle
    Raises: ValueError for another shape, or a reach that is not below N.
    """
    _check("autocorrelation", blocks)
    size = blocks.shape[1]
    if not 0 <= reach < size:
        raise ValueError(f"autocorrelation expects reach to be 0 to {size - 1}, got {reach}")
    padded = 2 * size
    waves = mx.fft.rfft2(mx.array(blocks).astype(mx.float32), s=(padded, padded), axes=(1, 2))
    sums = mx.fft.irfft2(mx.abs(waves).square().mean(axis=0), s=(padded, padded), axes=(0, 1))
    lags = np.arange(-reach, reach + 1)
    overlap = size - np.abs(lags)
    sums = mx.take(mx.take(sums, mx.array(lags % padded), axis=0), mx.array(lags % padded), axis=1)
    covariance = sums / mx.array(np.outer(overlap, overlap)[..., None], mx.float32)
    return covariance / covariance[reach, reach]


def correlation_length(correlation: np.ndarray, pitch_um: float = 1.0) -> np.ndarray:
    """Return the distance at which a correlation first falls to 1/e, interpolated linearly; NaN if it does not.

    Shape: (R + 1, ...), lags 0, 1, ... pixels -> (...)
    Range: micrometres (pixels with the default pitch)
    """
    values = np.asarray(correlation, np.float64)
    flat = values.reshape(len(values), -1)
    lengths = np.full(flat.shape[1], np.nan)
    for column, line in enumerate(flat.T):
        below = np.flatnonzero(line <= np.exp(-1))
        if len(below) and below[0] > 0:
            k = below[0]
            lengths[column] = (k - 1 + (line[k - 1] - np.exp(-1)) / (line[k - 1] - line[k])) * pitch_um
    return lengths.reshape(values.shape[1:])


def channel_correlation(blocks: mx.array | np.ndarray) -> np.ndarray:
    """Return Pearson's correlation between the channels, pooled over blocks scaled to unit variance.

    Shape: (B, N, N, C) -> (C, C)
    """
    _check("channel_correlation", blocks)
    values = np.array(_centred(blocks)).transpose(0, 3, 1, 2).reshape(len(blocks), blocks.shape[3], -1)
    unit = values / np.maximum(np.sqrt(np.einsum("nck,nck->nc", values, values)), 1e-12)[..., None]
    return (unit @ unit.transpose(0, 2, 1)).mean(0, dtype=np.float64)


def coherence(blocks: mx.array | np.ndarray, radial: bool = True) -> np.ndarray:
    """Return the coherence of the channels, |Wxy|^2 / (Wx Wy), spectra averaged over blocks before the ratio.

    With ``radial`` numerator and denominator are also averaged over rings (`radial_bands`), the numerator as |Wxy|^2,
    so a shift between channels costs nothing. Independent channels have 1 / B, not 0: use many blocks.

    Shape: (B, N, N, C) -> (K, C, C), or (N, N // 2 + 1, C, C)
    """
    return coherence_of(np.array(cross_spectrum(blocks)), radial)


def coherence_of(cross: np.ndarray, radial: bool = True) -> np.ndarray:
    """Return the coherence that cross-spectra have; otherwise as `coherence`.

    Shape: (N, N // 2 + 1, C, C) complex -> (K, C, C), or the same
    """
    power = np.einsum("...cc->...c", cross).real
    common, product = np.abs(cross) ** 2, power[..., :, None] * power[..., None, :]
    if radial:
        common, product = radial_average(common)[1], radial_average(product)[1]
    return common / np.maximum(product, 1e-30)


def anisotropy(spectrum: mx.array | np.ndarray) -> np.ndarray:
    """Return the power of horizontal frequencies against vertical ones: means over 45-degree sectors about the axes.

    Shape: (N, N // 2 + 1, C) -> (C,)
    Range: dB; above 0 where the grain varies faster from left to right
    """
    values = np.array(spectrum).astype(np.float64)
    size = values.shape[0]
    down, right = np.abs(np.fft.fftfreq(size))[:, None], np.fft.rfftfreq(size)
    _, ring, count = radial_bands(size)
    count = count * ((ring >= 0) & (ring < size // 2))  # whole rings only: the corners have no axis
    limit = np.tan(np.pi / 8)
    across, along = count * (down <= limit * right), count * (right <= limit * down)
    means = [np.tensordot(w, values, 2) / w.sum() for w in (across, along)]
    return 10 * np.log10(means[0] / means[1])


def high_frequency_ratio(picture: np.ndarray) -> np.ndarray:
    """Return the share of energy above 0.125 cycles a pixel in a picture's plainest parts, by channel.

    The three 64x64 tiles (half overlapping) of least variance whose means keep 15 levels from black and white are
    Fourier-transformed, DC left out. On whole pictures scenes outweigh grain, and film and digital come out alike.
    The d2f notes found 0.836 for film and 0.284 for digital but do not say how; of whole pictures and plain tiles of 64
    to 256 pixels, energy and amplitude, and cut-offs of 0.005 to 0.5, this definition came nearest: 0.64 on 74 film
    scans, most of them resized, and 0.31 on 13 digital photographs.

    Shape: (H, W, C), integers as decoded -> (C,); NaN where there is no such tile
    """
    if picture.ndim != 3 or not np.issubdtype(picture.dtype, np.integer):
        raise ValueError(f"high_frequency_ratio expects integer pixels (H, W, C), got {picture.dtype} {picture.shape}")
    height, width, channels = picture.shape
    if min(height, width) < _TILE:
        return np.full(channels, np.nan)
    scale = 255.0 / np.iinfo(picture.dtype).max
    mean, square = (_tile_means(picture, power) * scale**power for power in (1, 2))
    each = square - mean**2
    variance = each.mean(-1)
    usable = ((mean > _MARGIN) & (mean < 255 - _MARGIN) & (each > 1e-9)).all(-1)
    plainest = np.argsort(np.where(usable, variance, np.inf), axis=None)[: min(_TILES, usable.sum())]
    corners = np.stack(np.unravel_index(plainest, variance.shape), -1) * (_TILE // 2)
    if not len(corners):
        return np.full(channels, np.nan)
    tiles = np.stack([picture[r : r + _TILE, c : c + _TILE] for r, c in corners]).astype(np.float32)
    power = np.array(noise_power_spectrum(tiles)).astype(np.float64)
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE))
    count = radial_bands(_TILE)[2]
    return np.tensordot(count * (frequency > HIGH_FREQUENCY), power, 2) / np.tensordot(count, power, 2)


def _tile_means(picture: np.ndarray, power: int) -> np.ndarray:
    """Average a power of the values over half-overlapping tiles."""
    half = _TILE // 2
    rows = [picture[r : r + half].astype(np.float64) ** power for r in range(0, len(picture) - half + 1, half)]
    sums = np.stack([window_sums(row.sum(0), 0, half, 1, half) for row in rows])
    return window_sums(window_sums(sums, 0, 2, 1, 1), 1, 2, 1, 1) / _TILE**2


def surface(picture: np.ndarray, row: int, column: int, size: int = 64) -> np.ndarray:
    """Cut out a square of one channel's values, to be drawn as a surface over the plane.

    Shape: (H, W) or (H, W, 1), integers as decoded -> (size, size)
    Range: levels of 255
    Raises: ValueError if the square is not inside the picture.
    """
    plane = picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture
    if plane.ndim != 2 or not np.issubdtype(plane.dtype, np.integer):
        raise ValueError(f"surface expects one channel of integers (H, W), got {picture.dtype} {picture.shape}")
    if size < 2 or min(row, column) < 0 or row + size > plane.shape[0] or column + size > plane.shape[1]:
        raise ValueError(f"surface expects {size}x{size} pixels at {(row, column)} inside a picture of {plane.shape}")
    square = plane[row : row + size, column : column + size]
    return square.astype(np.float32) * np.float32(255.0 / np.iinfo(plane.dtype).max)


def _centred(blocks: mx.array | np.ndarray) -> mx.array:
    values = mx.array(blocks).astype(mx.float32)
    return values - values.mean(axis=(1, 2), keepdims=True)


def _check(caller: str, blocks: mx.array | np.ndarray, pitch_um: float = 1.0) -> None:
    if blocks.ndim != 4 or blocks.shape[1] != blocks.shape[2] or 0 in blocks.shape:
        raise ValueError(f"{caller} expects blocks (B, N, N, C), got shape {tuple(blocks.shape)}")
    if not pitch_um > 0:
        raise ValueError(f"{caller} expects pitch_um above 0, got {pitch_um}")
