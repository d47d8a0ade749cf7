import json

from d2f_mlx.cli import main
from d2f_mlx.film import FilmStock, prints, stocks

import pytest


def test_the_table_has_a_line_a_stock(capsys):
    assert main(["stocks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "type", "ISO", "year", "RMS", "grain", "curves", "dyes", "printed", "on"]
    assert [line.split()[0] for line in lines[1 : lines.index("")]] == list(stocks())
    by_name = {line.split()[0]: line.split()[1:] for line in lines[1 : lines.index("")]}
    known = ["negative", "500", "2007", "7.1", "sheet", "sheet", "sheet", "kodak-2383"]
    assert by_name["kodak-vision3-500t"] == known
    known = ["b&w", "negative", "400", "2007", "17.0", "borrowed", "sheet", "model", "kodak-polymax-grade-2"]
    assert by_name["kodak-tri-x-400"] == known
    assert by_name["kodak-portra-400"][-4:] == ["guess", "sheet", "borrowed", "kodak-portra-endura"]
    assert by_name["fuji-velvia-50"] == ["reversal", "50", "2007", "14.7", "borrowed", "sheet", "sheet"]


def test_the_prints_have_a_line_each(capsys):
    assert main(["stocks", "--prints"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "type", "D", "max", "curves", "dyes", "title"]
    listed = lines[1 : lines.index("")]
    assert [line.split()[0] for line in listed] == list(prints())
    words = {line.split()[0]: line.split() for line in listed}
    assert words["kodak-2383"][1:5] == ["film", "4.1", "sheet", "sheet"]
    assert words["fuji-crystal-archive-maxima"][1:5] == ["paper", "2.8", "borrowed", "sheet"]
    assert words["kodak-2302"][1:6] == ["b&w", "film", "2.7", "sheet", "model"]
    assert main(["stocks", "kodak-2383", "--prints"]) == 1
    assert "a name or --prints, got both" in capsys.readouterr().err


def test_json_has_the_same_prints_with_their_sources(capsys):
    assert main(["stocks", "--prints", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(prints())
    (paper,) = (row for row in rows if row["name"] == "kodak-portra-endura")
    assert paper["type"] == "paper"
    assert paper["sources"].keys() == {"curves", "sensitivity", "dyes", "base", "mtf"}


def test_json_has_the_same_stocks_with_their_sources(capsys):
    assert main(["stocks", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(stocks())
    (film,) = (row for row in rows if row["name"] == "fuji-velvia-50")
    assert (film["type"], film["iso"], film["rms"]) == ("reversal", 50, 14.7)
    stock = FilmStock.load("fuji-velvia-50")
    assert film["sources"] == {**stock.sources, **stock.spectra.sources}
    assert film["print"] == ""


def test_one_stock_is_shown_with_its_granularity_and_sources(capsys):
    assert main(["stocks", "Kodak Vision3 500T"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Kodak Vision3 500T 5219 (kodak-vision3-500t)\nKodak: negative, cine, ISO 500, 2007\n")
    lines = [line.split() for line in shown.splitlines()]
    assert ["1.0", "6.3", "7.1", "19.3"] in lines
    assert ["granularity:", "sheet"] in lines
    assert ["dyes:", "sheet"] in lines
    assert ["balanced", "for", "3200", "K"] in lines
    assert ["masking", "1"] in lines
    assert "halation" not in shown
    assert ["printed", "on", "kodak-2383"] in lines
    assert "JanLohse/spectral_film_lut" in shown


def test_black_and_white_is_shown_once(capsys):
    assert main(["stocks", "kodak-tri-x-400"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["1.0", "17.0"] in lines
    assert ["power", "halved", "at,", "/mm", ">300"] in lines


def test_a_stock_of_ones_own_is_shown_and_printed_whole(tmp_path, capsys):
    path = tmp_path / "mine.json"
    stock = FilmStock.load("kodak-gold-200")
    stock.save(path)
    assert main(["stocks", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == stock.to_dict()


@pytest.mark.parametrize(("name", "hint"), [("portra", "did you mean kodak-portra-160"), ("x.json", "x.json")])
def test_an_unknown_stock_is_an_error(capsys, name, hint):
    assert main(["stocks", name]) == 1
    assert hint in capsys.readouterr().err
