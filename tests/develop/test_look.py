"""A film's colours as a table, against the chain in NumPy and against developing."""

from dataclasses import replace

from d2f_mlx.color import DISPLAY_P3, SRGB, Lut3D
from d2f_mlx.develop import DevelopConfig, Developer, film_look
from d2f_mlx.develop.look import FULL_DENSITY
from d2f_mlx.film import Darkroom, FilmStock, Negative, Scanner, exposure_matrix, positive, scene_light, stocks

import mlx.core as mx
import numpy as np
import pytest
from skimage import data

FLOAT = 1e-6
LEVEL = 1 / 255
ONE, MOST = 0.99, 4.5  # share of values within a level of the chain, and levels that none is off by, at 33 points
MEAN, WORST = 0.35, 2.5  # levels, of two tables of 65 points one after the other
SPILL = 1e-4  # of a table's range: densities a hair below the base
K250D, PORTRA, VELVIA, TRI_X = "kodak-vision3-250d", "kodak-portra-400", "fuji-velvia-50", "kodak-tri-x-400"
CHAINS = [(K250D, ""), (PORTRA, "scan"), (VELVIA, ""), (TRI_X, "")]
EACH_CHAIN = pytest.mark.parametrize(("name", "printed"), CHAINS, ids=lambda value: value or "default")


def photograph():
    return data.astronaut()[::4, ::4] / 255


def exact(name, darkroom, values, space=SRGB):
    """The chain in NumPy, of single colours: densities, and the picture."""
    film = FilmStock.load(name)
    negative = Negative(film, darkroom)
    light = scene_light(values, space, darkroom) @ exposure_matrix(film.spectra, space, darkroom).T
    density = negative.densities(negative.log_exposures(light))
    return density, positive(film, darkroom, Scanner(), space)(density).clip(0, 1)


def looked_up(table, values):
    return np.array(table(mx.array(values, mx.float32)), np.float64)


def fitted(**changes):
    axis = np.linspace(0, 1, 9)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    palette = (0.05 + 0.9 * cube ** np.array([0.8, 1.0, 1.2])) @ (0.8 * np.eye(3) + 0.2 / 3)
    film = replace(FilmStock.load(PORTRA), kind="scan", spectra=None, name="my-roll", title="My roll", pitch_um=12.0)
    return replace(film, **{"palette": palette, **changes})


@EACH_CHAIN
def test_the_table_shows_a_photograph_as_the_chain_does(name, printed):
    darkroom = Darkroom(print=printed, exposure=0.5)
    off = np.abs(looked_up(film_look(name, darkroom=darkroom), photograph()) - exact(name, darkroom, photograph())[1])
    assert (off < LEVEL).mean() > ONE
    assert off.max() < MOST * LEVEL


def test_its_points_are_the_chains_own_in_any_space():
    for space in (SRGB, DISPLAY_P3):
        table = film_look(K250D, points=5, space=space)
        axis = np.linspace(0, 1, 5)
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
        np.testing.assert_allclose(table.table, exact(K250D, Darkroom(), grid, space)[1], atol=FLOAT)
        assert (table.points, table.low.tolist(), table.high.tolist()) == (5, [0] * 3, [1] * 3)
    assert table.title == "Kodak Vision3 250D 5207 (whole)"


@EACH_CHAIN
def test_the_negative_and_then_the_print_are_the_whole(name, printed):
    darkroom, values = Darkroom(print=printed), photograph()
    negative, last = (film_look(name, darkroom=darkroom, part=part, points=65) for part in ("negative", "print"))
    density, expected = exact(name, darkroom, values)
    found = looked_up(negative, values)
    off = 0.04 if FilmStock.load(name).kind == "reversal" else 0.02  # a slide's range is twice a negative's
    np.testing.assert_allclose(found * FULL_DENSITY, density, atol=off)
    off = np.abs(looked_up(last, found) - expected) / LEVEL
    assert off.mean() < MEAN
    assert off.max() < WORST


def test_no_films_densities_leave_the_tables_range():
    """Other programs clip between the two tables."""
    out_of_range = {}
    for name in stocks():
        table = film_look(name, part="negative", points=9).table
        if table.min() < -SPILL or table.max() > 1:
            out_of_range[name] = (table.min(), table.max())
    assert out_of_range == {}


def test_a_scanner_of_ones_own_is_in_it():
    darkroom, scanner = Darkroom(print="scan"), Scanner(contrast=2.5)
    own, usual = (film_look(PORTRA, darkroom=darkroom, scanner=s, points=9) for s in (scanner, None))
    film = FilmStock.load(PORTRA)
    density = exact(PORTRA, darkroom, np.full((1, 3), 0.25))[0]
    np.testing.assert_allclose(own.table[2, 2, 2], positive(film, darkroom, scanner, SRGB)(density)[0], atol=FLOAT)
    assert own.table[2, 2, 2].mean() < usual.table[2, 2, 2].mean() - 0.02


def test_a_fitted_stocks_table_is_its_palette():
    film = fitted()
    np.testing.assert_allclose(film_look(film, points=9).table, film.palette, atol=FLOAT)
    finer, values = film_look(film, points=33), np.random.default_rng(0).uniform(0, 1, (500, 3))
    np.testing.assert_allclose(looked_up(finer, values), looked_up(Lut3D(film.palette), values), atol=1e-5)
    shown = Developer(DevelopConfig(strength=0), stock=film)(photograph().astype(np.float32))
    np.testing.assert_allclose(shown, looked_up(finer, photograph()), atol=1e-5)


def test_a_title_with_quotes_can_be_saved(tmp_path):
    film_look(fitted(title='the "blue" roll'), points=2).save(tmp_path / "look.cube")
    assert Lut3D.load(tmp_path / "look.cube").title == "the 'blue' roll (whole)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stock": K250D, "part": "half"}, "expects a part of whole, negative, print, got 'half'"),
        ({"stock": "kodak-portra"}, r"a bundled stock .*got 'kodak-portra': did you mean kodak-portra-160"),
        ({"stock": K250D, "darkroom": Darkroom(print="kodak-2838")}, "did you mean .*kodak-2383"),
        ({"stock": VELVIA, "darkroom": Darkroom(print="scan")}, "reversal film: it is not printed"),
        ({"stock": K250D, "points": 1}, "expects 2 to 256 points, got 1"),
        ({"stock": fitted(palette=None)}, "my-roll was fitted without a palette: its colours are the photo's own"),
        ({"stock": fitted(), "part": "negative"}, "my-roll was fitted to scans: it has a whole look in sRGB"),
        ({"stock": fitted(), "space": DISPLAY_P3}, "a whole look in sRGB"),
        ({"stock": fitted(), "darkroom": Darkroom(exposure=1)}, "no darkroom"),
        ({"stock": fitted(), "scanner": Scanner(contrast=2)}, "no scanner"),
    ],
)
def test_what_has_no_such_table_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        film_look(**arguments)
