from d2f_mlx.grain.overlay import SHADES, add_grain, density_sigma, scan_density, scan_display, tabulate

import mlx.core as mx
import numpy as np
import pytest

ROUNDING = 1e-6  # of display values in [0, 1], float32
TABLE = 1e-5  # of density: lines between 4096 points of the display table, in float32
ENDS = 5e-4  # of display: a logistic curve is cut off that far from black and white
SLOPE = 2e-3  # relative: the table's slope changes by 0.1 % from a point to the next
STANDARD_ERRORS = 5
BLACK = 2.4 * np.log10(1.055 / 0.055)  # 3.08
GREYS = (np.arange(1, 8) * 128).astype(np.float32) / (SHADES - 1)  # shades that the tables hold


def sigmas(density):
    """Grain that grows, falls and stays with density."""
    return np.stack([0.01 + 0.02 * density, 0.08 - 0.02 * density, np.full_like(density, 0.05)], -1)


def print_density(display):
    """A negative's: falls where the positive's rises, and steeply at both ends."""
    return np.log(1 / np.clip(scan_density(display) / BLACK, 1e-4, 1 - 1e-4) - 1)


def print_display(density):
    return scan_display(BLACK / (1 + np.exp(density)))


SCAN = tabulate(scan_density, scan_display, sigmas)
PRINT = tabulate(print_density, print_display, lambda d: np.full((len(d), 3), 0.02))


def flat(values, side=1):
    """One row of plain squares, the same in each channel."""
    row = np.repeat(np.asarray(values, np.float32), side)
    return mx.array(np.broadcast_to(row[None, :, None], (side, len(row), 3)))


def test_a_positives_density_is_that_of_srgbs_power_segment():
    display = np.linspace(0.05, 1, 20)  # above the linear toe, where the standard has the same curve
    np.testing.assert_allclose(scan_density(display), -np.log10(((display + 0.055) / 1.055) ** 2.4), atol=1e-12)
    np.testing.assert_allclose(scan_density([0, 0.5, 1]), [3.079, 0.6695, 0], atol=5e-4)


def test_display_is_densitys_inverse_a_little_beyond_black_and_white_too():
    display = np.linspace(-0.05, 1.2, 101)
    np.testing.assert_allclose(scan_display(scan_density(display)), display, atol=1e-12)
    assert (np.diff(scan_density(display)) < 0).all()


def test_density_sigma_undoes_the_slope_of_the_curve():
    display, step = np.linspace(0, 1, 11), 1e-5
    slope = (scan_display(scan_density(display) + step) - scan_display(scan_density(display) - step)) / (2 * step)
    np.testing.assert_allclose(density_sigma(display, 0.01 * np.abs(slope)), 0.01, rtol=1e-6)


@pytest.mark.parametrize("tone", [SCAN, PRINT], ids=["scan", "print"])
def test_the_tables_go_one_way(tone):
    density, shown, display = (np.array(a, np.float64) for a in (tone.density, tone.shown, tone.display))
    assert (np.diff(shown, axis=0) > 0).all()
    signs = [np.unique(np.sign(np.diff(a, axis=0)[50:-50])) for a in (density, display)]  # the print's ends are level
    assert [len(sign) for sign in signs] == [1, 1]
    assert signs[0] == signs[1]
    np.testing.assert_allclose(shown, np.linspace(0, 1, SHADES)[:, None].repeat(3, 1), rtol=0, atol=ENDS)


@pytest.mark.parametrize("tone", [SCAN, PRINT], ids=["scan", "print"])
@pytest.mark.parametrize("top", [255, 65535])
def test_without_strength_every_level_stays(tone, top):
    levels = np.arange(top + 1)
    unit = mx.array(np.random.default_rng(0).normal(size=(1, len(levels), 3)).astype(np.float32))
    out = np.array(add_grain(flat(levels / top), unit, tone, 0.0))
    np.testing.assert_allclose(out[0, :, 0], levels / top, rtol=0, atol=ROUNDING)
    np.testing.assert_array_equal(np.rint(out * top), levels[None, :, None].repeat(3, 2))


@pytest.mark.parametrize("strength", [0.25, 1.0, 2.0])
def test_grain_is_added_in_density(strength):
    unit = np.random.default_rng(1).normal(size=(64, 64 * len(GREYS), 3)).astype(np.float32)
    photo = flat(GREYS, 64)
    out = np.array(add_grain(photo, mx.array(unit), SCAN, strength), np.float64)
    density = scan_density(np.array(photo, np.float64))
    expected = density + strength * sigmas(density[0, :, 0]) * unit
    inside = (out > 0) & (out < 1)
    assert inside.mean() > 0.95
    np.testing.assert_allclose(scan_density(out)[inside], expected[inside], rtol=0, atol=TABLE)


def test_faint_grain_is_the_derivative_times_sigma():
    """V' = V - (V + 0.055) (ln 10 / 2.4) sigma n."""
    unit = mx.ones((1, len(GREYS), 3)) * mx.array([1.0, -1.0, 0.5])
    strength = 0.02
    out = np.array(add_grain(flat(GREYS), unit, SCAN, strength), np.float64)[0] - GREYS[:, None]
    expected = -(GREYS[:, None] + 0.055) * np.log(10) / 2.4 * strength * sigmas(scan_density(GREYS)) * [1, -1, 0.5]
    np.testing.assert_allclose(out, expected, rtol=SLOPE, atol=2 * ROUNDING)


def test_values_between_two_shades_take_the_nearer_ones_grain():
    unit = mx.ones((1, len(GREYS), 3))
    grain = {}
    for share in (0.0, 0.4, 0.6, 1.0):
        photo = flat(GREYS[:-1] + np.float32(share / (SHADES - 1)))
        grain[share] = np.array(add_grain(photo, unit[:, 1:], PRINT) - photo)
    np.testing.assert_allclose(grain[0.4], grain[0.0], rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(grain[0.6], grain[1.0], rtol=0, atol=ROUNDING)
    assert np.abs(grain[1.0] - grain[0.0]).max() > 10 * ROUNDING


def test_the_mean_density_stays():
    side = 256
    unit = np.random.default_rng(2).normal(size=(side, side * len(GREYS), 3)).astype(np.float32)
    out = np.array(add_grain(flat(GREYS, side), mx.array(unit), SCAN), np.float64)
    squares = scan_density(out).reshape(side, len(GREYS), side, 3).mean((0, 2))[:-1]  # the last is clipped at white
    density = scan_density(GREYS.astype(np.float64))[:-1]
    np.testing.assert_array_less(np.abs(squares - density[:, None]), STANDARD_ERRORS * sigmas(density) / side)


def test_more_density_is_darker_on_a_positive_and_lighter_on_a_print():
    unit = mx.broadcast_to(mx.linspace(-3, 3, 61)[None, :, None], (1, 61, 3))
    for tone, sign in ((SCAN, -1), (PRINT, 1)):
        out = np.array(add_grain(mx.full((1, 61, 3), 0.4), unit, tone))
        assert (sign * np.diff(out[0], axis=0) > 0).all()


def test_what_passes_black_and_white_is_clipped():
    photo = flat([0, 0.3, 0.7, 1], 32)
    unit = mx.array(np.random.default_rng(3).normal(size=photo.shape).astype(np.float32))
    for tone in (SCAN, PRINT):
        out = np.array(add_grain(photo, unit, tone, 300.0))
        assert out.min() == 0
        assert out.max() <= 1
        assert np.isfinite(out).all()
    assert np.array(add_grain(photo, unit, SCAN, 300.0)).max() == 1
    white = np.array(add_grain(mx.ones((1, 1, 3)), mx.array([[[-5.0, -5.0, -5.0]]]), SCAN))
    np.testing.assert_array_equal(white, 1)


def test_each_channel_has_its_own_grain():
    out = np.array(add_grain(flat(GREYS), mx.ones((1, len(GREYS), 3)), SCAN), np.float64)
    grain = scan_density(out[0]) - scan_density(GREYS.astype(np.float64))[:, None]
    np.testing.assert_allclose(grain, sigmas(scan_density(GREYS.astype(np.float64))), rtol=0, atol=TABLE)
