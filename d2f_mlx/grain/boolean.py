"""The inhomogeneous Boolean model of film grain: discs at random places, denser where film is darker.

Grains are discs whose centres are a Poisson process of an intensity that makes film of coverage u be covered with
probability u; a picture is the share of covered film under a Gaussian window.

Reference: Newson, Delon and Galerne 2017, 'A stochastic film grain model for resolution-independent rendering',
    Computer Graphics Forum 36(8), doi:10.1111/cgf.13159; Newson, Faraj, Galerne and Delon 2017, 'Realistic film grain
    rendering', IPOL 7, doi:10.5201/ipol.2017.192
"""

from __future__ import annotations

import math
from functools import partial

import mlx.core as mx
import numpy as np

from .boolean_statistics import WEIGHTS, boolean_lattice, checked_law, window_margin, window_taps
from .discs import LEVELS, Discs, Film
from .indicator import Grid, covered
from .noise import normal_at

_STRIP = 2**22  # points, or cells, worked on at once
_SALT = 1702


def boolean_view(
    coverage: mx.array,
    *,
    radius: float = 0.1,
    radius_sigma: float = 0.0,
    blur: float = 0.8,
    zoom: float = 1.0,
    key: mx.array,
    origin: tuple[int, int] = (0, 0),
    lattice: int | None = None,
) -> mx.array:
    """Draw film with grains: the share of film that they cover, under a Gaussian window.

    v(y) = integral of 1_Z((y + x) / s) N(x; 0, blur^2 I) dx. Where the paper takes N random points a pixel
    (`boolean_monte_carlo`), 1_Z is evaluated on a lattice of points that all pixels share, and the integral is a sum
    over it. Follows the paper where its authors' programs do not: the window is applied once (their pixel-wise C++
    applies sigma twice), and a cell's intensity is that of its own film pixel (their CUDA takes the sample's).

    A film pixel's grains depend on ``key`` and its place alone: crops, tiles and zooms show the same grains, and crops
    and tiles agree bit for bit `boolean_reach` film pixels away from their borders. At its border a picture goes on as
    it ends. Lists grains on the host: not for use inside `mlx.core.compile`.

    Args:
        coverage: Share of film covered, in film pixels; each channel is an independent field (channels that are to
            correlate are mixed by the caller, each less its mean and over the root of its `boolean_variance`). A cell
            takes the value of the pixel that it lies in, in steps of 2^-16. Shape (H, W, C), float in [0, 1].
        radius: Grains' mean radius in film pixels, 0.02 to 8.
        radius_sigma: Deviation of the radii, up to the mean; above 0 they are log-normal.
        blur: Deviation of the window in output pixels, 0.2 to 8.
        zoom: Output pixels to a film pixel, 1/16 to 16; it need not be whole.
        key: Random key (`mlx.core.random.key`).
        origin: Row and column of the first film pixel in the whole picture.
        lattice: Points to an output pixel and axis, 1 to 64; `boolean_lattice` chooses, `boolean_variance` takes it
            into account.

    Shape: (H, W, C) -> (zoom H, zoom W, C); of the whole picture's output pixels, from floor(zoom origin + 0.5) on to
        before floor(zoom (origin + H) + 0.5)
    Range: float32 in [0, 1]; its mean is u~ = u 255 / 255.1
    Raises: ValueError for values out of these bounds, a wrong shape or a picture without an output pixel.
    """
    law = checked_law(radius, radius_sigma, blur, zoom, lattice)
    points = lattice or boolean_lattice(radius, blur=blur, zoom=zoom)
    films, (down, across) = _exposed(coverage, origin, zoom, key)
    margin = window_margin(blur)
    rows, columns = (
        law.units((np.arange((part.start - margin) * points, (part.stop + margin) * points) + 0.5) / (points * zoom))
        for part in (down, across)
    )
    return mx.stack([_blurred(law, film, rows, columns, points, blur, key, c) for c, film in enumerate(films)], -1)


def boolean_monte_carlo(
    coverage: mx.array,
    *,
    samples: int = 800,
    radius: float = 0.1,
    radius_sigma: float = 0.0,
    blur: float = 0.8,
    zoom: float = 1.0,
    key: mx.array,
    origin: tuple[int, int] = (0, 0),
) -> mx.array:
    """Draw film with the same grains as `boolean_view`, as the paper does: a reference, slow.

    v(y) = mean over k = 1..N of 1_Z((y + xi_k) / s), xi_k ~ N(0, blur^2 I), the same xi for every pixel.

    Shape: as for `boolean_view`
    Reference: Newson et al. 2017, IPOL 7, algorithm 2.
    """
    law = checked_law(radius, radius_sigma, blur, zoom, samples, "samples", 10**6)
    films, parts = _exposed(coverage, origin, zoom, key)
    shifts = blur * np.array(normal_at(key, mx.array([0, 0], mx.int32), (samples, 1, 2), _SALT), float)[:, 0]
    height, width = map(len, parts)
    row_places, column_places = np.arange(height) * width, np.arange(width)
    views = []
    for channel, film in enumerate(films):
        total = mx.zeros(height * width, mx.int32)
        for shift in shifts:
            rows, columns = (law.units((np.array(part) + 0.5 + x) / zoom) for part, x in zip(parts, shift, strict=True))
            grid = Grid(rows, columns, row_places, column_places)
            total = total + covered(law, film, grid, key, channel)
        views.append((total / samples).reshape(height, width))
    return mx.stack(views, -1)


def boolean_reach(radius: float, radius_sigma: float = 0.0, *, blur: float = 0.8, zoom: float = 1.0) -> int:
    """Return how many film pixels beside a tile its inside depends on."""
    law = checked_law(radius, radius_sigma, blur, zoom, None)
    return math.ceil(law.radii[-1] + (window_margin(blur) + 1) / zoom) + 1


def _exposed(coverage: mx.array, origin: tuple[int, int], zoom: float, key: mx.array) -> tuple[list[Film], list[range]]:
    """Check a picture and return each channel's levels, and the output rows and columns that it covers."""
    known = coverage.ndim == 3 and 0 not in coverage.shape and coverage.shape[2] <= 16
    if not known or not mx.issubdtype(coverage.dtype, mx.floating):
        raise ValueError(
            "the Boolean model expects float coverage (H, W, C) of up to 16 channels, "
            f"got {coverage.dtype} {coverage.shape}"
        )
    if max(map(abs, origin)) > 2**24:
        raise ValueError(f"the Boolean model expects an origin within 2^24 pixels, got {tuple(origin)}")
    if key.shape != (2,):
        raise ValueError(f"the Boolean model expects a random key of two words, got shape {key.shape}")
    values = np.array(coverage.astype(mx.float32), float)
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"the Boolean model expects coverage in [0, 1], got {values.min():.4g} to {values.max():.4g}")
    levels = np.floor(values * (LEVELS - 1) + 0.5).astype(np.uint16)
    parts = [
        range(*(math.floor(zoom * edge + 0.5) for edge in (first, first + count)))
        for first, count in zip(origin, levels.shape[:2], strict=True)
    ]
    if not all(parts):
        raise ValueError(f"the Boolean model expects a picture with output pixels, got {levels.shape} at zoom {zoom}")
    return [Film(np.ascontiguousarray(levels[..., c]), *origin) for c in range(levels.shape[2])], parts


def _blurred(
    law: Discs, film: Film, rows: np.ndarray, columns: np.ndarray, points: int, blur: float, key: mx.array, channel: int
) -> mx.array:
    """Blur a lattice across and down, strip by strip; sums of whole numbers, so exact in any order."""
    taps, margin = window_taps(blur, points), window_margin(blur)
    width = len(columns) // points  # output columns with their margins
    cells = (columns[-1] - columns[0]) * (rows[-1] - rows[0]) / 4.0**law.bits
    height = max(int(_STRIP / max(len(columns), cells / len(rows))), 1)
    across = np.arange(len(columns))
    strips = []
    for start in range(0, len(rows), height):
        part = rows[start : start + height]
        # The columns of a pixel are stored plane by plane, so that a tap's values are contiguous.
        grid = Grid(
            part, columns, np.arange(len(part)) * width, across % points * (width * len(part)) + across // points
        )
        planes = covered(law, film, grid, key, channel).astype(mx.float32).reshape(points, -1)
        line = _slid(planes, taps, 1, planes.shape[1] - 2 * margin)
        line = mx.pad(line, (0, 2 * margin)).reshape(len(part), width)[:, : width - 2 * margin]
        strips.append(line.astype(mx.int32))
        mx.eval(strips[-1])
    width -= 2 * margin
    planes = mx.concatenate(strips).reshape(-1, points, width).transpose(1, 0, 2).reshape(points, -1)
    total = _slid(planes, taps, width, planes.shape[1] - 2 * margin * width)
    return total.reshape(-1, width).astype(mx.float32) * WEIGHTS**-2.0


@partial(mx.compile, shapeless=True)
def _added(total: mx.array, four: list[mx.array], weights: mx.array) -> mx.array:
    return total + four[0] * weights[0] + four[1] * weights[1] + four[2] * weights[2] + four[3] * weights[3]


def _slid(planes: mx.array, taps: np.ndarray, step: int, count: int) -> mx.array:
    """Correlate with the taps and keep one value in ``points``; a plane's neighbours lie ``step`` apart.

    Shape: planes (points, N) -> (count,)
    """
    weights = mx.array(np.pad(taps, (0, -len(taps) % 4))).astype(planes.dtype)
    total = mx.zeros(count, planes.dtype)
    for first in range(0, len(taps), 4):
        starts = [divmod(min(t, len(taps) - 1), len(planes)) for t in range(first, first + 4)]
        slices = [planes[plane, shift * step : shift * step + count] for shift, plane in starts]
        total = _added(total, slices, weights[first : first + 4])
    return total
