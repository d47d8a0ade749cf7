"""How light spreads in a film before it exposes the layers: each layer's MTF, and halation from the base's back.

Both are linear in exposure. What reaches a few pixels is filtered on the pixels, by two separable passes a layer; what
reaches further on cells of some 36 um that lie on the picture's own grid, and is interpolated from them. Every output
is a fixed sequence of multiplications and additions, so a pixel is the same bit for bit in every tile that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import mlx.core as mx
import numpy as np

BASE_MM = 0.13
"""Thickness of the base: 135 acetate is 0.12 to 0.14 mm."""
INDEX = 1.5
"""Refractive index of base and gelatin; behind the base is air."""
STRENGTH = (1.0, 0.3, 0.03)
"""Halation of the red-, green- and blue-sensitive layer. A guess: red lies lowest, yellow filter and dyes hold back
the rest."""
_WHOLE_MM, _EXTENT_MM = 0.45, 0.85  # halation's spread is as derived up to one, and fades to nothing at the other
_RING_UM, _RING_ERROR = 48.0, 0.03  # halation's cells, and how far, of its peak, its separable terms may be from it
_CELL_UM, _CELLS = 24.0, (2, 20)  # the cells of the MTF's Gaussians, and how many pixels they may be
_NEAR_UM, _RADII = 15.0, (3, 16)  # of the MTF's filters on pixels
_RANK = 2
_FARTHEST_MM, _CUT = 0.3, 2.5  # deviation of the widest Gaussian; deviations at which they are cut off
_ROUNDS = 8

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Cells:
    """Separable terms that reach far, on cells of some pixels: up(sum of w (t * t^T * down(x))).

    Args:
        cell: Pixels a side.
        weights: What each layer takes of each term. Shape (3, J)
        taps: Each term's filter, the same down and across.
    """

    cell: int
    weights: mx.array
    taps: tuple[mx.array, ...]

    @property
    def reach(self) -> int:
        """How many pixels from a pixel they look: the filter, and what is averaged and interpolated."""
        return self.cell * (max(taps.size for taps in self.taps) // 2 + 4)

    def places(self, origin: mx.array, shape: Sequence[int]) -> list[mx.array]:
        """Find where a tile's first whole cell begins, and rows' and columns' four cells with their weights.

        Shape: -> (2,), (4, H), (4, H, 1), (4, W), (4, W, 1)
        """
        start = mx.remainder(-(origin + self.cell // 2), self.cell)
        found, table = [start], mx.array(_spline(self.cell), mx.float32)
        for axis in (0, 1):
            last = (shape[axis] - self.cell + 1) // self.cell - 2
            place = mx.arange(shape[axis]) - start[axis] - 2 * (self.cell // 2) + 4 * self.cell  # 4: none is negative
            before = place // self.cell - 5
            found.append(mx.clip(before + mx.arange(4)[:, None], 0, last))
            found.append(table[place % self.cell].T[..., None])
        return found

    def __call__(self, planes: mx.array, places: list[mx.array]) -> list[mx.array]:
        """Average over cells, filter there, and interpolate.

        Shape: (3, H, W) -> 3 times (H, W)
        """
        start, *places = places
        cells = _averaged(planes, start, self.cell)
        flat, columns = cells.reshape(-1), cells.shape[2]
        terms = []
        for j, taps in enumerate(self.taps):
            edge = taps.size // 2 * (columns + 1)
            spread = mx.pad(_separable(flat, columns, taps), (edge, edge)).reshape(cells.shape)
            terms.append(mx.contiguous(spread * self.weights[:, j, None, None]))
        return [_interpolated(plane, *places) for plane in reduce(add, terms)]


@dataclass(frozen=True, eq=False)
class Optics:
    """A film's spread of light at one pitch, prepared by `optics`.

    out = max(0, x - y + d y + sum of w (t * t^T * y) + far(y)) / total + ring(x), y = min(x, 1), for each layer.

    What a white area exposes above 1 is past the MTF's sharpening, whose dark rims around a light would know no bound:
    it goes by unspread, but for halation.

    Args:
        direct: Each layer's weight of its exposure itself. Shape (3,)
        weights: Each layer's weights of the MTF's terms on pixels. Shape (3, M)
        taps: Their filters, the same down and across. Shape (3, M, 2 R + 1)
        far: The MTF's terms on cells.
        total: Light in all, with what comes back. Shape (3,)
        ring: Halation, divided by the total.
    """

    direct: mx.array
    weights: mx.array
    taps: mx.array
    far: Cells | None
    total: mx.array
    ring: Cells | None

    @property
    def reach(self) -> int:
        """How far it looks, in pixels; what is closer than that to a tile's edge is wrong."""
        return max(self.taps.shape[2] // 2, *(cells.reach if cells else 0 for cells in (self.far, self.ring)))

    def __call__(self, exposure: mx.array, origin: tuple[int, int] | mx.array) -> mx.array:
        """Spread a tile's light. Lazy; compiled once for each shape.

        Args:
            exposure: Linear exposure of the red-, green- and blue-sensitive layer.
            origin: Row and column of the tile's first pixel in the picture, or an int32 array of the two.

        Shape: (H, W, 3) -> the same, right where ``reach`` or more from the edges
        Range: 0 and above, 1 a white area -> 0 and above
        Raises: ValueError for another shape or a tile in which nothing would be right.
        """
        if exposure.ndim != 3 or exposure.shape[2] != 3 or min(exposure.shape[:2]) <= 2 * self.reach:
            raise ValueError(f"Optics expects (H, W, 3) with sides above {2 * self.reach}, got {exposure.shape}")
        corner, shape = mx.array(origin, mx.int32), exposure.shape[:2]
        # Found apart, so that what is compiled, which takes seconds once, is the same for all sizes of cells.
        return self._step(exposure, [cells.places(corner, shape) for cells in (self.far, self.ring) if cells])

    @cached_property
    def _step(self) -> Callable[[mx.array, list[list[mx.array]]], mx.array]:
        return mx.compile(self._spread)

    def _spread(self, exposure: mx.array, places: list[list[mx.array]]) -> mx.array:
        height, width, _ = exposure.shape
        planes = mx.contiguous(exposure.transpose(2, 0, 1))  # (3, H, W)
        bounded = mx.contiguous(mx.minimum(planes, 1)) if self.far else planes
        edge = self.taps.shape[2] // 2 * (width + 1)
        inside = slice(edge, height * width - edge)
        far = self.far(bounded, places[0]) if self.far else None
        ring = self.ring(planes, places[-1]) if self.ring else None
        layers = []
        for c in range(3):
            flat, low = planes[c].reshape(-1)[inside], bounded[c].reshape(-1)
            near = (self.weights[c, m] * _separable(low, width, taps) for m, taps in enumerate(self.taps[c]))
            layer = reduce(add, near, flat - low[inside] + self.direct[c] * low[inside])
            if far:
                layer = layer + far[c].reshape(-1)[inside]
            layer = mx.maximum(layer, 0) / self.total[c]
            if ring:
                layer = layer + mx.maximum(ring[c].reshape(-1)[inside], 0)
            layers.append(mx.pad(layer, (edge, edge)).reshape(height, width))
        return mx.stack(layers, axis=-1)


def _separable(flat: mx.array, width: int, taps: mx.array) -> mx.array:
    """Filter rows of a flat buffer down and across; ends that would lack a tap are left out, rows run into each other.

    Sums are cut into kernels of at most ten inputs, the most that compilers vectorise: `contiguous`, which is never
    fused, copies nothing here. On a CPU seven taps take a quarter of the time.

    Shape: (N,), symmetric taps (2 r + 1,) -> (N - 2 r (width + 1),)
    """
    radius = taps.size // 2
    for step in (width, 1):
        count = flat.size - 2 * radius * step
        places = [flat[i * step : i * step + count] for i in range(2 * radius + 1)]
        total = places[radius] * taps[radius]
        for i in range(1, radius + 1):
            total = total + (places[radius - i] + places[radius + i]) * taps[radius + i]
            if i % 3 == 2 or i == radius:
                total = mx.contiguous(total)
        flat = total
    return flat


def _tent(cell: int) -> np.ndarray:
    """Weigh the pixels around a cell's middle by their distance: from the pixel ``cell // 2`` before the cell on.

    Shape: -> (2 cell,)
    """
    distance = np.arange(2 * cell) - cell // 2 - (cell - 1) / 2
    return (cell - np.abs(distance)).clip(0) / cell**2


def _spline(cell: int) -> np.ndarray:
    """Weigh the four cells around each pixel, from the pixel ``cell // 2`` after a cell's first on: cubic B-splines.

    Shape: -> (cell, 4)
    """
    t = (np.arange(cell) + cell // 2 - (cell - 1) / 2) / cell
    u = 1 - t
    return np.stack([u**3, 3 * t**3 - 6 * t**2 + 4, 3 * u**3 - 6 * u**2 + 4, t**3], -1) / 6


def _averaged(planes: mx.array, start: mx.array, cell: int) -> mx.array:
    """Average pixels over cells, with weights that fall off towards the neighbours' middles.

    Shape: (3, H, W) -> (3, h, w), as many as fit wherever the first begins
    """
    rows, columns = ((side - cell + 1) // cell for side in planes.shape[1:])
    weights = mx.array(_tent(cell), mx.float32)

    def halves(part: Callable[[int], mx.array]) -> list[mx.array]:
        totals = [part(0) * weights[0], part(0) * weights[cell]]
        for i in range(1, cell):
            totals = [mx.contiguous(total + part(i) * weights[h * cell + i]) for h, total in enumerate(totals)]
        return totals

    tall = mx.slice(planes, start, (1, 2), (3, rows * cell, columns * cell)).reshape(3, rows, cell, -1)
    first, second = halves(lambda i: tall[:, :, i])
    wide = (first[:, :-1] + second[:, 1:]).reshape(3, rows - 1, columns, cell)
    first, second = halves(lambda i: wide[..., i])
    return first[:, :, :-1] + second[:, :, 1:]


def _interpolated(cells: mx.array, *places: mx.array) -> mx.array:
    """Interpolate pixels from cells, first across, while there are few, then down; whole rows gather fast.

    Shape: (h, w), as `Cells.places` -> (H, W)
    """
    rows, row_weights, columns, column_weights = places

    def weighted(plane: mx.array, index: mx.array, weights: mx.array) -> mx.array:
        return reduce(add, (mx.take(plane, index[i], axis=0) * weights[i] for i in range(4)))

    across = weighted(mx.contiguous(cells.T), columns, column_weights)
    return weighted(mx.contiguous(across.T), rows, row_weights)


def optics(mtf: Sequence[Curve] | None, pitch_um: float, *, halation: float = 0.0) -> Optics | None:
    """Prepare a film's spread of light for pictures of one pitch; None where there is nothing to do.

    Light goes to the layers directly, with the data sheet's MTF, or by way of the base's back, with halation's spread
    P: E' = (MTF E + h s P E) / (1 + h s), h being ``halation`` and s the layer's `STRENGTH`. Each layer gets its own
    light back: what the layers above let through is of its band. It is divided by the whole so that an even area keeps
    its exposure, as a film's speed is measured with its halation.

    For the 56 layers of 32 stocks' sheets the response is within 0.04 of the sheet's up to the Nyquist frequency, in
    all directions, at 4 to 24 um (0.045 at 3, median 0.02); finer than 1.5 um the fit is looser, 0.08 at 1 um.

    Args:
        mtf: Frequency in cycles a millimetre, rising, and response of each layer; None for no spread. As data sheets
            have it, 1 at frequency 0; above the last frequency the curve goes on straight in its logarithms.
        pitch_um: The picture's pixel pitch on the film.
        halation: Light that comes back to the red-sensitive layer from behind, as a share of what it got; 0 behind an
            anti-halation layer, some 0.1 without one.

    Raises: ValueError for a curve, a pitch or a halation that cannot be.
    """
    if not (pitch_um > 0 and math.isfinite(pitch_um)):
        raise ValueError(f"optics expects a positive pitch_um, got {pitch_um}")
    if not 0 <= halation <= 1:
        raise ValueError(f"optics expects halation in [0, 1], got {halation}")
    if mtf is not None:
        _check(mtf)
    if mtf is None and halation == 0:
        return None

    total = 1 + halation * np.array(STRENGTH)
    direct, weights, taps = np.ones(3), np.zeros((3, 0)), np.zeros((3, 0, 1))
    far = ring = None
    if mtf is not None:
        cell = min(max(_CELLS[0], round(_CELL_UM / pitch_um)), _CELLS[1])
        wide = _wide_taps(mtf, pitch_um, cell)
        layers = [_fitted(curve, pitch_um, cell, wide) for curve in mtf]
        direct, weights, taps, bends = (np.stack(parts) for parts in zip(*layers, strict=True))
        far = _cells(cell, bends, wide)
    if halation:
        cell = max(1, round(_RING_UM / pitch_um))
        strength, lines = halation_terms(cell * pitch_um)
        ring = _cells(cell, (1 - 1 / total)[:, None] * strength, lines)
    direct, weights, taps, total = (mx.array(values, mx.float32) for values in (direct, weights, taps, total))
    return Optics(direct, weights, taps, far, total, ring)


def _cells(cell: int, weights: np.ndarray, taps: Iterable[np.ndarray]) -> Cells:
    return Cells(cell, mx.array(weights, mx.float32), tuple(mx.array(line, mx.float32) for line in taps))


def _check(mtf: Sequence[Curve]) -> None:
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


def _wide_taps(mtf: Sequence[Curve], pitch_um: float, cell: int) -> list[np.ndarray]:
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
    tent, spline = _tent(cell)[: 2 * cell - odd], _spline(cell).T[::-1].ravel()[odd:] / cell
    return _response(tent, cycles) * _response(taps, cycles * cell) * _response(spline, cycles)


def _fitted(
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
