"""What the Boolean model of film grain has on average: intensity, covariance, spectrum, and variance under a window."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .discs import WHITE, Discs, discs

WEIGHTS = 2**15
"""What a line's weights of the window add up to: float32 holds their sums exactly, int32 those of a picture."""
_FINEST = 16
_NODES = 256


def boolean_intensity(u: ArrayLike, radius: float, radius_sigma: float = 0.0) -> np.ndarray:
    """Return how many grains a film pixel (area) has where coverage u is asked for.

    lambda(u) = -ln(1 - u~) / (pi <r^2>), u~ = u 255 / 255.1, so that white is finite. The paper takes mu_r^2 +
    sigma_r^2 for <r^2>; here it is the mean square of the radii as they are drawn, cut off at the 0.999 quantile, so
    that the mean is u~ for wide laws too (the paper's intensity is 3 % too low for sigma_r = mu_r; constant radii are
    alike).

    Shape: that of u, which is in [0, 1]
    Reference: Newson, Faraj, Galerne and Delon 2017, 'Realistic film grain rendering', IPOL 7, section 2.
        doi:10.5201/ipol.2017.192
    """
    return -np.log1p(-_attained(u)) / (np.pi * (discs(radius, radius_sigma).radii ** 2).mean())


def _attained(u: ArrayLike) -> np.ndarray:
    """Return the coverage that film has where u is asked for."""
    u = np.asarray(u, float)
    if not ((u >= 0) & (u <= 1)).all():
        raise ValueError(f"the Boolean model expects coverage in [0, 1], got {u.min():.4g} to {u.max():.4g}")
    return u * WHITE


def _overlap(h: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the area that two discs of one radius share, their centres h apart; the mean over the radii."""
    total = np.zeros(h.shape)
    for part in np.array_split(radii, max(radii.size * h.size // 2**20, 1)):
        share = np.minimum(h[..., None] / (2 * part), 1)
        total += (2 * part**2 * (np.arccos(share) - share * np.sqrt(1 - share**2))).sum(-1)
    return total / radii.size


def boolean_covariance(h: ArrayLike, u: ArrayLike, radius: float, radius_sigma: float = 0.0) -> np.ndarray:
    """Return the covariance of the indicator of grain at two points h film pixels apart.

    C(h) = (1 - u~)^2 (exp(lambda gamma(h)) - 1), gamma(h) = <2 r^2 acos(h / 2 r) - (h / 2) sqrt(4 r^2 - h^2)>, the
    mean being over the radii as drawn. Exact where u is constant.

    Shape: that of h and u together (they broadcast)
    Reference: Chiu, Stoyan, Kendall and Mecke 2013, 'Stochastic geometry and its applications', section 3.1.
    """
    u, h = _attained(u), np.abs(np.asarray(h, float))
    radii = discs(radius, radius_sigma).radii
    intensity = -np.log1p(-u) / (np.pi * (radii**2).mean())
    return (1 - u) ** 2 * np.expm1(intensity * _overlap(h, radii))


def boolean_variance(
    u: ArrayLike,
    radius: float,
    radius_sigma: float = 0.0,
    *,
    blur: float = 0.8,
    zoom: float = 1.0,
    lattice: int | None = None,
) -> np.ndarray:
    """Return the variance of a pixel of `boolean_view` where coverage is u all around.

    The covariance summed against the autocorrelation of the view's weights: exact, the lattice's coarseness included.

    ``lattice`` 0 is the limit of a fine one: the integral over the plane of C(h) exp(-h^2 / 4 s^2) / (4 pi s^2), s =
    blur / zoom. Other arguments as for `boolean_view`; the paper's N samples a pixel add up to u~ (1 - u~) / N.

    Shape: that of u
    """
    law = checked_law(radius, radius_sigma, blur, zoom, lattice or None)
    u = np.asarray(u, float)
    if lattice == 0:
        h, weight = _disc_nodes(2 * law.radii[-1], _NODES)
        spread = 4 * (blur / zoom) ** 2
        weight = weight * np.exp(-(h**2) / spread) / (np.pi * spread)
    else:
        points = lattice or boolean_lattice(radius, blur=blur, zoom=zoom)
        taps = window_taps(blur, points) / WEIGHTS
        pair = np.correlate(taps, taps, "full")[len(taps) - 1 :]
        pair = pair[: min(int(2 * law.radii[-1] * points * zoom) + 1, len(pair))]
        pair[1:] *= 2
        squares, index = np.unique(
            np.add.outer(np.arange(len(pair)) ** 2, np.arange(len(pair)) ** 2), return_inverse=True
        )
        h, weight = squares**0.5 / (points * zoom), np.bincount(index.ravel(), np.outer(pair, pair).ravel())
    return boolean_covariance(h, u[..., None], radius, radius_sigma) @ weight


def boolean_spectrum(frequency: ArrayLike, u: float, radius: float, radius_sigma: float = 0.0) -> np.ndarray:
    """Return the radial power spectrum of the indicator of grain for constant coverage, before any blur.

    W(f) = 2 pi integral of C(h) J0(2 pi f h) h dh; its integral over the plane, 2 pi W(f) f df, is u~ (1 - u~).

    Shape: that of the frequencies, in cycles per film pixel
    Range: film pixels^2
    """
    f = np.abs(np.asarray(frequency, float))
    widest = 2 * discs(radius, radius_sigma).radii[-1]
    h, weight = _disc_nodes(widest, _NODES + math.ceil(4 * widest * f.max(initial=0)))
    weight = weight * boolean_covariance(h, u, radius, radius_sigma)
    return np.reshape([_bessel(2 * np.pi * k * h) @ weight for k in f.ravel()], f.shape)


def _bessel(x: np.ndarray) -> np.ndarray:
    """Return J0(x): the mean of cos(x sin t) over a quarter of a turn."""
    count = math.ceil(x.max() / 4) + 12
    return np.cos(np.multiply.outer(x, np.sin((np.arange(count) + 0.5) * (np.pi / 2 / count)))).mean(-1)


@lru_cache(maxsize=16)
def _disc_nodes(radius: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return radii and weights that integrate a radial function over a disc; dense towards the centre."""
    t, weight = np.polynomial.legendre.leggauss(count)
    t = (t + 1) / 2
    return radius * t**2, 2 * np.pi * radius * t**2 * weight * radius * t


def boolean_lattice(radius: float, *, blur: float = 0.8, zoom: float = 1.0) -> int:
    """Return how many points a pixel and axis `boolean_view` takes: no wider apart than a radius; 4 to 16.

    Points that far apart add a few per cent to the variance (8 % at a radius of 0.1 output pixels, 4 % at 0.3). Grains
    of a radius below 1/16 output pixel come out noisier than they are, by what `boolean_variance` says.
    """
    return min(max(math.ceil(1 / (radius * zoom)), math.ceil(1.5 / blur), 4), _FINEST)


def checked_law(
    radius: float,
    radius_sigma: float,
    blur: float,
    zoom: float,
    points: int | None,
    name: str = "lattice",
    most: int = 64,
) -> Discs:
    """Return the law of discs, the view's other arguments being in bounds."""
    if not 0.2 <= blur <= 8:
        raise ValueError(f"the Boolean model expects a blur from 0.2 to 8 output pixels, got {blur}")
    if not 1 / 16 <= zoom <= 16:
        raise ValueError(f"the Boolean model expects a zoom from 1/16 to 16, got {zoom}")
    if points is not None and not (points == int(points) and 1 <= points <= most):
        raise ValueError(f"the Boolean model expects {name} to be a whole number from 1 to {most}, got {points}")
    return discs(float(radius), float(radius_sigma))


def window_margin(blur: float) -> int:
    """Return how many pixels beside its own the window reaches over: to at least four deviations."""
    return math.ceil(4 * blur - 0.5)


def window_taps(blur: float, points: int) -> np.ndarray:
    """Return the window's weights at a line's points, whole numbers of known sum."""
    count = (2 * window_margin(blur) + 1) * points
    share = np.cumsum(np.exp(-0.5 * ((np.arange(count) - (count - 1) / 2) / (points * blur)) ** 2))
    return np.diff(np.rint(WEIGHTS * share / share[-1]), prepend=0)
