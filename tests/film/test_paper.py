import json
from dataclasses import replace

from d2f_mlx.film import PrintStock, prints

import numpy as np
import pytest
from test_spectra import made as spectra
from test_spectra import silver

NAMES = sorted(prints())
LARGEST_FILE = 12_000


def made(**changes):
    curve = np.linspace(0, 2, 9)
    values = {
        "name": "made-up",
        "title": "Made Up",
        "maker": "Nobody",
        "year": None,
        "kind": "paper",
        "black_and_white": False,
        "log_exposure": np.linspace(-1, 1, 9),
        "curves": np.stack([curve + 0.1, curve + 0.12, curve + 0.4], 1),
        "spectra": spectra(),
        "sources": {"curves": "sheet"},
    }
    return PrintStock(**{**values, **changes})


@pytest.fixture(scope="module")
def bundled():
    return {name: PrintStock.load(name) for name in NAMES}


def test_prints_load_under_their_names(bundled):
    assert len(bundled) == 24
    assert [name for name, stock in bundled.items() if stock.name != name] == []
    assert [name for name, path in prints().items() if path.stat().st_size > LARGEST_FILE] == []


def test_curves_rise_from_the_base_and_cover_a_print(bundled):
    for name, stock in bundled.items():
        assert (np.diff(stock.curves, axis=0) >= 0).all(), name
        np.testing.assert_array_equal(stock.base, stock.curves.min(0))
        assert (stock.base < 0.2).all(), name
        assert (stock.curves[-1] > 1.5).all(), name
        assert stock.sources["curves"].startswith(("sheet", "borrowed: ")), name


def test_film_is_projected_and_paper_looked_at(bundled):
    assert {name for name, stock in bundled.items() if stock.kind == "film"} == {
        *("fuji-3513", "fuji-3523", "kodak-2302", "kodak-2383", "kodak-2393", "kodak-5383", "kodak-5384", "kodak-5386")
    }
    assert made(kind="film").viewing_kelvin == 5500
    assert made().viewing_kelvin == 5000


def test_harder_grades_take_a_smaller_range_of_exposures(bundled):
    """ISO 6846's range: from 0.04 above the base to 0.9 of the greatest net density."""
    ranges = []
    for grade in ("minus-1", "0", "1", "2", "3", "4", "5"):
        stock = bundled[f"kodak-polymax-grade-{grade}"]
        net = stock.curves[:, 1] - stock.base[1]
        ranges.append(np.ptp(np.interp([0.04, 0.9 * net[-1]], net, stock.log_exposure)))
    assert ranges == sorted(ranges, reverse=True)
    assert 0.3 < ranges[-1] < ranges[0] / 2


@pytest.mark.parametrize("stock", [made(credit="Müller", report={"lad": [1.09, 1.06, 1.03]}, year=1999), None])
def test_a_saved_print_comes_back_bit_for_bit(tmp_path, stock):
    stock = stock or PrintStock.load("kodak-2302")
    stock.save(tmp_path / "print.json")
    again = PrintStock.load(tmp_path / "print.json")
    assert again.to_dict() == stock.to_dict()
    np.testing.assert_array_equal(again.curves, stock.curves, strict=True)
    np.testing.assert_array_equal(again.spectra.dyes, stock.spectra.dyes, strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["print.json"]


def test_arrays_are_copies_and_read_only():
    with pytest.raises(ValueError, match="read-only"):
        made().curves[0, 0] = 1


BAD = {
    "a name and a title": {"title": ""},
    "kind to be film or paper, got slide": {"kind": "slide"},
    r"finite curves of \(9, 3\), got \(9,\)": {"curves": np.zeros(9)},
    r"finite log_exposure of \(9,\)": {"log_exposure": np.array([*np.linspace(-1, 1, 8), np.inf])},
    "log_exposure and curves to rise": {"curves": np.linspace(2, 0, 9)[:, None] * np.ones(3)},
    "sources of curves": {"sources": {}},
    "silver for black and white, and only there": {"black_and_white": True},
    "silver for black and white, and only there, got": {"spectra": silver()},
}


@pytest.mark.parametrize(("message", "changes"), BAD.items())
def test_what_does_not_fit_is_named(message, changes):
    with pytest.raises(ValueError, match=f"PrintStock expects {message}"):
        made(**changes)


def test_an_unknown_name_is_answered_with_similar_ones():
    expected = r"PrintStock\.load expects a bundled print stock or a \.json file, got 'kodak-2838': did you mean .*2383"
    with pytest.raises(ValueError, match=expected):
        PrintStock.load("kodak-2838")
    with pytest.raises(ValueError, match=r"got 'polymax': did you mean kodak-polymax-grade-0"):
        PrintStock.load("polymax")
    assert PrintStock.load("Kodak Portra Endura").name == "kodak-portra-endura"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file"),
        ("{", "cannot be read as a print stock"),
        ("[]", "cannot be read as a print stock"),
        ('{"format": "film stock"}', "it holds something else"),
        ('{"format": "print stock", "name": "x"}', "spectra"),
        ('{"format": "print stock", "spectra": {"dyes": []}}', "missing"),
    ],
)
def test_a_file_that_is_no_print_stock_is_named(tmp_path, text, message):
    path = tmp_path / "other.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        PrintStock.load(path)
    assert str(path) in str(error.value)


def test_a_damaged_value_is_named_with_its_file(tmp_path):
    path = tmp_path / "print.json"
    made().save(path)
    values = json.loads(path.read_text())
    values["spectra"]["kelvin"] = 5
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"print\.json: .*Spectra expects kelvin from 1000"):
        PrintStock.load(path)


def test_a_changed_copy_is_checked_too():
    with pytest.raises(ValueError, match="kind to be film or paper"):
        replace(made(), kind="tin")
