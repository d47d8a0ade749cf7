"""How strong grain is: through apertures, as makers of film state it, and by brightness, as scans show it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .aperture import disc_response
from .overlay import scan_density
from .patches import Blocks, about_plane

APERTURE_UM = 48.0
"""Diameter of the microdensitometer's aperture in data sheets."""


class Selwyn(NamedTuple):
    """Granularity through apertures of growing size.

    Shape: diameter_um (A,), sigma (A, C), constant and slope (C,)
    """

    diameter_um: np.ndarray
    sigma: np.ndarray
    constant: np.ndarray
    """G = sigma sqrt(2 A), density x um; root mean square over the larger apertures."""
    slope: np.ndarray
    """Of log sigma against log A over the larger apertures; -1/2 where Selwyn's law holds."""


def disc_weights(diameter: float) -> np.ndarray:
    """Return the share of a disc that falls on each pixel, the disc's centre on the middle pixel's; sums to one.

    The overlap of a disc with a pixel is exact: differences of the area of the disc left of and below a point.

    Args:
        diameter: In pixels. A disc of up to one pixel lies inside it: the pixel itself.

    Shape: -> (K, K), K odd
    """
    radius = diameter / 2
    reach = max(int(np.ceil(radius - 0.5)), 0)
    edges = np.arange(-reach, reach + 2) - 0.5
    area = np.diff(np.diff(_disc_area(edges[:, None], edges[None, :], radius), axis=0), axis=1)
    return area / area.sum()


@lru_cache(maxsize=32)
def aperture_weights(diameter: float) -> np.ndarray:
    """Return the pixels' weights in the mean over a disc of film, whose grain the pixels have averaged already.

    That blurs the disc. So a smaller one is taken, whose weights have the whole disc's area as far as noise goes:
    1 / sum of squares = pi d^2 / 4. This is exact for grain that is white below one cycle a diameter, and costs grain
    that is wider than the disc nothing. From 8 pixels to 7.6; coverage alone would give 5 % too low a sigma.

    Args:
        diameter: In pixels; where the disc's area is below a pixel's, the pixel is the aperture.

    Shape: -> (K, K), K odd
    """
    area = np.pi / 4 * diameter**2
    low, high = 1.0, max(diameter, 1.0)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (disc_weights(middle) ** 2).sum() < area else (low, middle)
    weights = disc_weights(low)
    weights.setflags(write=False)  # kept for the next caller
    return weights


def _disc_area(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Return the signed area of a disc's part between the axes and a point: odd in both coordinates."""
    sign = np.sign(x) * np.sign(y)
    x, y = np.minimum(np.abs(x), radius), np.minimum(np.abs(y), radius)
    start = np.minimum(np.sqrt(radius**2 - y**2), x)  # as far as the disc is higher than y

    def under(t: np.ndarray) -> np.ndarray:
        return (t * np.sqrt(np.maximum(radius**2 - t**2, 0)) + radius**2 * np.arcsin(t / radius)) / 2

    return sign * (start * y + under(x) - under(start))


def rms_granularity(density: np.ndarray, pitch_um: float, aperture_um: float = APERTURE_UM) -> np.ndarray:
    """Return sigma_D: the deviation of a flat area's density seen through a circular aperture.

    The aperture's mean (`aperture_weights`) is taken at every pixel around which the disc fits. The variance is about
    the mean of these, made unbiased for the overlap of apertures as of white grain. Data sheets print 1000 times the
    value, at a net density of 1.0. Nothing is taken away but the mean: density must be flat, its unevenness counts as
    grain.

    Args:
        density: Optical density of a flat area.
        pitch_um: Micrometres a pixel.
        aperture_um: Diameter.

    Shape: (H, W) or (H, W, C) -> (C,), one for (H, W)
    Raises: ValueError for other shapes, pitches or apertures, or an area smaller than the aperture.
    Reference: ISO 10505:2009; Dainty & Shaw 1974, ch. 2
    """
    values = _flat_area("rms_granularity", density, pitch_um)
    return _through_disc("rms_granularity", values, pitch_um, aperture_um)


def selwyn(density: np.ndarray, pitch_um: float, diameters_um: Sequence[float] | np.ndarray) -> Selwyn:
    """Measure granularity through several apertures, and Selwyn's constant where sigma falls as one over the diameter.

    sigma_A sqrt(2 A) = G. Constant and slope are taken over the larger half of the apertures, where the grain's own
    correlation is short against them. Otherwise as `rms_granularity`.

    Raises: ValueError as `rms_granularity`, or for fewer than two different apertures.
    Reference: Selwyn 1935, 'A theory of graininess', Photographic Journal 75, 571-580
    """
    diameter = np.unique(np.asarray(diameters_um, np.float64))
    if len(diameter) < 2:
        raise ValueError(f"selwyn expects two or more different diameters, got {list(diameters_um)}")
    values = _flat_area("selwyn", density, pitch_um)
    sigma = np.stack([_through_disc("selwyn", values, pitch_um, d) for d in diameter])
    area = np.maximum(np.pi / 4 * diameter**2, pitch_um**2)
    larger = slice(len(diameter) // 2 if len(diameter) > 3 else len(diameter) - 2, None)
    constant = np.sqrt((2 * area[larger, None] * sigma[larger] ** 2).mean(0))
    x, y = np.log(area[larger]), np.log(np.maximum(sigma[larger], 1e-30))
    slope = ((x - x.mean()) @ (y - y.mean(0))) / ((x - x.mean()) ** 2).sum()
    return Selwyn(diameter, sigma, constant, slope)


def aperture_sigma(
    frequency: np.ndarray, spectrum: np.ndarray, diameter: float = 0.0, *, square: float = 0.0
) -> np.ndarray:
    """Integrate a radial noise power spectrum through an aperture: what `rms_granularity` should find.

    sigma^2 = integral of W(f) [2 J1(pi d f) / (pi d f)]^2 2 pi f df for a disc of diameter d, with the mean over all
    directions of [sinc(s fx) sinc(s fy)]^2 for a square pixel of side s. Below the first frequency W is constant,
    between two linear, above the last zero. Units of length agree: um^2, cycles/um and um, or mm throughout.

    Shape: frequency (F,) rising, spectrum (F, ...) -> (...)
    Raises: ValueError for other shapes, or if not just one of ``diameter`` and ``square`` is above 0.
    Reference: Dainty & Shaw 1974, ch. 8
    """
    frequency, spectrum = np.asarray(frequency, np.float64), np.asarray(spectrum, np.float64)
    if frequency.ndim != 1 or len(spectrum) != len(frequency) or not (np.diff(frequency) > 0).all():
        raise ValueError(
            f"aperture_sigma expects rising frequencies (F,) and a spectrum (F, ...), "
            f"got shapes {frequency.shape} and {spectrum.shape}"
        )
    if not (diameter > 0) ^ (square > 0):
        raise ValueError(f"aperture_sigma expects a diameter or a square above 0, got {diameter} and {square}")
    points = max(2048, int(np.ceil(16 * frequency[-1] * max(diameter, square))))
    step = frequency[-1] / points
    f = (np.arange(points) + 0.5) * step
    flat = spectrum.reshape(len(spectrum), -1)
    power = np.stack([np.interp(f, frequency, column) for column in flat.T], -1)
    response = disc_response(f * diameter) ** 2 if diameter else _square_response(f * square)
    return np.sqrt(2 * np.pi * step * (response * f) @ power).reshape(spectrum.shape[1:])


def _square_response(cycles: np.ndarray) -> np.ndarray:
    """Return a square's power response, the mean over directions, by cycles a side."""
    angle = (np.arange(64) + 0.5) * (np.pi / 4 / 64)
    x, y = cycles[:, None] * np.cos(angle), cycles[:, None] * np.sin(angle)
    return ((np.sinc(x) * np.sinc(y)) ** 2).mean(-1)


def sigma_by_brightness(blocks: Blocks, bands: int = 16, fewest: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return grain's deviation on flat blocks by their mean brightness, and how many blocks it rests on.

    The root of the mean variance about a plane, unbiased for white grain (over N^2 - 3); NaN below ``fewest`` blocks.

    Shape: -> (bands, C), (bands, C)
    Range: levels of 255, in equal bands of [0, 256)
    """
    return _by_band(blocks.residual, blocks.mean * (bands / 256), bands, fewest)


def sigma_by_density(
    blocks: Blocks, edges: Sequence[float] | np.ndarray, fewest: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Return grain's deviation in density (`scan_density`) by the blocks' mean density; as `sigma_by_brightness`.

    Every pixel is turned into density before a plane is taken away, so grain need not be small.

    Args:
        blocks: Flat blocks of a positive picture.
        edges: Of the density bands, rising.
        fewest: Blocks below which a band is NaN.

    Shape: edges (E + 1,) -> (E, C), (E, C)
    """
    edges = np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"sigma_by_density expects two or more rising edges, got {edges.tolist()}")
    residual, mean = about_plane(scan_density(blocks.level / 255))
    return _by_band(residual, np.searchsorted(edges, mean, "right") - 1, len(edges) - 1, fewest)


def _by_band(residual: np.ndarray, band: np.ndarray, bands: int, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks' variances by band (N, C); blocks outside all bands do not count."""
    size, channels = residual.shape[1], residual.shape[3]
    variance = np.einsum("nijc,nijc->nc", residual, residual) / (size**2 - 3)
    band = np.floor(band).astype(int)
    inside = (band >= 0) & (band < bands)
    cell = (band * channels + np.arange(channels))[inside]
    number, total = (np.bincount(cell, w, bands * channels).reshape(bands, channels) for w in (None, variance[inside]))
    return np.where(number >= fewest, np.sqrt(total / np.maximum(number, 1)), np.nan), number.astype(int)


def _flat_area(caller: str, density: np.ndarray, pitch_um: float) -> np.ndarray:
    values = np.asarray(density, np.float64)
    if values.ndim not in (2, 3) or 0 in values.shape or not np.isfinite(values).all():
        raise ValueError(f"{caller} expects finite density (H, W) or (H, W, C), got shape {values.shape}")
    if not 0 < pitch_um < np.inf:
        raise ValueError(f"{caller} expects pitch_um above 0, got {pitch_um}")
    return np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0)


def _through_disc(caller: str, values: np.ndarray, pitch_um: float, aperture_um: float) -> np.ndarray:
    """Filter planes (C, H, W) with a disc where it fits and return the deviations."""
    if not 0 < aperture_um < np.inf:
        raise ValueError(f"{caller} expects apertures above 0, got {aperture_um}")
    disc = aperture_weights(aperture_um / pitch_um)
    size, (height, width) = len(disc), values.shape[1:]
    rows, columns = height - size + 1, width - size + 1
    if min(rows, columns) < 2:
        raise ValueError(f"{caller} expects an area larger than its aperture of {size} pixels, got {height}x{width}")
    shape = [_fast_length(n) for n in (height, width)]
    response = np.fft.rfft2(disc, shape)
    variances = []
    for plane in values:
        means = np.fft.irfft2(np.fft.rfft2(plane - plane.mean(), shape) * response, shape)
        variances.append(means[size - 1 : height, size - 1 : width].var())  # where nothing wrapped around
    return np.sqrt(np.array(variances) / (1 - _shared(disc, rows, columns)))


def _shared(disc: np.ndarray, rows: int, columns: int) -> float:
    """Return the mean correlation of two apertures drawn from all places, for white grain."""
    size = len(disc)
    overlap = np.fft.irfft2(np.abs(np.fft.rfft2(disc, (2 * size, 2 * size))) ** 2, (2 * size, 2 * size))
    lag = np.abs(np.fft.fftfreq(2 * size, 1 / (2 * size)))
    pairs = [np.maximum(n - lag, 0) / n**2 for n in (rows, columns)]
    return float(pairs[0] @ overlap @ pairs[1] / overlap[0, 0])


def _fast_length(count: int) -> int:
    """Return the next number without prime factors above 5."""
    while True:
        rest = count
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return count
        count += 1
