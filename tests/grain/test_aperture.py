from d2f_mlx.grain.aperture import disc_response, disc_variance, pixel_variance, seen_power

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j1

INTEGRAL = 0.003  # of a variance: 1024 rings and 16 directions against adaptive quadrature
SELWYN = 0.08  # grain of 8 um (1 / 2 pi 0.02) against 200: some of it is cut by the edges
BESSEL = 1e-9
WIDTHS = (0.02, 0.05)  # cycles/um: deviations of two Gaussian spectra
FREQUENCY = np.linspace(0, 300, 601)  # cycles/mm
SPECTRUM = np.stack([np.exp(-0.5 * (FREQUENCY / 1000 / width) ** 2) for width in WIDTHS], -1)


def through_square(width, pitch, blur=0.0):
    """Integrate exp(-f^2 / 2 w^2) through a square pixel after a Gaussian blur: the square of one direction's."""

    def power(f):
        return np.exp(-0.5 * (f / width) ** 2 - (2 * np.pi * blur * f) ** 2) * np.sinc(f * pitch) ** 2

    return (1000 * 2 * quad(power, 0, 0.3, limit=400)[0]) ** 2


@pytest.mark.parametrize("pitch", [0.5, 3, 6, 7.3, 12, 24, 47, 200])
@pytest.mark.parametrize("blur", [0.0, 3.0])
def test_a_pixels_variance_is_the_integral_of_what_it_sees(pitch, blur):
    found = pixel_variance(FREQUENCY, SPECTRUM, pitch_um=pitch, blur_um=blur)
    np.testing.assert_allclose(found, [through_square(width, pitch, blur) for width in WIDTHS], rtol=INTEGRAL)


@pytest.mark.parametrize("diameter", [1.0, 24, 48, 96])
def test_a_discs_variance_is_the_integral_with_the_bessel_function(diameter):
    def through_disc(width):
        def ring(f):
            x = np.pi * diameter * f
            return np.exp(-0.5 * (f / width) ** 2) * (2 * j1(x) / x) ** 2 * 2 * np.pi * f

        return 1e6 * quad(ring, 0, 0.3, limit=400)[0]

    found = disc_variance(FREQUENCY, SPECTRUM, diameter_um=diameter)
    np.testing.assert_allclose(found, [through_disc(width) for width in WIDTHS], rtol=INTEGRAL)


def test_large_apertures_follow_selwyns_law():
    """Variance is W(0) over the aperture's area where grain is small against it."""
    pitch = diameter = 200.0
    for found, area in [
        (pixel_variance(FREQUENCY, SPECTRUM, pitch_um=pitch), pitch**2),
        (disc_variance(FREQUENCY, SPECTRUM, diameter_um=diameter), np.pi / 4 * diameter**2),
    ]:
        np.testing.assert_allclose(found, SPECTRUM[0] * 1e6 / area, rtol=SELWYN)


def test_discs_response_is_the_bessel_function():
    x = np.concatenate([[0.0], np.geomspace(1e-3, 40, 300)])
    argument = np.pi * x[1:]
    expected = np.concatenate([[1.0], 2 * j1(argument) / argument])
    np.testing.assert_allclose(disc_response(x), expected, rtol=0, atol=BESSEL)
    assert disc_response(np.zeros((2, 3))).shape == (2, 3)


def test_films_own_spectrum_is_seen_through_pixel_and_blur():
    power = seen_power(FREQUENCY, SPECTRUM, pitch_um=8.0, seen_um=0.0, blur_um=2.5)
    f_y, f_x = np.array([0.0, 0.03, -0.06]), np.array([0.01, 0.04, 0.08])
    square = f_y**2 + f_x**2
    for mode, width in enumerate(WIDTHS):
        expected = np.exp(-0.5 * square / width**2)
        expected *= np.exp(-((2 * np.pi * 2.5) ** 2) * square)  # amplitude exp(-2 pi^2 s^2 f^2), squared
        expected *= (np.sin(8 * np.pi * f_x) / (8 * np.pi * f_x)) ** 2
        expected[1:] *= ((np.sin(8 * np.pi * f_y) / (8 * np.pi * np.where(f_y, f_y, 1))) ** 2)[1:]
        np.testing.assert_allclose(power(f_y, f_x, mode), expected, rtol=2e-3, atol=1e-6)


def test_nothing_is_known_beyond_the_last_frequency():
    power = seen_power(FREQUENCY, np.ones((len(FREQUENCY), 1)), 0.1, 0.0, 0.0)
    assert power(np.array(0.0), np.array(0.299), 0) > 0.9
    assert power(np.array(0.0), np.array(0.301), 0) == 0


@pytest.mark.parametrize("pitch", [3.0, 10.0])
def test_a_fitted_spectrum_is_not_blurred_again_by_pixels_up_to_its_own(pitch):
    power = seen_power(FREQUENCY, SPECTRUM, pitch, seen_um=10.0, blur_um=0.0)
    nyquist = 0.05
    inside, outside = np.array([0.0, 0.02, 0.0499]), np.array([0.0501, 0.07])
    np.testing.assert_allclose(power(0 * inside, inside, 0), np.interp(inside * 1000, FREQUENCY, SPECTRUM[:, 0]))
    np.testing.assert_array_equal(power(0 * outside, outside, 0), 0)
    np.testing.assert_array_equal(power(outside, 0 * outside, 0), 0)
    # Two aliases meet at the edge and must not both count.
    edge = np.array([-nyquist, nyquist])
    np.testing.assert_allclose(power(0 * edge, edge, 0), [np.interp(50, FREQUENCY, SPECTRUM[:, 0]), 0])
    np.testing.assert_allclose(power(edge, 0 * edge, 0), [np.interp(50, FREQUENCY, SPECTRUM[:, 0]), 0])


def test_coarser_pixels_take_from_a_fitted_spectrum_what_its_own_had_left():
    fine = seen_power(FREQUENCY, SPECTRUM, 10.0, seen_um=10.0, blur_um=0.0)
    coarse = seen_power(FREQUENCY, SPECTRUM, 25.0, seen_um=10.0, blur_um=0.0)
    f_y, f_x = np.array([0.01, 0.02]), np.array([0.03, 0.0])
    own = (np.sinc(10 * f_y) * np.sinc(10 * f_x)) ** 2
    film = fine(f_y, f_x, 1) / own
    np.testing.assert_allclose(coarse(f_y, f_x, 1), film * (np.sinc(25 * f_y) * np.sinc(25 * f_x)) ** 2)


def test_a_fitted_stocks_own_pixel_sees_the_whole_spectrum_inside_its_square():
    seen = 10.0
    white = np.ones((len(FREQUENCY), 1))
    found = pixel_variance(FREQUENCY, white, pitch_um=seen, seen_um=seen)
    np.testing.assert_allclose(found, (1000 / seen) ** 2, rtol=0.01)  # a square's corners in polar steps
