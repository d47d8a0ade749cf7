"""Judge every stock's colour: greys, the tables against the exact chain, and how pure colours stay.

    python benchmarks/film_colour.py --json colour.json
    python benchmarks/film_colour.py --fit                # the matrices of interlayer effects, a minute

For each bundled stock, on its usual print: the largest Delta E 2000 to neutral of a grey scale from -3 to +3 stops, as
the sheets have it and balanced; the mean and largest Delta E 2000 of developing with the tables of 65 points against
the exact chain, on 17 x 17 x 17 colours of sRGB; and, of a photograph of the 18 colours of a ColorChecker, the mean
chroma against the photograph's, and the mean Delta E 2000 from it. The last is no error: film is not faithful.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib import import_module
from unittest.mock import patch

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
from scipy.optimize import least_squares

from report import add_json, publish

STOPS = np.arange(-3, 3.01, 0.5)
FITTED = {  # the pairs that the print's interlayer matrix is fitted on
    "kodak-2383": ("kodak-vision3-500t", "kodak-vision3-250d", "kodak-exr-100t"),
    "kodak-portra-endura": ("kodak-portra-400", "kodak-gold-200", "kodak-ektar-100", "agfa-vista-100"),
    "fuji-crystal-archive-dp-ii": ("fuji-pro-400h", "fuji-superia-xtra-400"),
}
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
    photo = np.asarray(SRGB.encode(chart().clip(0, 1)))
    before, after = lab(photo), lab(exact(stock, darkroom, scene_light(photo, SRGB, darkroom)))
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


def fit(module: str, name: str, films: list[tuple[FilmStock, Darkroom]]) -> None:
    """Fit a matrix that lets layers act on each other, to keep a* and b* of the ColorChecker, and print it."""
    photo = np.asarray(SRGB.encode(chart().clip(0, 1)))
    wanted, light = lab(photo)[:, 1:], scene_light(photo, SRGB, Darkroom())

    def matrix(free: np.ndarray) -> np.ndarray:
        full = np.zeros((3, 3))
        full[~np.eye(3, dtype=bool)] = free
        return full - np.diag(full.sum(1))

    def left(free: np.ndarray) -> np.ndarray:
        with patch.object(import_module(module), name, matrix(free)):
            return np.concatenate([(lab(exact(*film, light))[:, 1:] - wanted).ravel() for film in films])

    found = least_squares(left, np.zeros(6), diff_step=1e-3)
    errors = [float(np.sqrt(np.mean(rest**2))) for rest in (left(np.zeros(6)), found.fun)]
    print(f"{name}, RMS of a* and b*: {errors[0]:.2f} without, {errors[1]:.2f} with\n{matrix(found.x).round(2)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stocks", nargs="+", default=list(stocks()), metavar="NAME")
    parser.add_argument("--print", default="", help="print stock or scan, for all negatives (default: the usual one)")
    parser.add_argument("--fit", action="store_true", help="fit the interlayer matrices, and nothing else")
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.fit:
        pairs = [(FilmStock.load(name), Darkroom(print=to)) for to, names in FITTED.items() for name in names]
        fit("d2f_mlx.film.positive", "PRINT_INTERLAYER", pairs)
        slides = [(film, Darkroom()) for film in map(FilmStock.load, stocks()) if film.kind == "reversal"]
        fit("d2f_mlx.film.expose", "REVERSAL_INTERLAYER", slides)
        return
    rows = []
    for name in arguments.stocks:
        reversal = FilmStock.load(name).kind == "reversal"
        if reversal and arguments.print == SCAN:
            continue
        rows.append(judge(name, Darkroom(print="" if reversal else arguments.print)))
    publish("Colour, Delta E 2000", rows, arguments.json)


if __name__ == "__main__":
    main()
