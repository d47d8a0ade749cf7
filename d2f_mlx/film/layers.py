"""A stock's layers as Boolean models: the grains one by one, to the same granularity and correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from operator import add

import mlx.core as mx
import numpy as np

from ..grain.boolean import boolean_reach, boolean_view
from ..grain.boolean_statistics import (
    WEIGHTS,
    boolean_lattice,
    boolean_spectrum,
    boolean_variance,
    window_margin,
    window_taps,
)
from ..grain.discs import WHITE
from ..grain.gaussian import BASE_UM, heavy_tailed
from .scan import ScannedGrain
from .stock import FilmStock

_LEAST_RADIUS = 0.25  # of a scan's pixel, where a stock says nothing of its grains
_FINEST = 0.1  # of a pixel: the least radius for which grains are drawn one by one
_MOST_ZOOM = 16  # that the Boolean model takes
_SHADES = 257
_LEAST, _MOST = 0.02, 0.98  # coverage
_GREY = 0.82  # coverage at a density of 0.75
_BLURS = np.geomspace(0.2, 8, 200)  # output pixels


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer's Boolean model at a scan's pitch.

    Args:
        radius: Mean radius of its grains in film pixels (`grain.gaussian.BASE_UM`, or a fitted stock's pitch).
        radius_sigma: Deviation of the radii.
        blur: Deviation of the window in output pixels: the scanner, the pixel and what a fit saw.
        deviation: Of the view by coverage from 0 to 1. Shape (257,)
    """

    radius: float
    radius_sigma: float
    blur: float
    deviation: np.ndarray


@dataclass(frozen=True, eq=False)
class BooleanGrain:
    """A stock's grain made of grains: independent layers, each as dense as its channel, mixed like the Gaussian fields.

    A layer's coverage is 1 - 10^-D of its channel's net density (Nutting's law for opaque grains). Each layer's view
    is taken relative to its mean and deviation, which are known in closed form, so that the stock's granularity
    and correlation hold as they do for the Gaussian engine; what differs is how the grain clumps, and its spectrum's
    shape, which has the window's and the discs' form (its lag-1 correlation is the stock's).

    Args:
        layers: One for each field that the stock mixes.
        grain: The stock's tone and mixing at the scan's pitch.
        zoom: Output pixels to a film pixel.
    """

    layers: tuple[Layer, ...]
    grain: ScannedGrain
    zoom: float

    @property
    def reach(self) -> int:
        """How many output pixels beside a tile its inside depends on."""
        reaches = (boolean_reach(r.radius, r.radius_sigma, blur=r.blur, zoom=self.zoom) for r in self.layers)
        return int(np.ceil((max(reaches) + 1) * self.zoom)) + 2

    def unit(self, density: mx.array, key: mx.array, origin: tuple[int, int]) -> mx.array:
        """Draw a tile's grain, of mean 0 and variance 1 in every channel.

        Args:
            density: Net density of the film. Shape (H, W, 3)
            key: Random key.
            origin: Row and column of the first pixel in the whole picture.

        Shape: -> (H, W, 3)
        """
        covered = mx.clip(1 - mx.power(10, -mx.maximum(density, 0)), _LEAST, _MOST)
        planes = [
            self._plane(layer, covered[..., index], mx.random.split(key, 3)[index], origin)
            for index, layer in enumerate(self.layers)
        ]
        mixing = self.grain.field.mixing
        channels = [
            reduce(add, (mixing[c, m] * plane for m, plane in enumerate(planes))) for c in range(mixing.shape[0])
        ]
        return heavy_tailed(mx.stack(channels, -1), self.grain.field.tail)

    def _plane(self, layer: Layer, coverage: mx.array, key: mx.array, origin: tuple[int, int]) -> mx.array:
        height, width = coverage.shape
        (top, rows), (left, columns) = map(self._film_pixels, origin, (height, width))
        film = mx.take(mx.take(coverage, mx.array(rows), axis=0), mx.array(columns), axis=1)
        view = boolean_view(
            film[..., None],
            radius=layer.radius,
            radius_sigma=layer.radius_sigma,
            blur=layer.blur,
            zoom=self.zoom,
            key=key,
            origin=(top, left),
        )[..., 0]
        skip = [o - math.floor(self.zoom * first + 0.5) for o, first in zip(origin, (top, left), strict=True)]
        view = view[skip[0] : skip[0] + height, skip[1] : skip[1] + width]
        mean = film
        for axis, first in enumerate((top, left)):
            mean = self._expected(layer, mean, axis, origin[axis], coverage.shape[axis], first)
        shade = mean * (_SHADES - 1)
        below = mx.clip(shade, 0, _SHADES - 2).astype(mx.int32)
        share, table = shade - below, mx.array(layer.deviation, mx.float32)
        return (view - mean * WHITE) / (mx.take(table, below) * (1 - share) + mx.take(table, below + 1) * share)

    def _film_pixels(self, origin: int, count: int) -> tuple[int, np.ndarray]:
        """Return the first film pixel under a line of a tile, and which of the tile's pixels lies over each."""
        first = math.floor((origin - 1) / self.zoom)
        last = math.ceil((origin + count + 1) / self.zoom)
        over = np.floor((np.arange(first, last) + 0.5) * self.zoom).astype(np.int32) - origin
        return first, over.clip(0, count - 1)

    def _expected(self, layer: Layer, film: mx.array, axis: int, origin: int, count: int, first: int) -> mx.array:
        """Put film under the view's window along an axis: weigh the film pixels that the window's points lie in."""
        points, margin = boolean_lattice(layer.radius, blur=layer.blur, zoom=self.zoom), window_margin(layer.blur)
        taps = window_taps(layer.blur, points) / WEIGHTS
        line = (np.arange(origin, origin + count)[:, None] - margin) * points + np.arange(len(taps))
        pixel = np.floor((line + 0.5) / (points * self.zoom)).astype(int)
        width = math.ceil((2 * margin + 1) / self.zoom) + 1
        place = np.arange(count)[:, None] * width + pixel - pixel[:, :1]
        weight = np.bincount(place.ravel(), np.tile(taps, count), count * width).reshape(count, width)
        under = (pixel[:, :1] - first + np.arange(width)).clip(0, film.shape[axis] - 1)
        weights = mx.array(np.expand_dims(weight, 1 - axis), mx.float32)
        return reduce(add, (mx.take(film, mx.array(under[:, k]), axis=axis) * weights[..., k] for k in range(width)))


def boolean_grain(stock: FilmStock, grain: ScannedGrain) -> BooleanGrain | None:
    """Set a stock's layers up for a scan.

    The radii are the stock's; for a stock fitted to scans, which are too coarse to show grains, a quarter of
    the scans' pixel. Each window is as wide as gives neighbouring pixels the correlation of the stock's spectrum in
    mid grey; the denser film is, the finer its gaps, so that in highlights of a negative it is a little less.

    None where so many grains lie in a pixel (radii below a tenth of it) that nothing is left to tell the sum
    of them from a Gaussian field: `grain.unit_grain` is the closed-form limit then.

    Raises: ValueError for pixels finer than a sixteenth of the film's.
    """
    film_um = stock.pitch_um or BASE_UM
    zoom = film_um / grain.pitch_um
    if zoom > _MOST_ZOOM:
        raise ValueError(
            f"boolean grain expects pixels of {film_um / _MOST_ZOOM:.2f} um or more on {stock.name}, got "
            f"{grain.pitch_um:.2f}: a smaller enlargement, or the gaussian engine"
        )
    used = grain.field.kernels.shape[0]
    radii = np.full(3, _LEAST_RADIUS * film_um) if stock.radius_um is None else stock.radius_um
    if radii[:used].max() < _FINEST * grain.pitch_um:
        return None
    spreads = np.zeros(3) if stock.radius_sigma_um is None else stock.radius_sigma_um
    layers = []
    for radius_um, spread_um, neighbour in zip(radii[:used], spreads[:used], grain.neighbours, strict=True):
        radius, spread = radius_um / film_um, spread_um / film_um
        blur = _matching_blur(radius * zoom, spread * zoom, neighbour)
        variance = boolean_variance(
            np.linspace(0, 1, _SHADES).clip(_LEAST, _MOST), radius, spread, blur=blur, zoom=zoom
        )
        layers.append(Layer(radius, spread, blur, np.sqrt(variance)))
    return BooleanGrain(tuple(layers), grain, zoom)


def _matching_blur(radius: float, spread: float, neighbour: float) -> float:
    """Find the window that gives discs (output pixels) a correlation between neighbouring pixels."""
    f = np.linspace(0, 2, 257)
    power = boolean_spectrum(f, _GREY, radius, spread)
    angle = (np.arange(16) + 0.5) * (np.pi / 2 / 16)
    along = np.cos(2 * np.pi * f[:, None] * np.cos(angle)).mean(1)  # lag 1 across, over all directions
    seen = power * f * np.exp(-((2 * np.pi * _BLURS[:, None]) ** 2) * f**2)
    lag = (seen * along).sum(1) / seen.sum(1)
    return float(np.interp(neighbour, lag, _BLURS))
