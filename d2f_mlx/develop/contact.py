"""A contact sheet: one photograph in many stocks, labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import images
from ..film import SCAN, Darkroom, FilmStock, PrintStock, Scanner, print_for, stocks
from ..film.samples import srgb_pixels
from ..images.pixels import with_bits
from .config import DevelopConfig
from .developer import Developer

_GAP, _LINE = 8, 16
_LABEL = 2 * _LINE + 4
_WIDEST = 4096


def contact_sheet(
    photo: str | Path | images.Picture | np.ndarray,
    films: Sequence[str | FilmStock] | str | FilmStock = (),
    *,
    darkroom: Darkroom | None = None,
    scanner: Scanner | None = None,
    width: int = 420,
    columns: int = 0,
    key: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Develop a photograph in many stocks and lay the pictures out, the photograph first.

    Args:
        photo: A file, a picture, or sRGB pixels.
        films: Stocks, or one; by default all that are bundled.
        darkroom: How they are exposed and printed; a print applies to negatives only. Stocks that were fitted to scans
            take neither this nor a scanner.
        scanner: How negatives are turned into a picture, for prints that are a "scan".
        width: Of each picture, in pixels, 64 to 4096; photos are made smaller, never larger.
        columns: How many side by side; 0 chooses.
        key: Of the grain.
        progress: Called with (films done, films in all).

    Shape: -> (H, W, 3) uint8, sRGB
    Raises: ValueError for other arguments, or an unknown stock, before any work is done.
    """
    if not 64 <= width <= _WIDEST or columns < 0:
        raise ValueError(
            f"contact_sheet expects a width from 64 to {_WIDEST} and columns of 0 or more, got {width}, {columns}"
        )
    if isinstance(films, str | FilmStock):
        films = [films]
    chosen = [film if isinstance(film, FilmStock) else FilmStock.load(film) for film in films or stocks()]
    darkroom = darkroom or Darkroom()
    if darkroom.print not in ("", SCAN):
        PrintStock.load(darkroom.print)
    small = _small(photo, width)
    frames, labels = [small], [("the photo", "")]
    for done, film in enumerate(chosen, 1):
        room, seen = _room_for(film, darkroom)
        # A frame each, fitted stocks too, whose grain would be that of a scan's pixels.
        config = DevelopConfig(film_format="135")
        developer = Developer(config, stock=film, darkroom=room, scanner=scanner if room else None)
        frames.append(developer(small, key=key))
        labels.append((film.title, seen))
        if progress:
            progress(done, len(chosen))
    return _laid_out(frames, labels, columns or max(1, round((len(frames) * 1.2) ** 0.5)))


def _room_for(film: FilmStock, darkroom: Darkroom) -> tuple[Darkroom | None, str]:
    """Return how a film is printed, and what to write about it."""
    if film.kind == "scan":
        return None, ""
    if film.kind == "reversal":
        return replace(darkroom, print=""), "as it is"
    name = darkroom.print or print_for(film)
    return darkroom, "scan" if name == SCAN else f"on {PrintStock.load(name).title}"


def _small(photo: str | Path | images.Picture | np.ndarray, width: int) -> np.ndarray:
    whole = Image.fromarray(with_bits(srgb_pixels(photo), 8))
    if whole.width > width:
        whole = whole.resize((width, max(1, round(whole.height * width / whole.width))), Image.Resampling.LANCZOS)
    return np.asarray(whole)


def _laid_out(frames: list[np.ndarray], labels: list[tuple[str, str]], columns: int) -> np.ndarray:
    height, width = frames[0].shape[:2]
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    cell = (width + _GAP, height + _LABEL + _GAP)
    sheet = Image.new("RGB", (columns * cell[0] + _GAP, rows * cell[1] + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        left, top = _GAP + index % columns * cell[0], _GAP + index // columns * cell[1]
        sheet.paste(Image.fromarray(frame), (left, top))
        for line, (text, colour) in enumerate(zip(label, ("black", "grey"), strict=True)):
            while draw.textlength(text, font=font) > width:
                text = text[:-1]
            draw.text((left, top + height + 2 + line * _LINE), text, fill=colour, font=font)
    return np.asarray(sheet)
