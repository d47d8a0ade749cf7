from d2f_mlx.grain import FlatBlocks, flat_blocks
from d2f_mlx.grain.granularity import (
    aperture_sigma,
    aperture_weights,
    disc_weights,
    rms_granularity,
    selwyn,
    sigma_by_brightness,
    sigma_by_density,
)
from d2f_mlx.grain.patches import Blocks
from d2f_mlx.grain.spectrum import noise_power_spectrum

import numpy as np
import pytest
import scipy.integrate
import scipy.ndimage as ndi
import scipy.signal
import scipy.special

SIGMA, PITCH = 0.02, 6.0
SAMPLING = 0.04  # relative; four standard errors where some 1000 apertures fit side by side
QUADRATURE = 1e-4  # relative


def white(shape=(512, 512), seed=0):
    return 1.0 + SIGMA * np.random.default_rng(seed).standard_normal(shape)


def correlated(width, shape=(768, 768), seed=0):
    """White noise through a Gaussian of ``width`` pixels: W(f) = exp(-(2 pi f width)^2), in square pixels."""
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal(shape))
    return np.fft.ifft2(ndi.fourier_gaussian(noise, width)).real


def disc_area(diameter_um):
    return np.pi / 4 * diameter_um**2


@pytest.mark.parametrize("diameter", [1.01, 1.5, 2.0, 3.3, 8.0, 13.7])
def test_disc_weights_are_the_disc_finely_divided(diameter):
    found = disc_weights(diameter)
    reach, fine = len(found) // 2, 200
    place = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = place[:, None] ** 2 + place**2 <= (diameter / 2) ** 2
    expected = inside.reshape(len(found), fine, len(found), fine).mean((1, 3))
    np.testing.assert_allclose(found * disc_area(diameter), expected, atol=2e-3)
    assert found[reach, 0] > 0  # no larger than it has to be
    np.testing.assert_allclose(found.sum(), 1)
    np.testing.assert_allclose(found, found.T, atol=1e-12)


@pytest.mark.parametrize("diameter", [0.2, 1.0])
def test_a_disc_inside_a_pixel_is_the_pixel(diameter):
    np.testing.assert_array_equal(disc_weights(diameter), [[1.0]])


@pytest.mark.parametrize("diameter", [1.2, 2.0, 4.8, 8.0, 16.0])
def test_an_apertures_weights_average_as_much_noise_as_the_disc(diameter):
    found = aperture_weights(diameter)
    np.testing.assert_allclose(1 / (found**2).sum(), disc_area(diameter), rtol=1e-6)
    rows = np.arange(len(found)) - len(found) // 2
    width = (found.sum(0) * rows**2).sum() + 1 / 12  # the pixel's own
    assert abs(width - diameter**2 / 16) < 0.06 * diameter**2 / 16 + 1 / 12


@pytest.mark.parametrize("shape", [(41, 37), (41, 37, 3)])
def test_rms_granularity_is_the_deviation_of_what_a_disc_averages(shape):
    density = white(shape)
    density += np.linspace(0, 0.05, 37)[(None, slice(None), *([None] * (len(shape) - 2)))]
    disc = aperture_weights(24 / 5)
    planes = density.reshape(41, 37, -1)
    seen = [scipy.signal.convolve2d(planes[..., c], disc, "valid") for c in range(planes.shape[2])]
    places = np.argwhere(np.ones(seen[0].shape))
    padded = scipy.signal.correlate2d(disc, disc) / (disc**2).sum()
    lag = places[:, None] - places[None]
    near = (np.abs(lag) < len(disc)).all(-1)
    shared = padded[tuple((lag[near] + len(disc) - 1).T)].sum() / len(places) ** 2
    expected = [s.std() / np.sqrt(1 - shared) for s in seen]
    np.testing.assert_allclose(rms_granularity(density, 5.0, 24.0), expected, rtol=1e-9)


def test_white_noise_through_a_disc_loses_by_the_root_of_its_area():
    found = rms_granularity(white((600, 600, 3)), PITCH)
    np.testing.assert_allclose(found, SIGMA * PITCH / np.sqrt(disc_area(48)), rtol=SAMPLING)


def test_rms_granularity_is_unbiased_on_small_areas():
    found = np.mean([rms_granularity(white((20, 24), seed), PITCH) ** 2 for seed in range(400)])
    np.testing.assert_allclose(found, SIGMA**2 * PITCH**2 / disc_area(48), rtol=0.1)  # 20 % low if not corrected


def test_a_pixel_is_the_least_aperture():
    x = white((40, 40))
    np.testing.assert_allclose(rms_granularity(x, 60.0), x.std(ddof=1), rtol=1e-9)


def test_rms_granularity_of_known_grain_is_its_spectrum_seen_through_the_disc():
    """The power of grain that is wider than a pixel hardly changes when pixels are averaged over."""
    width = 1.2
    frequency = np.linspace(0, 0.5, 200)  # per pixel
    spectrum = np.exp(-((2 * np.pi * frequency * width) ** 2))
    x = correlated(width)
    for diameter in (1.5, 3.0, 5.0, 10.0):
        expected = aperture_sigma(frequency / PITCH, spectrum * PITCH**2, diameter * PITCH)
        np.testing.assert_allclose(rms_granularity(x, PITCH, diameter * PITCH), expected, rtol=SAMPLING)


@pytest.mark.parametrize("width", [0.0, 1.0])
def test_large_apertures_obey_selwyns_law(width):
    x = 1 + SIGMA * (correlated(width) if width else np.random.default_rng(1).standard_normal((768, 768)))
    found = selwyn(x, PITCH, [96, 48, 72, 120] if width else [12, 24, 48, 96])
    assert (np.diff(found.diameter_um) > 0).all()
    np.testing.assert_allclose(found.slope, -0.5, atol=0.06)
    power = SIGMA**2 * PITCH**2  # W(0)
    np.testing.assert_allclose(found.constant, np.sqrt(2 * power), rtol=2 * SAMPLING)
    np.testing.assert_allclose(found.sigma[-1] ** 2 * disc_area(found.diameter_um[-1]), power, rtol=4 * SAMPLING)


def test_the_spectrum_at_low_frequencies_is_selwyns_constant():
    x = correlated(0.7, (768, 768))
    blocks = x.reshape(12, 64, 12, 64).swapaxes(1, 2).reshape(-1, 64, 64, 1)
    low = np.array(noise_power_spectrum(blocks, PITCH))[1:3, 1:3].mean()
    np.testing.assert_allclose(selwyn(x, PITCH, [48, 60, 72]).constant ** 2 / 2, low, rtol=0.2)  # 576 waves


def test_apertures_within_the_grain_do_not_obey_selwyns_law():
    found = selwyn(correlated(6.0), 1.0, [2, 3, 4])
    assert -0.1 < found.slope[0] < -0.01


def test_selwyns_slope_and_constant_are_fitted_over_the_larger_half():
    x = correlated(2.0, (300, 300))
    found = selwyn(x, 1.0, [2, 4, 6, 16, 24])
    area = disc_area(found.diameter_um[2:])
    slope = np.polyfit(np.log(area), np.log(found.sigma[2:, 0]), 1)[0]
    np.testing.assert_allclose(found.slope, slope)
    np.testing.assert_allclose(found.constant, np.sqrt((2 * area * found.sigma[2:, 0] ** 2).mean()))
    for k, diameter in enumerate(found.diameter_um):
        np.testing.assert_allclose(found.sigma[k], rms_granularity(x, 1.0, diameter))


@pytest.mark.parametrize("diameter", [0.5, 3.0, 20.0])
def test_aperture_sigma_of_a_disc_is_the_integral_with_the_bessel_function(diameter):
    def integrand(f):
        x = np.pi * diameter * f
        return np.exp(-3 * f) * (2 * scipy.special.j1(x) / x) ** 2 * 2 * np.pi * f

    expected = np.sqrt(scipy.integrate.quad(integrand, 1e-9, 2, limit=500)[0])
    frequency = np.linspace(0, 2, 1001)
    found = aperture_sigma(frequency, np.exp(-3 * frequency), diameter)
    np.testing.assert_allclose(found, expected, rtol=QUADRATURE)


def test_aperture_sigma_of_a_square_is_the_integral_over_both_directions():
    side, decay = 2.0, 4.0
    line = scipy.integrate.quad(lambda f: np.sinc(side * f) ** 2 * np.exp(-decay * f**2), -4, 4)[0]
    frequency = np.linspace(0, 4, 2001)
    spectrum = np.stack([np.exp(-decay * frequency**2), 9 * np.exp(-decay * frequency**2)], 1)
    np.testing.assert_allclose(aperture_sigma(frequency, spectrum, square=side), [line, 3 * line], rtol=QUADRATURE)


def test_aperture_sigma_keeps_units_and_extends_to_frequency_zero():
    frequency = np.linspace(10, 200, 300)  # cycles/mm
    spectrum = np.exp(-((frequency / 60) ** 2))
    in_mm = aperture_sigma(frequency, spectrum * 1e-6, 0.048)
    np.testing.assert_allclose(aperture_sigma(frequency / 1000, spectrum, 48.0), in_mm, rtol=1e-9)
    whole = np.r_[0, frequency], np.r_[spectrum[0], spectrum]
    np.testing.assert_allclose(in_mm, aperture_sigma(whole[0], whole[1] * 1e-6, 0.048), rtol=1e-6)
    white_film = aperture_sigma(np.array([0.0, 4.0]), np.ones(2), 10.0)  # to 40 cycles a diameter
    np.testing.assert_allclose(white_film, 1 / np.sqrt(disc_area(10)), rtol=0.01)


def test_sigma_by_brightness_is_the_root_of_the_mean_variance():
    rng = np.random.default_rng(0)
    mean = rng.uniform(0, 256, (300, 2)).astype(np.float32)
    residual = rng.standard_normal((300, 16, 16, 2)) * rng.uniform(1, 9, (300, 1, 1, 1))
    found, count = sigma_by_brightness(Blocks(residual, mean, residual, np.zeros((300, 2), int)), fewest=15)
    for band in range(16):
        for c in range(2):
            here = (mean[:, c] >= 16 * band) & (mean[:, c] < 16 * band + 16)
            assert count[band, c] == here.sum()
            expected = np.sqrt((residual[here, :, :, c] ** 2).sum() / (here.sum() * (256 - 3)))
            np.testing.assert_allclose(found[band, c], expected if here.sum() >= 15 else np.nan)
    assert 0 < np.isnan(found).sum() < 32


def test_sigma_by_brightness_recovers_white_grain():
    x = 120 + 5 * np.random.default_rng(0).standard_normal((512, 512, 3))
    blocks = flat_blocks(np.rint(x).astype(np.uint8), FlatBlocks(max_structure=9))
    found, _ = sigma_by_brightness(blocks)
    np.testing.assert_allclose(found[7], np.sqrt(25 + 1 / 12), rtol=0.005)  # 0.6 % low without the plane's freedom


def test_sigma_by_density_recovers_grain_that_is_even_in_density():
    density = np.repeat([0.25, 0.55, 0.85], 160)[:, None, None] + 0.03 * np.random.default_rng(0).standard_normal(
        (480, 320, 3)
    )
    level = (1.055 * 10 ** (-density / 2.4) - 0.055) * 255
    blocks = flat_blocks(np.rint(level * 257).astype(np.uint16), FlatBlocks(max_structure=9))
    found, count = sigma_by_density(blocks, [0.1, 0.4, 0.7, 1.0, 1.3])
    np.testing.assert_allclose(found[:3], 0.03, rtol=0.01)
    assert np.isnan(found[3]).all()
    assert (count[3] == 0).all()
    assert count.sum() == blocks.mean.size
    levels = sigma_by_brightness(blocks)[0]
    assert np.nanmax(levels) > 1.4 * np.nanmin(levels)  # which it is not in levels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(9), 6.0), "expects finite density"),
        ((np.full((99, 99), np.nan), 6.0), "expects finite density"),
        ((np.ones((99, 99)), 0.0), "expects pitch_um above 0, got 0.0"),
        ((np.ones((99, 99)), 6.0, -1.0), "expects apertures above 0, got -1.0"),
        ((np.ones((99, 9)), 6.0), "larger than its aperture of 9 pixels, got 99x9"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, message):
    with pytest.raises(ValueError, match="rms_granularity .*" + message):
        rms_granularity(*arguments)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="selwyn expects two or more different diameters"):
        selwyn(white((50, 50)), PITCH, [48, 48])
    with pytest.raises(ValueError, match="aperture_sigma expects a diameter or a square above 0"):
        aperture_sigma(np.arange(3), np.ones(3))
    with pytest.raises(ValueError, match="aperture_sigma expects rising frequencies"):
        aperture_sigma(np.zeros(3), np.ones(3), 1.0)
    with pytest.raises(ValueError, match="sigma_by_density expects two or more rising edges"):
        sigma_by_density(flat_blocks(np.zeros((8, 8, 3), np.uint8)), [1.0, 0.5])
