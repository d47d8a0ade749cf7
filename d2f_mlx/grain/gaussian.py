"""Grain from second-order statistics: a Gaussian field with a film's spectrum and correlation, keyed on the film.

White noise lives on lattices that are fixed to the film and halve their pitch from level to level; averaging a level
over 2 x 2 points gives the next coarser one exactly (Haar's orthonormal details). Each picture takes the level that its
pitch asks for, so a crop, a tile, a preview and an export of one negative show the same grains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, reduce
from operator import add

import mlx.core as mx
import numpy as np

from .aperture import Power, seen_power
from .filters import correlate
from .noise import bell_planes

BASE_UM = 6.0
"""Pitch of a lattice level for films whose own spectrum is known (24 megapixels on a 36 mm frame)."""
_COARSEST, _FINEST = 8, -6  # levels: from 1.5 mm down to 0.1 um for the base above
_FINER = 2.0  # how much finer than the pixels a lattice is at least that does not coincide with them
_FINE_POWER = 0.01  # share of the power that a lattice may leave beyond its Nyquist frequency
_GRID = 64  # points of the frequency grid on which kernels are designed
_LARGEST_RADIUS = 12
_KEPT = 0.9995  # share of a kernel's energy inside its support
_ALIASES = 2
_TOGETHER = 2**18  # points of a lattice up to which all modes are drawn at once: small arrays cost by the operation
_SPLINE_7 = np.array([1, 120, 1191, 2416, 1191, 120, 1]) / 5040  # cubic B-spline's autocorrelation at the integers


@dataclass(frozen=True, eq=False)
class GrainField:
    """Unit grain at one pitch: what `unit_grain` needs, designed once by `design_field`.

    Args:
        kernels: Filter of each mode. Shape (M, K, K)
        mixing: What each channel takes of each mode. Shape (C, M)
        level: White noise is drawn on the lattice of pitch base x 2^level.
        tail: How heavy each channel's tails are: h of n + h (n^3 - 3 n), some 1/24 of the excess kurtosis. Shape (C,)
        ratio: Picture pitch over lattice pitch. 1: the lattice's points are the pixels. Above 1 white noise is averaged
            over the pixels and then filtered; below 1 it is filtered on the lattice and interpolated.
    """

    kernels: mx.array
    mixing: mx.array
    tail: mx.array
    level: int
    ratio: float

    @property
    def radius(self) -> int:
        """How far a kernel reaches, in lattice points."""
        return self.kernels.shape[1] // 2


def design_field(
    frequency: np.ndarray,
    spectrum: np.ndarray,
    mixing: np.ndarray,
    *,
    pitch_um: float,
    seen_um: float = 0.0,
    blur_um: float = 0.0,
    tail: np.ndarray | None = None,
) -> GrainField:
    """Design the filters that give white noise a film's spectrum as a picture's pixels see it.

    A pixel averages over its square; ``blur_um`` is the scanner's own spread before that. What a fitted spectrum holds
    already (it was seen through a pixel of ``seen_um``) is not applied twice, and nothing is invented beyond that
    scan's Nyquist frequency. The kernels are scaled so that every channel has variance 1 after all of it.

    Args:
        frequency: Cycles per millimetre, rising. Shape (F,)
        spectrum: Power of each mode at it, in any unit. Shape (F, M)
        mixing: Shape (C, M), rows of norm 1.
        pitch_um: The picture's pixel pitch on the film.
        seen_um: Pixel pitch through which the spectrum was measured; 0 for the film's own.
        blur_um: Deviation of the scanner's Gaussian spread.
        tail: As in `GrainField`; none for Gaussian grain. Shape (C,)

    Raises: ValueError for a pitch that is not positive.
    """
    if not (pitch_um > 0 and math.isfinite(pitch_um)):
        raise ValueError(f"design_field expects a positive pitch_um, got {pitch_um}")

    power = seen_power(frequency, spectrum, pitch_um, seen_um, blur_um)
    level, ratio = _lattice(power, spectrum.shape[1], pitch_um, seen_um or BASE_UM)
    kernels = [_kernel(lambda y, x, m=m: power(y, x, m), pitch_um, ratio) for m in range(spectrum.shape[1])]
    size = max(len(kernel) for kernel in kernels)
    kernels = [np.pad(kernel, (size - len(kernel)) // 2) for kernel in kernels]
    tail = np.zeros(len(mixing)) if tail is None else tail
    filters, mixing_, tail_ = (mx.array(a, mx.float32) for a in (np.stack(kernels), mixing, tail))
    return GrainField(filters, mixing_, tail_, level, ratio)


def _lattice(power: Power, modes: int, pitch_um: float, base: float) -> tuple[int, float]:
    """Choose a lattice's level, and give the picture's pitch over the lattice's.

    A lattice that holds nearly all of the power serves any finer picture; otherwise one that coincides with the
    pixels, or one finer than them.
    """
    exact = math.log2(pitch_um / base)
    coarsest = _FINEST
    while coarsest < _COARSEST and _beyond(power, modes, 0.5 / (base * 2.0 ** (coarsest + 1))) <= _FINE_POWER:
        coarsest += 1
    if abs(exact - round(exact)) < 1e-6 and round(exact) >= coarsest:
        level = round(exact)
    elif exact < coarsest:
        level = coarsest
    else:
        level = math.floor(exact - math.log2(_FINER))
    level = min(max(level, _FINEST), _COARSEST)
    return level, 1.0 if abs(exact - level) < 1e-6 else 2.0 ** (exact - level)


def _beyond(power: Power, modes: int, nyquist: float) -> float:
    """Give the largest share of a mode's power beyond a frequency, in one direction for all."""
    f = np.geomspace(nyquist / 64, nyquist * 64, 1024)
    rings = np.stack([power(np.zeros_like(f), f, mode) for mode in range(modes)]) * f**2  # d(ln f)
    return float((rings[:, f > nyquist].sum(1) / rings.sum(1).clip(1e-30)).max())


def _kernel(power: Callable[[np.ndarray, np.ndarray], np.ndarray], pitch_um: float, ratio: float) -> np.ndarray:
    """Find a small zero-phase filter with a spectrum.

    Shape: -> (K, K)
    """
    spacing = pitch_um / min(ratio, 1.0)
    f = np.fft.fftfreq(_GRID, spacing)
    if ratio >= 1:  # on pixels: what lies beyond the Nyquist frequency folds back
        steps = np.arange(-_ALIASES, _ALIASES + 1) / spacing
        target = sum(power(f[:, None] + a, f[None, :] + b) for a in steps for b in steps)
        there = _averaged_spectrum(f * spacing, ratio)
    else:
        target = power(f[:, None], f[None, :])
        there = np.sinc(f * spacing) ** 8  # what the spline will take away
    kernel = _fitted(np.sqrt(target / (there[:, None] * there[None, :])))
    return kernel / np.sqrt(_variance(kernel, ratio))


def _fitted(amplitude: np.ndarray, radius: int = 0) -> np.ndarray:
    """Cut off an amplitude response's transform where little is left of it, and refit it to that support."""
    full = np.fft.fftshift(np.fft.ifft2(amplitude).real)
    middle, energy = _GRID // 2, (full**2).sum()
    reach = radius or 2
    inside = slice(middle - reach, middle + reach + 1)
    while not radius and reach < _LARGEST_RADIUS and (full[inside, inside] ** 2).sum() <= _KEPT * energy:
        reach += 1
        inside = slice(middle - reach, middle + reach + 1)
    support = np.zeros_like(full)
    support[inside, inside] = 1
    for _ in range(40):  # alternate between the amplitude and the support
        response = np.fft.fft2(np.fft.ifftshift(full * support)).real
        full = np.fft.fftshift(np.fft.ifft2(amplitude * np.where(response < 0, -1, 1)).real)
    return full[inside, inside]


def pixel_kernel(
    frequency: np.ndarray,
    spectrum: np.ndarray,
    radius: int,
    *,
    pitch_um: float,
    seen_um: float = 0.0,
    blur_um: float = 0.0,
) -> np.ndarray:
    """Design a filter of a given size for white noise that is drawn on the pixels themselves.

    Arguments as for `design_field`, for one mode.

    Shape: spectrum (F, 1) -> (2 radius + 1, 2 radius + 1), squares sum to one
    """
    power = seen_power(frequency, spectrum, pitch_um, seen_um, blur_um)
    f = np.fft.fftfreq(_GRID, pitch_um)
    steps = np.arange(-_ALIASES, _ALIASES + 1) / pitch_um
    kernel = _fitted(np.sqrt(sum(power(f[:, None] + a, f[None, :] + b, 0) for a in steps for b in steps)), radius)
    return (kernel / np.sqrt((kernel**2).sum())).astype(np.float32)


def _averaged_spectrum(f: np.ndarray, ratio: float) -> np.ndarray:
    """Give the power spectrum (f in cycles a pixel) of white noise averaged over pixels, over all their phases."""
    if ratio == 1:
        return np.ones_like(f)
    return 1 + 2 * _neighbours(ratio) * np.cos(2 * np.pi * f)


def _neighbours(ratio: float) -> float:
    """Correlation of neighbouring pixels that share a lattice point between them."""
    _, index, weight = _area_taps(0, 4097, ratio)
    taps = np.arange(weight.shape[1])
    reach = index[1:, None, None] + taps[:, None] == index[:-1, None, None] + taps
    return float(np.einsum("ni,nj,nij->n", weight[1:], weight[:-1], reach).mean())


def _variance(kernel: np.ndarray, ratio: float) -> float:
    """Give the variance of filtered noise, averaged over the lattice's phases."""
    if ratio == 1:
        return float((kernel**2).sum())
    size = 2 * len(kernel) + 8
    covariance = np.fft.fftshift(np.fft.ifft2(np.abs(np.fft.fft2(kernel, (size, size))) ** 2).real)
    near = covariance[size // 2 - 3 : size // 2 + 4, size // 2 - 3 : size // 2 + 4]
    if ratio < 1:
        return float(_SPLINE_7 @ near @ _SPLINE_7)
    share = _neighbours(ratio)
    line = np.array([0, 0, share, 1, share, 0, 0])
    return float(line @ near @ line)


def white_noise(key: mx.array, level: int, origin: mx.array, shape: tuple[int, int], modes: int = 1) -> list[mx.array]:
    """Draw independent fields of white noise of variance 1 on a lattice of the film.

    Twice the mean of 2 x 2 points of a level is the point of the next level that they make up.

    Args:
        key: Two 32-bit words.
        level: 0 for the base lattice, one more for each doubling of the pitch.
        origin: First row and column on this lattice, int32.
        shape: Rows and columns.
        modes: How many fields, 4 at most.

    Shape: -> M times (H, W)
    """
    salts = mx.arange(modes) + ((level - _FINEST) * 4 + 1000)
    if level >= _COARSEST:
        return list(bell_planes(key, origin, shape, salts))
    place = mx.floor_divide(origin, 2)
    parents = white_noise(key, level + 1, place, (shape[0] // 2 + 1, shape[1] // 2 + 1), modes)
    together = modes if shape[0] * shape[1] <= _TOGETHER else 1
    fields = []
    for m in range(0, modes, together):
        children = _refined(key, mx.stack(parents[m : m + together]), place, salts[m : m + together])
        fields += list(mx.slice(children, origin - 2 * place, (1, 2), (together, *shape)))
    return fields


def _refined(key: mx.array, parents: mx.array, place: mx.array, salts: mx.array) -> mx.array:
    """Add a level's details to the points that 2 x 2 of its own make up; (M, H, W) -> (M, 2 H, 2 W)."""
    modes, rows, columns = parents.shape
    lanes = (salts + mx.array([[100], [200], [300]])).reshape(-1)
    a, b, c = bell_planes(key, place, (rows, columns), lanes).reshape(3, modes, rows, columns)
    top = mx.stack([parents + a + b + c, parents + a - b - c], -1)
    bottom = mx.stack([parents - a + b - c, parents - a - b + c], -1)
    return (mx.stack([top, bottom], 2) * 0.5).reshape(modes, 2 * rows, 2 * columns)


def unit_grain(field: GrainField, key: mx.array, origin: tuple[int, int], shape: tuple[int, int]) -> mx.array:
    """Synthesise a picture's grain, of mean 0 and variance 1 in every channel, at a place of the film.

    Args:
        field: From `design_field`.
        key: Random key: the roll, so to say; the same one gives the same grain.
        origin: Row and column of the first pixel, in pixels from the corner of the frame.
        shape: Rows and columns.

    Shape: -> (H, W, C)
    """
    pad = field.radius if field.ratio > 1 else 0
    taps = [_taps(start - pad, count + 2 * pad, field.ratio) for start, count in zip(origin, shape, strict=True)]
    lattice = tuple(_lattice_count(count + 2 * pad, field.ratio) for count in shape)
    start = mx.array([first for first, _, _ in taps], mx.int32)
    resample = [(mx.array(index), mx.array(weight)) for _, index, weight in taps] if field.ratio != 1 else []
    step = _compiled(field.level, lattice, field.ratio > 1)
    return step(field.kernels, field.mixing, field.tail, key, start, resample)


def _lattice_count(count: int, ratio: float) -> int:
    return count if ratio == 1 else math.ceil(count * ratio) + 5


def _taps(start: int, count: int, ratio: float) -> tuple[int, np.ndarray, np.ndarray]:
    """Place pixels on the lattice: the first point needed, each pixel's first tap counted from it, and its weights.

    All come from absolute positions, in double precision, so that crops agree.
    """
    if ratio == 1:
        return start, np.zeros(0, np.int32), np.zeros(0, np.float32)
    if ratio > 1:
        return _area_taps(start, count, ratio)
    place = (np.arange(start, start + count) + 0.5) * ratio - 0.5
    below = np.floor(place)
    t, u = place - below, 1 - (place - below)
    weight = np.stack([u**3, 3 * t**3 - 6 * t**2 + 4, 3 * u**3 - 6 * u**2 + 4, t**3], -1) / 6  # cubic B-spline
    first = int(below[0]) - 1
    return first, (below - 1 - first).astype(np.int32), weight.astype(np.float32)


def _area_taps(start: int, count: int, ratio: float) -> tuple[int, np.ndarray, np.ndarray]:
    """Weigh lattice points by how much of each lies in a pixel, scaled to keep white noise's variance."""
    edge = np.arange(start, start + count + 1) * ratio
    below = np.floor(edge[:-1])
    point = below[:, None] + np.arange(math.ceil(ratio) + 1)
    inside = np.minimum(point + 1, edge[1:, None]) - np.maximum(point, edge[:-1, None])
    weight = inside.clip(0)
    weight /= np.sqrt((weight**2).sum(1, keepdims=True))
    first = int(below[0])
    return first, (below - first).astype(np.int32), weight.astype(np.float32)


@cache
def _compiled(level: int, lattice: tuple[int, int], averages: bool):
    def step(kernels, mixing, tail, key, start, resample):
        reach = 0 if averages else kernels.shape[1] // 2
        shape = (lattice[0] + 2 * reach, lattice[1] + 2 * reach)
        modes = []
        for mode, plane in enumerate(white_noise(key, level, start - reach, shape, kernels.shape[0])):
            if averages:
                plane = _resampled(plane, resample)
            plane = correlate(plane[None, :, :, None], kernels[mode])[0, :, :, 0]
            if not averages:
                plane = _resampled(plane, resample)
            modes.append(plane)
        # Sums of products, not a matrix product, whose rounding changes with the shape.
        channels = [
            reduce(add, (mixing[c, m] * plane for m, plane in enumerate(modes))) for c in range(mixing.shape[0])
        ]
        return heavy_tailed(mx.stack(channels, -1), tail)

    return mx.compile(step)


def heavy_tailed(unit: mx.array, tail: mx.array) -> mx.array:
    """Give Gaussian grain heavier tails and keep its variance: (n + h (n^3 - 3 n)) / sqrt(1 + 6 h^2).

    n^3 - 3 n is Hermite's third polynomial, which is not correlated with n.

    Shape: unit (..., C), tail (C,) -> (..., C)
    """
    return unit * (1 + tail * (unit * unit - 3)) * mx.rsqrt(1 + 6 * tail * tail)


def _resampled(plane: mx.array, resample: list[tuple[mx.array, mx.array]]) -> mx.array:
    """Weigh and add up each pixel's lattice points, first down, then across."""
    for axis, (index, weight) in enumerate(resample):
        weight = weight[:, None] if axis == 0 else weight[None]
        taps = (mx.take(plane, index + tap, axis=axis) * weight[..., tap] for tap in range(weight.shape[-1]))
        plane = reduce(add, taps)
    return plane
