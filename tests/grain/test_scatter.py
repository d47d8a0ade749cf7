from dataclasses import replace

from d2f_mlx.backend import mx
from d2f_mlx.checkpoint import BUNDLED
from d2f_mlx.grain import HalideStatistics, density, halide_mask, scatter
from d2f_mlx.grain.statistics import BANDS, QUANTILES

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SIGMA = 0.04  # relative, of 40000 correlated pixels
CORRELATION = 0.02
DENSITY = 0.1  # relative: the kernel is cut off at four pixels, which makes the grain a little finer
SCALED = 0.04  # relative, of a share of 65536 pixels
OCCUPANCY = 0.015
HEIGHT = 1.0  # levels: the film is rounded to whole ones
DRIFT = 0.3  # levels; three standard errors of the mean over the halides
SIDE = 256
GREY = 120  # in the middle of band 7
BAND = 7
KINDS = ["peaks", "valleys", "extrema"]


def plain(level=float(GREY), shape=(SIDE, SIDE)):
    return np.full((*shape, 3), level / 255, np.float32)


def run(photo, statistics, seed=0, **options):
    mask, image = scatter(mx.array(photo), statistics, key=mx.random.key(seed), **options)
    return np.array(mask), np.array(image)


def whole_film(photo, statistics, seed=0, **options):
    """Return the field on which the halides are found: so dense that every pixel is added."""
    full = replace(statistics, density=np.full_like(statistics.density, 0.5))
    mask, image = run(photo, full, seed, density_scale=9, kind="extrema", **options)
    assert mask.all()
    return np.rint(image * 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_halides_are_those_of_the_film_it_lays_over_the_photo(statistics, kind):
    photo = np.random.default_rng(0).random((60, 70, 3), np.float32)
    film = whole_film(photo, statistics)
    mask, image = run(photo, statistics, kind=kind)
    np.testing.assert_array_equal(mask, np.array(halide_mask(mx.array(film), kind)))
    np.testing.assert_allclose(image, np.where(mask, film, 0) / 255, atol=1e-7)


def test_the_grain_has_the_films_sigma_colour_and_spectrum(film, statistics):
    photo = np.repeat(film.levels / 255, 3, -1).astype(np.float32)
    residual = whole_film(photo, statistics) - film.levels
    for area in range(12):
        row, column = area // 4 * 160, area % 4 * 160
        found = residual[row : row + 160, column : column + 160].std((0, 1))
        np.testing.assert_allclose(found, statistics.sigma[area + 2], rtol=SIGMA)
    np.testing.assert_allclose(np.corrcoef(residual.reshape(-1, 3).T), film.correlation, atol=CORRELATION)
    flat = residual[:160, :160, 0] / residual[:160, :160, 0].std()
    power = np.abs(np.fft.fft2(statistics.kernel, (32, 32))) ** 2
    expected = np.fft.ifft2(power).real / power.mean()
    for down, right in [(0, 1), (1, 0), (1, 1), (0, 2), (4, 4)]:
        found = (flat[down:, right:] * flat[: 160 - down, : 160 - right]).mean()
        assert abs(found - expected[down, right]) < 2 * CORRELATION


def test_measuring_the_scattered_film_gives_its_statistics_back(film, statistics):
    photo = np.repeat(film.levels / 255, 3, -1).astype(np.float32)
    found = HalideStatistics.measure([whole_film(photo, statistics)])
    seen = slice(2, 14)
    np.testing.assert_allclose(found.sigma[seen], statistics.sigma[seen], rtol=SIGMA)
    np.testing.assert_allclose(found.correlation, statistics.correlation, atol=CORRELATION)
    np.testing.assert_allclose(found.density[:, seen], statistics.density[:, seen], rtol=DENSITY)
    np.testing.assert_allclose(found.occupancy[:, seen], statistics.occupancy[:, seen], atol=OCCUPANCY)
    np.testing.assert_allclose(found.height[:, seen, :, 3], statistics.height[:, seen, :, 3], atol=HEIGHT)


@pytest.mark.parametrize("index", [0, 1])
def test_density_occupancy_and_heights_are_the_films_on_a_plain_photo(film, statistics, index):
    mask, image = run(plain(), statistics, kind=KINDS[index])
    np.testing.assert_allclose(mask.mean((0, 1)), statistics.density[index, BAND], rtol=DENSITY)
    states = np.bincount((mask @ [1, 2, 4]).ravel(), minlength=8) / mask[..., 0].size
    np.testing.assert_allclose(states, statistics.occupancy[index, BAND], atol=OCCUPANCY)
    area = film.pixels[160:320, 160:320]  # the film's area of that brightness
    on_film = area[np.array(halide_mask(mx.array(area), KINDS[index]))] - float(GREY)
    scattered = image[mask] * 255 - GREY
    np.testing.assert_allclose(np.quantile(scattered, QUANTILES), np.quantile(on_film, QUANTILES), atol=HEIGHT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.5, 2, 3.0])
def test_density_scale_scales_the_density(statistics, kind, scale):
    share = {s: run(plain(), statistics, kind=kind, density_scale=s)[0].mean((0, 1)) for s in (1, scale)}
    # What is added comes from the film's density, a mean over its bands, so the film's tolerance counts too.
    np.testing.assert_allclose(share[scale], scale * share[1], rtol=SCALED if scale < 1 else DENSITY)


def test_thinning_drops_halides_and_adding_keeps_them(statistics):
    one, half, two = (run(plain(), statistics, density_scale=s) for s in (1, 0.5, 2))
    assert not (half[0] & ~one[0]).any()
    assert not (one[0] & ~two[0]).any()
    np.testing.assert_array_equal(half[1], np.where(half[0], one[1], 0))
    np.testing.assert_array_equal(one[1], np.where(one[0], two[1], 0))


@pytest.mark.parametrize(("kind", "sign"), [("peaks", 1), ("valleys", -1)])
def test_no_two_neighbours_are_halides_unless_they_tie(statistics, kind, sign):
    mask, image = run(plain(), statistics, kind=kind)
    for down, right in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        far, near = max(right, 0), max(-right, 0)
        a = (slice(0, SIDE - down), slice(near, SIDE - far))
        b = (slice(down, SIDE), slice(far, SIDE - near))
        both = mask[a] & mask[b]
        assert both.mean() < 0.02
        np.testing.assert_array_equal(image[a][both], image[b][both])
    assert (sign * (image[mask] * 255 - GREY)).mean() > 3


def test_the_local_mean_does_not_drift(statistics):
    mask, image = run(plain(), statistics)
    assert abs((image[mask] * 255).mean() - GREY) < DRIFT
    peaks, valleys = (run(plain(), statistics, kind=k) for k in ("peaks", "valleys"))
    up, down = ((i[m] * 255 - GREY).mean() for m, i in (peaks, valleys))
    assert up > 5
    assert abs(up + down) < DRIFT
    assert abs(whole_film(plain(), statistics).mean() - GREY) < DRIFT


def test_the_same_key_gives_the_same_halides_and_another_does_not(statistics):
    first, again, other = (run(plain(shape=(50, 60)), statistics, seed) for seed in (4, 4, 5))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    share = first[0].mean()
    assert (first[0] & other[0]).mean() == pytest.approx(share**2, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.integers(3, 40), st.integers(3, 40)),
    st.tuples(st.integers(-5000, 5000), st.integers(-5000, 5000)),
    st.sampled_from(KINDS),
    st.sampled_from([0.5, 1, 2.5]),
)
def test_a_tile_has_the_whole_pictures_halides_bit_for_bit(statistics, corner, size, origin, kind, scale):
    photo = np.random.default_rng(1).random((81, 83, 3), np.float32)
    (top, left), (height, width) = corner, size
    options = {"kind": kind, "density_scale": scale}
    whole = run(photo, statistics, origin=origin, **options)
    tile = photo[top : top + height, left : left + width]
    part = run(tile, statistics, origin=(origin[0] + top, origin[1] + left), **options)
    for a, b in zip(part, whole, strict=True):
        np.testing.assert_array_equal(a[1:-1, 1:-1], b[top + 1 : top + height - 1, left + 1 : left + width - 1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (7, 13)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_photos_have_halides(statistics, shape, kind):
    mask, image = run(plain(shape=shape), statistics, kind=kind)
    np.testing.assert_array_equal(
        mask, np.array(halide_mask(mx.array(whole_film(plain(shape=shape), statistics)), kind))
    )
    assert mask.shape == image.shape == (*shape, 3)
    assert mask.any()


@pytest.mark.parametrize(("level", "kind"), [(255, "peaks"), (0, "valleys")])
def test_a_clipped_photo_stays_in_range_and_its_plateaus_are_marked(statistics, level, kind):
    mask, image = run(plain(level), statistics, kind=kind)
    assert image.min() >= 0
    assert image.max() <= 1
    film = whole_film(plain(level), statistics)
    clipped = film == level
    # Half of the grain, and what rounds to the limit, is beyond it.
    assert 0.5 < clipped.mean() < 0.65
    assert mask[clipped].all()
    np.testing.assert_array_equal(image[clipped], level / 255)


def test_a_film_without_grain_leaves_the_photos_own_extrema(statistics):
    levels = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    calm = replace(statistics, sigma=np.zeros_like(statistics.sigma))
    mask, image = run(levels.astype(np.float32) / 255, calm)
    np.testing.assert_array_equal(mask, np.array(halide_mask(mx.array(levels))))
    np.testing.assert_allclose(image, np.where(mask, levels, 0) / 255, atol=1e-7)


def test_sigma_is_interpolated_between_the_middles_of_the_bands(statistics):
    rising = np.repeat(np.arange(BANDS, dtype=np.float32)[:, None], 3, 1)
    photo = plain(GREY + 8)  # between bands 7 and 8
    found = (whole_film(photo, replace(statistics, sigma=rising)) - (GREY + 8.0)).std()
    np.testing.assert_allclose(found, np.sqrt(7.5**2 + 1 / 12), rtol=SIGMA)


def test_sigma_follows_each_channels_own_brightness(statistics):
    rising = np.arange(BANDS, dtype=np.float32)[:, None] + np.array([0, 1, 3], np.float32)
    photo = np.full((SIDE, SIDE, 3), [56, 120, 184], np.float32) / 255  # the middles of bands 3, 7 and 11
    found = whole_film(photo, replace(statistics, sigma=rising)).std((0, 1))
    np.testing.assert_allclose(found, np.sqrt(np.array([3, 8, 14]) ** 2 + 1 / 12), rtol=SIGMA)


def test_two_films_in_turn_are_not_confused(statistics):
    """Tables are kept by the statistics' identity."""
    strong = replace(statistics, sigma=2 * statistics.sigma)
    spread = [whole_film(plain(), s).std() for s in (statistics, strong, statistics)]
    assert spread[0] == spread[2]
    np.testing.assert_allclose(spread[1] / spread[0], 2, rtol=SIGMA)


def test_a_grey_film_gives_grey_grain(statistics):
    grey = replace(statistics, correlation=np.ones((3, 3), np.float32), sigma=np.full_like(statistics.sigma, 5))
    film = whole_film(plain(), grey)
    np.testing.assert_allclose(np.corrcoef(film.reshape(-1, 3).T), 1, atol=CORRELATION)


def test_a_correlation_with_a_negative_eigenvalue_is_mended(statistics):
    impossible = np.array([[1, 0.9, 0.7], [0.9, 1, 0.95], [0.7, 0.95, 1]], np.float32)
    assert np.linalg.eigvalsh(impossible)[0] < -1e-3
    film = whole_film(plain(), replace(statistics, correlation=impossible))
    np.testing.assert_allclose(np.corrcoef(film.reshape(-1, 3).T), impossible, atol=2 * CORRELATION)


@pytest.mark.parametrize(
    ("photo", "options", "message"),
    [
        (mx.zeros((4, 4)), {}, r"expects a photo \(H, W, 3\) of floats, got .*\(4, 4\)"),
        (mx.zeros((4, 4, 1)), {}, r"expects a photo"),
        (mx.zeros((1, 4, 4, 3)), {}, r"expects a photo"),
        (mx.zeros((0, 4, 3)), {}, r"expects a photo"),
        (mx.zeros((4, 4, 3), mx.uint8), {}, r"of floats, got .*uint8"),
        (mx.zeros((4, 4, 3)), {"kind": "peak"}, r"expects kind to be one of .* got 'peak'"),
        (mx.zeros((4, 4, 3)), {"density_scale": 0}, r"expects density_scale in \(0, 9\], got 0"),
        (mx.zeros((4, 4, 3)), {"density_scale": 9.1}, r"expects density_scale in \(0, 9\], got 9\.1"),
        (mx.zeros((4, 4, 3)), {"density_scale": float("nan")}, r"expects density_scale"),
    ],
)
def test_bad_arguments_are_refused(statistics, photo, options, message):
    with pytest.raises(ValueError, match=message):
        scatter(photo, statistics, key=mx.random.key(0), **options)


@pytest.mark.parametrize("level", [40, 100, 230])
@pytest.mark.parametrize("scale", [0.5, 2, 3])
def test_density_scale_holds_at_every_brightness_of_the_bundled_film(level, scale):
    film = HalideStatistics.load(BUNDLED / "film.safetensors")
    photo = mx.full((192, 192, 3), level / 255)
    one, scaled = (
        np.array(density(scatter(photo, film, density_scale=s, key=mx.random.key(3)).mask)) for s in (1, scale)
    )
    # Shares of 0.2 over 36864 pixels that hang together over a few: standard error below 2 percent.
    np.testing.assert_allclose(scaled, scale * one, rtol=0.06)
