import json
import os
from dataclasses import replace
from pathlib import Path

from d2f_mlx.color import SRGB
from d2f_mlx.film import FilmStock, PrintStock, Spectra, prints, stocks
from d2f_mlx.film.spectra import WAVELENGTH, bands, illuminant, measured, observer, primaries

import colour
import numpy as np
import pytest

TABLE = 2e-7  # the tables have seven digits
EXACT = 1e-12
PLANCK = 1e-3  # colour-science's constants are of another CODATA
LAMP = 1e-4  # of density: standard illuminant A is a table, of a Planck constant of its day
FIVE_NM = 5e-4  # of XYZ: the reflectances were made for sums over 1 nm
BAND_NM = 3.0  # of mean and deviation, between a densitometer's Gaussians and the standard's skew products: 2.6 at most
PUBLISHED = 1e-6  # of density
LINES, STEEP_LINES = 0.01, 0.04  # of density, what 63 straight lines leave of the points of films and of steep papers
ROUNDED = 1e-4  # of dyes, in the files
SHAPE = colour.SpectralShape(380, 780, 5)
# log10 of ISO 5-3:2009's spectral products, every 10 nm, where they are within three decades of their peak.
STATUS_A = {
    (610, 10): [4.638, 5.000, 4.871, 4.604, 4.286, 3.900, 3.551, 3.165, 2.776, 2.383],
    (510, 10): [3.822, 4.782, 5.000, 4.906, 4.644, 4.221, 3.609, 2.766],
    (420, 10): [3.602, 4.819, 5.000, 4.912, 4.620, 4.040, 2.989],
}
STATUS_M = {
    (620, 10): [2.109, 4.479, 5.000, 4.899, 4.578, 4.252, 3.875, 3.491, 3.099, 2.687, 2.269],
    (470, 10): [1.152, 2.207, 3.156, 3.804, 4.272, 4.626, 4.872, 5.0, 4.995, 4.818, 4.458, 3.915, 3.172, 2.239],
    (410, 10): [2.103, 4.111, 4.632, 4.871, 5.000, 4.955, 4.743, 4.343, 3.743, 2.990],
}
DATA = Path(os.environ.get("D2F_DATA", "")) / "stocks"
needs_sheets = pytest.mark.skipif(not DATA.is_dir(), reason="needs the digitised data sheets: set D2F_DATA")


def bell(mean, width=25.0):
    return np.exp(-0.5 * ((WAVELENGTH - mean) / width) ** 2)


def made(**changes):
    values = {
        "sensitivity": np.zeros((81, 3)),
        "dyes": np.stack([bell(650), bell(545) + 0.2 * bell(440), bell(450)], 1),
        "base": 0.1 + 0.3 * bell(450),
        "measure": "status_m",
        "kelvin": 5500.0,
        "masking": 1.0,
        "sources": dict.fromkeys(("sensitivity", "dyes", "base", "mtf"), "sheet"),
    }
    return Spectra(**{**values, **changes})


def silver(**changes):
    return made(**{"dyes": np.full((81, 3), 1 / 3), "base": np.full(81, 0.2), "measure": "visual"} | changes)


@pytest.fixture(scope="module")
def shelf():
    """Every stock and print that has spectra."""
    films = [FilmStock.load(name) for name in stocks()]
    return [film for film in films if film.spectra] + [PrintStock.load(name) for name in prints()]


def test_the_observer_is_the_cies():
    expected = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(SHAPE).values
    np.testing.assert_allclose(observer(), expected, rtol=0, atol=TABLE)


@pytest.mark.parametrize("kelvin", [4000, 5000, 5500, 6504, 7000, 7500, 12000, 25000])
def test_daylight_is_the_cies(kelvin):
    xy = colour.temperature.CCT_to_xy_CIE_D(kelvin)
    expected = colour.sd_CIE_illuminant_D_series(xy, M1_M2_rounding=False, shape=SHAPE).values
    np.testing.assert_allclose(illuminant(kelvin), expected / expected[36], rtol=EXACT)


@pytest.mark.parametrize("kelvin", [1000, 1900, 2856, 3200, 3999])
def test_warmer_light_is_a_black_bodys(kelvin):
    expected = colour.sd_blackbody(kelvin, SHAPE).values
    np.testing.assert_allclose(illuminant(kelvin), expected / expected[36], rtol=PLANCK)


@pytest.mark.parametrize("kelvin", [999, 25001, float("nan")])
def test_there_is_no_light_of_any_temperature(kelvin):
    with pytest.raises(ValueError, match=f"from 1000 to 25000 kelvin, got {kelvin}"):
        illuminant(kelvin)


def test_reflectances_are_possible_and_add_up_to_white():
    np.testing.assert_allclose(primaries().sum(1), 1, atol=2e-7 * 100)
    assert primaries().min() > 0
    assert primaries().max() < 1


def test_reflectances_have_their_colours_under_daylight():
    """Against sRGB's own matrix, for its primaries, its secondaries and some colours between."""
    rng = np.random.default_rng(0)
    rgb = np.concatenate([np.eye(3), 1 - np.eye(3), rng.uniform(size=(50, 3))])
    light = colour.SDS_ILLUMINANTS["D65"].copy().align(SHAPE).values[:, None] * observer()
    xyz = rgb @ primaries().T @ light / light[:, 1].sum()
    np.testing.assert_allclose(xyz, rgb @ SRGB.to_xyz.T, rtol=0, atol=FIVE_NM)


@pytest.mark.parametrize(("measure", "published"), [("status_a", STATUS_A), ("status_m", STATUS_M)])
def test_densitometers_see_where_the_standard_says(measure, published):
    response = bands(measure)
    np.testing.assert_allclose(response.sum(0), 1, rtol=EXACT)
    for channel, ((first, step), logs) in zip(response.T, published.items(), strict=True):
        at, weight = first + step * np.arange(len(logs)), 10.0 ** np.array(logs)
        mean = (at * weight).sum() / weight.sum()
        width = np.sqrt((weight * (at - mean) ** 2).sum() / weight.sum())
        own = (WAVELENGTH * channel).sum()
        assert own == pytest.approx(mean, abs=BAND_NM)
        assert np.sqrt((channel * (WAVELENGTH - own) ** 2).sum()) == pytest.approx(width, abs=BAND_NM)


def test_a_neutral_density_is_read_as_it_is():
    for measure in ("status_a", "status_m", "visual"):
        np.testing.assert_allclose(measured(np.full((2, 81), [[0.3], [2.7]]), measure), [[0.3] * 3, [2.7] * 3])


def test_visual_density_is_the_luminance_under_tungsten():
    density = made().density(np.array([0.4, 0.9, 1.3]))
    through = colour.SpectralDistribution(10.0**-density, WAVELENGTH)
    eye = colour.MSDS_CMFS["CIE 1931 2 Degree Standard Observer"].copy().align(SHAPE)
    lamp = colour.SDS_ILLUMINANTS["A"].copy().align(SHAPE)
    luminance = colour.sd_to_XYZ(through, eye, lamp, method="Integration", shape=SHAPE)[1] / 100
    np.testing.assert_allclose(measured(density, "visual"), -np.log10(luminance), atol=LAMP)


def test_density_is_the_base_and_the_dyes():
    spectra = made()
    expected = [0.1 + 0.3 * bell(450) + 2 * bell(545) + 0.4 * bell(440) - 0.5 * bell(450)]
    np.testing.assert_allclose(spectra.density(np.array([[0, 2, -0.5]])), expected, rtol=EXACT)


def test_amounts_are_those_that_the_densitometer_reads():
    spectra = made()
    amounts = np.random.default_rng(1).uniform(0, 3, (100, 3))
    read = measured(spectra.density(amounts), "status_m")
    np.testing.assert_allclose(spectra.amounts(read), amounts, atol=1e-7)


def test_sides_are_the_densitometers_slope_where_dyes_are_thin():
    bare, step = made(base=np.zeros(81)), 1e-5
    slopes = [measured(bare.density(step * dye), "status_m") / step for dye in np.eye(3)]
    np.testing.assert_allclose(bare.sides, np.transpose(slopes), atol=1e-3)


def test_densities_that_no_dyes_have_are_named():
    """A dye of a line's width lets light through beside it, however much there is."""
    narrow = np.stack([bell(650), bell(545, 5), bell(450)], 1)
    with pytest.raises(ValueError, match=r"no densities of \[ ?0\.5 +3\. +1\. *\]"):
        made(dyes=narrow).amounts(np.array([[0.5, 0.5, 0.9], [0.5, 3.0, 1.0]]))


def test_silver_is_neutral_and_linear():
    film = silver()
    assert film.silver
    assert not made().silver
    np.testing.assert_array_equal(film.sides, np.eye(3))
    np.testing.assert_allclose(film.amounts(np.full((1, 3), 1.5)), [[1.3] * 3])
    np.testing.assert_allclose(film.density(np.array([0.3, 1.2, 1.5])), 1.2)  # 0.2 and the mean


def test_dyes_give_the_published_densities_of_all_stocks_and_prints(shelf):
    """A densitometer reads the sheet's curves, base included, from the dyes that were found for them."""
    errors = {}
    for item in shelf:
        read = measured(item.spectra.density(item.spectra.amounts(item.curves)), item.spectra.measure)
        errors[item.name] = np.abs(read - item.curves).max()
    assert len(errors) == len(stocks()) + len(prints())
    assert {name: error for name, error in errors.items() if not error < PUBLISHED} == {}


def test_what_absorbs_is_the_layer_that_is_named(shelf):
    """Cyan absorbs red most of all, magenta green, yellow blue: of the bare dyes, by the densitometer."""
    wrong = [x.name for x in shelf if not x.spectra.silver and list(x.spectra.sides.argmax(0)) != [0, 1, 2]]
    assert wrong == []


def test_values_are_json_and_come_back_bit_for_bit():
    spectra = made(halation=0.1, frequency=[0, 10, 50], mtf=np.array([[1, 1, 1], [0.9, 0.8, 0.9], [0.5, 0.4, 0.6]]))
    again = Spectra(**json.loads(json.dumps(spectra.to_dict())))
    for name, value in spectra.to_dict().items():
        assert again.to_dict()[name] == value, name
    np.testing.assert_array_equal(again.mtf, spectra.mtf, strict=True)


def test_arrays_are_copies_and_read_only():
    base = np.full(81, 0.2)
    spectra = made(base=base)
    base[0] = 5
    assert spectra.base[0] == 0.2
    with pytest.raises(ValueError, match="read-only"):
        spectra.dyes[0, 0] = 1


BAD = {
    r"sensitivity of shape \(81, 3\), got \(81,\)": {"sensitivity": np.zeros(81)},
    r"dyes of shape \(81, 3\), got \(41, 3\)": {"dyes": np.zeros((41, 3))},
    r"base to be finite, got \[ ?nan\]": {"base": np.full(81, np.nan)},
    "status_m, status_a or visual, got status_x": {"measure": "status_x"},
    "kelvin from 1000 to 25000, got 500": {"kelvin": 500},
    r"masking in \[0, 1\], got 1.5": {"masking": 1.5},
    r"halation in \[0, 1\], got -0.1": {"halation": -0.1},
    r"frequency to rise from 0, got \[ ?1": {"frequency": [1, 2], "mtf": np.ones((2, 3))},
    r"mtf of shape \(3, 3\), got \(2, 3\)": {"frequency": [0, 1, 2]},
    "sources of sensitivity, dyes, base, mtf": {"sources": {"dyes": "sheet"}},
    "dyes that differ, or silver, a third each": {"dyes": np.ones((81, 3))},
}


@pytest.mark.parametrize(("message", "changes"), BAD.items())
def test_what_does_not_fit_is_named(message, changes):
    with pytest.raises(ValueError, match=f"Spectra expects {message}"):
        made(**changes)


def test_a_changed_copy_is_checked_too():
    with pytest.raises(ValueError, match="halation"):
        replace(made(), halation=2)


def sheets(shelf):
    """Each stock or print with its data sheet, but for the one that borrows all of it."""
    for item in shelf:
        if not item.sources["curves"].startswith("borrowed: Kodak"):
            yield item, json.loads((DATA / item.report["sheet"]).read_text(encoding="utf-8"))


def drawn(curve):
    x, y = np.array(sorted((float(x), y) for x, y in curve.items())).T
    x, first = np.unique(x, return_index=True)
    return x, y[first]


@pytest.mark.slow
@needs_sheets
def test_dyes_are_the_data_sheets(shelf):
    errors, count = {}, 0
    for item, sheet in sheets(shelf):
        if item.spectra.sources["dyes"] != "sheet":
            continue
        count += 1
        for dye, curve in zip(item.spectra.dyes.T, sheet["spectral_density"], strict=True):
            x, y = drawn(curve)
            on_grid = np.interp(WAVELENGTH, x, y).clip(0)
            inside = (x[0] <= WAVELENGTH) & (x[-1] >= WAVELENGTH)
            errors[item.name] = max(errors.get(item.name, 0), np.abs(dye - on_grid)[inside].max())
    assert count > 20
    assert {name: error for name, error in errors.items() if not error < ROUNDED} == {}


@pytest.mark.slow
@needs_sheets
def test_sensitivities_are_the_data_sheets(shelf):
    errors = {}
    for item, sheet in sheets(shelf):
        curves = sheet["log_sensitivity"] * (3 // len(sheet["log_sensitivity"]))
        for layer, curve in zip(item.spectra.sensitivity.T, curves, strict=True):
            x, y = drawn(curve)
            inside = (x[0] <= WAVELENGTH) & (x[-1] >= WAVELENGTH)
            off = np.abs(layer - np.interp(WAVELENGTH, x, y))[inside].max()
            errors[item.name] = max(errors.get(item.name, 0), off)
            assert (np.diff(layer)[WAVELENGTH[:-1] > x[-1]] < 0).all()  # and fall beyond it
    assert {name: error for name, error in errors.items() if not error < ROUNDED} == {}


@pytest.mark.slow
@needs_sheets
def test_curves_are_the_data_sheets_at_its_own_points(shelf):
    errors = {}
    for item, sheet in sheets(shelf):
        curves = sheet["sensiometric_curve"] * (3 // len(sheet["sensiometric_curve"]))
        for c, curve in enumerate(curves):
            x, y = drawn(curve)
            if sheet.get("exposure_base") == 2:
                x = x * np.log10(2) + np.log10(12.5 / sheet["iso"])
            off = np.abs(np.interp(x, item.log_exposure, item.curves[:, c]) - y)
            errors[item.name] = max(errors.get(item.name, 0), off.max())
    films = {name: error for name, error in errors.items() if name in stocks()}
    assert {name: error for name, error in films.items() if not error < LINES} == {}
    assert {name: error for name, error in errors.items() if not error < STEEP_LINES} == {}
