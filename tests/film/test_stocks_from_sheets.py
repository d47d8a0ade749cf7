"""The script that made the bundled stocks, on made-up sheets."""

import importlib.util
import json
from pathlib import Path

from d2f_mlx.film import FilmStock, PrintStock
from d2f_mlx.film.spectra import WAVELENGTH

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j1

DIGITS = 1e-4  # of density, in the files
# Mean and deviation of the products of ISO 5-3 for red, green and blue, nm.
DENSITOMETERS = {
    "status_m": ((648, 12), (545, 16), (452, 17)),
    "status_a": ((628, 14), (535, 12), (444, 11)),
}
SENSITIVE = {"red": (640, 580, 680), "green": (545, 490, 600), "blue": (450, 400, 500)}  # peak, and the chart's ends
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "stocks_from_sheets.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="benchmarks/ is not here")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("stocks_from_sheets", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def curve(x, y):
    return {f"{a:.4f}": float(b) for a, b in zip(x, y, strict=True)}


def dye(peak, side=0.0, at=0.0):
    wavelength = np.arange(400, 761, 10.0)
    shape = np.exp(-0.5 * ((wavelength - peak) / 25) ** 2) + side * np.exp(-0.5 * ((wavelength - at) / 10) ** 2)
    return curve(wavelength, shape)


def sensitivity(peak, low, high):
    """Log sensitivity: 2 at its peak, falling by 0.03 a nm to both sides, as far as the chart goes."""
    wavelength = np.arange(low, high + 1, 5.0)
    return curve(wavelength, 2 - 0.03 * np.abs(wavelength - peak))


def read_by(measure, spectral_density):
    """Read a spectral density as a densitometer does: -log10 of each band's mean transmittance."""
    bands = [np.exp(-0.5 * ((WAVELENGTH - mean) / width) ** 2) for mean, width in DENSITOMETERS[measure]]
    return [-np.log10(np.average(10.0**-spectral_density, weights=band)) for band in bands]


def sheet(**changes):
    """A negative with gamma 0.6: density 0.2, 0.5, 0.8 + 0.6 (log H + 3) from -3 on; sigma falls with exposure."""
    exposure = np.linspace(-4, 1, 41)
    density = 0.6 * (exposure + 3).clip(0)
    step = np.linspace(0, 5, 51)
    values = {
        "name": "Made Up 100",
        "iso": 100,
        "year": 2000,
        "density_measure": "status_m",
        "manufacturer": "Nobody",
        "stage": "camera",
        "film_type": "negative",
        "medium": "photo",
        "grain_curve_independently_digitised": True,
        "sensiometric_curve": [curve(exposure, density + base) for base in (0.2, 0.5, 0.8)],
        "rms_curve": [curve(step, level * (2 - step / 5)) for level in (0.004, 0.005, 0.008)],
        "rms_density": [curve(step, base + 0.6 * (step - 1).clip(0)) for base in (0.25, 0.55, 0.85)],
        "spectral_density": [dye(648), dye(545, 0.3, 452), dye(452)],
        "log_sensitivity": [sensitivity(*layer) for layer in SENSITIVE.values()],
    }
    return {**values, **changes}


def reversal(**changes):
    """Density 0.1 - log H; sigma rises with density."""
    exposure = np.linspace(-3, 0, 31)
    density = 0.1 - 1.0 * exposure
    step = np.linspace(-3, 0, 31)
    values = {
        "film_type": "positive",
        "spectral_density": [dye(628), dye(535, 0.2, 444), dye(444)],
        "density_measure": "status_a",
        "name": "Made Chrome",
        "sensiometric_curve": [curve(exposure, density)] * 3,
        "rms_curve": [curve(step, 0.002 - 0.01 * step)] * 3,
        "rms_density": [curve(step, 0.1 - step)] * 3,
    }
    return sheet(**{**values, **changes})


def grey(**changes):
    """Black and white: one layer."""
    step = np.linspace(0, 3, 31)
    values = {
        "density_measure": "bw",
        "grain_curve_independently_digitised": False,
        "rms": 20,
        "sensiometric_curve": [curve(step - 3, 0.3 + 0.5 * step)],
        "rms_curve": [curve(step, 0.001 + 0.004 * step)],
        "rms_density": [curve(step, 0.1 + step)],
        "log_sensitivity": [sensitivity(450, 400, 640)],
    }
    return without("spectral_density", sheet(**{**values, **changes}))


def without(name, values):
    return {key: value for key, value in values.items() if key != name}


def all_sheets(**more):
    return {"kodak_ektachrome_100d": reversal(), "made_up_100": sheet(), **more}


def test_only_camera_sheets_with_grain_and_without_doubt_are_used(script):
    assert script.usable(sheet())
    assert script.usable(sheet(comment="First of its kind."))
    assert not script.usable(sheet(stage="print"))
    assert not script.usable(sheet(comment="First film with orange mask. Data unreliable."))
    assert not script.usable(sheet(comment="Very experimental."))
    assert not script.usable(without("rms_curve", sheet()))


def test_a_sheet_of_its_own_becomes_what_it_says(script):
    stock = script.convert("made_up_100", all_sheets())
    np.testing.assert_array_equal(stock.base, [0.2, 0.5, 0.8])
    straight = stock.log_exposure > -2.8
    np.testing.assert_allclose(stock.net(1)[straight], 0.6 * (stock.log_exposure[straight] + 3), atol=2e-4)
    # net density n is 1 + n / 0.6 on the exposure axis of the granularity
    density = np.array([0.3, 1.0, 2.0])
    np.testing.assert_allclose(stock.sigma(density, 1), 0.005 * (2 - (1 + density / 0.6) / 5), atol=2e-5)
    assert stock.sources["granularity"] == "sheet"
    assert (stock.name, stock.title, stock.kind) == ("made-up-100", "Made Up 100", "negative")


def test_stops_about_mid_grey_become_lux_seconds(script):
    stops = sheet(exposure_base=2, sensiometric_curve=[curve(np.linspace(-5, 5, 21), np.linspace(0.1, 2, 21))] * 3)
    axis, curves = script.curves_of(stops)
    assert axis[0] == pytest.approx(np.log10(12.5 / 100 / 2**5), abs=1e-4)
    assert axis[-1] == pytest.approx(np.log10(12.5 / 100 * 2**5), abs=1e-4)
    assert np.interp(np.log10(0.125), axis, curves[:, 0]) == pytest.approx(1.05, abs=1e-3)


def test_curves_are_made_monotone_without_overshoot(script):
    bumpy = curve([-3, -2, -1, 0, 1], [0.2, 0.21, 0.19, 1.5, 1.5])
    _, curves = script.curves_of(sheet(sensiometric_curve=[bumpy] * 3))
    assert (np.diff(curves[:, 0]) >= 0).all()
    assert curves.max() == 1.5
    assert curves.min() >= 0.19


def test_a_layer_cut_off_by_the_chart_goes_on(script):
    whole, cut = np.linspace(-3, 1, 41), np.linspace(-3, 0, 31)
    layers = [curve(x, 1 + 0.5 * x + 1) for x in (whole, whole, cut)]
    axis, curves = script.curves_of(sheet(sensiometric_curve=layers))
    np.testing.assert_allclose(curves[:, 2], 2 + 0.5 * axis, atol=1e-3)


def test_reversal_falls_and_its_level_is_the_published_rms_over_the_anchors(script):
    chrome = reversal(grain_curve_independently_digitised=False, rms=16, name="Grainy Chrome")
    sheets = all_sheets(grainy_chrome=chrome)
    stock, anchor = (script.convert(stem, sheets) for stem in ("grainy_chrome", "kodak_ektachrome_100d"))
    assert stock.kind == "reversal"
    assert (np.diff(stock.curves[:, 0]) <= 0).all()
    np.testing.assert_allclose(stock.granularity, 2 * anchor.granularity, atol=2e-5)
    expected = "borrowed: shape of kodak-ektachrome-100d, level from the sheet's RMS 16"
    assert stock.sources["granularity"] == expected


def test_black_and_white_takes_the_level_from_its_rms(script):
    stock = script.convert("grey", all_sheets(grey=grey()))
    np.testing.assert_allclose(stock.sigma(1.0, 0), 0.020, rtol=1e-3)
    np.testing.assert_allclose(stock.sigma(0.5, 2), 0.020 * 3 / 5, rtol=1e-3)
    assert stock.black_and_white
    assert stock.radius_um[0] == pytest.approx(np.sqrt(0.02**2 * 24**2 / 0.4343 / 1.09**5), rel=1e-3)


def test_the_lender_is_of_the_same_light_and_near_in_speed_and_time(script):
    other = {"grain_curve_independently_digitised": False}
    sheets = all_sheets(
        day_800=sheet(iso=800), tungsten_400=sheet(iso=400, exposure_kelvin=3200), wanting=sheet(iso=400, **other)
    )
    assert script.lender_of("wanting", sheets) == "day_800"
    sheets["wanting"]["year"], sheets["day_800"]["year"] = 1980, 2010
    assert script.lender_of("wanting", sheets) == "made_up_100"
    sheets["wanting"]["exposure_kelvin"] = 3200
    assert script.lender_of("wanting", sheets) == "tungsten_400"
    with pytest.raises(ValueError, match="got none"):
        script.lender_of("wanting", {"wanting": sheets["wanting"]})


def test_side_absorptions_mix_the_channels_and_keep_their_sigma(script):
    stock = script.convert("made_up_100", all_sheets())
    sides = script.side_absorptions(sheet())
    # the magenta dye (25 nm wide, 0.3 and 10 nm wide at 452) in the blue (17 nm) and the green band (16 nm)
    blue = 0.3 * 10 / np.hypot(10, 17) + 25 / np.hypot(25, 17) * np.exp(-0.5 * (93 / np.hypot(25, 17)) ** 2)
    assert sides[2, 1] == pytest.approx(blue / (25 / np.hypot(25, 16)), rel=0.01)
    assert sides[0, 2] == pytest.approx(0, abs=1e-6)
    sigma = np.array([0.0041, 0.0052, 0.0085])
    mixing = script.mixing_of(sides, sigma)
    layers = np.sqrt(np.linalg.solve(sides**2, sigma**2))
    np.testing.assert_allclose(mixing * sigma[:, None], sides * layers, rtol=1e-9)
    assert stock.correlation[1, 2] > 5 * stock.correlation[0, 2]


def test_the_spectrum_is_the_mean_over_log_normal_discs(script):
    frequency, mean = np.linspace(0, 300, 64), 2.0
    found = script.spectrum_of(np.array([mean]), frequency)[:, 0]
    spread = np.sqrt(np.log1p(script.RADIUS_SPREAD**2))

    def disc(z, f):
        radius = mean / 1000 * np.exp(spread * z - spread**2 / 2)
        x = 2 * np.pi * radius * f
        return radius**4 * (2 * j1(x) / x) ** 2 * np.exp(-z * z / 2)

    expected = [quad(disc, -8, 10, args=(f,), limit=200)[0] for f in (1e-6, *frequency[[10, 20, 40]])]
    np.testing.assert_allclose(found[[10, 20, 40]] / found[0], np.array(expected[1:]) / expected[0], rtol=1e-3)


def test_sensitivity_goes_on_falling_where_the_chart_ends(script):
    found = script.convert("made_up_100", all_sheets()).spectra
    for layer, (peak, _, _) in enumerate(SENSITIVE.values()):
        np.testing.assert_allclose(found.sensitivity[:, layer], 2 - 0.03 * np.abs(WAVELENGTH - peak), atol=DIGITS)
    assert found.sources["sensitivity"] == "sheet"


@pytest.mark.parametrize("slope", [0.0, 0.01])
def test_sensitivity_falls_beyond_a_chart_that_ends_level_or_rising(script, slope):
    """Rising to both sides of 500 nm, as blue-sensitive layers do towards the ultraviolet."""
    wavelength = np.arange(450, 551, 10.0)
    found = script.sensitivity_of(curve(wavelength, 1 + slope * np.abs(wavelength - 500)))
    inside = (WAVELENGTH >= 450) & (WAVELENGTH <= 550)
    beyond = np.maximum(450 - WAVELENGTH, WAVELENGTH - 550).clip(0)
    np.testing.assert_allclose(found[~inside], 1 + 50 * slope - 0.02 * beyond[~inside], atol=1e-9)
    np.testing.assert_allclose(found[inside], 1 + slope * np.abs(WAVELENGTH - 500)[inside], atol=slope * 5 + 1e-9)


def test_dyes_are_the_sheets_own_and_its_densitometer_reads_the_curves_minimum(script):
    for stem, measure in (("made_up_100", "status_m"), ("kodak_ektachrome_100d", "status_a")):
        stock = script.convert(stem, all_sheets())
        spectra = stock.spectra
        assert spectra.measure == measure
        assert (spectra.sources["dyes"], spectra.sources["base"]) == (
            "sheet",
            "model: the dyes that give the curves' minimum",
        )
        shown = (WAVELENGTH >= 400) & (WAVELENGTH <= 760) & (WAVELENGTH % 10 == 0)
        for column, points in enumerate(all_sheets()[stem]["spectral_density"]):
            np.testing.assert_allclose(spectra.dyes[shown, column], list(points.values()), atol=DIGITS)
        np.testing.assert_allclose(read_by(measure, spectra.base), stock.base, atol=DIGITS)
        assert np.linalg.lstsq(spectra.dyes, spectra.base, rcond=None)[1] < 81 * DIGITS**2


def test_a_sheet_without_dyes_borrows_those_of_the_film_that_lends_its_grain(script):
    lacking = without("spectral_density", sheet(name="Lacking", grain_curve_independently_digitised=False, rms=5))
    sheets = all_sheets(lacking=lacking)
    stock, lender = (script.convert(stem, sheets).spectra for stem in ("lacking", "made_up_100"))
    assert stock.sources["dyes"] == "borrowed: Made Up 100"
    np.testing.assert_array_equal(stock.dyes, lender.dyes)
    reversal_stock = reversal(grain_curve_independently_digitised=False, rms=8)
    sheets = all_sheets(lacking=without("spectral_density", reversal_stock))
    assert script.convert("lacking", sheets).spectra.sources["dyes"] == "borrowed: Kodak Ektachrome 100D 5294"


def test_the_base_is_the_sheets_with_what_brings_it_to_the_curves_minimum(script):
    mask = curve(np.arange(380, 781, 20), 0.9 - 0.001 * np.arange(0, 401, 20))
    stock = script.convert("masked", all_sheets(masked=sheet(d_min_sd=mask)))
    spectra, shown = stock.spectra, 0.9 - 0.001 * (WAVELENGTH - 380)
    assert spectra.sources["base"] == "sheet"
    np.testing.assert_allclose(read_by("status_m", spectra.base), stock.base, atol=DIGITS)
    added = spectra.base - shown
    assert np.abs(added).max() > 0.1
    assert np.linalg.lstsq(spectra.dyes, added, rcond=None)[1] < 81 * DIGITS**2


def test_silver_is_neutral_and_no_layer_masks_another(script):
    stock = script.convert("grey", all_sheets(grey=grey()))
    spectra = stock.spectra
    np.testing.assert_allclose(spectra.dyes.sum(1), 1)
    assert spectra.silver
    np.testing.assert_array_equal(spectra.base, np.full(81, stock.base[0]))
    assert (spectra.measure, spectra.masking) == ("visual", 0)
    np.testing.assert_array_equal(spectra.sensitivity[:, 0], spectra.sensitivity[:, 2])
    assert spectra.sources["dyes"] == "model: silver is neutral"


@pytest.mark.parametrize(
    ("values", "masking", "kelvin"),
    [
        (sheet(), 1.0, 5500),
        (sheet(exposure_kelvin=3200, color_masking=0), 0.0, 3200),
        (reversal(), 0.0, 5500),
        (reversal(color_masking=0.25, exposure_kelvin=3200), 0.25, 5500),
    ],
)
def test_masking_is_that_of_the_kind_or_the_collections_and_light_that_of_the_film(script, values, masking, kelvin):
    tungsten = sheet(exposure_kelvin=3200, iso=50)
    spectra = script.convert("other", all_sheets(other=values, tungsten=tungsten)).spectra
    assert (spectra.masking, spectra.kelvin, spectra.halation) == (masking, kelvin, 0)


def test_the_mtf_is_the_sheets_from_1_on_and_goes_on_along_its_end(script):
    falling = curve([10, 20, 30, 40], [0.9, 0.8, 0.7, 0.6])
    power = curve([20, 40, 80], [0.8, 0.4, 0.2])
    rising = curve([10, 20, 40], [1.0, 1.1, 1.3])
    spectra = script.convert("sharp", all_sheets(sharp=sheet(mtf=[falling, power, rising]))).spectra
    frequency, (first, second, third) = spectra.frequency, spectra.mtf.T
    assert frequency[0] == 0
    assert frequency[-1] == 100
    np.testing.assert_array_equal(spectra.mtf[0], 1)
    np.testing.assert_allclose(first[frequency <= 40], 1 - frequency[frequency <= 40] / 100, atol=DIGITS)
    np.testing.assert_allclose(second[frequency > 80], 16 / frequency[frequency > 80], atol=DIGITS)
    np.testing.assert_allclose(third[frequency > 40], 1.3, atol=DIGITS)
    assert (np.diff(first[frequency > 30]) < 0).all()
    assert spectra.sources["mtf"] == "sheet"


def test_one_curve_of_mtf_is_every_layers_and_none_is_none(script):
    one = script.convert("one", all_sheets(one=sheet(mtf=[curve([10, 20, 40], [1.1, 0.8, 0.4])]))).spectra
    np.testing.assert_array_equal(one.mtf[:, 0], one.mtf[:, 2])
    assert one.mtf.min() < 0.4
    assert one.sources["mtf"] == "sheet: one curve for all layers"
    none = script.convert("made_up_100", all_sheets()).spectra
    np.testing.assert_array_equal(none.mtf, 1)
    assert none.sources["mtf"] == "guess: 1, the sheet has none"


def test_a_print_stock_has_its_sheets_curves_and_is_exposed_by_a_printers_lamp(script):
    values = without("iso", sheet(stage="print", medium="cine", name="Print", density_measure="status_a", lad=[1.1]))
    read = all_sheets(kodak_2383=values, kodak_portra_endura={**values, "medium": "photo"}, kodak_2302=grey())
    film, paper, silver = (script.convert_print(s, read) for s in ("kodak_2383", "kodak_portra_endura", "kodak_2302"))
    assert (film.name, film.title, film.kind) == ("kodak-2383", "Kodak Vision 2383 print film", "film")
    assert (paper.name, paper.kind, paper.spectra.kelvin) == ("kodak-portra-endura", "paper", 3200)
    np.testing.assert_array_equal(film.base, [0.2, 0.5, 0.8])
    straight = film.log_exposure > -2.8
    np.testing.assert_allclose(film.curves[straight, 2], 0.8 + 0.6 * (film.log_exposure[straight] + 3), atol=2e-4)
    np.testing.assert_allclose(read_by("status_a", film.spectra.base), film.base, atol=DIGITS)
    assert film.report == {"sheet": "kodak_2383.json", "lad": [1.1]}
    assert film.sources == {"curves": "sheet"}
    assert silver.black_and_white
    assert silver.spectra.silver


def test_cinestill_is_vision3_500t_without_backing_at_800(script):
    original = script.convert("kodak_5219", all_sheets(kodak_5219=sheet(iso=500, exposure_kelvin=3200)))
    variant = script.without_backing(original)
    assert (variant.name, variant.iso, variant.medium) == ("cinestill-800t", 800, "photo")
    for name in ("curves", "granularity", "spectrum", "mixing"):
        np.testing.assert_array_equal(getattr(variant, name), getattr(original, name))
    for name in ("sensitivity", "dyes", "base", "mtf"):
        np.testing.assert_array_equal(getattr(variant.spectra, name), getattr(original.spectra, name))
    assert (original.spectra.halation, variant.spectra.halation) == (0, script.HALATION)
    said = {*variant.sources.values(), *variant.spectra.sources.values()}
    assert said == {"borrowed: Kodak Vision3 500T 5219"}
    assert 10 ** variant.report["grey_log_exposure"] == pytest.approx(12.5 / 800, rel=1e-3)


def test_the_command_writes_the_same_files_twice(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    more = {
        "odd": sheet(stage="print"),
        "twin": sheet(name="Twin"),
        "kodak_2383": sheet(stage="print", medium="cine", density_measure="status_a"),
        "kodak_5219": sheet(iso=500, manufacturer="Kodak"),
    }
    for stem, values in all_sheets(**more).items():
        (tmp_path / "in" / f"{stem}.json").write_text(json.dumps(values))
    written = []
    for out in (tmp_path / "one", tmp_path / "two"):
        monkeypatch.setattr("sys.argv", ["stocks_from_sheets.py", str(tmp_path / "in"), str(out)])
        script.main()
        written.append({str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.json")})
    assert written[0] == written[1]
    stocks = ["cinestill-800t", "kodak-ektachrome-100d", "kodak-vision3-500t", "made-up-100"]
    assert sorted(written[0]) == ["prints/kodak-2383.json", *(f"stocks/{name}.json" for name in stocks)]
    assert "twin: has the curves of another" in capsys.readouterr().out
    assert FilmStock.load(tmp_path / "one" / "stocks" / "made-up-100.json").iso == 100
    assert PrintStock.load(tmp_path / "one" / "prints" / "kodak-2383.json").kind == "film"
