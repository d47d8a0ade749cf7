"""Scatter a film's halides over a digital photograph."""

from __future__ import annotations

from functools import cache, lru_cache, reduce
from operator import add
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from .filters import correlate
from .halide import KINDS, Kind, halide_mask
from .noise import normal_at, uniform_at
from .statistics import BANDS, HalideStatistics

_THINNING = 1  # salt of the uniform numbers that thin or add halides


class Halides(NamedTuple):
    """Where a picture's halides are and what they hold.

    Shape: both (H, W, 3)
    Range: ``mask`` is bool; ``image`` in [0, 1], the picture's value at the halides and zero elsewhere
    """

    mask: mx.array
    image: mx.array


def scatter(
    photo: mx.array,
    statistics: HalideStatistics,
    *,
    kind: Kind = "extrema",
    density_scale: float = 1.0,
    key: mx.array,
    origin: tuple[int, int] = (0, 0),
    film: mx.array | None = None,
) -> Halides:
    """Give a digital photograph halides as the measured film would have.

    A residual field with the film's spectrum, channel correlation and sigma(brightness) is laid over the photo, rounded
    to 8-bit levels as the measured scans were, and *its* extrema and their values are taken. So no two
    neighbours are both peaks, or both valleys, unless they tie; heights stand above (or below) the local mean as film's
    do; and the photo's own texture keeps its extrema.

    Args:
        photo: Display-encoded picture. Shape (H, W, 3), float32 in [0, 1].
        statistics: The film.
        kind: Which halides: peaks, valleys or both.
        density_scale: 1 is the film's own density; below, halides are dropped at random; above, pixels between
            them are added at random, with the values that the field has there.
        key: Random key (`mlx.core.random.key`); the same key gives the same halides.
        origin: Where the photo's first pixel lies in the whole picture: tiles of one picture agree
            wherever their 3x3 windows are whole.
        film: The photo with grain over it already, to take the halides from; by default the field is made from the
            statistics, which know one spectrum for all channels. Shape (H, W, 3), float32 in [0, 1].

    Raises: ValueError for integers, a wrong shape, an unknown kind or a density scale outside (0, 9].
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape or not mx.issubdtype(photo.dtype, mx.floating):
        raise ValueError(f"scatter expects a photo (H, W, 3) of floats, got {photo.dtype} {photo.shape}")
    if kind not in KINDS:
        raise ValueError(f"scatter expects kind to be one of {KINDS}, got {kind!r}")
    if not 0 < density_scale <= 9:
        raise ValueError(f"scatter expects density_scale in (0, 9], got {density_scale}")
    tables, place = _tables(statistics, kind), mx.array(origin, mx.int32)
    if film is None:
        film = _grained(photo, tables, key, place)
    elif film.shape != photo.shape:
        raise ValueError(f"scatter expects a film like its photo, {photo.shape}, got {film.shape}")
    return Halides(*_marked(kind)(photo, film, tables, key, place, mx.array(density_scale)))


class _Tables(NamedTuple):
    """What the compiled step reads of the statistics."""

    sigma: mx.array  # (256, 3) in [0, 1] units
    extra: mx.array  # (256, 3) odds of a halide, by brightness: what turns the share of added ones into a probability
    mixing: mx.array  # (3, 3) lower triangle: independent channels -> film's correlation
    kernel: mx.array  # (9, 9)


@lru_cache(maxsize=8)
def _tables(statistics: HalideStatistics, kind: Kind) -> _Tables:
    centres = (np.arange(BANDS) + 0.5) * 256 / BANDS
    sigma = np.stack([np.interp(np.arange(256), centres, s) for s in statistics.sigma.T], -1) / 255
    correlation = statistics.correlation.astype(float)
    # Equal channels give a singular matrix; medians, taken entry by entry, even one with a negative eigenvalue.
    ridge = 1e-4 - min(0, np.linalg.eigvalsh(correlation)[0])
    mixing = np.linalg.cholesky(correlation + ridge * np.eye(3))
    extra = np.zeros((256, 3))
    tables = _Tables(*(mx.array(a, mx.float32) for a in (sigma, extra, mixing, statistics.kernel)))
    # How dense the field's own halides are on a plain of each brightness decides how many are to be added there.
    field = grain_field(tables, mx.random.key(0), mx.array([0, 0], mx.int32), (128, 128))
    plains = mx.array(centres / 255, mx.float32)[:, None, None, None]
    steps = mx.array(sigma[centres.astype(int)], mx.float32)[:, None, None]
    film = mx.clip(mx.round((plains + steps * field) * 255), 0, 255).astype(mx.uint8)
    share = np.array(halide_mask(film, kind)[:, 1:-1, 1:-1].astype(mx.float32).mean((1, 2))).clip(0, 0.9)
    extra = np.stack([np.interp(np.arange(256), centres, odds) for odds in (share / (1 - share)).T], -1)
    return tables._replace(extra=mx.array(extra, mx.float32))


def grain_field(tables: _Tables, key: mx.array, origin: mx.array, shape: tuple[int, int]) -> mx.array:
    """Synthesise Gaussian grain of unit deviation with the film's spectrum and channel correlation.

    Shape: -> (H, W, 3)
    """
    radius = tables.kernel.shape[0] // 2
    white = normal_at(key, origin - radius, (shape[0] + 2 * radius, shape[1] + 2 * radius, 3))
    # Sums of products, not a matrix product, whose rounding changes with the shape.
    mixed = reduce(add, (white[..., i : i + 1] * tables.mixing[:, i] for i in range(3)))
    return correlate(mixed[None], tables.kernel)[0]


@mx.compile
def _grained(photo: mx.array, tables: _Tables, key: mx.array, origin: mx.array) -> mx.array:
    """Lay a field with the film's statistics over a photo."""
    tables = _Tables(*tables)
    sigma = _at_levels(tables.sigma, photo)
    return photo + sigma * grain_field(tables, key, origin, (photo.shape[0], photo.shape[1]))


@cache
def _marked(kind: Kind):
    def step(photo, film, tables, key, origin, density_scale):
        film = mx.clip(mx.round(film * 255), 0, 255)
        mask = halide_mask(film.astype(mx.uint8), kind)
        chance = uniform_at(key, origin, photo.shape, _THINNING)
        extra = _at_levels(_Tables(*tables).extra, photo)
        mask = (mask & (chance < density_scale)) | (chance < (density_scale - 1) * extra)
        return mask, mx.where(mask, film / 255, 0)

    return mx.compile(step)


def _at_levels(table: mx.array, photo: mx.array) -> mx.array:
    """Look a photo's 8-bit levels up, channel by channel; (256, 3) -> (H, W, 3)."""
    level = mx.clip(mx.round(photo * 255), 0, 255).astype(mx.int32)
    return mx.stack([mx.take(table[:, c], level[..., c]) for c in range(3)], axis=-1)
