import re
from typing import get_args

from d2f_mlx.film import SCAN, Darkroom, FilmStock, print_for, prints, stocks
from d2f_mlx.film.darkroom import Filter, Tone

import pytest

BAD = {
    "exposure in [-10, 10], got 11": {"exposure": 11},
    "exposure in [-10, 10], got nan": {"exposure": float("nan")},
    "a temperature of 0, or 1000 to 25000 kelvin, got 500": {"temperature": 500},
    "a temperature of 0, or 1000 to 25000 kelvin, got -3200": {"temperature": -3200},
    "tint in [-100, 100], got 101": {"tint": 101},
    "tone to be one of camera, linear, got 'log'": {"tone": "log"},
    "headroom in [0, 5], got -1": {"headroom": -1},
    "filter to be one of none, yellow, orange, red, green, blue, got 'pink'": {"filter": "pink"},
    "interlayer in [0, 2], got 3": {"interlayer": 3},
    "mtf to be one of film, off, got 'on'": {"mtf": "on"},
    "halation to be one of film, off, no-backing, got ''": {"halation": ""},
    "print_exposure in [-5, 5], got -6": {"print_exposure": -6},
    "neutral in [0, 1], got 1.5": {"neutral": 1.5},
}
PRINTED_ON = {  # still film on its maker's paper, cine film on its maker's print film
    "kodak-portra-400": "kodak-portra-endura",
    "agfa-vista-100": "kodak-portra-endura",
    "cinestill-800t": "kodak-portra-endura",
    "fuji-pro-400h": "fuji-crystal-archive-dp-ii",
    "kodak-vision3-500t": "kodak-2383",
    "fuji-eterna-500": "kodak-2383",
    "kodak-tri-x-400": "kodak-polymax-grade-2",
    "kodak-double-x": "kodak-2302",
    "fuji-velvia-50": "",
}


@pytest.mark.parametrize(("message", "changes"), BAD.items())
def test_what_is_out_of_range_is_named(message, changes):
    with pytest.raises(ValueError, match="^develop expects " + re.escape(message) + "$"):
        Darkroom(**changes)


@pytest.mark.parametrize("ends", [{"exposure": -10.0, "headroom": 0.0}, {"exposure": 10, "headroom": 5, "tint": -100}])
def test_ends_of_ranges_are_in_them(ends):
    assert all(getattr(Darkroom(**ends), name) == value for name, value in ends.items())


def test_settings_compare_by_what_they_say():
    assert Darkroom(print="scan") == Darkroom(print=SCAN)
    assert Darkroom(print="scan") != Darkroom()
    assert len({Darkroom(tone=tone, filter=name) for tone in get_args(Tone) for name in get_args(Filter)}) == 12


@pytest.mark.parametrize(("name", "expected"), PRINTED_ON.items())
def test_negatives_have_a_print_that_suits_them(name, expected):
    assert print_for(FilmStock.load(name)) == expected


def test_every_negative_has_a_print_of_its_kind_that_is_bundled():
    for name in stocks():
        film = FilmStock.load(name)
        assert (print_for(film) in prints()) == (film.kind == "negative"), name
        assert ("polymax" in print_for(film) or "2302" in print_for(film)) == film.black_and_white, name
