"""The stocks that come with the package."""

import json

from d2f_mlx.film import FilmStock, stocks
from d2f_mlx.film.spectra import WAVELENGTH

import numpy as np
import pytest
from scipy.integrate import quad, trapezoid
from scipy.special import j1

# sigma_D x1000 at net density 0.3 and 1.0, layers R, G, B: Kodak's data sheets as read by JanLohse/spectral_film_lut.
SHEETS = {
    "kodak-vision3-50d": ((5.5, 4.6), (5.5, 4.4), (9.5, 8.3)),
    "kodak-vision3-250d": ((8.4, 5.5), (9.7, 6.3), (15.6, 13.5)),
    "kodak-vision3-200t": ((8.2, 5.2), (8.8, 6.4), (19.5, 15.6)),
    "kodak-vision3-500t": ((9.2, 6.3), (12.4, 7.1), (30.1, 19.3)),
    "kodak-ektachrome-100d": ((6.6, 19.2), (3.8, 13.1), (5.8, 24.6)),
}
READING = 0.03  # the table has two digits, and is interpolated
BLACK_AND_WHITE_RMS = {"kodak-tri-x-400": 17.0, "kodak-double-x": 14.0}
ASKED_FOR = {
    "fuji-pro-400h",
    "fuji-velvia-50",
    "kodak-double-x",
    "kodak-ektachrome-100d",
    "kodak-gold-200",
    "kodak-portra-400",
    "kodak-tri-x-400",
    "kodak-ultramax-400",
    "kodak-vision3-500t",
}
LARGEST_FILE = 17_000  # with spectra
VARIANT, ITS_FILM = "cinestill-800t", "kodak-vision3-500t"
# Mean and deviation of the products of ISO 5-3 for red, green and blue, nm.
DENSITOMETERS = {
    "status_m": ((648, 12), (545, 16), (452, 17)),
    "status_a": ((628, 14), (535, 12), (444, 11)),
}
PEAKS = ((600, 670), (520, 570), (380, 480))  # nm, of what the layers see
NAMES = sorted(stocks())


@pytest.fixture(scope="module")
def bundled():
    return {name: FilmStock.load(name) for name in NAMES}


def test_there_are_many_under_the_names_people_type(bundled):
    assert len(bundled) >= 20
    assert not ASKED_FOR - set(bundled)
    assert [name for name, stock in bundled.items() if stock.name != name] == []


def test_the_files_are_small(bundled):
    assert [name for name, path in stocks().items() if path.stat().st_size > LARGEST_FILE] == []


@pytest.mark.parametrize("name", SHEETS)
def test_granularity_is_that_of_the_data_sheet(bundled, name):
    found = [[1000 * bundled[name].sigma(density, layer) for density in (0.3, 1.0)] for layer in range(3)]
    np.testing.assert_allclose(found, SHEETS[name], rtol=READING)


@pytest.mark.parametrize(("name", "rms"), BLACK_AND_WHITE_RMS.items())
def test_black_and_white_has_the_published_rms_at_net_density_one(bundled, name, rms):
    assert 1000 * bundled[name].sigma(1.0, 1) == pytest.approx(rms, rel=0.002)


def test_reversal_levels_are_as_the_published_rms(bundled):
    """Velvia 50 has 9, Kodachrome 64 has 10 and Provia 100F has 8, as has Ektachrome, whose curve they borrow."""
    own = bundled["kodak-ektachrome-100d"].sigma(1.0, 1)
    ratios = [bundled[name].sigma(1.0, 1) / own for name in ("fuji-velvia-50", "kodak-kodachrome-64")]
    np.testing.assert_allclose(ratios, [9 / 8, 10 / 8], rtol=0.002)
    assert bundled["fuji-provia-100f"].sigma(1.0, 1) == pytest.approx(own, rel=0.002)


def test_eight_have_a_grain_curve_of_their_own_and_the_others_say_so(bundled):
    sources = {name: stock.sources["granularity"] for name, stock in bundled.items()}
    assert len([name for name, source in sources.items() if source == "sheet"]) == 8
    assert all(source.startswith(("sheet", "borrowed: ", "guess: ")) for source in sources.values())
    assert sources["kodak-portra-400"].startswith("guess: ")
    assert "17" in sources["kodak-tri-x-400"]
    assert "scale of their own" in sources["fuji-pro-400h"]
    made = [stock for name, stock in bundled.items() if name != VARIANT]
    assert all(stock.sources["spectrum"].startswith("model: ") for stock in made)
    assert all("guess" in stock.sources["spectrum"] for stock in made)
    assert all("MIT" in stock.credit for stock in bundled.values())


def test_cinestill_is_another_film_but_for_its_backing_and_says_so(bundled):
    variant, film = bundled[VARIANT], bundled[ITS_FILM]
    assert (variant.iso, film.iso) == (800, 500)
    for name in ("curves", "granularity", "spectrum", "mixing", "radius_um"):
        np.testing.assert_array_equal(getattr(variant, name), getattr(film, name))
    for name in ("sensitivity", "dyes", "base", "mtf"):
        np.testing.assert_array_equal(getattr(variant.spectra, name), getattr(film.spectra, name))
    said = {*variant.sources.values(), *variant.spectra.sources.values()}
    assert said == {f"borrowed: {film.title}"}
    assert [name for name, stock in bundled.items() if stock.spectra.halation] == [VARIANT]


@pytest.mark.parametrize("name", NAMES)
def test_a_densitometer_reads_the_base_as_the_curves_minimum(bundled, name):
    spectra = bundled[name].spectra
    if bundled[name].black_and_white:
        np.testing.assert_array_equal(spectra.base, np.full(81, bundled[name].base[0]))
        return
    assert spectra.measure == ("status_a" if bundled[name].kind == "reversal" else "status_m")
    bands = [np.exp(-0.5 * ((WAVELENGTH - mean) / width) ** 2) for mean, width in DENSITOMETERS[spectra.measure]]
    found = [-np.log10(np.average(10.0**-spectra.base, weights=band)) for band in bands]
    np.testing.assert_allclose(found, bundled[name].base, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_layers_see_red_green_and_blue_and_dyes_absorb_them(bundled, name):
    spectra = bundled[name].spectra
    if bundled[name].black_and_white:
        assert spectra.silver
        np.testing.assert_array_equal(spectra.sensitivity, spectra.sensitivity[:, :1].repeat(3, 1))
        return
    for layer, (low, high) in enumerate(PEAKS):
        assert low <= WAVELENGTH[spectra.sensitivity[:, layer].argmax()] <= high
    assert (spectra.sides.argmax(0) == [0, 1, 2]).all()
    assert (spectra.dyes >= 0).all()
    assert (spectra.base > 0).all()


def test_spectra_say_what_they_borrowed_and_of_whom(bundled):
    own = {stock.title for stock in bundled.values() if stock.spectra.sources["dyes"] == "sheet"}
    assert len(own) == 12
    for stock in bundled.values():
        sources = stock.spectra.sources
        lender = sources["dyes"].removeprefix("borrowed: ")
        assert sources["dyes"] in ("sheet", "model: silver is neutral") or lender in own
        assert sources["sensitivity"] == "sheet" or stock.name == VARIANT
    assert bundled["kodak-portra-400"].spectra.sources["dyes"] == "borrowed: Kodak Vision3 250D 5207"
    assert bundled["kodak-ektachrome-100d"].spectra.sources["mtf"] == "guess: 1, the sheet has none"


def test_tungsten_film_is_balanced_for_3200_kelvin(bundled):
    warm = {name for name, stock in bundled.items() if stock.spectra.kelvin == 3200}
    assert {name for name in NAMES if name.endswith("t")} <= warm
    assert {bundled[name].spectra.kelvin for name in NAMES if name not in warm} == {5500}
    assert warm.isdisjoint(name for name in NAMES if name.endswith("0d") or bundled[name].kind == "reversal")


def test_orange_masks_make_up_for_side_absorptions_and_reversal_film_has_none(bundled):
    for name, stock in bundled.items():
        masked = not (stock.black_and_white or "aerocolor" in name)  # aerial film is scanned, not printed
        assert stock.spectra.masking == masked if stock.kind == "negative" else 0 < stock.spectra.masking < 1


@pytest.mark.parametrize("name", NAMES)
def test_the_mtf_is_1_at_0_and_falls_at_last(bundled, name):
    spectra = bundled[name].spectra
    np.testing.assert_array_equal(spectra.mtf[0], 1)
    if spectra.sources["mtf"] == "guess: 1, the sheet has none":
        np.testing.assert_array_equal(spectra.mtf, 1)
    else:
        assert (spectra.mtf[-1] < 0.7).all()
        assert (np.diff(spectra.mtf[spectra.frequency >= 50], axis=0) <= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_curves_go_one_way_and_are_as_long_as_the_grain(bundled, name):
    stock = bundled[name]
    steps = np.diff(stock.curves, axis=0) * (-1 if stock.kind == "reversal" else 1)
    assert (steps >= 0).all()
    np.testing.assert_array_equal(stock.curves.min(0), stock.base)
    assert stock.grain_density[0] == 0
    assert stock.grain_density[-1] >= (stock.curves - stock.base).max()
    assert stock.aperture_um == 48


@pytest.mark.parametrize("name", NAMES)
def test_mid_grey_has_a_mid_density(bundled, name):
    stock = bundled[name]
    grey = [np.interp(stock.report["grey_log_exposure"], stock.log_exposure, stock.net(c)) for c in range(3)]
    assert 0.45 < np.min(grey) <= np.max(grey) < 1.5


@pytest.mark.parametrize("name", ["kodak-vision3-500t", "fuji-natura-1600", "kodak-ektar-100"])
def test_the_spectrum_is_that_of_random_discs(bundled, name):
    """Against the analytic spectrum of discs, averaged over the log-normal radii by another quadrature."""
    stock = bundled[name]
    spread = np.sqrt(np.log1p((stock.radius_sigma_um[1] / stock.radius_um[1]) ** 2))
    median = stock.radius_um[1] / 1000 * np.exp(-(spread**2) / 2)

    def power(f):
        def weighted(z):
            radius = median * np.exp(spread * z)
            x = 2 * np.pi * radius * f
            return radius**4 * (2 * j1(x) / x) ** 2 * np.exp(-z * z / 2)

        return quad(weighted, -8, 10, limit=200)[0]

    points = np.array([1, 8, 16, 32, 63])
    expected = [power(f) for f in stock.frequency[points]]
    found = stock.spectrum[points, 1]
    np.testing.assert_allclose(found / found[0], np.array(expected) / expected[0], rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_spectrum_and_mixing_have_norm_one(bundled, name):
    stock = bundled[name]
    fine = np.linspace(0, stock.frequency[-1], 20001)
    for mode in range(3):
        power = np.interp(fine, stock.frequency, stock.spectrum[:, mode])
        assert trapezoid(2 * np.pi * power * fine, fine) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose((stock.mixing**2).sum(1), 1, atol=1e-4)


def test_silver_grains_follow_siedentopf(bundled):
    """sigma^2 A = 0.434 D <a^2> / <a> at net density 1, with the moments of log-normal radii."""
    stock = bundled["kodak-tri-x-400"]
    mean, deviation = stock.radius_um[0], stock.radius_sigma_um[0]
    spread = np.log1p((deviation / mean) ** 2)
    moment = {k: mean**k * np.exp(k * (k - 1) * spread / 2) for k in (2, 4)}
    assert 0.434 * np.pi * moment[4] / moment[2] == pytest.approx(0.017**2 * np.pi * 24**2, rel=0.01)


def test_faster_films_of_a_kind_have_larger_clouds_and_fewer_high_frequencies(bundled):
    films = [bundled[f"kodak-vision3-{speed}"] for speed in ("50d", "250d", "500t")]
    radii = [film.radius_um[1] for film in films]
    assert radii == sorted(radii)
    assert radii[-1] == pytest.approx(1.5, abs=0.01)
    high = [film.spectrum[40, 1] / film.spectrum[0, 1] for film in films]
    assert high == sorted(high, reverse=True)


def test_black_and_white_is_one_field_and_colour_three_that_overlap(bundled):
    for stock in bundled.values():
        rho = stock.correlation[[0, 0, 1], [1, 2, 2]]
        if stock.black_and_white:
            np.testing.assert_array_equal(stock.mixing, [[1, 0, 0]] * 3)
            np.testing.assert_array_equal(stock.curves[:, 0], stock.curves[:, 2])
        else:
            assert (rho > 0).all()
            assert (rho < 0.7).all()


def test_the_files_hold_nothing_that_json_does_not_know():
    def refuse(name):
        raise ValueError(name)

    for path in stocks().values():
        json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
