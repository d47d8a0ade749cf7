"""A film's colour on tiles: the photographic chain from a photo to densities, and from densities to a picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import mlx.core as mx
import numpy as np

from ..backend import looked_up
from ..color import SRGB, Lut3D, RGBSpace, between
from ..film import (
    Darkroom,
    FilmStock,
    Negative,
    Optics,
    Scanner,
    exposure_matrix,
    optics,
    pitch_of,
    positive,
    scene_light,
)
from ..film.expose import DARKEST, GREY
from .config import DevelopConfig

POINTS = 65
"""Points along an axis of the table from densities to colours."""
_SHADES = 65536  # of a photo's values: 8 and 16 bits are met exactly
_EXPOSURES = 4096
_MARGIN = 0.2  # of density, below and above the film's own, for grain
_BACKING = 0.15  # of the light comes back without an anti-halation layer


class Colour(Protocol):
    """What gives a tile a film's colour."""

    def reach(self, long_side: int) -> int:
        """Return how far beyond a tile it looks, in pixels, in a picture with a long side of so many."""
        ...

    def __call__(self, photo: mx.array, origin: tuple[int, int], long_side: int) -> mx.array:
        """Develop a tile's colour; (H, W, 3) -> (H, W, 3), in [0, 1]."""
        ...


class TableColour:
    """A look that is a table from sRGB colours to sRGB colours, as of a film that was fitted to scans."""

    def __init__(self, look: Lut3D, space: RGBSpace, out_space: RGBSpace) -> None:
        if (space, out_space) != (SRGB, SRGB):
            look = Lut3D.bake(_in_spaces(look, space, out_space), POINTS)
        self._look = look

    def reach(self, long_side: int) -> int:
        """Return 0."""
        return 0

    def __call__(self, photo: mx.array, origin: tuple[int, int], long_side: int) -> mx.array:
        """Look the colours up."""
        return mx.clip(self._look(photo), 0, 1)


def _in_spaces(look: Lut3D, space: RGBSpace, out_space: RGBSpace) -> Callable[[np.ndarray], np.ndarray]:
    """Put a change of sRGB colours into other spaces; what lies outside sRGB moves as its nearest colour inside."""
    there, back = between(space, SRGB), between(SRGB, out_space)

    def changed(colours: np.ndarray) -> np.ndarray:
        linear = np.asarray(space.decode(colours)) @ there.T
        inside = np.asarray(SRGB.encode(linear)).clip(0, 1)
        after = np.array(look(mx.array(inside, mx.float32)), np.float64)
        moved = np.asarray(SRGB.decode(after)) - np.asarray(SRGB.decode(inside))
        return np.asarray(out_space.encode((linear + moved) @ back.T)).clip(0, 1)

    return changed


class FilmColour:
    """A stock's photographic chain, ready for tiles.

    Values become light, light the layers' exposure (`film.exposure_matrix`), spread in the emulsion (`film.Optics`);
    exposure becomes density by the curves: all this is exact, from one-dimensional tables. What follows, from
    density to the print's or scan's colours, is one 3-D table of 65 points.

    Args:
        stock: A stock with spectra.
        config: Whose frame says how many micrometres a pixel is.
        darkroom: How it is exposed and printed.
        scanner: For a print that is a "scan".
        space: The photo's colour space.
        out_space: The picture's.

    Raises: ValueError for a stock without spectra, or an unknown print stock.
    """

    def __init__(
        self,
        stock: FilmStock,
        config: DevelopConfig,
        darkroom: Darkroom,
        scanner: Scanner,
        space: RGBSpace,
        out_space: RGBSpace,
    ) -> None:
        film = Negative(stock, darkroom)
        self._spectra, self._config, self._darkroom = film.spectra, config, darkroom
        low, high = film.density.min(0) - _MARGIN, film.density.max(0) + _MARGIN
        self._to_picture = Lut3D.bake(positive(stock, darkroom, scanner, out_space), POINTS, low, high)
        light = scene_light(np.linspace(0, 1, _SHADES), space, darkroom)
        matrix = exposure_matrix(film.spectra, space, darkroom)
        axis = np.linspace(film.log_exposure[0], film.log_exposure[-1], _EXPOSURES)
        curves = film.table(axis).transpose(2, 1, 0)  # (channel, layer, N)
        if not (curves * (1 - np.eye(3))[..., None]).any():  # each channel depends on its own layer
            curves = curves[np.arange(3), np.arange(3)]
        step = axis[1] - axis[0]
        self._light, self._matrix, self._curves = (mx.array(a, mx.float32) for a in (light, matrix, curves.reshape(-1)))
        self._place = mx.array(
            [
                math.log10(2) / step,
                (film.grey_log_exposure + darkroom.exposure * math.log10(2) - axis[0]) / step,
                *(film.useful - darkroom.exposure),
                *film.between.reshape(-1),
            ],
            mx.float32,
        )
        self._optics = lru_cache(maxsize=4)(self._optics_for)

    def _optics_for(self, long_side: int) -> Optics | None:
        spectra = self._spectra
        mtf = [(spectra.frequency[1:], spectra.mtf[1:, c]) for c in range(3)]
        spread = self._darkroom.mtf == "film" and bool((spectra.mtf != 1).any())
        halation = {"film": spectra.halation, "off": 0.0, "no-backing": max(_BACKING, spectra.halation)}
        config = self._config
        pitch_um = pitch_of((long_side, 1), config.film_format or "135", config.enlargement)
        return optics(mtf if spread else None, pitch_um, halation=halation[self._darkroom.halation])

    def reach(self, long_side: int) -> int:
        """Return how far light spreads."""
        spread = self._optics(long_side)
        return spread.reach if spread else 0

    def densities(self, photo: mx.array, origin: tuple[int, int], long_side: int) -> mx.array:
        """Expose and develop a tile: the channels' densities above the base.

        Shape: (H, W, 3) -> (H, W, 3)
        """
        exposure = _exposed(photo, self._light, self._matrix)
        spread = self._optics(long_side)
        if spread:
            exposure = spread(exposure, origin)
        return _developed(exposure, self._curves, self._place)

    def picture(self, density: mx.array) -> mx.array:
        """Print, or scan, or look at densities; (H, W, 3) -> (H, W, 3), in [0, 1]."""
        return mx.clip(self._to_picture(density), 0, 1)

    def __call__(self, photo: mx.array, origin: tuple[int, int], long_side: int) -> mx.array:
        """Give a tile its colour without grain."""
        return self.picture(self.densities(photo, origin, long_side))


@mx.compile
def _exposed(photo: mx.array, light: mx.array, matrix: mx.array) -> mx.array:
    """Turn a photo's values into what its layers get."""
    linear = looked_up(light, mx.clip(photo * (_SHADES - 1) + 0.5, 0, _SHADES - 1).astype(mx.int32))
    r, g, b = linear[..., 0], linear[..., 1], linear[..., 2]
    return mx.stack([r * matrix[c, 0] + g * matrix[c, 1] + b * matrix[c, 2] for c in range(3)], -1)


@mx.compile
def _developed(exposure: mx.array, curves: mx.array, place: mx.array) -> mx.array:
    """Turn the layers' exposure into the channels' densities, by straight lines between the curves' points."""
    stops = mx.log2(mx.maximum(exposure, DARKEST) * (1 / GREY))
    held = mx.clip(stops, place[2], place[3])
    r, g, b = held[..., 0], held[..., 1], held[..., 2]
    stops = stops + mx.stack([r * place[k] + g * place[k + 1] + b * place[k + 2] for k in (4, 7, 10)], -1)
    at = mx.clip(stops * place[0] + place[1], 0, _EXPOSURES - 1.001)
    below = at.astype(mx.int32)
    share = at - below
    channels = []
    for first in range(0, curves.size, 3 * _EXPOSURES):
        index = below + (mx.arange(3) * _EXPOSURES + first)
        low = looked_up(curves, index)
        channels.append(low + (looked_up(curves, index + 1) - low) * share)  # what each layer adds
    if len(channels) == 1:
        return channels[0]
    return mx.stack([part[..., 0] + part[..., 1] + part[..., 2] for part in channels], -1)
