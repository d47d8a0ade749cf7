"""Judge every stock's colour: greys, the tables against the exact chain, and how pure colours stay.

    python benchmarks/film_colour.py --json colour.json

For each bundled stock, on its usual print: the largest Delta E 2000 to neutral of a grey scale from -3 to +3 stops, as
the sheets have it and balanced; the mean and largest Delta E 2000 of developing with the tables of 65 points against
the exact chain, on 17 x 17 x 17 colours of sRGB; and, of the 18 colours of a ColorChecker under light that is taken as
it is, the mean chroma against the original's, and the mean Delta E 2000 of the film's picture from the original. The
last is no error: film is not faithful. It stands beside the photograph left alone, which is, and stock beside stock.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from d2f_mlx.color import SRGB, delta_e_2000, to_lab
from d2f_mlx.develop import DevelopConfig, FilmColour
from d2f_mlx.film import (
    SCAN,
    Darkroom,
    FilmStock,
    Negative,
    Scanner,
    exposure_matrix,
    positive,
    print_for,
    scene_light,
    stocks,
)

import colour
import mlx.core as mx
import numpy as np

from report import add_json, publish

STOPS = np.arange(-3, 3.01, 0.5)
POINTS = 17


def lab(encoded: np.ndarray) -> np.ndarray:
    """Turn sRGB into L*a*b*, relative to its white."""
    return np.asarray(to_lab(np.asarray(SRGB.decode(encoded)) @ SRGB.to_xyz.T, SRGB.white_xyz))


def chart() -> np.ndarray:
    """Give the ColorChecker's 18 colours in linear sRGB, (18, 3)."""
    checker = colour.CCS_COLOURCHECKERS["ColorChecker24 - After November 2014"]
    xyz = colour.xyY_to_XYZ(np.array(list(checker.data.values())))
    return colour.XYZ_to_RGB(xyz, "sRGB", checker.illuminant, "Bradford")[:18]


def exact(stock: FilmStock, darkroom: Darkroom, light: np.ndarray) -> np.ndarray:
    """Develop light (mid grey 0.18) by the exact chain, (N, 3) -> (N, 3)."""
    film = Negative(stock, darkroom)
    assert stock.spectra is not None
    layers = light @ exposure_matrix(stock.spectra, SRGB, darkroom).T
    return positive(stock, darkroom, Scanner(), SRGB)(film.densities(film.log_exposures(layers))).clip(0, 1)


def judge(name: str, darkroom: Darkroom) -> dict[str, object]:
    """Give one stock's figures."""
    stock = FilmStock.load(name)
    greys, casts = 0.18 * 2.0 ** STOPS[:, None] * np.ones(3), []
    for neutral in (0.0, 1.0):
        seen = lab(exact(stock, replace(darkroom, neutral=neutral), greys))
        casts.append(float(delta_e_2000(seen, seen * [1, 0, 0]).max()))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, POINTS)] * 3, indexing="ij"), -1).reshape(-1, 3)
    tables = FilmColour(stock, DevelopConfig(), replace(darkroom, mtf="off", halation="off"), Scanner(), SRGB, SRGB)
    fast = np.array(tables(mx.array(grid[None], mx.float32), (0, 0), POINTS**3))[0]
    slow = exact(stock, darkroom, scene_light(grid, SRGB, darkroom))
    error = np.asarray(delta_e_2000(lab(fast.astype(np.float64)), lab(slow)))
    before = lab(np.asarray(SRGB.encode(chart().clip(0, 1))))
    after = lab(exact(stock, replace(darkroom, tone="linear"), chart()))
    chroma = [np.hypot(side[:, 1], side[:, 2]).mean() for side in (before, after)]
    return {
        "stock": name,
        "print": darkroom.print or print_for(stock) or "-",
        **{
            column: round(float(value), 3)
            for column, value in {
                "grey, sheets": casts[0],
                "grey": casts[1],
                "table, mean": error.mean(),
                "table, max": error.max(),
                "chroma": chroma[1] / chroma[0],
                "from the original": np.mean(delta_e_2000(before, after)),
            }.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stocks", nargs="+", default=list(stocks()), metavar="NAME")
    parser.add_argument("--print", default="", help="print stock or scan, for all negatives (default: the usual one)")
    add_json(parser)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.stocks:
        reversal = FilmStock.load(name).kind == "reversal"
        if reversal and arguments.print == SCAN:
            continue
        rows.append(judge(name, Darkroom(print="" if reversal else arguments.print)))
    publish("Colour, Delta E 2000", rows, arguments.json)


if __name__ == "__main__":
    main()
