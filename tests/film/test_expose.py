from dataclasses import replace

from d2f_mlx.color import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SPACES, SRGB, between
from d2f_mlx.film import Darkroom, FilmStock, Negative, exposure_matrix, scene_light, stocks
from d2f_mlx.film.expose import CONTRAST, DARKEST, GREY, REVERSAL_INTERLAYER, filter_transmittance
from d2f_mlx.film.spectra import WAVELENGTH, measured, observer

import colour
import numpy as np
import pytest
from test_spectra import made, silver

EXACT = 1e-9
WHITE = 1e-6  # the tables of reflectances have seven digits
LENS = 0.005  # of luminance, that the lens takes away at the ends of the spectrum
LINES = 1e-4  # of density: between the points of a curve, lines are drawn in amounts of dye
GREY_CAMERA = 0.1894  # what the camera's curve makes of 0.18: solved by hand for s = 0.8 and v = 0.46135
KODAK, TRI_X = "kodak-vision3-500t", "kodak-tri-x-400"
PATCHES = np.array([[0.5, 0.5, 0.5], [0.7, 0.25, 0.2], [0.2, 0.3, 0.7], [0.2, 0.6, 0.2]])  # grey, red, blue, green
WARM, COOL = 3200, 7500


@pytest.fixture(scope="module")
def films():
    loaded = {name: FilmStock.load(name) for name in stocks()}
    return {name: film for name, film in loaded.items() if film.spectra}


def linear(**changes):
    return Darkroom(tone="linear", **changes)


@pytest.mark.parametrize("space", SPACES.values(), ids=lambda space: space.name)
def test_linear_light_is_what_the_space_says(space):
    values = np.linspace(-0.2, 1.4, 50)
    np.testing.assert_array_equal(scene_light(values, space, linear(headroom=3)), space.decode(values))


def test_the_cameras_contrast_is_undone():
    """Forwards again: v = (1 - s) x + s (3 x^2 - 2 x^3) of the encoded light is what the picture had."""
    values = np.linspace(0, 1, 1001)
    x = SRGB.encode(scene_light(values, SRGB, Darkroom(headroom=0)))
    np.testing.assert_allclose((1 - CONTRAST) * x + CONTRAST * (3 * x**2 - 2 * x**3), values, atol=EXACT)


def test_the_curve_is_of_srgbs_values_in_any_space():
    light = np.linspace(0, 1, 50)
    found = [scene_light(space.encode(light), space, Darkroom()) for space in (SRGB, PROPHOTO, ADOBE_RGB)]
    np.testing.assert_allclose(found[1:], [found[0]] * 2, atol=EXACT)


@pytest.mark.parametrize("headroom", [0.0, 0.5, 1.0, 3.0])
def test_headroom_lifts_white_and_leaves_mid_grey(headroom):
    """L' = L (1 - 0.18 k) / (1 - k L) holds 0 and 0.18, and white becomes 2^headroom."""
    values = np.linspace(0, 1, 4096)
    plain, lifted = (scene_light(values, SRGB, Darkroom(headroom=h)) for h in (0.0, headroom))
    assert (np.diff(lifted) > 0).all()
    assert lifted[0] == pytest.approx(0, abs=EXACT)
    assert lifted[-1] == pytest.approx(2**headroom, rel=EXACT)
    assert np.interp(GREY, plain, lifted) == pytest.approx(GREY, abs=1e-6)
    k = (2**headroom - 1) / (2**headroom - GREY)
    np.testing.assert_allclose(lifted, plain * (1 - GREY * k) / (1 - k * plain), atol=EXACT)
    assert scene_light(SRGB.encode(np.array(GREY)), SRGB, Darkroom(headroom=0)) == pytest.approx(GREY_CAMERA, abs=1e-4)


def test_the_cameras_curve_clips_what_is_beyond_white_and_black():
    np.testing.assert_allclose(scene_light(np.array([-0.3, 1.7]), SRGB, Darkroom()), [0, 2], atol=EXACT)


def test_white_exposes_every_layer_of_every_film_to_one(films):
    """Under its own light and in any space; with it, greys stay greys."""
    for name, film in films.items():
        for space in SPACES.values():
            rows = exposure_matrix(film.spectra, space, Darkroom()).sum(1)
            np.testing.assert_allclose(rows, 1, atol=WHITE, err_msg=f"{name} {space.name}")


def test_layers_see_their_own_colour_most(films):
    for name, film in films.items():
        if not film.black_and_white:
            matrix = exposure_matrix(film.spectra, SRGB, Darkroom())
            assert list(matrix.argmax(1)) == [0, 1, 2], name
            assert (np.diag(matrix) > 0.6).all(), name


@pytest.mark.parametrize("kelvin", [0, 6500])
def test_exposure_is_an_integral_over_the_spectrum(films, kelvin):
    """Against colour-science's reflectances and daylight, added up here."""
    spectra = films["kodak-portra-400"].spectra
    colours = np.random.default_rng(2).uniform(0.05, 0.95, (10, 3))
    shape = colour.SpectralShape(380, 780, 5)

    def daylight(temperature):
        xy = colour.temperature.CCT_to_xy_CIE_D(temperature)
        return colour.sd_CIE_illuminant_D_series(xy, M1_M2_rounding=False, shape=shape).values

    def exposure(reflectance, light):
        lens = 1 / (1 + np.exp((410 - WAVELENGTH) / 8)) / (1 + np.exp((WAVELENGTH - 675) / 8))
        return (10**spectra.sensitivity * (reflectance * light * lens)[:, None]).sum(0)

    own, light = daylight(5500), daylight(kelvin or 5500)
    light = light * (own @ observer()[:, 1]) / (light @ observer()[:, 1])
    expected = [
        exposure(colour.recovery.RGB_to_sd_Mallett2019(rgb).align(shape).values, light) / exposure(1.0, own)
        for rgb in colours
    ]
    found = colours @ exposure_matrix(spectra, SRGB, Darkroom(temperature=kelvin)).T
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["display-p3", "adobe-rgb", "prophoto"])
def test_a_colour_exposes_alike_whatever_space_it_is_told_in(films, name):
    spectra, space = films["fuji-velvia-50"].spectra, SPACES[name]
    colours = np.random.default_rng(3).uniform(size=(20, 3))
    told = colours @ between(SRGB, space).T
    found = told @ exposure_matrix(spectra, space, Darkroom(temperature=WARM)).T
    np.testing.assert_allclose(found, colours @ exposure_matrix(spectra, SRGB, Darkroom(temperature=WARM)).T, rtol=1e-9)


@pytest.mark.parametrize("changes", [{"temperature": WARM}, {"temperature": COOL}, {"tint": 30}, {"tint": -30}])
def test_light_changes_its_colour_and_not_its_luminance(changes):
    """A film that sees as the eye does is exposed alike."""
    eye = silver(sensitivity=np.log10(observer()[:, [1] * 3]))
    white = exposure_matrix(eye, SRGB, Darkroom(**changes)).sum(1)
    np.testing.assert_allclose(white, 1, atol=LENS)


def test_warm_light_is_red_and_a_magenta_filter_takes_green(films):
    for kelvin, film in ((5500, "kodak-portra-400"), (3200, KODAK)):
        spectra = films[film].spectra

        def white(spectra=spectra, **changes):
            return exposure_matrix(spectra, SRGB, Darkroom(**changes)).sum(1)

        assert spectra.kelvin == kelvin
        warm, cool = white(temperature=kelvin - 1000), white(temperature=kelvin + 1000)
        assert warm[0] > 1 > warm[2]
        assert cool[2] > 1 > cool[0]
        np.testing.assert_allclose(white(temperature=kelvin), 1, atol=WHITE)
        magenta, green = white(tint=30), white(tint=-30)
        assert magenta[1] < 1 < magenta[[0, 2]].min()
        assert green[1] > 1 > green[[0, 2]].max()
        taken = np.log10(magenta[[0, 2]] / magenta[1])
        assert (taken < 0.3).all()
        assert (taken > 0.2).all()  # layers overlap, and the filter's edges are no steps


def test_filters_darken_their_complements_and_leave_grey(films):
    spectra = films[TRI_X].spectra

    def stops(name):
        light = PATCHES @ exposure_matrix(spectra, SRGB, Darkroom(filter=name)).T
        return np.log2(light[:, 0])

    plain = stops("none")
    change = {name: stops(name) - plain for name in ("yellow", "orange", "red", "green", "blue")}
    assert [abs(grey) for grey, *_ in change.values()] == pytest.approx([0] * 5, abs=1e-5)
    blues = [change[name][2] for name in ("yellow", "orange", "red")]
    reds = [change[name][1] for name in ("yellow", "orange", "red")]
    assert blues == sorted(blues, reverse=True)
    assert reds == sorted(reds)
    assert blues[0] < -0.3
    assert reds[0] > 0.1
    assert change["green"][3] > 0.3
    assert change["green"][1] < -0.3
    assert change["blue"][2] > 0.3
    assert change["blue"][1] < -0.3


@pytest.mark.parametrize(
    ("name", "half"), [("yellow", 465), ("orange", 545), ("red", 595), ("green", 500), ("blue", 500)]
)
def test_filters_have_their_edges_where_the_wratten_ones_do(name, half):
    """Half the light, within 15 nm of where Kodak's curves of the filters 8, 21, 25, 58 and 47 have it."""
    through = filter_transmittance(name)
    assert np.interp(half, WAVELENGTH, through) == pytest.approx(0.5, abs=0.01)
    assert through.max() > 0.95
    assert through.min() < 0.01


def test_contrast_filters_are_for_silver(films):
    spectra = films[KODAK].spectra
    for name in ("yellow", "red", "blue"):
        found = exposure_matrix(spectra, SRGB, Darkroom(filter=name))
        np.testing.assert_array_equal(found, exposure_matrix(spectra, SRGB, Darkroom()))


def wedge(film):
    """A step wedge from -5 to +5 stops about mid grey, as photographed in linear light, and its log exposures."""
    stops = np.arange(-5, 5.01, 0.5)
    light = GREY * 2.0 ** stops[:, None] * np.ones(3)
    return light, np.log10(12.5 / film.iso) + stops * np.log10(2)


def test_a_step_wedge_has_the_published_densities_in_every_film(films):
    """Developed and read by the densitometer, the wedge gives the sheet's curve at its log exposures."""
    errors = {}
    for name, film in films.items():
        negative, spectra = Negative(film, linear()), film.spectra
        light, h = wedge(film)
        density = negative.densities(negative.log_exposures(light @ exposure_matrix(spectra, SRGB, linear()).T))
        read = measured(spectra.density(density @ np.linalg.inv(spectra.sides).T), spectra.measure)
        amounts = [np.interp(h, film.log_exposure, negative.amounts[:, c]) for c in range(3)]
        expected = measured(spectra.density(np.stack(amounts, -1)), spectra.measure)
        errors[name] = np.abs(read - expected).max()
        curve = np.stack([np.interp(h, film.log_exposure, film.curves[:, c]) for c in range(3)], -1)
        assert np.abs(read - curve).max() < LINES, name
    assert {name: error for name, error in errors.items() if not error < 1e-5} == {}


def test_curves_are_met_exactly_at_their_points(films):
    for name, film in films.items():
        negative = Negative(film, Darkroom())
        density = negative.densities(film.log_exposure[:, None] * np.ones(3))
        dyes = density @ np.linalg.inv(film.spectra.sides).T
        read = measured(film.spectra.density(dyes), film.spectra.measure)
        np.testing.assert_allclose(read, film.curves, atol=1e-6, err_msg=name)


def test_films_are_exposed_by_their_speed():
    """Mid grey has 12.5 / ISO lux s, and a stop more is a stop more."""
    film = FilmStock.load("kodak-portra-400")
    grey = np.full((1, 3), GREY)
    assert Negative(film, linear()).log_exposures(grey) == pytest.approx(np.log10(12.5 / 400))
    assert Negative(film, linear(exposure=1)).log_exposures(grey) == pytest.approx(np.log10(25 / 400))
    assert Negative(replace(film, iso=800), linear()).log_exposures(grey) == pytest.approx(np.log10(12.5 / 800))
    np.testing.assert_allclose(Negative(film, linear()).log_exposures(2 * grey), np.full((1, 3), np.log10(25 / 400)))


def test_no_light_and_colours_that_no_light_has_are_as_good_as_none():
    negative = Negative(FilmStock.load("fuji-velvia-50"), linear())
    dark = negative.log_exposures(np.array([[0.0, -0.1, DARKEST]]))
    np.testing.assert_array_equal(dark, dark[:, :1] * np.ones(3))


@pytest.mark.parametrize("strength", [0.0, 0.35, 1.0])
def test_interlayer_effects_spread_the_layers_and_leave_greys(strength):
    negative = Negative(FilmStock.load(KODAK), linear(interlayer=strength))
    light = np.array([[0.18, 0.18, 0.18], [0.4, 0.1, 0.05]])
    h = negative.log_exposures(light)
    plain = np.log10(12.5 / 500) + np.log10(light / GREY)
    np.testing.assert_allclose(h.mean(1), plain.mean(1), atol=EXACT)
    expected = (1 + strength) * (plain - plain.mean(1, keepdims=True))
    np.testing.assert_allclose(h - h.mean(1, keepdims=True), expected, atol=EXACT)


def test_a_layer_that_develops_nothing_holds_nothing_back():
    """Below the toe and beyond the shoulder, a layer's effect on the others is what it is at their ends."""
    film = FilmStock.load(KODAK)
    negative = Negative(film, linear(interlayer=0.5))
    share = (film.curves - film.base).mean(1) / (film.curves - film.base).mean(1)[-1]
    low, high = np.interp([0.01, 0.99], share, film.log_exposure) - np.log10(12.5 / 500)
    for end, beyond in ((low, low - 1), (high, high + 1)):
        light = GREY * 10.0 ** np.array([[0, 0, end], [0, 0, beyond], [0, 0, beyond + np.sign(beyond)]])
        others = negative.log_exposures(light)[:, 0] - np.log10(12.5 / 500)
        assert others == pytest.approx([0.5 * -end / 3] * 3, abs=0.02)


def test_silver_has_no_interlayer_effects():
    film, light = FilmStock.load(TRI_X), np.array([[0.4, 0.1, 0.05]])
    found = Negative(film, linear(interlayer=1.0)).log_exposures(light)
    np.testing.assert_array_equal(found, Negative(film, linear(interlayer=0.0)).log_exposures(light))


def test_reversal_film_has_a_matrix_in_proportion_to_the_setting():
    """Within what the film responds to, stops change by the matrix times stops; greys stay."""
    film, light = FilmStock.load("fuji-velvia-50"), np.array([[0.4, 0.1, 0.05], [0.18, 0.18, 0.18], [0.5, 0.5, 0.5]])
    stops = np.log2(light / 0.18)
    plain, half, full = (
        Negative(film, linear(interlayer=s * Darkroom.interlayer)).log_exposures(light) for s in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(full - plain, np.log10(2) * stops @ REVERSAL_INTERLAYER.T, atol=1e-9)
    np.testing.assert_allclose(half - plain, (full - plain) / 2, atol=1e-9)
    np.testing.assert_allclose(full[1:], plain[1:], atol=1e-9)


def test_a_lab_that_corrects_aims_at_the_grey_that_was_exposed():
    film = FilmStock.load(KODAK)
    over = Negative(film, linear(exposure=2.0, aim="exposure"))
    np.testing.assert_allclose(over.grey, over.grey_scale(np.array([2.0]))[0])
    np.testing.assert_allclose(Negative(film, linear(exposure=2.0)).grey, over.grey_scale(np.zeros(1))[0])


@pytest.mark.parametrize("masking", [0.0, 0.25, 1.0])
def test_masking_leaves_greys_and_says_what_a_layer_does_to_the_others(masking):
    """At 1 a layer changes its own channel's density alone, at 0 its own dye's amount alone."""
    film = FilmStock.load(KODAK)
    film = replace(film, spectra=replace(film.spectra, masking=masking))
    negative = Negative(film, linear())
    h = np.linspace(film.log_exposure[0], film.log_exposure[-1], 40)
    greys = negative.densities(h[:, None] * np.ones(3))
    unmasked = Negative(FilmStock.load(KODAK), linear())
    np.testing.assert_allclose(greys, unmasked.densities(h[:, None] * np.ones(3)), atol=EXACT)
    middle = np.full((1, 3), np.log10(12.5 / 500))
    more = negative.densities(middle + np.array([0.3, 0, 0])) - negative.densities(middle)
    dyes = more @ np.linalg.inv(film.spectra.sides).T
    assert more[0, 0] > 0.1
    if masking == 1:
        np.testing.assert_allclose(more[0, 1:], 0, atol=EXACT)
    elif masking == 0:
        np.testing.assert_allclose(dyes[0, 1:], 0, atol=EXACT)
    else:
        assert (more[0, 1:] > 0.003).all()
        assert (dyes[0, 1:] < 0).all()


def test_densities_by_the_table_are_the_same():
    """The table that the MLX side reads, summed over layers, gives the densities off grey too."""
    film = FilmStock.load("fuji-provia-100f")
    negative = Negative(film, linear())
    h = np.random.default_rng(5).uniform(film.log_exposure[0], film.log_exposure[-1], (30, 3))
    parts = [negative.table(h[:, k])[:, k] for k in range(3)]
    np.testing.assert_allclose(negative.densities(h), sum(parts), atol=EXACT)
    np.testing.assert_allclose(negative.densities(h.reshape(5, 6, 3)).reshape(30, 3), sum(parts), atol=EXACT)


def test_the_grey_scale_is_that_of_a_well_exposed_film():
    film = FilmStock.load("kodak-portra-160")
    negative, stops = Negative(film, linear(exposure=2)), np.array([-2.0, 0.0, 3.0])
    light = GREY * 2.0 ** stops[:, None] * np.ones(3)
    expected = Negative(film, linear()).densities(Negative(film, linear()).log_exposures(light))
    np.testing.assert_allclose(negative.grey_scale(stops), expected, atol=EXACT)


def test_a_stock_without_spectra_or_speed_is_refused():
    film = FilmStock.load(KODAK)
    with pytest.raises(ValueError, match="kodak-vision3-500t has no spectra: it was fitted to scans"):
        Negative(replace(film, spectra=None), Darkroom())
    with pytest.raises(ValueError, match="kodak-vision3-500t has no speed"):
        Negative(replace(film, iso=None), Darkroom())


def test_a_films_light_is_its_own_where_no_other_is_named():
    """Told 5500 K, daylight film answers as if told nothing; tungsten film at 5500 K is blue."""
    day, lamp = made(), made(kelvin=3200.0)
    np.testing.assert_allclose(
        exposure_matrix(day, SRGB, Darkroom(temperature=5500)), exposure_matrix(day, SRGB, Darkroom()), rtol=EXACT
    )
    white = exposure_matrix(lamp, DISPLAY_P3, Darkroom(temperature=5500)) @ np.ones(3)
    assert (white > 0).all()
