"""A film's colours as one table that other programs read."""

from __future__ import annotations

from typing import Literal, get_args

import mlx.core as mx
import numpy as np

from ..color import SRGB, Lut3D, RGBSpace
from ..film import Darkroom, FilmStock, Negative, Scanner, positive, scene_light

Part = Literal["whole", "negative", "print"]
FULL_DENSITY = 4.0
"""The density above the base that 1 stands for, in the tables that begin or end with the negative."""


def film_look(
    stock: str | FilmStock,
    *,
    darkroom: Darkroom | None = None,
    scanner: Scanner | None = None,
    space: RGBSpace = SRGB,
    part: Part = "whole",
    points: int = 33,
) -> Lut3D:
    """Bake a film's colours into a 3-D table, without grain and without spread of light.

    "whole" is from a photo's values to the picture's. "negative" ends at the film's densities above its base, divided
    by `FULL_DENSITY`, and "print" begins with them: between the two there is room for another program's grain. A stock
    that was fitted to scans has only the whole.

    Args:
        stock: A bundled stock's name, a file, or a loaded stock.
        darkroom: How it is exposed and printed.
        scanner: For a print that is a "scan".
        space: Of the photo and the picture.
        part: Which part of the chain.
        points: Along each axis; programs take 17, 33 or 65.

    Raises: ValueError for an unknown stock, print or part, or a part that a stock does not have.
    """
    if part not in get_args(Part):
        raise ValueError(f"film_look expects a part of {', '.join(get_args(Part))}, got {part!r}")
    film = stock if isinstance(stock, FilmStock) else FilmStock.load(stock)
    darkroom = darkroom or Darkroom()
    title = f"{film.title} ({part})".replace('"', "'")
    if film.kind == "scan":
        if film.palette is None:
            raise ValueError(f"{film.name} was fitted without a palette: its colours are the photo's own")
        if part != "whole" or space != SRGB or darkroom != Darkroom() or scanner not in (None, Scanner()):
            raise ValueError(f"{film.name} was fitted to scans: it has a whole look in sRGB, no darkroom, no scanner")
        look = Lut3D(film.palette)
        return Lut3D.bake(lambda c: np.array(look(mx.array(c, mx.float32))), points, title=title)
    negative = Negative(film, darkroom)
    printed = positive(film, darkroom, scanner or Scanner(), space)

    def exposed(values: np.ndarray) -> np.ndarray:
        return negative.developed(scene_light(values, space, darkroom), space)

    functions = {
        "whole": lambda values: printed(exposed(values)).clip(0, 1),
        "negative": lambda values: exposed(values) / FULL_DENSITY,
        "print": lambda density: printed(density * FULL_DENSITY).clip(0, 1),
    }
    return Lut3D.bake(functions[part], points, title=title)
