from dataclasses import replace

from d2f_mlx import checkpoint
from d2f_mlx.film import FORMATS, FilmStock, Scanner, film_density, film_halides, pitch_of, push, scanned_grain
from d2f_mlx.film.scan import film_display
from d2f_mlx.grain import HalideStatistics
from d2f_mlx.grain.gaussian import unit_grain
from d2f_mlx.grain.overlay import add_grain

import mlx.core as mx
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j1

EXACT = 1e-9
SIGMA = 0.005  # relative: lines between the points of a table, and integrals over a thousand rings
SELWYN = 0.05  # the disc's edges cut more of clouds with a radius of 3 um than those of squares of 150 um do
MEASURED = 0.03  # relative: 5 standard errors of 256^2 pixels of which three hang together are 0.02
HALIDES = 0.03  # the same, and how far grain of its true size leaves the slope at none
GREY = 1.055 * 0.18 ** (1 / 2.4) - 0.055  # 18 % on display
BLACK = 2.4 * np.log10(1.055 / 0.055)


@pytest.fixture(scope="module")
def negative():
    return FilmStock.load("kodak-portra-400")


@pytest.fixture(scope="module")
def reversal():
    return FilmStock.load("kodak-ektachrome-100d")


@pytest.fixture(scope="module")
def fitted(reversal):
    """A stock as from scans at 12 um: granularity and spectrum are those of a pixel."""
    f = np.linspace(0, 60, 61)
    shape = np.exp(-0.5 * (f / 20) ** 2)
    shape /= 2 * np.pi * 20**2 * (1 - np.exp(-4.5))
    parts = {"kind": "scan", "iso": None, "aperture_um": 0.0, "pitch_um": 12.0, "mixing": np.eye(3)}
    return replace(reversal, frequency=f, spectrum=shape[:, None].repeat(3, 1), **parts)


@pytest.fixture(scope="module")
def stocks(negative, reversal, fitted):
    return {"negative": negative, "reversal": reversal, "scan": fitted}


def deviation(stock, grain, scanner, display):
    """Deviation of the film's density in pixels: how far a deviation of grain moves it."""
    step = 0.25
    photo = mx.full((1, 1, 3), display)
    film = [film_density(stock, np.array(add_grain(photo, mx.array(u), grain.tone)), scanner) for u in (step, -step)]
    return np.abs(film[0] - film[1])[0, 0] / (2 * step)


@pytest.mark.parametrize(
    ("size", "film_format", "enlargement", "pitch_um"),
    [
        ((4000, 6000), "135", 1, 6.0),  # 36 mm over 6000 pixels
        ((6000, 4000), "135", 1, 6.0),
        ((2000, 3000), "135", 2, 6.0),
        ((3000, 3000), "6x6", 1, 56000 / 3000),
        ((10, 1000), "super8", 1, 5.8),
        ((100, 100), "4x5", 0.5, 2400.0),
    ],
)
def test_pitch_is_the_frames_long_side_over_the_pixels(size, film_format, enlargement, pitch_um):
    assert pitch_of(size, film_format, enlargement) == pytest.approx(pitch_um)


def test_formats_are_those_that_photographers_know():
    assert (FORMATS["135"], FORMATS["half-frame"], FORMATS["645"], FORMATS["6x9"]) == (36, 24, 56, 84)
    by_size = ["super8", "16mm", "super16", "half-frame", "super35", "135", "645", "6x7", "6x9", "4x5"]
    assert sorted(by_size, key=FORMATS.__getitem__) == by_size
    assert FORMATS["6x6"] == FORMATS["645"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"film_format": "110"}, r"a film format is one of 135, half-frame, .*, got '110'"),
        ({"enlargement": 0}, "an enlargement is positive, got 0"),
        ({"enlargement": -2.0}, "an enlargement is positive, got -2.0"),
        ({"enlargement": float("nan")}, "an enlargement is positive, got nan"),
        ({"enlargement": float("inf")}, "an enlargement is positive, got inf"),
    ],
)
def test_frames_that_are_none_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pitch_of((10, 10), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": 0.0}, r"Scanner expects contrast in \[0.1, 10\], got 0.0"),
        ({"grey": 3.5}, r"grey in \[0, 3\], got 3.5"),
        ({"blur": -1.0}, r"blur in \[0, 100\], got -1.0"),
        ({"crosstalk": 1.5}, r"crosstalk in \[0, 1\], got 1.5"),
        ({"crosstalk": float("nan")}, "crosstalk .* got nan"),
    ],
)
def test_scanners_out_of_bounds_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Scanner(**options)


@pytest.mark.parametrize("kind", ["negative", "reversal", "scan"])
@pytest.mark.parametrize("scanner", [Scanner(), Scanner(contrast=1.5, grey=1.0)], ids=["paper", "soft"])
def test_density_and_display_are_inverses(stocks, kind, scanner):
    stock = stocks[kind]
    display = np.linspace(0.001, 0.999, 101)
    density = film_density(stock, display, scanner)
    np.testing.assert_allclose(film_display(stock, density, scanner), display, rtol=0, atol=EXACT)
    assert (np.sign(np.diff(density)) == (1 if kind == "negative" else -1)).all()
    known = np.array([[0.2, 0.5], [1.0, 1.5]])
    np.testing.assert_allclose(film_density(stock, film_display(stock, known, scanner), scanner), known, atol=EXACT)


def test_a_negatives_grey_and_contrast_are_the_scanners(negative):
    scanner = Scanner(contrast=1.8, grey=0.7)
    assert film_density(negative, np.array(GREY), scanner) == pytest.approx(0.7, abs=EXACT)
    display = film_display(negative, np.array([0.699, 0.701]), scanner)
    positive = -2.4 * np.log10((display + 0.055) / 1.055)
    assert (positive[0] - positive[1]) / 0.002 == pytest.approx(1.8, rel=1e-4)


def test_a_print_is_flat_towards_white_and_steep_in_the_shadows(negative):
    density = film_density(negative, np.linspace(0, 1, 101), Scanner())
    positive = -2.4 * np.log10((np.linspace(0, 1, 101) + 0.055) / 1.055)
    slope = -np.diff(positive) / np.diff(density)
    assert (np.diff(slope) < 0).all()
    assert slope[0] > 1.7 > slope[-1]


def test_reversal_and_scans_are_taken_as_they_are(reversal, fitted):
    for stock in (reversal, fitted):
        assert film_density(stock, np.array(GREY), Scanner(grey=2.0, contrast=5.0)) == pytest.approx(-np.log10(0.18))


def test_push_is_a_power_of_the_exposure_index():
    stock = FilmStock.load("kodak-portra-800")
    assert push(stock, 1600) == pytest.approx((1600 / 800) ** 0.27)
    assert push(stock, 800) == 1
    assert push(stock, 400) < 1
    # 4.8, 6 and 7 at 800, 1600 and 3200 in the sheets.
    np.testing.assert_allclose([push(stock, 1600), push(stock, 3200)], [6 / 4.8, 7 / 4.8], rtol=0.04)


def test_a_push_needs_speeds(negative, fitted):
    for speed in (0, -100, float("nan")):
        with pytest.raises(ValueError, match="an exposure index is positive, got"):
            push(negative, speed)
    with pytest.raises(ValueError, match="kodak-ektachrome-100d has no speed"):
        push(fitted, 400)


def test_a_negatives_grain_is_strongest_in_the_shadows_and_fades_towards_black_and_white(negative):
    grain = scanned_grain(negative, 6.0)
    display = np.linspace(0.01, 0.99, 50, dtype=np.float32)
    photo = mx.array(np.tile(display[None, :, None], (1, 1, 3)))
    up, down = (np.array(add_grain(photo, mx.full(photo.shape, u), grain.tone)) for u in (0.2, -0.2))
    moved = np.abs(up - down)[0]
    strongest = display[moved.argmax(0)]
    assert ((strongest > 0.1) & (strongest < 0.5)).all()
    assert (moved[[0, -1]] < 0.35 * moved.max(0)).all()


@pytest.mark.parametrize("kind", ["negative", "reversal"])
@pytest.mark.parametrize("density", [0.3, 1.0])
def test_pixels_that_dwarf_the_grain_follow_selwyns_law(stocks, kind, density):
    """Sigma sqrt(A) is constant: sigma through 150 um squares from sigma through the disc of 48 um."""
    stock, scanner = stocks[kind], Scanner(blur=0, crosstalk=0)
    grain = scanned_grain(stock, 150.0, scanner)
    found = deviation(stock, grain, scanner, float(film_display(stock, np.array(density), scanner)))
    sheet = np.array([stock.sigma(density, c) for c in range(3)])
    np.testing.assert_allclose(found, sheet * np.sqrt(np.pi / 4) * 48 / 150, rtol=SELWYN)


@pytest.mark.parametrize(("pitch", "blur"), [(6.0, 0.0), (6.0, 3.0), (2.0, 3.0), (10.0, 5.0)])
def test_sigma_in_a_pixel_is_the_spectrums_integral_through_it_over_that_through_the_disc(reversal, pitch, blur):
    """Against quadrature: a square's response averaged over directions, and the disc's Bessel function."""
    scanner = Scanner(blur=blur, crosstalk=0)
    angles = (np.arange(64) + 0.5) * np.pi / 128

    def spectrum(f, mode):
        return np.interp(1000 * f, reversal.frequency, reversal.spectrum[:, mode], right=0)

    def square(f, mode):
        response = (np.sinc(f * pitch * np.cos(angles)) * np.sinc(f * pitch * np.sin(angles))) ** 2
        return spectrum(f, mode) * response.mean() * np.exp(-((2 * np.pi * blur * f) ** 2)) * f

    def disc(f, mode):
        x = np.pi * 48 * f
        return spectrum(f, mode) * (2 * j1(x) / x) ** 2 * f

    ratio = [quad(square, 1e-9, 0.3, (m,), limit=400)[0] / quad(disc, 1e-9, 0.3, (m,), limit=400)[0] for m in range(3)]
    expected = np.sqrt(reversal.mixing**2 @ ratio) * [reversal.sigma(0.7, c) for c in range(3)]
    display = float(film_display(reversal, np.array(0.7), scanner))
    found = deviation(reversal, scanned_grain(reversal, pitch, scanner), scanner, display)
    np.testing.assert_allclose(found, expected, rtol=SIGMA)


def test_strength_scales_sigma(negative):
    scanner = Scanner()
    one, half = (deviation(negative, scanned_grain(negative, 12.0, strength=s), scanner, GREY) for s in (1.0, 0.5))
    np.testing.assert_allclose(half, one / 2, rtol=SIGMA)


def test_a_fitted_stocks_own_pixel_has_its_sigma_whatever_the_scanner(fitted):
    for scanner in (None, Scanner(blur=8.0, crosstalk=1.0)):
        grain = scanned_grain(fitted, 12.0, scanner)
        found = deviation(fitted, grain, Scanner(), 0.5)
        density = film_density(fitted, np.array(0.5), Scanner())
        np.testing.assert_allclose(found, [fitted.sigma(density, c) for c in range(3)], rtol=SIGMA)
        np.testing.assert_allclose(grain.field.mixing, np.eye(3), atol=1e-6)


def test_black_and_white_has_one_field():
    grain = scanned_grain(FilmStock.load("kodak-tri-x-400"), 6.0)
    assert grain.field.kernels.shape[0] == 1
    np.testing.assert_array_equal(grain.field.mixing, np.ones((3, 1)))


@pytest.mark.parametrize("blur", [0.0, 3.0])
@pytest.mark.parametrize("pitch", [6.0, 7.3])
def test_the_scanners_blur_joins_neighbours(pitch, blur):
    """In the field and in the halides' kernel: exp(-x^2 / 4 s^2) for a blur alone, and more by grain and pixel."""
    grain = scanned_grain(FilmStock.load("kodak-tri-x-400"), pitch, Scanner(blur=blur))
    unit = np.array(unit_grain(grain.field, mx.random.key(0), (0, 0), (256, 256)))[..., 0]
    found = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in ((unit[1:], unit[:-1]), (unit[:, 1:], unit[:, :-1]))]
    kernel = grain.kernel.astype(float)
    np.testing.assert_allclose(found, (kernel[1:] * kernel[:-1]).sum(), rtol=0, atol=MEASURED)
    np.testing.assert_allclose(found, grain.neighbours[0], rtol=0, atol=MEASURED)
    assert (np.mean(found) > np.exp(-((pitch / blur) ** 2) / 4)) if blur else (np.mean(found) < 0.1)


def test_crosstalk_mixes_the_layers_densities(negative):
    """By the covariance of the channels, (1 - c) D + c mean(D): its diagonal is sigma^2, and 1 makes all the same."""
    display = 0.45
    density = film_density(negative, np.array(display), Scanner())
    sigma = np.array([negative.sigma(density, c) for c in range(3)])
    sheet = np.outer(sigma, sigma) * negative.correlation
    for crosstalk in (0.0, 0.3, 0.65, 1.0):
        scanner = Scanner(crosstalk=crosstalk, blur=0)
        grain = scanned_grain(negative, 150.0, scanner)  # where a pixel sees the modes as the disc does
        share = (1 - crosstalk) * np.eye(3) + crosstalk / 3
        expected = share @ sheet @ share.T
        deviations = np.sqrt(np.diag(expected))
        found = deviation(negative, grain, scanner, display)
        np.testing.assert_allclose(found, deviations * np.sqrt(np.pi / 4) * 48 / 150, rtol=SELWYN)
        mixing = np.array(grain.field.mixing, np.float64)
        np.testing.assert_allclose(mixing @ mixing.T, expected / np.outer(deviations, deviations), atol=0.03)
    np.testing.assert_allclose(mixing @ mixing.T, 1, atol=1e-6)


@pytest.mark.parametrize("strength", [0.0, 1e-3, 4.0])
def test_strength_changes_nothing_but_sigma(negative, strength):
    one, other = (scanned_grain(negative, 6.0, strength=s) for s in (1.0, strength))
    for name in ("kernels", "mixing", "tail"):
        np.testing.assert_array_equal(getattr(other.field, name), getattr(one.field, name))
    np.testing.assert_array_equal(other.kernel, one.kernel)


@pytest.fixture(scope="module")
def like():
    return HalideStatistics.load(checkpoint.BUNDLED / "film.safetensors")


@pytest.mark.parametrize("kind", ["negative", "reversal", "scan"])
def test_halides_have_the_grain_that_is_measured_on_plain_areas(stocks, like, kind):
    grain = scanned_grain(stocks[kind], 12.0)
    halides = film_halides(grain, like)
    unit = unit_grain(grain.field, mx.random.key(7), (0, 0), (256, 256))
    for band in range(16):
        display = (band + 0.5) / 16
        found = 255 * np.array(add_grain(mx.full((256, 256, 3), display), unit, grain.tone), np.float64).std((0, 1))
        np.testing.assert_allclose(halides.sigma[band], found, rtol=HALIDES, err_msg=f"band {band}")
    found = np.corrcoef(np.array(unit).reshape(-1, 3).T)
    np.testing.assert_allclose(halides.correlation, found, atol=MEASURED)


def test_halides_take_only_what_scatter_reads_from_the_stock(negative, like):
    grain = scanned_grain(negative, 6.0)
    halides = film_halides(grain, like)
    np.testing.assert_array_equal(halides.kernel, grain.kernel)
    assert halides.kernel.shape == like.kernel.shape
    assert halides.sigma.shape == like.sigma.shape
    for name in ("density", "occupancy", "height"):
        np.testing.assert_array_equal(getattr(halides, name), getattr(like, name))


@pytest.mark.parametrize("pitch", [0.0, -1.0, float("nan")])
def test_pitches_that_are_none_are_refused(negative, pitch):
    with pytest.raises(ValueError, match="expects a positive pitch_um"):
        scanned_grain(negative, pitch)
