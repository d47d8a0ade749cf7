"""The script that made the bundled stocks, on made-up sheets."""

import importlib.util
import json
from pathlib import Path

from d2f_mlx.film import FilmStock

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j1

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
    }
    return {**values, **changes}


def reversal(**changes):
    """Density 0.1 - log H; sigma rises with density."""
    exposure = np.linspace(-3, 0, 31)
    density = 0.1 - 1.0 * exposure
    step = np.linspace(-3, 0, 31)
    values = {
        "film_type": "positive",
        "density_measure": "status_a",
        "name": "Made Chrome",
        "sensiometric_curve": [curve(exposure, density)] * 3,
        "rms_curve": [curve(step, 0.002 - 0.01 * step)] * 3,
        "rms_density": [curve(step, 0.1 - step)] * 3,
    }
    return sheet(**{**values, **changes})


def all_sheets(**more):
    return {"kodak_ektachrome_100d": reversal(), "made_up_100": sheet(), **more}


def test_only_camera_sheets_with_grain_and_without_doubt_are_used(script):
    assert script.usable(sheet())
    assert script.usable(sheet(comment="First of its kind."))
    assert not script.usable(sheet(stage="print"))
    assert not script.usable(sheet(comment="First film with orange mask. Data unreliable."))
    assert not script.usable(sheet(comment="Very experimental."))
    without = sheet()
    del without["rms_curve"]
    assert not script.usable(without)


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
    step = np.linspace(0, 3, 31)
    grey = sheet(
        density_measure="bw",
        grain_curve_independently_digitised=False,
        rms=20,
        sensiometric_curve=[curve(step - 3, 0.3 + 0.5 * step)],
        rms_curve=[curve(step, 0.001 + 0.004 * step)],
        rms_density=[curve(step, 0.1 + step)],
    )
    stock = script.convert("grey", all_sheets(grey=grey))
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


def test_the_command_writes_the_same_files_twice(script, tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    twin = sheet(name="Twin")
    for stem, values in all_sheets(odd=sheet(stage="print"), twin=twin).items():
        (tmp_path / "in" / f"{stem}.json").write_text(json.dumps(values))
    written = []
    for out in (tmp_path / "one", tmp_path / "two"):
        monkeypatch.setattr("sys.argv", ["stocks_from_sheets.py", str(tmp_path / "in"), str(out)])
        script.main()
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["kodak-ektachrome-100d.json", "made-up-100.json"]
    assert "twin: has the curves of another" in capsys.readouterr().out
    assert FilmStock.load(tmp_path / "one" / "made-up-100.json").iso == 100
