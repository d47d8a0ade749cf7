import json
import subprocess
import sys
from dataclasses import fields, replace

from d2f_mlx.film import FilmStock
from d2f_mlx.grain import HalideStatistics

import numpy as np
import pytest


def gaussian_spectrum(frequency, width):
    """2 pi int exp(-f^2 / 2 w^2) f df = 2 pi w^2."""
    return np.exp(-0.5 * (frequency / width) ** 2) / (2 * np.pi * width**2)


def made(**changes):
    frequency = np.linspace(0, 200, 201)
    curve = np.linspace(0.2, 2.2, 9)
    values = {
        "name": "made-up-100",
        "title": "Made Up 100",
        "maker": "Nobody",
        "year": 1999,
        "iso": 100,
        "kind": "negative",
        "medium": "photo",
        "black_and_white": False,
        "log_exposure": np.linspace(-3, 1, 9),
        "curves": np.stack([curve, curve + 0.4, curve + 0.7], 1),
        "base": np.array([0.2, 0.6, 0.9]),
        "grain_density": np.array([0.0, 1.0, 2.0]),
        "granularity": np.array([[0.01, 0.02, 0.03], [0.005, 0.01, 0.02], [0.004, 0.008, 0.01]]),
        "aperture_um": 48.0,
        "frequency": frequency,
        "spectrum": np.stack([gaussian_spectrum(frequency, width) for width in (25, 30, 35)], 1),
        "mixing": np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]]),
        "pitch_um": 0.0,
        "sources": dict.fromkeys(("curves", "granularity", "spectrum", "correlation"), "sheet"),
    }
    return FilmStock(**{**values, **changes})


def halides():
    rng = np.random.default_rng(0)
    shapes = {"density": (2, 16, 3), "occupancy": (2, 16, 8), "height": (2, 16, 3, 7), "sigma": (16, 3)}
    shapes |= {"correlation": (3, 3), "kernel": (9, 9)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return HalideStatistics(**arrays, pictures=3, blocks=777)


def same(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "halides":
            assert (a is None) == (b is None)
            for part in fields(HalideStatistics) if a is not None else ():
                np.testing.assert_array_equal(getattr(a, part.name), getattr(b, part.name), strict=True)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, strict=True)
        else:
            assert a == b, field.name


def test_net_density_is_the_curve_less_its_base():
    np.testing.assert_allclose(made().net(1), np.linspace(0, 2, 9), atol=1e-12)


def test_sigma_is_interpolated_and_held_beyond_the_ends():
    stock = made()
    np.testing.assert_allclose(stock.sigma(np.array([0.25, 1.5]), 0), [0.00875, 0.0045])
    assert stock.sigma(-1.0, 2) == 0.03
    assert stock.sigma(9.0, 1) == 0.008


def test_correlation_is_the_mixing_with_itself():
    np.testing.assert_allclose(made().correlation, [[1, 0.6, 0], [0.6, 1, 0.48], [0, 0.48, 1]], atol=1e-12)


def test_arrays_are_copies_and_read_only():
    base = np.array([0.2, 0.6, 0.9])
    stock = made(base=base)
    base[0] = 5
    assert stock.base[0] == 0.2
    with pytest.raises(ValueError, match="read-only"):
        stock.curves[0, 0] = 1


@pytest.mark.parametrize("parts", ["bare", "full"])
def test_a_saved_stock_comes_back_bit_for_bit(tmp_path, parts):
    stock = made(credit="Müller", report={"rms": 8, "notes": ["a", None]})
    if parts == "full":
        third = np.array([1, 1.5, 2]) / 3
        stock = replace(stock, radius_um=third, radius_sigma_um=third / 3, halides=halides(), year=None, iso=None)
    stock.save(tmp_path / "made.json")
    same(FilmStock.load(tmp_path / "made.json"), stock)
    assert [path.name for path in tmp_path.iterdir()] == ["made.json"]


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError("no space left")

    path = tmp_path / "made.json"
    made().save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        made(report={"unwritable": object()}).save(path)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        made(iso=3200).save(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["made.json"]


BAD = {
    "a name": {"name": ""},
    "kind to be one of": {"kind": "slide"},
    "iso to be positive or None, got -5": {"iso": -5},
    "pitch_um of 0 or more, got nan": {"pitch_um": float("nan")},
    "aperture_um or pitch_um above 0": {"aperture_um": 0.0},
    r"curves of shape \(9, 3\), got \(9,\)": {"curves": np.zeros(9)},
    "curves to be finite, got": {"curves": np.full((9, 3), np.inf)},
    "log_exposure to rise": {"log_exposure": np.linspace(1, -3, 9)},
    "base to be the least density": {"base": np.array([0.3, 0.6, 0.9])},
    r"granularity above 0, got 0\.0": {"granularity": np.zeros((3, 3))},
    "grain_density of 0 or more, got -0.5": {"grain_density": np.array([-0.5, 0, 1])},
    "frequency to begin with 0, got 1": {"frequency": np.linspace(1, 200, 201)},
    "spectrum with a power of 1": {"spectrum": np.full((201, 3), 1e-3)},
    "spectrum of 0 or more": {"spectrum": np.full((201, 3), -1e-5)},
    "mixing with rows of norm 1": {"mixing": np.ones((3, 3))},
    "radius_um above 0": {"radius_um": np.array([1, 0, 1])},
    "sources of curves, granularity, spectrum, correlation": {"sources": {"curves": "sheet"}},
    "the source of curves to begin with one of sheet": {
        "sources": dict.fromkeys(("curves", "granularity", "spectrum", "correlation"), "hearsay")
    },
}


@pytest.mark.parametrize(("message", "changes"), BAD.items())
def test_what_does_not_fit_is_named(message, changes):
    with pytest.raises(ValueError, match=message):
        made(**changes)


@pytest.mark.parametrize("width", [20.0, 40.0])
def test_the_power_of_a_known_spectrum_is_that_of_its_integral(width):
    frequency = np.linspace(0, 300, 301)
    spectrum = gaussian_spectrum(frequency, width)[:, None] * np.ones(3)
    assert made(frequency=frequency, spectrum=spectrum).spectrum.shape == (301, 3)  # within 1 % of a power of 1
    with pytest.raises(ValueError, match="power of 1"):
        made(frequency=frequency, spectrum=1.02 * spectrum)


def test_an_unknown_name_is_answered_with_similar_ones():
    with pytest.raises(ValueError, match=r"got 'portra': did you mean kodak-portra-160, kodak-portra-400"):
        FilmStock.load("portra")
    with pytest.raises(ValueError, match=r"'kodak-vision-500t'.* did you mean .*kodak-vision3-500t"):
        FilmStock.load("kodak-vision-500t")
    with pytest.raises(ValueError, match="d2f stocks lists them"):
        FilmStock.load("zzz")


def test_a_name_may_be_spelled_as_people_do():
    assert FilmStock.load("Kodak Tri-X 400").name == "kodak-tri-x-400"
    assert FilmStock.load("fuji_pro_400h").name == "fuji-pro-400h"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("{", "cannot be read as a film stock"),
        ("[]", "cannot be read as a film stock"),
        ('{"format": "recipe"}', "it holds something else"),
        ('{"format": "film stock", "name": "x"}', "missing"),
        ('{"format": "film stock", "colour": "x"}', "colour"),
    ],
)
def test_a_file_that_is_no_stock_is_named(tmp_path, text, message):
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        FilmStock.load(path)
    assert str(path) in str(error.value)


def test_a_damaged_value_is_named_with_its_file(tmp_path):
    path = tmp_path / "made.json"
    made().save(path)
    values = json.loads(path.read_text())
    values["granularity"][1][1] = -1
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"made\.json: .*granularity above 0, got -1"):
        FilmStock.load(path)


def test_importing_the_package_reads_no_stock():
    code = (
        "import sys, builtins, pathlib; read = []; real = pathlib.Path.read_text\n"
        "pathlib.Path.read_text = lambda self, *a, **k: (read.append(self.name), real(self, *a, **k))[1]\n"
        "import d2f_mlx.film\nprint([name for name in read if name.endswith('.json')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
