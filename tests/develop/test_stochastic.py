"""The Gaussian engine through the door, and the figures of the data sheets that come back out of it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from d2f_mlx import checkpoint, images
from d2f_mlx.color import SRGB
from d2f_mlx.develop import DevelopConfig, Developer, FilmColour, StochasticEngine, develop
from d2f_mlx.film import DEFAULT, Darkroom, FilmStock, Scanner, film_density, push, stocks
from d2f_mlx.film.scan import film_display
from d2f_mlx.grain import HalideStatistics
from d2f_mlx.grain.aperture import pixel_variance
from d2f_mlx.grain.granularity import aperture_weights, rms_granularity
from d2f_mlx.grain.spectrum import noise_power_spectrum, radial_average

import mlx.core as mx
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.signal import fftconvolve
from scipy.special import j1

SHEET = 0.05  # of sigma through the disc
MIXED = 0.08  # with crosstalk, whose mixture of coarse and fine grain is taken at one density for all
SHEET_RHO = 0.05
BAND_DB = 1.0
MEAN_DENSITY = 5  # standard errors
LEVELS = 1.0  # of 255: how far a plain area's mean may move on display
RHO, SIGMA = 0.95, 0.10  # between a preview and the picture averaged
RATIO = 0.02  # of deviations of the same field: tables and lines between their points
WEDGE = (0.2, 0.5, 1.0, 1.5)  # net densities
# A 48 um disc's autocorrelation, squared and summed, is 0.46 of its area: at 6 um 23 pixels share a value. A variance
# of n values has a relative standard error of sqrt(2 / n), so sigma on 400 x 400 pixels has one of
# sqrt(23 / 2) / 400 = 0.8 %, and on 800 x 800 one of 0.4 %.
SIDE, LARGE_SIDE = 400, 800
CLEAR = Scanner(contrast=0.7, grey=0.8, blur=0, crosstalk=0)  # shows net densities from -1 to 3
WITH_OWN_GRAIN = [name for name in sorted(stocks()) if FilmStock.load(name).sources["granularity"] == "sheet"]


def gaussian(photo, **options):
    return develop(photo, **{"grain": "gaussian", "colour": "photo", "key": 3} | options)


def plain(value, height=96, width=96):
    return np.full((height, width, 3), value, np.float32)


def picture(height, width, dtype=np.float32):
    """A smooth ramp from dark to light with a different colour in each corner."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    ramp = np.stack([0.2 + 0.6 * columns, 0.2 + 0.6 * rows, 0.5 + 0.2 * rows * columns], -1)
    if np.issubdtype(dtype, np.floating):
        return ramp.astype(dtype)
    return np.rint(ramp * np.iinfo(dtype).max).astype(dtype)


def developed_wedge(stock, pitch_um, scanner, side):
    """Develop four plain squares of known density at a pitch: the film's density, (4, side, side, 3)."""
    display = film_display(stock, np.array(WEDGE), scanner)
    photo = np.repeat(display, side)[None, :, None] * np.ones((side, 1, 3))
    enlargement = 36000 / photo.shape[1] / pitch_um
    film = gaussian(photo, stock=stock, scanner=scanner, film_format="135", enlargement=enlargement, tile=side)
    assert film.min() > 0
    assert film.max() < 1
    density = film_density(stock, film.astype(np.float64), scanner)
    return density.reshape(side, len(WEDGE), side, 3).swapaxes(0, 1)


def sheet(stock):
    return np.array([[stock.sigma(density, c) for c in range(3)] for density in WEDGE])


def through_disc(square, pitch_um):
    weights = aperture_weights(48 / pitch_um)
    return np.stack([fftconvolve(square[..., c], weights, "valid") for c in range(3)])


def expected_spectrum(stock, pitch_um, count):
    """Give a pixel's power by channel for a sigma of one through the disc of 48 um: what lands on each frequency."""
    f, aliases = np.fft.fftfreq(count, pitch_um), range(-5, 6)
    power = np.zeros((3, count, count))
    for down, across in ((a, b) for a in aliases for b in aliases):
        y, x = (f + down / pitch_um)[:, None], (f + across / pitch_um)[None, :]
        square = (np.sinc(y * pitch_um) * np.sinc(x * pitch_um)) ** 2
        radius = 1000 * np.hypot(y, x)
        power += [np.interp(radius, stock.frequency, s, right=0) * square for s in stock.spectrum.T]

    def disc(f, mode):
        x = np.pi * 0.048 * f
        return np.interp(f, stock.frequency, stock.spectrum[:, mode]) * (2 * j1(x) / x) ** 2 * 2 * np.pi * f

    seen = [quad(disc, 1e-9, 300, (mode,), limit=500)[0] for mode in range(3)]
    return np.einsum("cm,myx->yxc", stock.mixing**2 / seen, power)[:, : count // 2 + 1]


def assert_figures_come_back(stock, pitch_um, side):
    wedge = developed_wedge(stock, pitch_um, CLEAR, side)
    found = np.array([rms_granularity(square, pitch_um) for square in wedge])
    np.testing.assert_allclose(found, sheet(stock), rtol=SHEET)
    smooth = through_disc(wedge[1], pitch_um).reshape(3, -1)
    np.testing.assert_allclose(np.corrcoef(smooth), stock.correlation, rtol=0, atol=SHEET_RHO)

    count = 16  # the corner, one frequency of 625 blocks, has a standard error of 4.3 sqrt(2 / 625) = 0.25 dB
    cut = side // count * count
    blocks = wedge[1, :cut, :cut].reshape(cut // count, count, cut // count, count, 3).swapaxes(1, 2)
    power = np.array(noise_power_spectrum(blocks.reshape(-1, count, count, 3), pitch_um / 1000))  # density^2 mm^2
    expected = expected_spectrum(stock, pitch_um, count) * sheet(stock)[1] ** 2
    bands, expected_bands = (radial_average(spectrum)[1] for spectrum in (power, expected))
    np.testing.assert_array_less(np.abs(10 * np.log10(bands / expected_bands)), BAND_DB)
    return found / sheet(stock) - 1


@pytest.mark.parametrize(("name", "pitch"), [("kodak-vision3-500t", 6.0), ("kodak-ektachrome-100d", 10.0)])
def test_a_stocks_own_figures_come_back(name, pitch):
    assert_figures_come_back(FilmStock.load(name), pitch, SIDE)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_OWN_GRAIN)
@pytest.mark.parametrize("pitch", [6.0, 10.0])
def test_all_stocks_own_figures_come_back(name, pitch):
    assert_figures_come_back(FilmStock.load(name), pitch, LARGE_SIDE)


def test_eight_stocks_have_granularity_from_their_own_sheets():
    assert len(WITH_OWN_GRAIN) == 8


def test_crosstalk_averages_the_layers_before_the_disc_sees_them():
    """Of the film whose layers' grain differs most in size."""
    stock, share = FilmStock.load("kodak-vision-320t"), 0.5 * np.eye(3) + 0.5 / 3
    wedge = developed_wedge(stock, 6.0, replace(CLEAR, crosstalk=0.5), SIDE)
    found = [rms_granularity(square, 6.0) for square in wedge]
    covariance = [share @ (np.outer(sigma, sigma) * stock.correlation) @ share.T for sigma in sheet(stock)]
    np.testing.assert_allclose(found, np.sqrt([np.diag(c) for c in covariance]), rtol=MIXED)


def test_the_mean_stays_in_density():
    stock, side = FilmStock.load("kodak-ektachrome-100d"), 240
    wedge = developed_wedge(stock, 6.0, CLEAR, side)
    # Pixels without blur: fewer than two share a grain.
    error = wedge.std((1, 2)) * np.sqrt(2) / side
    np.testing.assert_array_less(np.abs(wedge.mean((1, 2)) - np.array(WEDGE)[:, None]), MEAN_DENSITY * error)


def test_the_mean_nearly_stays_on_display():
    """Of the film that has the most grain."""
    side = 200
    photo = np.repeat(np.linspace(0.1, 0.9, 5, dtype=np.float32), side)[None, :, None] * np.ones((side, 1, 3))
    film = gaussian(photo, stock="kodak-tri-x-400", enlargement=6.0, tile=side)
    moved = (film - photo).reshape(side, 5, side, 3).mean((0, 2))
    np.testing.assert_array_less(255 * np.abs(moved), LEVELS)


# Pitches of 6, 7.3 and 2 um: lattice points are the pixels, are averaged, are interpolated.
@pytest.mark.parametrize(("pitch", "dtype"), [(6.0, np.uint8), (6.0, np.float32), (7.3, np.float32), (2.0, np.float32)])
def test_the_film_does_not_depend_on_the_tiles(pitch, dtype):
    photo = picture(131, 203, dtype)
    options = {"enlargement": 36000 / 203 / pitch}
    whole = gaussian(photo, **options)
    assert (whole != photo).mean() > 0.5
    np.testing.assert_array_equal(gaussian(photo, tile=67, **options), whole)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_size_type_and_the_photo_itself_stay(dtype):
    photo = picture(17, 26, dtype)
    before = photo.copy()
    film = gaussian(photo)
    assert (film.shape, film.dtype) == (photo.shape, photo.dtype)
    np.testing.assert_array_equal(photo, before)
    np.testing.assert_array_equal(gaussian(photo, strength=0) if dtype != np.float32 else photo, photo)


def test_integers_and_floats_get_the_same_film():
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        photo = picture(40, 50, dtype)
        floats = gaussian(photo.astype(np.float32) / np.float32(top))
        np.testing.assert_array_equal(gaussian(photo), np.rint(floats * np.float32(top)).astype(dtype))


def test_the_same_key_gives_the_same_film_and_another_unrelated_grain():
    photo = plain(0.45)
    one = gaussian(photo, key=5)
    np.testing.assert_array_equal(one, gaussian(photo, key=mx.random.key(5)))
    grain = [(film - photo).reshape(-1, 3).T for film in (one, gaussian(photo, key=6))]
    # 9216 pixels at 375 um, no two of which share a grain: the standard error is 0.01.
    assert np.abs(np.corrcoef(*grain)[:3, 3:]).max() < 0.05


def test_a_developer_works_in_another_thread_and_on_many_pictures():
    developer = Developer(DevelopConfig(grain="gaussian", colour="photo", stock="kodak-gold-200"))
    photos = [picture(30, 40), picture(50, 20)]
    with ThreadPoolExecutor(1) as pool:
        there = list(pool.map(developer, photos))
    for photo, film in zip(photos, there, strict=True):
        np.testing.assert_array_equal(film, developer(photo))
        np.testing.assert_array_equal(film, gaussian(photo, stock="kodak-gold-200", key=0))


def test_an_engine_gives_a_crop_the_grain_of_the_whole():
    photo = picture(90, 120)
    engine = StochasticEngine(DevelopConfig(grain="gaussian", colour="photo", enlargement=40))
    key, size = mx.random.key(3), (90, 120)
    whole = np.array(engine(mx.array(photo), key, (0, 0), size))
    np.testing.assert_array_equal(whole, gaussian(photo, enlargement=40))
    part = engine(mx.array(photo[13:44, 7:98]), key, (13, 7), size)
    np.testing.assert_array_equal(part, whole[13:44, 7:98])
    assert engine.overlap(size) == 0


@pytest.mark.parametrize("colour", ["film", "photo"])
@pytest.mark.parametrize("grain", ["gaussian", "boolean"])
def test_a_tile_without_its_margin_is_what_the_whole_tile_has_inside(grain, colour):
    config = DevelopConfig(grain=grain, stock="kodak-vision3-500t", enlargement=36000 / 200 / 6)
    engine, size = StochasticEngine(config), (200, 200)
    chain = None
    if colour == "film":
        chain = FilmColour(FilmStock.load(config.stock), config, Darkroom(), Scanner(), SRGB, SRGB)
    margin = engine.overlap(size) + (chain.reach(200) if chain else 0) + 3
    photo, key = mx.array(picture(2 * margin + 40, 2 * margin + 40)), mx.random.key(3)
    whole = np.array(engine(photo, key, (-7, 9), size, chain))
    inside = engine(photo, key, (-7, 9), size, chain, margin)
    np.testing.assert_array_equal(inside, whole[margin:-margin, margin:-margin])


def test_no_stock_is_the_usual_one():
    photo = picture(20, 30)
    usual = gaussian(photo)
    np.testing.assert_array_equal(gaussian(photo, stock=FilmStock.load(DEFAULT), film_format="135"), usual)
    assert np.abs(gaussian(photo, stock="kodak-tri-x-400") - usual).max() > 0.001


def grain_of(stock, **options):
    """Deviation of the film's density on plain grey."""
    stock, scanner = FilmStock.load(stock), Scanner()
    film = gaussian(plain(0.45, 128, 128), stock=stock, scanner=scanner, **options)
    return film_density(stock, film.astype(np.float64), scanner).std((0, 1))


def test_strength_scales_the_grain():
    one, half, double = (grain_of("kodak-portra-400", strength=s) for s in (1.0, 0.5, 2.0))
    np.testing.assert_allclose(half, one / 2, rtol=RATIO)
    np.testing.assert_allclose(double, one * 2, rtol=RATIO)


def test_a_pushed_film_has_more_grain():
    stock = FilmStock.load("kodak-portra-400")
    own, pushed, pulled = (grain_of("kodak-portra-400", exposure_index=ei) for ei in (400, 1600, 100))
    np.testing.assert_allclose(own, grain_of("kodak-portra-400"), rtol=1e-6)
    np.testing.assert_allclose(pushed / own, push(stock, 1600), rtol=RATIO)
    np.testing.assert_allclose(pulled / own, 4**-0.27, rtol=RATIO)


def test_a_larger_format_has_less_grain_and_a_crop_more():
    """By the spectrum's share in the pixel, 36 against 69.5 mm wide; within 5 standard errors of 128^2 pixels."""
    stock, width = FilmStock.load("kodak-tri-x-400"), 128
    found = [grain_of("kodak-tri-x-400", **options)[0] for options in ({}, {"film_format": "6x7"}, {"enlargement": 8})]
    pitches = [1000 * mm / width for mm in (36, 69.5, 36 / 8)]
    shape = (stock.frequency, stock.spectrum[:, :1])
    expected = [np.sqrt(pixel_variance(*shape, pitch_um=pitch, blur_um=3.0)[0]) for pitch in pitches]
    np.testing.assert_allclose(np.array(found) / found[0], np.array(expected) / expected[0], rtol=0.05)
    assert found[1] < found[0] < found[2]


def test_black_and_white_film_has_one_grain_for_all_channels_and_colour_film_has_not():
    grey = plain(0.4)
    film = gaussian(grey, stock="kodak-tri-x-400")
    np.testing.assert_array_equal(film[..., 0], film[..., 1])
    np.testing.assert_array_equal(film[..., 0], film[..., 2])
    assert film.std() > 0.001
    coloured = gaussian(grey, stock="kodak-portra-400")
    assert (coloured[..., 0] != coloured[..., 1]).mean() > 0.9


@pytest.mark.parametrize("name", ["kodak-portra-400", "kodak-tri-x-400"])
def test_a_preview_shows_the_pictures_grain(name):
    """A frame of 6 um pixels and its preview of half the size."""
    stock, scanner = FilmStock.load(name), Scanner()
    enlargement = 36000 / 480 / 6.0
    films = [
        gaussian(plain(0.45, side, side), stock=stock, scanner=scanner, enlargement=enlargement) for side in (480, 240)
    ]
    density = [film_density(stock, film.astype(np.float64), scanner)[..., 1] for film in films]
    boxes = density[0].reshape(240, 2, 240, 2).mean((1, 3))
    assert np.corrcoef(boxes.ravel(), density[1].ravel())[0, 1] > RHO
    mode = (stock.frequency, stock.spectrum[:, :1])
    fine, coarse = (pixel_variance(*mode, pitch_um=p, blur_um=3.0)[0] for p in (6.0, 12.0))
    assert boxes.std() / density[1].std() == pytest.approx(1, rel=SIGMA)
    assert density[1].std() / density[0].std() == pytest.approx(np.sqrt(coarse / fine), rel=SIGMA)


@pytest.fixture(scope="module")
def fitted():
    """A stock as from scans at 12 um, with grain that has next to no power beyond half of their Nyquist frequency."""
    frequency = np.linspace(0, 60, 61)
    shape = np.exp(-0.5 * (frequency / 10) ** 2)
    spectrum = (shape / np.trapezoid(2 * np.pi * shape * frequency, frequency))[:, None].repeat(3, 1)
    parts = {"kind": "scan", "iso": None, "aperture_um": 0.0, "pitch_um": 12.0, "mixing": np.eye(3)}
    return replace(FilmStock.load("kodak-ektachrome-100d"), frequency=frequency, spectrum=spectrum, **parts)


def test_a_fitted_stock_is_seen_pixel_for_pixel_unless_a_format_is_named(fitted):
    photo = plain(0.45, 128, 128)
    film = gaussian(photo, stock=fitted)
    density = film_density(fitted, film.astype(np.float64), Scanner())
    grey = film_density(fitted, np.array(0.45), Scanner())
    expected = [fitted.sigma(grey, c) for c in range(3)]
    # The correlation exp(-2 pi^2 w^2 x^2), squared and summed, is 1 / (4 pi w^2), 5.5 pixels: 1.3 % standard error.
    np.testing.assert_allclose(density.std((0, 1)), expected, rtol=0.065)
    named = {"film_format": "135", "enlargement": 36000 / 128 / 12}
    np.testing.assert_allclose(gaussian(photo, stock=fitted, **named), film, atol=1e-5)
    fine = gaussian(photo, stock=fitted, enlargement=2)
    across = [np.corrcoef(x[:, 2:, 0].ravel(), x[:, :-2, 0].ravel())[0, 1] for x in (film, fine)]
    expected = [np.exp(-2 * (np.pi * 0.01 * lag_um) ** 2) for lag_um in (24, 12)]
    np.testing.assert_allclose(across, expected, rtol=0, atol=0.05)  # sqrt(22) / 128 (1 - rho^2) is below 0.016


@pytest.fixture
def no_work(monkeypatch):
    """Fail where tiles are cut although the arguments are wrong."""
    monkeypatch.setattr(images, "map_tiles", lambda *_, **__: pytest.fail("work was begun"))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grain": "perlin"}, "develop expects grain to be one of halide, gaussian, boolean, got 'perlin'"),
        (
            {"stock": "kodak-portra-4000"},
            "expects a bundled stock or a .json file, got .* did you mean kodak-portra-400",
        ),
        ({"stock": "missing.json"}, r"missing\.json: cannot be read as a film stock"),
        ({"film_format": "110"}, "develop expects a film_format of 135, .*, got '110'"),
        ({"enlargement": 0}, r"develop expects an enlargement in \[0.01, 100\], got 0"),
        ({"enlargement": float("nan")}, "an enlargement in .* got nan"),
        ({"exposure_index": -100}, "develop expects an exposure_index of 0, or in .*, got -100"),
        ({"exposure_index": 0.5}, "exposure_index .* got 0.5"),
        ({"strength": 4.5}, r"develop expects strength in \[0, 4\], got 4.5"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gaussian(picture(4, 4), **options)


@pytest.mark.usefixtures("no_work")
def test_what_the_engine_has_no_use_for_is_refused(fitted):
    photo = picture(4, 4)
    film = HalideStatistics.load(checkpoint.BUNDLED / "film.safetensors")
    with pytest.raises(ValueError, match="expects grain='halide' for a network or statistics, got 'gaussian'"):
        gaussian(photo, statistics=film)
    with pytest.raises(ValueError, match="has no speed that an exposure index could be set against"):
        gaussian(photo, stock=fitted, exposure_index=400)
