"""The stochastic engines: a stock's grain from its figures alone, added in density."""

from __future__ import annotations

import os
from functools import lru_cache

import mlx.core as mx

from ..backend import on_gpu
from ..film import DEFAULT, BooleanGrain, FilmStock, ScannedGrain, Scanner, boolean_grain, pitch_of, push, scanned_grain
from ..grain.gaussian import unit_grain
from ..grain.overlay import add_grain
from .colour import Colour, FilmColour
from .config import LARGEST_TILE, DevelopConfig
from .engine import cropped

_MOST_PARALLEL = 4
_ADD = mx.compile(add_grain)


class StochasticEngine:
    """Draw a stock's grain where a tile lies on the film and add it; arguments as for `Developer`.

    Attributes:
        grain: The stock's grain in a picture with a long side of so many pixels.
    """

    largest_tile, align = LARGEST_TILE, 1

    def __init__(
        self, config: DevelopConfig, *, stock: FilmStock | None = None, scanner: Scanner | None = None
    ) -> None:
        self._config = config
        self._stock = stock or FilmStock.load(config.stock or DEFAULT)
        self._scanner = scanner
        if self._stock.kind == "scan" and scanner not in (None, Scanner()):
            raise ValueError(f"{self._stock.name} was fitted to scans and has its scanner in it: it takes no other")
        self.grain = lru_cache(maxsize=4)(self._grain_for)
        self._discs = lru_cache(maxsize=4)(self._discs_for)
        if config.exposure_index:
            push(self._stock, config.exposure_index)
        # MLX computes elementwise work on one core; on a GPU there is nothing to share out.
        self.parallel = 1 if on_gpu() or config.grain == "boolean" else min(os.cpu_count() or 1, _MOST_PARALLEL)
        self.tile, self.pixel_bytes = {"gaussian": (1024, 300), "boolean": (512, 600)}[config.grain]

    def overlap(self, size: tuple[int, int]) -> int:
        """Return how far beyond a tile the engine looks: a Gaussian field is known where it is, discs reach over."""
        discs = self._discs(max(size))
        return discs.reach if discs else 0

    def __call__(
        self,
        photo: mx.array,
        key: mx.array,
        origin: tuple[int, int],
        size: tuple[int, int],
        colour: Colour | None = None,
        margin: int = 0,
    ) -> mx.array:
        """Add grain to one tile: to the density of the film that the chain exposed, or to that behind a positive."""
        last = min(margin, self.overlap(size))  # what grain looks at and nobody wants; of the rest colour alone does
        first = margin - last
        place = (origin[0] + first, origin[1] + first)
        if isinstance(colour, FilmColour):
            density = cropped(colour.densities(photo, origin, max(size)), first)
            return colour.picture(cropped(self.grained(density, key, place, size), last))
        if colour:
            photo = colour(photo, origin, max(size))
        photo, grain = cropped(photo, first), self.grain(max(size))
        unit = self._unit(grain.behind(photo), key, place, size)
        return _ADD(cropped(photo, last), cropped(unit, last), grain.tone)

    def grained(self, density: mx.array, key: mx.array, origin: tuple[int, int], size: tuple[int, int]) -> mx.array:
        """Add grain to a tile's densities above the base; (H, W, 3) -> (H, W, 3)."""
        return self.grain(max(size)).add_to(density, self._unit(density, key, origin, size))

    def _unit(self, density: mx.array, key: mx.array, origin: tuple[int, int], size: tuple[int, int]) -> mx.array:
        """Draw a tile's grain, of mean 0 and variance 1."""
        discs = self._discs(max(size))
        if discs:
            return discs.unit(density, key, origin)
        return unit_grain(self.grain(max(size)).field, key, origin, (density.shape[0], density.shape[1]))

    def _discs_for(self, long_side: int) -> BooleanGrain | None:
        return boolean_grain(self._stock, self.grain(long_side)) if self._config.grain == "boolean" else None

    def _grain_for(self, long_side: int) -> ScannedGrain:
        stock, config = self._stock, self._config
        strength = config.strength
        if config.exposure_index:
            strength *= push(stock, config.exposure_index)
        if stock.kind == "scan" and not config.film_format:
            pitch_um = stock.pitch_um / config.enlargement
        else:
            pitch_um = pitch_of((long_side, 1), config.film_format or "135", config.enlargement)
        return scanned_grain(stock, pitch_um, self._scanner, strength)
