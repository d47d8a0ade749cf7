"""What a film's spread of light is made of: filters with the response of an MTF, and halation's point spread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BASE_MM = 0.13
"""Thickness of the base: 135 acetate is 0.12 to 0.14 mm."""
INDEX = 1.5
"""Refractive index of base and gelatin; behind the base is air."""
_WHOLE_MM, _EXTENT_MM = 0.45, 0.85  # halation's spread is as derived up to one, and fades to nothing at the other
_RING_ERROR = 0.03  # of halation's peak: how far its separable terms may be from it
_NEAR_UM, _RADII = 15.0, (3, 16)  # of the MTF's filters on pixels
_RANK = 2
_FARTHEST_MM, _CUT = 0.3, 2.5  # deviation of the widest Gaussian; deviations at which they are cut off
_ROUNDS = 8

Curve = tuple[np.ndarray, np.ndarray]


def tent(cell: int) -> np.ndarray:
    """Weigh the pixels around a cell's middle by their distance: from the pixel ``cell // 2`` before the cell on.

    Shape: -> (2 cell,)
    """
    distance = np.arange(2 * cell) - cell // 2 - (cell - 1) / 2
    return (cell - np.abs(distance)).clip(0) / cell**2


def spline(cell: int) -> np.ndarray:
    """Weigh the four cells around each pixel, from the pixel ``cell // 2`` after a cell's first on: cubic B-splines.

    Shape: -> (cell, 4)
    """
    t = (np.arange(cell) + cell // 2 - (cell - 1) / 2) / cell
    u = 1 - t
    return np.stack([u**3, 3 * t**3 - 6 * t**2 + 4, 3 * u**3 - 6 * u**2 + 4, t**3], -1) / 6


def check_mtf(mtf: Sequence[Curve]) -> None:
    """Raise ValueError unless there is a curve for each of three layers: frequencies that rise, responses above 0."""
    if len(mtf) != 3:
        raise ValueError(f"optics expects the mtf of 3 layers, got {len(mtf)}")
    for frequency, response in mtf:
        f, r = np.asarray(frequency, float), np.asarray(response, float)
        if f.ndim != 1 or f.shape != r.shape or f.size < 2:
            raise ValueError(f"optics expects as many frequencies as responses, 2 or more, got {f.shape} and {r.shape}")
        if not (f[0] > 0 and np.isfinite(f).all() and (np.diff(f) > 0).all()):
            raise ValueError(f"optics expects frequencies that rise from above 0, got {f}")
        if not ((r > 0) & (r < 10)).all():
            raise ValueError(f"optics expects responses in (0, 10), got {r}")


def response_at(curve: Curve, frequency: np.ndarray) -> np.ndarray:
    """Read an MTF at any frequency.

    1 at 0, half a cosine to the first point, straight lines in the logarithm of the frequency, and beyond the last
    point a power law with the last octave's slope.

    Shape: any -> the same
    """
    f, r = (np.asarray(values, float) for values in curve)
    q = np.maximum(frequency, 1e-9)
    last = slice(min(np.searchsorted(f, f[-1] / 2), len(f) - 2), None)
    slope = np.clip(np.polyfit(np.log(f[last]), np.log(r[last]), 1)[0], -6, -1)
    below = 1 + (r[0] - 1) * (0.5 - 0.5 * np.cos(np.pi * np.minimum(q / f[0], 1)))
    beyond = r[-1] * (np.maximum(q / f[-1], 1)) ** slope
    return np.where(q < f[0], below, np.where(q > f[-1], beyond, np.interp(np.log(q), np.log(f), r)))


def wide_taps(mtf: Sequence[Curve], pitch_um: float, cell: int) -> list[np.ndarray]:
    """Choose Gaussians on the cells that can bend the response at low frequencies, up to where the sheets begin."""
    side = cell * pitch_um / 1000
    starts = [f[0] for f, r in mtf if abs(r[0] - 1) > 0.02]
    widest = 0.375 / min(starts) if starts else 0.0  # 1 - its response is half up at half the first frequency
    deviations = [1.0, 2.2] + ([min(widest, _FARTHEST_MM) / side] if widest > 2.6 * side else [])
    lines = []
    for deviation in deviations:
        left = math.sqrt(deviation**2 - 0.5)  # the tent's variance is 1/6, the spline's 1/3
        radius = math.ceil(_CUT * left)
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / left) ** 2)
        lines.append(taps / taps.sum())
    return lines


def _response(taps: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """Give the response of symmetric taps, at cycles a step."""
    place = np.arange(len(taps)) - (len(taps) - 1) / 2
    return np.tensordot(taps, np.cos(2 * np.pi * place.reshape(-1, *([1] * cycles.ndim)) * cycles), 1)


def cell_response(taps: np.ndarray, cell: int, cycles: np.ndarray) -> np.ndarray:
    """Give the response (cycles a pixel, along one axis) of a filter on cells, averaged over where the cells lie."""
    odd = cell % 2  # an odd cell's middle is on a pixel: the weights' one end is a zero
    down, up = tent(cell)[: 2 * cell - odd], spline(cell).T[::-1].ravel()[odd:] / cell
    return _response(down, cycles) * _response(taps, cycles * cell) * _response(up, cycles)


def fitted(
    curve: Curve, pitch_um: float, cell: int, wide_taps: list[np.ndarray]
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Fit a response, in turn by a free kernel on the pixels whose main terms are kept, and by the weights of those.

    Returns the weights of the exposure, of the near terms, the near terms' taps, and the weights of the far terms.

    Shape: -> (), (M,), (M, 2 radius + 1), (J,)
    """
    radius = min(max(_RADII[0], math.ceil(_NEAR_UM / pitch_um)), _RADII[1])
    first, nyquist = float(curve[0][0]), 500 / pitch_um
    axis = np.unique(np.concatenate([np.linspace(0, min(2 * first, nyquist), 9), np.linspace(0, nyquist, 25)]))
    across, down = (axis[index] for index in np.tril_indices(len(axis)))
    radial = np.hypot(across, down)
    target = response_at(curve, radial)
    held = radial <= nyquist * (1 + 1e-9)
    weight = np.where(held, 1.0, 0.05)  # the corners only have to stay sane
    x, y = across * pitch_um / 1000, down * pitch_um / 1000

    wide = [cell_response(taps, cell, x) * cell_response(taps, cell, y) for taps in wide_taps]
    index = np.arange(radius + 1)
    cosines = [np.cos(2 * np.pi * index[:, None] * cycles) * np.where(index, 2, 1)[:, None] for cycles in (x, y)]
    pairs = [(i, j) for i in range(radius + 1) for j in range(i + 1)]
    free = [(cosines[0][i] * cosines[1][j] + cosines[0][j] * cosines[1][i]) / (1 + (i == j)) for i, j in pairs]
    best = np.inf, (1.0, np.zeros(_RANK), np.zeros((_RANK, 2 * radius + 1)), np.zeros(len(wide)))
    for _ in range(_ROUNDS):
        solution = _solved(np.stack(free + wide, 1), target, weight)
        quarter = np.zeros((radius + 1, radius + 1))
        for (i, j), value in zip(pairs, solution, strict=False):
            quarter[i, j] = quarter[j, i] = value
        mirror = np.abs(np.arange(-radius, radius + 1))
        taps = _main_terms(quarter[mirror[:, None], mirror])
        terms = [_response(t, x) * _response(t, y) for t in taps]
        design = np.stack([np.ones_like(x), *terms, *wide], 1)
        solution = _solved(design, target, weight)
        error = np.abs(design @ solution - target)
        worst = error[held].max()
        if worst < best[0]:
            best = worst, (solution[0], solution[1 : _RANK + 1], taps, solution[_RANK + 1 :])
        if error.max() == 0:
            break
        weight = weight * (error + 0.02 * error.max())  # towards the least worst error
        weight = weight / weight.mean()
    return best[1]


def _solved(design: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Solve weighted least squares with a gain of 1 at frequency 0, which is the first row.

    Shape: (F, J), (F,), (F,) -> (J,)
    """
    gain = design[0]
    shift = design[:, 1:] - design[:, :1] * (gain[1:] / gain[0])
    weighted = (shift * weight[:, None]).T
    ridge = 1e-5 * len(target) * np.eye(shift.shape[1])
    rest = np.linalg.solve(weighted @ shift + ridge, weighted @ (target - design[:, 0] / gain[0]))
    return np.concatenate([[(1 - gain[1:] @ rest) / gain[0]], rest])


def _main_terms(kernel: np.ndarray) -> np.ndarray:
    """Find the separable terms that a symmetric kernel is made of but for its middle, which is free.

    Shape: (K, K) -> (M, K)
    """
    middle = np.zeros_like(kernel)
    middle[len(kernel) // 2, len(kernel) // 2] = 1
    best = np.inf, np.zeros((_RANK, len(kernel)))
    for share in np.linspace(-0.5, 1, 31):
        values, vectors = np.linalg.eigh(kernel - share * middle)
        order = np.argsort(-np.abs(values))
        left = (values[order[_RANK:]] ** 2).sum()
        if left < best[0]:
            best = left, vectors[:, order[:_RANK]].T
    return best[1]


def halation_spread(radius_mm: np.ndarray) -> np.ndarray:
    """Give what a point of diffused light sends back from behind the base, as a share of it per mm^2.

    Light leaves the emulsion as from a matt surface, sin(2 a) da of it at angles a to the normal; of that, Fresnel's
    R(a) is reflected, all beyond the critical angle, 41.8 degrees. It comes back at r = 2 t tan a, on an area of
    2 pi r dr, so P(r) = R(a) cos^4(a) / (4 pi t^2): a dim disc within a ring at 2 t tan 41.8 = 0.23 mm, bright at its
    inner edge. That is 59.6 % of the light, two fifths of it beyond 0.45 mm; from there on it fades, to nothing at
    0.85 mm. Assumes one reflection, and that neither base nor layers absorb more at a slant.

    Shape: any -> the same
    Reference: Mees and James, 'The Theory of the Photographic Process', on halation; Born and Wolf, 'Principles of
        Optics', section 1.5, for R
    """
    radius_mm = np.asarray(radius_mm, float)
    angle = np.arctan(radius_mm / (2 * BASE_MM))
    cosine, beyond = np.cos(angle), np.sqrt(np.maximum(1 - (INDEX * np.sin(angle)) ** 2, 0))  # 0: total reflection
    across = (INDEX * cosine - beyond) / (INDEX * cosine + beyond)
    along = (cosine - INDEX * beyond) / (cosine + INDEX * beyond)
    fade = np.clip((_EXTENT_MM - radius_mm) / (_EXTENT_MM - _WHOLE_MM), 0, 1)
    spread = (across**2 + along**2) / 2 * cosine**4 / (4 * np.pi * BASE_MM**2)
    return spread * (0.5 - 0.5 * np.cos(np.pi * fade))


def halation_terms(cell_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Take halation's spread on cells apart into as few separable terms as come close to it; they sum to 1.

    Shape: -> weights (J,), taps (J, 2 r + 1)
    """
    side, fine = cell_um / 1000, 8
    radius = math.ceil(_EXTENT_MM / side)
    place = (np.arange((2 * radius + 1) * fine) + 0.5) / fine - radius - 0.5
    kernel = halation_spread(side * np.hypot(place[:, None], place))
    kernel = kernel.reshape(2 * radius + 1, fine, 2 * radius + 1, fine).mean((1, 3))
    values, vectors = np.linalg.eigh(kernel)
    order = np.argsort(-np.abs(values))
    values, vectors = values[order], vectors[:, order]
    terms = np.cumsum(np.einsum("k,ik,jk->kij", values, vectors, vectors), 0)
    rank = int(np.argmax(np.abs(terms - kernel).max((1, 2)) <= _RING_ERROR * kernel.max())) + 1
    return values[:rank] / terms[rank - 1].sum(), vectors[:, :rank].T
