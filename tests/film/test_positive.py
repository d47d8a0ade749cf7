import importlib
import math
from dataclasses import replace
from functools import partial

from d2f_mlx.color import DISPLAY_P3, SRGB, between, delta_e_2000, to_lab
from d2f_mlx.film import (
    SCAN,
    Darkroom,
    FilmStock,
    Negative,
    PrintStock,
    Scanner,
    exposure_matrix,
    positive,
    print_for,
    prints,
    scene_light,
    stocks,
)
from d2f_mlx.film.expose import GREY
from d2f_mlx.film.positive import Print, Viewed
from d2f_mlx.film.spectra import WAVELENGTH

import colour
import numpy as np
import pytest
from test_spectra import made, silver

module = importlib.import_module("d2f_mlx.film.positive")  # the package has a function of that name
EXACT = 1e-9
STOPS = np.arange(-3, 3.01, 0.5)
GREYS = GREY * 2.0 ** STOPS[:, None] * np.ones(3)
NEUTRAL = 2.0  # Delta E 2000 of a grey ramp, which people take for neutral
NEUTRAL_SLIDE = 3.0  # Ektachrome's sheet has a cast of 11 near white that changes faster than corrections do
MID_GREY, NEAR = 49.5, 1.0  # L* of 18 %
CASTS = {"kodak-vision3-500t": 5.3, "kodak-vision3-250d": 5.8, "kodak-portra-400": 4.5, "fuji-c200": 7.1}
CHROMA = (0.85, 1.2)  # mean chroma of the colour checker over the original's, on a default print
OFF_CHROMA = {  # what the sheets give beyond that
    "kodak-aerocolor-iv": (0.78, 0.88),  # no masking couplers
    "kodak-aerocolor-iv-low": (0.60, 0.72),  # and soft
    "kodak-vision-320t": (0.80, 0.90),  # soft
}
ONE_CHROMA = 0.1
BETWEEN = 5e-4  # of display: greys between the points of the scale that a print is balanced on, invisible
FOLIAGE = 3  # the colour checker's patch
FOLIAGE_HUE = 11.0  # degrees that any film's default print may turn it by; without the print's layers' effects,
BROWNED = (8.0, 20.0)  # it lies so much nearer to yellow
K500T, PORTRA, VELVIA, TRI_X = "kodak-vision3-500t", "kodak-portra-400", "fuji-velvia-50", "kodak-tri-x-400"


@pytest.fixture(scope="module")
def films():
    loaded = {name: FilmStock.load(name) for name in stocks()}
    return {name: film for name, film in loaded.items() if film.spectra}


def lab(display):
    return to_lab(SRGB.decode(np.clip(display, 0, 1)) @ SRGB.to_xyz.T, SRGB.white_xyz)


def chain(film, light, **changes):
    """Scene light to a picture's encoded colours."""
    darkroom = Darkroom(**changes)
    negative = Negative(film, darkroom)
    layers = light @ exposure_matrix(film.spectra, SRGB, darkroom).T
    density = negative.densities(negative.log_exposures(layers))
    return positive(film, darkroom, Scanner(), SRGB)(density)


def of_kind(films, colour_film=True):
    """Negatives, in colour or not, each on its print and scanned."""
    for name, film in films.items():
        if film.kind == "negative" and film.black_and_white != colour_film:
            yield name, film, ""
            yield name, film, SCAN


def cast(colours):
    return delta_e_2000(lab(colours), lab(colours) * [1, 0, 0])


def test_grey_ramps_are_neutral_and_rise_on_every_colour_negative(films):
    casts = {}
    for name, film, printed in of_kind(films):
        ramp = chain(film, GREYS, print=printed)
        casts[name, printed] = cast(ramp).max()
        lightness = lab(ramp)[:, 0]
        shown = lightness > 0.01  # a scan of a hard negative clips its blacks
        assert (np.diff(lightness) >= 0).all(), name
        assert (np.diff(lightness[shown]) > 0.2).all(), name
        assert shown[2:].all(), name  # from -2 stops on, none does
    assert len(casts) == 2 * 32
    assert {case: worst for case, worst in casts.items() if not worst < NEUTRAL / 2} == {}


def test_slides_are_neutral_and_rise(films):
    for name, film in films.items():
        if film.kind == "reversal":
            ramp = chain(film, GREYS)
            assert cast(ramp).max() < NEUTRAL_SLIDE, name
            assert (np.diff(lab(ramp)[:, 0]) > 1).all(), name


def test_silver_is_neutral_on_its_prints(films):
    for name, film, printed in of_kind(films, colour_film=False):
        ramp = chain(film, GREYS, print=printed)
        assert np.ptp(ramp, axis=1).max() < EXACT, name
        assert (np.diff(ramp[:, 0].clip(0, 1)) >= 0).all(), name


def test_mid_grey_prints_as_mid_grey(films):
    grey = np.full((1, 3), GREY)
    for name, film in films.items():
        for printed in ("", SCAN) if film.kind == "negative" else ("",):
            slack = 1 if film.kind == "negative" else 2.5  # a slide is exposed by its speed, nobody prints it lighter
            found = lab(chain(film, grey, print=printed))[0, 0]
            assert found == pytest.approx(MID_GREY, abs=slack * NEAR), (name, printed)


@pytest.mark.parametrize("paper", sorted(prints()))
def test_mid_grey_is_mid_grey_on_every_print_stock(films, paper):
    for name in (K500T, PORTRA, TRI_X):
        grey = lab(chain(films[name], np.full((1, 3), GREY), print=paper))[0]
        assert grey[0] == pytest.approx(MID_GREY, abs=0.1)
        assert np.hypot(*grey[1:]) < NEUTRAL


@pytest.mark.parametrize(("name", "expected"), CASTS.items())
def test_the_sheets_own_cast_remains_if_asked(films, name, expected):
    plain, half = (cast(chain(films[name], GREYS, neutral=n)).max() for n in (0.0, 0.5))
    assert plain == pytest.approx(expected, abs=0.5)
    assert half == pytest.approx(plain / 2, rel=0.25)
    grey = chain(films[name], np.full((1, 3), GREY), neutral=0.0)
    assert cast(grey)[0] < 0.5  # printer lights make mid grey neutral all the same


def checker():
    """The colour checker's 24 patches in linear sRGB, within its gamut."""
    chart = colour.CCS_COLOURCHECKERS["ColorChecker24 - After November 2014"]
    xyz = colour.xyY_to_XYZ(np.array(list(chart.data.values())))
    white = colour.xy_to_XYZ(chart.illuminant)
    adapted = colour.adaptation.chromatic_adaptation_VonKries(xyz, white, SRGB.white_xyz, transform="Bradford")
    return (adapted @ SRGB.from_xyz.T).clip(0, 1)


def chroma(display):
    return np.hypot(*lab(display)[:18, 1:].T).mean()


def test_colours_keep_their_chroma_on_the_default_print(films):
    """As photographs: what a camera made of the patches is undone first."""
    photo = SRGB.encode(checker())
    light = scene_light(photo, SRGB, Darkroom())
    ratios = {
        name: chroma(chain(film, light, tone="camera")) / chroma(photo)
        for name, film, printed in of_kind(films)
        if not printed
    }
    low, high = CHROMA
    outside = {
        name: ratio
        for name, ratio in ratios.items()
        if not OFF_CHROMA.get(name, CHROMA)[0] < ratio < OFF_CHROMA.get(name, CHROMA)[1]
    }
    assert outside == {}
    assert np.mean([low < ratio < high for ratio in ratios.values()]) > 0.8
    assert np.median(list(ratios.values())) == pytest.approx(0.95, abs=ONE_CHROMA)


def test_scans_keep_hues_and_chroma(films):
    """A scan has no print's dyes: hues of the checker stay within a few degrees."""
    photo = SRGB.encode(checker())
    light = scene_light(photo, SRGB, Darkroom())
    before = lab(photo)[:18, 1:]
    for name in (K500T, PORTRA, "fuji-pro-400h", "kodak-vision3-250d"):
        scan = chain(films[name], light, print=SCAN, tone="camera")
        assert chroma(scan) / chroma(photo) == pytest.approx(1.06, abs=ONE_CHROMA)
        after = lab(scan)[:18, 1:]
        turned = np.degrees(np.arctan2(after[:, 1], after[:, 0]) - np.arctan2(before[:, 1], before[:, 0]))
        assert np.abs((turned + 180) % 360 - 180).mean() < 5, name


@pytest.mark.parametrize("printed", ["", SCAN])
def test_interlayer_effects_raise_chroma_and_leave_greys(films, printed):
    patches = checker()
    weak, strong = (chain(films[K500T], patches, print=printed, interlayer=i) for i in (0.0, 0.7))
    assert chroma(strong) > 1.2 * chroma(weak)
    ramps = [chain(films[K500T], GREYS, print=printed, interlayer=i) for i in (0.0, 0.7)]
    np.testing.assert_allclose(*ramps, atol=1e-6)


@pytest.fixture
def without(monkeypatch):
    """Do something as if the print's layers did not act on each other."""

    def call(function):
        with monkeypatch.context() as patch:
            patch.setattr(module, "PRINT_INTERLAYER", np.zeros((3, 3)))
            return function()

    return call


def test_the_prints_layers_leave_greys_exactly_alone(films, without):
    np.testing.assert_allclose(module.PRINT_INTERLAYER.sum(1), 0, atol=EXACT)
    cases = [(name, film) for name, film, printed in of_kind(films) if not printed]
    assert len(cases) == 32
    for name, film in cases:
        shown = partial(seen_through, film, Negative(film, Darkroom()).grey_scale(np.arange(-6, 6.01, 0.125)))
        off = np.abs(shown() - without(shown))
        assert off[::2].max() < EXACT, name  # the points of the scale
        assert off.max() < BETWEEN, name


def seen_through(film, density, **changes):
    return positive(film, Darkroom(**changes), Scanner(), SRGB)(density)


@pytest.mark.parametrize(
    ("name", "changes"),
    [(K500T, {"interlayer": 0.0}), (PORTRA, {"interlayer": 0.0}), (PORTRA, {"print": SCAN}), (VELVIA, {}), (TRI_X, {})],
)
def test_the_prints_layers_act_on_each_other_in_colour_prints_alone(films, without, name, changes):
    """Switched off with the film's own interlayer effects; scans, slides and silver have none."""
    film = films[name]
    colours = Negative(film, Darkroom()).grey_scale(STOPS) + np.random.default_rng(0).normal(0, 0.1, (len(STOPS), 3))
    shown = partial(seen_through, film, colours, **changes)
    np.testing.assert_array_equal(shown(), without(shown))
    if film.kind == "negative" and not film.black_and_white:
        acting = partial(seen_through, film, colours)
        assert np.abs(acting() - without(acting)).max() > 0.02


def test_the_prints_layers_act_as_much_as_they_are_asked_to(films, without):
    """To first order in proportion to `Darkroom.interlayer`: the density stays, so that only the print's changes."""
    film = films[PORTRA]
    colours = Negative(film, Darkroom()).grey_scale(np.zeros(6)) + 0.02 * np.concatenate([np.eye(3), -np.eye(3)])
    plain = without(partial(seen_through, film, colours))
    usual, double = (seen_through(film, colours, interlayer=i) - plain for i in (0.35, 0.7))
    np.testing.assert_allclose(double, 2 * usual, atol=0.1 * np.abs(usual).max())


def hue(display):
    _, a, b = lab(display).T
    return np.degrees(np.arctan2(b, a)) % 360


def test_foliage_prints_green_on_every_film(films, without):
    """Without the effects it prints brown."""
    light = checker()[[FOLIAGE]]
    own = hue(SRGB.encode(light))[0]
    assert 120 < own < 125
    turned, browned = {}, {}
    for name, film, printed in of_kind(films):
        if not printed:
            shown = partial(chain, film, light)
            turned[name], browned[name] = hue(shown())[0] - own, hue(shown())[0] - hue(without(shown))[0]
    assert {name: degrees for name, degrees in turned.items() if not abs(degrees) < FOLIAGE_HUE} == {}
    assert {name: d for name, d in browned.items() if not BROWNED[0] < d < BROWNED[1]} == {}


def test_masking_leaves_greys_and_keeps_colours_pure(films):
    film = films[K500T]
    bare = replace(film, spectra=replace(film.spectra, masking=0.0))
    for printed in ("", SCAN):
        np.testing.assert_allclose(
            chain(film, GREYS, print=printed), chain(bare, GREYS, print=printed), atol=1e-9, err_msg=printed
        )
        assert chroma(chain(film, checker(), print=printed)) > 1.1 * chroma(chain(bare, checker(), print=printed))


@pytest.mark.parametrize("name", [K500T, PORTRA, VELVIA, TRI_X])
def test_exposure_and_printing_lighten_and_darken(films, name):
    film, grey = films[name], np.full((1, 3), GREY)

    def lightness(**changes):
        return lab(chain(film, grey, **changes))[0, 0]

    shades = [lightness(exposure=stops) for stops in (-2, -1, 0, 1, 2)]
    assert (np.diff(shades) > 8).all()
    if film.kind == "negative":
        for printed in ("", SCAN):
            assert lightness(print=printed, print_exposure=0.5) < lightness(print=printed) - 3
            assert lightness(print=printed, print_exposure=-0.5) > lightness(print=printed) + 3


def test_a_stop_of_scanning_is_its_density(films):
    """0.3 of the positive's density a stop, at mid grey, where the scanner's curve is steepest and straight."""
    grey, step = np.full((1, 3), GREY), 0.02
    dark, light = (SRGB.decode(chain(films[PORTRA], grey, print=SCAN, print_exposure=s)) for s in (step, -step))
    assert np.log10(light / dark)[0] == pytest.approx(2 * step * math.log10(2), rel=0.02)


@pytest.mark.parametrize(("name", "printed"), [(K500T, ""), (PORTRA, ""), (PORTRA, SCAN), (VELVIA, "")])
def test_light_and_tint_colour_the_picture(films, name, printed):
    film, grey = films[name], np.full((1, 3), GREY)
    own = film.spectra.kelvin

    def opponent(**changes):
        return lab(chain(film, grey, print=printed, **changes))[0, 1:]

    plain = opponent()
    warm, cool = opponent(temperature=0.7 * own), opponent(temperature=1.4 * own)
    assert warm[1] > plain[1] + 8
    assert cool[1] < plain[1] - 8
    magenta, green = opponent(tint=20), opponent(tint=-20)
    assert magenta[0] > plain[0] + 8
    assert green[0] < plain[0] - 8


def test_daylight_on_tungsten_film_is_blue_and_lamps_on_daylight_film_are_orange(films):
    grey = np.full((1, 3), GREY)
    _, a, b = lab(chain(films[K500T], grey, temperature=5500))[0]
    assert b < -20
    _, a, b = lab(chain(films[PORTRA], grey, temperature=3200))[0]
    assert a > 10
    assert b > 20


def test_nothing_colours_silver(films):
    """Colour of light and filters changes what silver gets, never its hue: on a print or scanned."""
    light = checker()
    for printed in ("", SCAN):
        for changes in ({"tint": 30}, {"temperature": 3200}, {"filter": "red"}):
            shown = chain(films[TRI_X], light, print=printed, **changes)
            assert np.ptp(shown, axis=1).max() < EXACT, (printed, changes)


def test_a_red_filter_darkens_blue_skies(films):
    light = np.array([[0.18, 0.18, 0.18], [0.1, 0.2, 0.5], [0.4, 0.1, 0.08]])  # grey, blue, red
    plain, yellow, red = (lab(chain(films[TRI_X], light, filter=f))[:, 0] for f in ("none", "yellow", "red"))
    assert plain[1] > yellow[1] > red[1] + 5
    assert plain[2] < yellow[2] < red[2] - 5
    assert [yellow[0], red[0]] == pytest.approx([plain[0]] * 2, abs=0.01)


def test_what_is_seen_is_colour_science_s(films):
    """Tristimulus values of a print under its light, adapted by Bradford from its base to the space's white."""
    paper = PrintStock.load("kodak-2383")
    spectra = paper.spectra
    amounts = np.array([[0, 0, 0], [0.6, 0.7, 0.8], [1.5, 0.2, 0.4], [0.1, 1.4, 1.2]])
    shape = colour.SpectralShape(380, 780, 5)
    eye = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(shape)
    xy = colour.temperature.CCT_to_xy_CIE_D(5500)
    lamp = colour.sd_CIE_illuminant_D_series(xy, M1_M2_rounding=False, shape=shape)
    xyz = [
        colour.sd_to_XYZ(
            colour.SpectralDistribution(10.0 ** -spectra.density(dyes), WAVELENGTH),
            eye,
            lamp,
            method="Integration",
            shape=shape,
        )
        for dyes in amounts
    ]
    xyz = np.array(xyz) / xyz[0][1]
    adapted = colour.adaptation.chromatic_adaptation_VonKries(xyz, xyz[0], SRGB.white_xyz, transform="Bradford")
    expected = adapted @ SRGB.from_xyz.T
    viewed = Viewed(spectra, 5500, amounts[0], np.full(3, 4.0), SRGB)
    np.testing.assert_allclose(viewed.light(amounts), expected, atol=1e-5)
    np.testing.assert_allclose(viewed(amounts[:1]), 1, atol=1e-9)


def test_greatest_density_is_black_and_light_between_in_proportion():
    plain = Viewed(made(), 5000, np.zeros(3), np.full(3, 3.0), SRGB)
    black = plain.balance(np.full((1, 3), 1.2))
    viewed = Viewed(made(), 5000, np.zeros(3), black[0], SRGB)
    np.testing.assert_allclose(viewed(black), 0, atol=1e-6)
    assert viewed.black > 0.02
    grey = viewed.balance(np.array([[0.4, 0.4, 0.4]]))
    light = viewed.light(grey)[0, 0]
    np.testing.assert_allclose(SRGB.decode(viewed(grey)), (light - viewed.black) / (1 - viewed.black), atol=1e-6)


def test_balance_finds_the_grey_of_the_same_luminance():
    viewed = Viewed(made(), 5000, np.zeros(3), np.full(3, 3.0), SRGB)
    amounts = np.random.default_rng(1).uniform(0.2, 1.5, (20, 3))
    before, after = viewed.light(amounts), viewed.light(viewed.balance(amounts))
    luminance = np.maximum(before @ SRGB.to_xyz[1], 0)
    np.testing.assert_allclose(after, luminance[:, None] * np.ones(3), rtol=1e-6)
    plain = Viewed(silver(), 5000, np.zeros(3), np.full(3, 3.0), SRGB)
    np.testing.assert_array_equal(plain.balance(amounts), amounts)


def test_a_denser_negative_prints_lighter_in_its_colour(films):
    """A little more of the red-sensitive layer's density is more red in print and scan."""
    film = films[PORTRA]
    for printed in ("", SCAN):
        seen = positive(film, Darkroom(print=printed), Scanner(), SRGB)
        grey = Negative(film, Darkroom()).grey_scale(np.zeros(1))
        for channel in range(3):
            more = SRGB.decode(seen(grey + 0.1 * np.eye(3)[channel])) - SRGB.decode(seen(grey))
            assert more[0].argmax() == channel
            assert more[0, channel] > 0.02


def test_pictures_of_a_wider_space_are_the_same_colours(films):
    """Display P3 told in sRGB is what sRGB's own chain shows, but for where each space draws colours in."""
    density = Negative(films[PORTRA], Darkroom()).grey_scale(np.linspace(-3, 3, 13))
    density = density + np.random.default_rng(0).normal(0, 0.05, density.shape)
    for printed in ("", SCAN):
        srgb, p3 = (positive(films[PORTRA], Darkroom(print=printed), Scanner(), s) for s in (SRGB, DISPLAY_P3))
        told = DISPLAY_P3.decode(p3(density)) @ between(DISPLAY_P3, SRGB).T
        np.testing.assert_allclose(told, SRGB.decode(srgb(density)), atol=2e-3)


def test_the_film_is_printed_as_print_for_says(films):
    grey = Negative(films[K500T], Darkroom()).grey_scale(STOPS)
    named = positive(films[K500T], Darkroom(print=print_for(films[K500T])), Scanner(), SRGB)
    np.testing.assert_array_equal(positive(films[K500T], Darkroom(), Scanner(), SRGB)(grey), named(grey))
    other = positive(films[K500T], Darkroom(print="kodak-portra-endura"), Scanner(), SRGB)
    assert np.abs(other(grey) - named(grey)).max() > 0.02


def test_a_scanner_of_ones_own_is_used(films):
    grey = Negative(films[PORTRA], Darkroom()).grey_scale(STOPS)
    soft, hard = (positive(films[PORTRA], Darkroom(print=SCAN), Scanner(contrast=c), SRGB)(grey) for c in (1.2, 2.0))
    assert np.ptp(lab(hard)[2:-2, 0]) > 1.2 * np.ptp(lab(soft)[2:-2, 0])
    np.testing.assert_allclose(soft[6], hard[6], atol=1e-6)  # about mid grey


def test_beyond_the_film_s_own_densities_pictures_stay_finite(films):
    for name in (K500T, PORTRA, VELVIA, TRI_X):
        density = Negative(films[name], Darkroom()).density
        wild = np.stack(np.meshgrid(*[[density.min() - 0.3, 1.0, density.max() + 0.3]] * 3), -1).reshape(-1, 3)
        for printed in ("", SCAN) if films[name].kind == "negative" else ("",):
            assert np.isfinite(positive(films[name], Darkroom(print=printed), Scanner(), SRGB)(wild)).all()


def test_what_cannot_be_printed_is_told(films):
    expected = r"expects a bundled print stock or a \.json file, got 'kodak-2838': did you mean .*kodak-2383"
    with pytest.raises(ValueError, match=expected):
        positive(films[K500T], Darkroom(print="kodak-2838"), Scanner(), SRGB)
    for printed in ("kodak-2383", SCAN):
        with pytest.raises(ValueError, match=f"fuji-velvia-50 is reversal film: it is not printed, .* '{printed}'"):
            positive(films[VELVIA], Darkroom(print=printed), Scanner(), SRGB)
    with pytest.raises(ValueError, match="has no spectra: it was fitted"):
        positive(replace(films[K500T], spectra=None), Darkroom(), Scanner(), SRGB)


def test_a_print_stock_from_a_file_prints(films, tmp_path):
    PrintStock.load("kodak-2383").save(tmp_path / "mine.json")
    grey = Negative(films[K500T], Darkroom()).grey_scale(STOPS)
    found = positive(films[K500T], Darkroom(print=str(tmp_path / "mine.json")), Scanner(), SRGB)(grey)
    np.testing.assert_array_equal(found, positive(films[K500T], Darkroom(), Scanner(), SRGB)(grey))
    assert isinstance(positive(films[K500T], Darkroom(), Scanner(), SRGB), Print)


@pytest.mark.parametrize("stops", [-1.0, 1.0])
def test_a_lighter_or_darker_print_is_balanced_too(films, stops):
    for name in (K500T, PORTRA):
        assert cast(chain(films[name], GREYS, print_exposure=stops)).max() < 1
        shown = lab(chain(films[name], np.full((1, 3), GREY), print_exposure=stops))[0, 0]
        assert (shown < 45) if stops > 0 else (shown > 54)


@pytest.mark.parametrize("printed", ["", SCAN])
def test_a_lab_prints_an_overexposed_negative_back(films, printed):
    grey = np.full((1, 3), GREY)
    for stops in (-1.0, 2.0):
        corrected = lab(chain(films[PORTRA], grey, print=printed, exposure=stops, aim="exposure"))[0, 0]
        assert corrected == pytest.approx(49.5, abs=0.5)
        assert abs(lab(chain(films[PORTRA], grey, print=printed, exposure=stops))[0, 0] - 49.5) > 10
