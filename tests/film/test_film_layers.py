"""A stock's layers drawn grain by grain, against its figures and the Gaussian engine."""

from dataclasses import replace
from functools import cache

from d2f_mlx.backend import mx
from d2f_mlx.develop import DevelopConfig, Developer, StochasticEngine
from d2f_mlx.film import FilmStock, boolean_grain, scanned_grain
from d2f_mlx.grain.boolean import boolean_monte_carlo, boolean_view
from d2f_mlx.grain.boolean_statistics import boolean_spectrum, boolean_variance
from d2f_mlx.grain.gaussian import design_field, unit_grain

import numpy as np
import pytest

STANDARD_ERRORS = 4.0
NEIGHBOURS = 0.03  # correlation between neighbouring pixels
SAME_GRAIN = 0.9  # correlation between a preview and a box-downsampled picture
SIGMA = 0.03
DECIBELS = 1.0
OUTLINE = 0.75  # deviations by which the mean may miss at a hard edge, where discs reach over
BLOCK = 32


FILM = "kodak-vision3-500t"


@cache
def grain(pitch_um, name=FILM):
    stock = FilmStock.load(name)
    return boolean_grain(stock, scanned_grain(stock, pitch_um))


def unit(pitch_um, photo, seed=0, origin=(0, 0), name=FILM):
    found = grain(pitch_um, name)
    return np.array(found.unit(found.grain.behind(mx.array(photo)), mx.random.key(seed), origin))


def plain(shade, height=256, width=256):
    return np.full((height, width, 3), shade, np.float32)


def blocks(field, size=BLOCK):
    """Cut a field into blocks far wider than grain."""
    height, width = (n // size for n in field.shape[:2])
    cut = field[: height * size, : width * size].reshape(height, size, width, size, -1).swapaxes(1, 2)
    return cut.reshape(height * width, size, size, -1).astype(float)


def mean_and_error(values):
    return values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5


def power(field):
    """Average blocks' periodograms over bands of 0.1 cycles a pixel. Shape (bands, C)."""
    cut = blocks(field - field.mean((0, 1)))
    waves = (np.abs(np.fft.fft2(cut, axes=(1, 2))) ** 2).mean(0)
    radius = np.hypot(np.fft.fftfreq(BLOCK)[:, None], np.fft.fftfreq(BLOCK))
    return np.array([waves[(radius >= low) & (radius < low + 0.1)].mean(0) for low in np.arange(0.02, 0.6, 0.1)])


@pytest.mark.parametrize(("pitch_um", "shade"), [(6.0, 0.15), (4.55, 0.5), (6.0, 0.85), (9.1, 0.5)])
def test_channels_have_unit_variance_and_the_stocks_correlation(pitch_um, shade):
    field = unit(pitch_um, plain(shade, 160, 160))
    mixing = np.array(grain(pitch_um).grain.field.mixing, float)
    found, error = mean_and_error(np.einsum("nyxc,nyxd->ncd", blocks(field), blocks(field)) / BLOCK**2)
    assert (np.abs(found - mixing @ mixing.T) < STANDARD_ERRORS * error).all()
    assert error.max() < 0.05
    middle, error = mean_and_error(blocks(field).mean((1, 2)))
    assert (np.abs(middle) < STANDARD_ERRORS * error).all()


def test_black_and_white_has_one_layer_and_grey_grain():
    found = grain(4.0, "kodak-tri-x-400")
    assert len(found.layers) == 1
    field = unit(4.0, plain(0.5, 64, 64), name="kodak-tri-x-400")
    np.testing.assert_array_equal(field[..., :1], field[..., 1:2])


@pytest.mark.parametrize("pitch_um", [4.55, 2.0])
def test_a_ramp_leaves_no_trace_and_an_edge_no_outline(pitch_um):
    ramp = np.linspace(0.1, 0.9, 64, dtype=np.float32)
    step = np.where(np.arange(64) < 41, 0.2, 0.7).astype(np.float32)
    means = []
    for line in (ramp, step):
        photo = np.broadcast_to(line[None, :, None], (512, 64, 3))
        parts = unit(pitch_um, photo)[..., 1].reshape(16, 32, 64)
        means.append(mean_and_error(parts.mean(1)))
    (found, error), (beside, _) = means
    assert np.abs(found / error).max() < STANDARD_ERRORS + 1  # of 64 columns
    assert np.abs(found).mean() < 0.1
    assert np.abs(beside).max() < OUTLINE


@pytest.mark.parametrize("pitch_um", [6.0, 9.1, 2.0])
def test_tiles_are_alike_bit_for_bit(pitch_um):
    flat = np.random.default_rng(0).random((3, 4, 3))
    photo = (0.1 + 0.8 * np.kron(flat, np.ones((20, 20, 1)))).astype(np.float32)
    frame = {"film_format": "super8", "enlargement": 5800 / 80 / pitch_um}
    config = DevelopConfig(grain="boolean", colour="photo", **frame)
    engine = StochasticEngine(config, stock=FilmStock.load(FILM))
    whole, tiled = (Developer(replace(config, tile=tile), engine=engine)(photo, key=2) for tile in (0, 37))
    np.testing.assert_array_equal(tiled, whole)
    assert (whole != photo).any()


@pytest.mark.parametrize("pitch_um", [6.0, 4.55])
def test_crops_show_the_same_grains_bit_for_bit(pitch_um):
    photo = np.random.default_rng(1).random((90, 100, 3), np.float32)
    whole = unit(pitch_um, photo, origin=(40, -30))
    part = unit(pitch_um, photo[10:80, 20:], origin=(50, -10))
    reach = grain(pitch_um).reach
    inside = part[reach:-reach, reach:-reach]
    assert inside.shape[0] > 40
    np.testing.assert_array_equal(inside, whole[10 + reach : 80 - reach, 20 + reach : -reach])


@pytest.mark.parametrize("pitch_um", [4.55])
def test_a_preview_shows_the_grains_of_the_picture(pitch_um):
    picture, preview = unit(pitch_um, plain(0.5, 160, 160)), unit(2 * pitch_um, plain(0.5, 80, 80))
    boxed = picture.reshape(80, 2, 80, 2, 3).mean((1, 3))
    for c in range(3):
        assert np.corrcoef(boxed[..., c].ravel(), preview[..., c].ravel())[0, 1] > SAME_GRAIN


@pytest.mark.parametrize(("name", "pitch_um"), [(FILM, 4.55), (FILM, 6.0), ("kodak-tri-x-400", 4.0)])
def test_neighbouring_pixels_are_as_alike_as_the_stock_says(name, pitch_um):
    field = unit(pitch_um, plain(0.5, 160, 160), name=name)
    both = [(field[1:] * field[:-1]).mean((0, 1)), (field[:, 1:] * field[:, :-1]).mean((0, 1))]
    scan = grain(pitch_um, name).grain
    expected = np.array(scan.field.mixing, float) ** 2 @ scan.neighbours
    np.testing.assert_allclose(np.mean(both, 0) / (field**2).mean((0, 1)), expected, atol=NEIGHBOURS)


@pytest.mark.parametrize(("name", "pitch_um"), [(FILM, 6.0), ("kodak-tri-x-400", 4.0)])
def test_both_engines_give_the_same_strength_and_spectrum(name, pitch_um):
    photo, stock = plain(0.5, 192, 192), FilmStock.load(name)
    views = []
    for engine in ("gaussian", "boolean"):
        frame = {"film_format": "super8", "enlargement": 5800 / 192 / pitch_um}
        config = DevelopConfig(grain=engine, colour="photo", **frame)
        views.append(Developer(config, stock=stock)(photo, key=1))
    gaussian, boolean = views
    np.testing.assert_allclose(boolean.std((0, 1)), gaussian.std((0, 1)), rtol=SIGMA)
    assert np.abs(10 * np.log10(power(boolean) / power(gaussian))).max() < DECIBELS


def test_many_small_grains_are_a_gaussian_field_with_their_spectrum():
    """Newson's model at its default (some 20 grains of radius 0.1 under each pixel) against its closed form."""
    radius, blur, samples, side = 0.1, 0.8, 200, 64
    frequency = np.linspace(0, 1.0, 201)  # cycles a pixel of 1 mm
    spectrum = boolean_spectrum(frequency, 0.5, radius)[:, None]
    pitch = {"pitch_um": 1000.0, "seen_um": 1000.0, "blur_um": 1000 * blur}  # no pixel square: the window is all
    field = design_field(frequency, spectrum, np.ones((1, 1)), **pitch)
    sigma = boolean_variance(0.5, radius, blur=blur, lattice=0) ** 0.5
    synthetic = sigma * np.array(unit_grain(field, mx.random.key(0), (0, 0), (6 * side, 6 * side)), float)

    coverage = mx.full((side, side, 1), 0.5)
    random = np.array(boolean_monte_carlo(coverage, samples=samples, radius=radius, blur=blur, key=mx.random.key(1)))
    found, error = mean_and_error((blocks(random - random.mean(), 16) ** 2).mean((1, 2)))
    assert abs(found - sigma**2 - 0.25 / samples) < STANDARD_ERRORS * error
    assert error < 0.1 * sigma**2

    exact = np.array(boolean_view(mx.full((6 * side, 6 * side, 1), 0.5), radius=radius, key=mx.random.key(2)))
    exact = exact * (sigma / boolean_variance(0.5, radius) ** 0.5)  # what the lattice adds
    assert np.abs(10 * np.log10(power(exact) / power(synthetic)))[:4].max() < 0.3  # beyond, the lattice's own
    for view in (exact - exact.mean(), synthetic):
        variance, error = mean_and_error((blocks(view) ** 2).mean((1, 2)))
        assert abs(variance - sigma**2) < STANDARD_ERRORS * error
    lags = [[(v[k:] * v[:-k]).mean() / (v**2).mean() for k in (1, 2, 3)] for v in (exact - exact.mean(), synthetic)]
    np.testing.assert_allclose(*lags, atol=0.02)


def test_grains_far_smaller_than_a_pixel_are_left_to_the_gaussian_field():
    assert grain(40.0) is None
    photo = np.random.default_rng(0).random((40, 50, 3), np.float32)
    views = []
    for engine in ("gaussian", "boolean"):
        frame = {"film_format": "super8", "enlargement": 5800 / 50 / 40}
        config = DevelopConfig(grain=engine, colour="photo", **frame)
        views.append(Developer(config, stock=FilmStock.load(FILM))(photo, key=1))
    np.testing.assert_array_equal(*views)


def test_pixels_finer_than_a_sixteenth_of_the_films_are_refused():
    with pytest.raises(ValueError, match=r"pixels of 0.38 um or more on kodak-vision3-500t, got 0.30"):
        grain(0.3)
