import json

from d2f_mlx.cli import main
from d2f_mlx.film import FilmStock, stocks

import pytest


def test_the_table_has_a_line_a_stock(capsys):
    assert main(["stocks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "type", "ISO", "year", "RMS", "grain", "curves"]
    assert [line.split()[0] for line in lines[1 : lines.index("")]] == list(stocks())
    by_name = {line.split()[0]: line.split()[1:] for line in lines[1 : lines.index("")]}
    assert by_name["kodak-vision3-500t"] == ["negative", "500", "2007", "7.1", "sheet", "sheet"]
    assert by_name["kodak-tri-x-400"] == ["b&w", "negative", "400", "2007", "17.0", "borrowed", "sheet"]
    assert by_name["kodak-portra-400"][-2:] == ["guess", "sheet"]


def test_json_has_the_same_stocks_with_their_sources(capsys):
    assert main(["stocks", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(stocks())
    (film,) = (row for row in rows if row["name"] == "fuji-velvia-50")
    assert (film["type"], film["iso"], film["rms"]) == ("reversal", 50, 14.7)
    assert film["sources"]["granularity"] == FilmStock.load("fuji-velvia-50").sources["granularity"]


def test_one_stock_is_shown_with_its_granularity_and_sources(capsys):
    assert main(["stocks", "Kodak Vision3 500T"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Kodak Vision3 500T 5219 (kodak-vision3-500t)\nKodak: negative, cine, ISO 500, 2007\n")
    lines = [line.split() for line in shown.splitlines()]
    assert ["1.0", "6.3", "7.1", "19.3"] in lines
    assert ["granularity:", "sheet"] in lines
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
