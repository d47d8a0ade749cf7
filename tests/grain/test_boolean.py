from d2f_mlx.backend import mx
from d2f_mlx.grain import boolean
from d2f_mlx.grain.boolean import boolean_monte_carlo, boolean_reach, boolean_view
from d2f_mlx.grain.boolean_statistics import boolean_variance
from d2f_mlx.grain.discs import WHITE, Film, discs
from d2f_mlx.grain.indicator import Grid, covered

import numpy as np
import pytest
import scipy.ndimage as ndi

STANDARD_ERRORS = 4.0
WHOLE_WEIGHTS = 2e-4  # the window's weights are multiples of 2^-15
SAME_FILM = 0.95  # correlation between two zooms


def picture(height=24, width=28, channels=2, seed=0):
    smooth = ndi.gaussian_filter(np.random.default_rng(seed).standard_normal((height, width, channels)), (4, 4, 0))
    return (0.5 + 0.4 * np.tanh(smooth / smooth.std())).astype(np.float32)


def view(coverage, seed=0, function=boolean_view, **options):
    return np.array(function(mx.array(coverage), key=mx.random.key(seed), **options))


@pytest.mark.parametrize(("blur", "zoom", "lattice"), [(0.8, 1.0, 4), (0.8, 1.0, 5), (0.3, 2.5, 6), (1.7, 0.5, 8)])
def test_view_is_the_indicator_under_a_gaussian_window(blur, zoom, lattice):
    coverage, apron, law = picture(20, 22, 1), 4 * blur + 1, discs(0.3)
    shape = [int(np.floor(zoom * n + 0.5)) for n in coverage.shape[:2]]
    points = [(np.arange(-np.ceil(apron) * lattice, (n + np.ceil(apron)) * lattice) + 0.5) / lattice for n in shape]
    rows, columns = (law.units(axis / zoom) for axis in points)
    grid = Grid(rows, columns, np.arange(len(rows)) * len(columns), np.arange(len(columns)))
    film = Film(np.rint(coverage[..., 0] * 65535).astype(np.uint16), 0, 0)
    field = np.array(covered(law, film, grid, mx.random.key(3), 0), float).reshape(len(rows), len(columns))
    down, across = (
        np.exp(-0.5 * ((axis - (np.arange(n) + 0.5)[:, None]) / blur) ** 2)
        for axis, n in zip(points, shape, strict=True)
    )
    expected = (down / down.sum(1, keepdims=True)) @ field @ (across / across.sum(1, keepdims=True)).T
    found = view(coverage, 3, radius=0.3, blur=blur, zoom=zoom, lattice=lattice)[..., 0]
    np.testing.assert_allclose(found, expected, atol=WHOLE_WEIGHTS)


@pytest.mark.parametrize(
    "options", [{"radius": 0.3}, {"radius": 0.2, "radius_sigma": 0.1, "zoom": 1.6, "blur": 0.6}], ids=str
)
def test_monte_carlo_agrees_within_its_own_error(options):
    samples, coverage = 64, picture(40, 40, 1)
    fine = view(coverage, **options, lattice=10)
    random = view(coverage, function=boolean_monte_carlo, **options, samples=samples)
    error = (fine * (1 - fine)).mean() / samples  # of a mean of indicators, squared
    assert ((fine - random) ** 2).mean() == pytest.approx(error, rel=0.25)
    assert np.corrcoef(fine.ravel(), random.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"radius": 0.1},
        {"radius": 0.3, "zoom": 2.0},
        {"radius": 0.4, "zoom": 1.37},
        {"radius": 0.3, "radius_sigma": 0.2, "blur": 1.3},
        {"radius": 0.1, "zoom": 0.4, "lattice": 4},
    ],
    ids=str,
)
def test_crops_and_tiles_agree_bit_for_bit(options):
    origin, zoom = (-11, 1000), options.get("zoom", 1.0)
    coverage = picture(66, 70)
    whole = view(coverage, **options, origin=origin)
    reach = boolean_reach(**{k: v for k, v in options.items() if k != "lattice"})
    for top, left, height, width in [(0, 0, 66, 40), (5, 3, 45, 61), (1, 25, 65, 45)]:
        tile = view(
            coverage[top : top + height, left : left + width], **options, origin=(origin[0] + top, origin[1] + left)
        )
        inside = []
        for axis, (start, count, full) in enumerate([(top, height, 66), (left, width, 70)]):
            first, base = (int(np.floor(zoom * (origin[axis] + x) + 0.5)) for x in (start, 0))
            skip = [0 if start == 0 else reach, 0 if start + count == full else reach]
            low, high = np.ceil(zoom * skip[0]), tile.shape[axis] - np.ceil(zoom * skip[1])
            assert high - low > 2
            inside.append((slice(int(low), int(high)), slice(int(low) + first - base, int(high) + first - base)))
        np.testing.assert_array_equal(tile[inside[0][0], inside[1][0]], whole[inside[0][1], inside[1][1]])


def test_strips_leave_no_trace(monkeypatch):
    whole = view(picture(), radius=0.2, radius_sigma=0.1)
    monkeypatch.setattr(boolean, "_STRIP", 2000)
    np.testing.assert_array_equal(view(picture(), radius=0.2, radius_sigma=0.1), whole)


@pytest.mark.parametrize(("radius", "zoom"), [(0.3, 2), (0.2, 3)])
def test_every_zoom_shows_the_same_grains(radius, zoom):
    coverage = np.full((40, 40, 1), 0.5, np.float32)
    plain = view(coverage, radius=radius)[..., 0]
    large = view(coverage, radius=radius, zoom=float(zoom), blur=0.8 * zoom)[..., 0]
    boxed = large.reshape(40, zoom, 40, zoom).mean((1, 3))
    assert np.corrcoef(plain.ravel(), boxed.ravel())[0, 1] > SAME_FILM
    assert boxed.std() == pytest.approx(plain.std(), rel=0.1)


@pytest.mark.parametrize(("radius", "radius_sigma"), [(0.1, 0.0), (0.3, 0.1)])
def test_a_ramp_keeps_its_mean(radius, radius_sigma):
    steps, side = 8, 12  # wide steps, so that the window does not mix them where they are looked at
    ramp = np.repeat((np.arange(steps) + 0.5) / steps, side).astype(np.float32)
    coverage = np.broadcast_to(ramp[None, :, None], (160, steps * side, 1))
    found = view(coverage, radius=radius, radius_sigma=radius_sigma)[..., 0]
    middle = found.reshape(16, 10, steps, side)[..., 4:8].mean((1, 3))
    error = middle.std(0, ddof=1) / 4
    assert (np.abs(middle.mean(0) - ramp[::side] * WHITE) < STANDARD_ERRORS * error).all()
    assert (error < 0.015).all()


def test_channels_are_independent_fields():
    coverage = np.full((64, 64, 3), 0.5, np.float32)
    found = view(coverage, radius=0.2).reshape(-1, 3)
    spread = boolean_variance(0.5, 0.2) ** 0.5
    np.testing.assert_allclose(found.std(0), spread, rtol=0.1)
    related = np.corrcoef(found.T) - np.eye(3)
    assert np.abs(related).max() < STANDARD_ERRORS * 3 / 64  # neighbours within about three pixels are alike
    np.testing.assert_array_equal(view(coverage[..., :1], radius=0.2)[..., 0], found[:, 0].reshape(64, 64))


def test_black_and_white_film_stays_in_range():
    coverage = np.concatenate([np.zeros((16, 20, 1)), np.ones((16, 20, 1))], 1).astype(np.float32)
    found = view(coverage, radius=0.3)
    assert (found[:, :15] == 0).all()
    assert found.max() <= 1
    assert found[:, 25:].mean() > 0.99


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32], ids=str)
def test_every_float_is_taken(dtype):
    found = boolean_view(mx.full((8, 9, 1), 0.5, dtype), radius=0.3, key=mx.random.key(0))
    assert (found.shape, found.dtype) == ((8, 9, 1), mx.float32)
    np.testing.assert_array_equal(np.array(found), view(np.full((8, 9, 1), 0.5, np.float32), radius=0.3))


@pytest.mark.parametrize(
    ("coverage", "options", "message"),
    [
        (mx.zeros((4, 4)), {}, r"float coverage \(H, W, C\) of up to 16 channels, got mlx.core.float32 \(4, 4\)"),
        (mx.zeros((4, 4, 1), mx.uint8), {}, "got mlx.core.uint8"),
        (mx.zeros((4, 4, 17)), {}, r"got mlx.core.float32 \(4, 4, 17\)"),
        (mx.zeros((0, 4, 1)), {}, r"\(0, 4, 1\)"),
        (mx.full((4, 4, 1), 1.5), {}, r"coverage in \[0, 1\], got 1.5 to 1.5"),
        (mx.full((4, 4, 1), float("nan")), {}, "got nan"),
        (mx.zeros((4, 4, 1)), {"radius": 0.0}, "radius from 0.02 to 8 film pixels, got 0.0"),
        (mx.zeros((4, 4, 1)), {"radius_sigma": 0.2}, "radius_sigma from 0 to the radius, 0.1, got 0.2"),
        (mx.zeros((4, 4, 1)), {"blur": 0.0}, "blur from 0.2 to 8 output pixels, got 0.0"),
        (mx.zeros((4, 4, 1)), {"zoom": 20.0}, "zoom from 1/16 to 16, got 20.0"),
        (mx.zeros((4, 4, 1)), {"lattice": 0}, "lattice to be a whole number from 1 to 64, got 0"),
        (mx.zeros((4, 4, 1)), {"lattice": 2.5}, "got 2.5"),
        (mx.zeros((1, 1, 1)), {"zoom": 0.25}, r"a picture with output pixels, got \(1, 1, 1\) at zoom 0.25"),
        (mx.zeros((4, 4, 1)), {"origin": (2**25, 0)}, r"origin within 2\^24 pixels, got \(33554432, 0\)"),
        (mx.zeros((4, 4, 1)), {"key": mx.zeros((3,), mx.uint32)}, r"key of two words, got shape \(3,\)"),
    ],
)
def test_bad_arguments_are_refused(coverage, options, message):
    with pytest.raises(ValueError, match=message):
        boolean_view(coverage, **{"key": mx.random.key(0), **options})


def test_monte_carlo_refuses_no_samples():
    with pytest.raises(ValueError, match="samples to be a whole number from 1 to 1000000, got 0"):
        boolean_monte_carlo(mx.zeros((4, 4, 1)), samples=0, key=mx.random.key(0))
