"""The halide engine: halides are scattered over the photo, and a network rebuilds the film between them.

Its networks learned from scans, which are positives: where the other engines put grain into the film's density before
it is printed, this one puts it onto the finished print, or scan.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import mlx.core as mx
import numpy as np

from .. import checkpoint
from ..film import FilmStock, Scanner, film_halides
from ..grain import Halides, HalideStatistics, scatter
from ..grain.filters import averaged
from ..grain.halide import Kind
from ..grain.noise import normal_at
from ..models import Reconstructor
from .colour import Colour
from .config import LARGEST_TILE, DevelopConfig, Precision
from .engine import cropped
from .stochastic import StochasticEngine

_NOISE = 100  # salt of the white noise that networks are given, apart from those that scatter halides
_DRIFT = 16  # radius, in pixels, of the window over which developing leaves the mean where it was
_TILES = {"unet": 512, "dianet": 192}  # sides that keep a tile's activations well below a gigabyte
_PIXEL_BYTES = {"unet": 720, "dianet": 9800}
_LARGEST = {"unet": LARGEST_TILE, "dianet": 1024}  # DIANet's deepest tensor has 1536 values a pixel


class HalideEngine:
    """Scatter a film's halides and rebuild; arguments as for `Developer`."""

    parallel = 1  # its matrix products take all cores

    def __init__(
        self,
        config: DevelopConfig,
        *,
        stock: FilmStock | None = None,
        scanner: Scanner | None = None,
        network: Reconstructor | None = None,
        statistics: HalideStatistics | None = None,
    ) -> None:
        if stock is None and config.stock:
            stock = FilmStock.load(config.stock)
        if stock is not None and statistics is not None:
            raise ValueError("develop expects a stock or halide statistics, got both")
        framed = config.colour == "film"  # light spreads on a film of some size, then
        sized = bool(config.film_format) or config.enlargement != 1
        if stock is None and (config.exposure_index or (sized and not framed)):
            raise ValueError("develop expects a stock with a film_format, an enlargement or an exposure_index")
        if stock is None and not framed and scanner not in (None, Scanner()):
            raise ValueError("develop expects a stock with a scanner of one's own, got none")
        gaussian = replace(config, grain="gaussian", strength=1.0)
        self._film = StochasticEngine(gaussian, stock=stock, scanner=scanner) if stock else None
        self._config = config
        self._network = _precise(network or checkpoint.from_pretrained(config.reconstructor), config.precision)
        self._own = statistics or checkpoint.statistics_of(config.reconstructor if network is None else None)
        self.statistics = lru_cache(maxsize=4)(self._statistics_for)
        self._rebuild = mx.compile(self._rebuilt, inputs=self._network.state)
        self.halides: Kind = self._network.config.halides
        kind = self._network.config.network
        self.tile, self.largest_tile, self.align = _TILES[kind], _LARGEST[kind], self._network.network.multiple
        self.pixel_bytes = _PIXEL_BYTES[kind]

    def overlap(self, size: tuple[int, int]) -> int:
        """Return the network's reach and that of the local mean."""
        return self._network.overlap + _DRIFT

    def __call__(
        self,
        photo: mx.array,
        key: mx.array,
        origin: tuple[int, int],
        size: tuple[int, int],
        colour: Colour | None = None,
        margin: int = 0,
    ) -> mx.array:
        """Give a tile the film's colour, scatter halides over the positive and rebuild it."""
        if colour:
            photo = colour(photo, origin, max(size))
        last = min(margin, self.overlap(size))
        first = margin - last
        photo, origin = cropped(photo, first), (origin[0] + first, origin[1] + first)
        halides = self.scattered(photo, key, origin, size)
        strength = mx.array(self._config.strength, mx.float32)
        return self._rebuild(photo, halides.mask, halides.image, key, mx.array(origin, mx.int32), strength, last)

    def _statistics_for(self, long_side: int) -> HalideStatistics:
        return film_halides(self._film.grain(long_side), self._own) if self._film else self._own

    def scattered(self, photo: mx.array, key: mx.array, origin: tuple[int, int], size: tuple[int, int]) -> Halides:
        """Scatter halides over one tile: those of a stock's own grain, or of a field with the film's statistics."""
        return scatter(
            photo,
            self.statistics(max(size)),
            kind=self.halides,
            density_scale=self._config.density_scale,
            key=key,
            origin=origin,
            film=self._film(photo, key, origin, size) if self._film else None,
        )

    def _rebuilt(
        self,
        photo: mx.array,
        mask: mx.array,
        image: mx.array,
        key: mx.array,
        origin: mx.array,
        strength: mx.array,
        margin: int,
    ) -> mx.array:
        """Rebuild one tile but its margin: halides as differences from the photo (residual) or as they are."""
        base = (2 * photo - 1)[None]
        halides, mask = (2 * image - 1)[None], mask[None]
        shape = (photo.shape[0], photo.shape[1], 3)
        maps = [normal_at(key, origin, shape, _NOISE + i) for i in range(self._network.config.noise)]
        noise = mx.concatenate(maps, axis=-1)[None] if maps else None
        if self._network.config.way == "residual":
            residual = self._network(mx.where(mask, halides - base, 0), mask, base, noise)
        else:
            residual = self._network(mx.where(mask, halides, 0), mask, None, noise) - base
        drift = min(margin, _DRIFT)
        residual = cropped(residual[0], margin - drift)
        mean = averaged(residual[None], np.ones(2 * _DRIFT + 1))[0]
        grain = cropped(residual - mean, drift)  # the photo's tones stay its own
        return mx.clip(cropped(photo, margin) + strength * grain / 2, 0, 1)


def _precise(network: Reconstructor, precision: Precision) -> Reconstructor:
    """Return a network that computes in a type; it is left as it is itself."""
    if precision == "float32":
        return network
    other = Reconstructor(network.config)
    other.update(network.parameters())
    other.set_dtype(getattr(mx, precision))
    return other
