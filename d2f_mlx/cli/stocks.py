"""``d2f stocks``: which film stocks there are, and where every figure of one comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..film import FilmStock, PrintStock, print_for, prints, stocks

_NET = (0.1, 0.3, 0.5, 1.0, 1.5, 2.0)
_LONGEST = 100
_HEADER = ("name", "type", "ISO", "year", "RMS", "grain", "curves", "dyes", "printed on")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "stocks",
        help="list the film stocks, or show one",
        description="List the bundled film stocks, or show one with its granularity, its grain's size and correlation, "
        "and where each figure comes from. With --prints, list what negatives are printed on.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a bundled stock, or a stock's .json file")
    parser.add_argument("--prints", action="store_true", help="list print films and papers")
    parser.add_argument("--json", action="store_true", help="print JSON; of one stock all there is")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table, or one stock's card."""
    if arguments.prints:
        if arguments.name is not None:
            raise ValueError("stocks expects a name or --prints, got both")
        papers = [print_summary(PrintStock.load(path)) for path in prints().values()]
        print(json.dumps(papers, indent=2) if arguments.json else print_table(papers))
        return 0
    if arguments.name is None:
        rows = [summary(FilmStock.load(path)) for path in stocks().values()]
        print(json.dumps(rows, indent=2) if arguments.json else table(rows))
        return 0
    if arguments.name in prints():
        paper = print_summary(PrintStock.load(arguments.name))
        print(json.dumps(paper, indent=2) if arguments.json else print_card(paper))
        return 0
    stock = FilmStock.load(arguments.name)
    print(json.dumps(stock.to_dict(), ensure_ascii=False) if arguments.json else card(stock))
    return 0


def summary(stock: FilmStock) -> dict[str, Any]:
    """Say the main things about a stock; RMS is 1000 sigma at net density 1.0 of the green-sensitive layer."""
    return {
        "name": stock.name,
        "title": stock.title,
        "type": f"black-and-white {stock.kind}" if stock.black_and_white else stock.kind,
        "medium": stock.medium,
        "iso": stock.iso,
        "year": stock.year,
        "rms": round(1000 * float(stock.sigma(1.0, 1)), 1),
        "print": print_for(stock),
        "sources": sources_of(stock),
    }


def sources_of(stock: FilmStock) -> dict[str, str]:
    """Say where each of a stock's figures comes from, its spectra among them."""
    return {**stock.sources, **(stock.spectra.sources if stock.spectra else {})}


def print_summary(stock: PrintStock) -> dict[str, Any]:
    """Say the main things about a print stock."""
    return {
        "name": stock.name,
        "title": stock.title,
        "type": f"black-and-white {stock.kind}" if stock.black_and_white else stock.kind,
        "greatest density": [round(float(value), 2) for value in stock.curves[-1]],
        "sources": {**stock.sources, **stock.spectra.sources},
    }


def print_card(row: dict[str, Any]) -> str:
    """Lay out what there is to say about one print stock."""
    most = " ".join(f"{value:.2f}" for value in row["greatest density"])
    sources = [f"  {name}: {source}" for name, source in row["sources"].items()]
    return "\n".join(
        [f"{row['title']} ({row['name']})", f"{row['type']}, greatest density {most}", "", "sources", *sources]
    )


def print_table(rows: list[dict[str, Any]]) -> str:
    """Lay out a line a print stock."""
    cells: list[tuple[str, ...]] = [("name", "type", "D max", "curves", "dyes", "title")]
    for row in rows:
        kind, most = row["type"].replace("black-and-white", "b&w"), f"{sum(row['greatest density']) / 3:.1f}"
        short = (row["sources"][name].split(":")[0] for name in ("curves", "dyes"))
        cells.append((row["name"], kind, most, *short, row["title"]))
    note = (
        "d2f develop --print NAME prints a negative on it; --print scan inverts the negative as a lab's scanner does."
    )
    return "\n".join([*_aligned(cells, right=(2,)), "", note])


def table(rows: list[dict[str, Any]]) -> str:
    """Lay out a line a stock."""
    cells: list[tuple[str, ...]] = [_HEADER]
    for row in rows:
        short = (row["sources"].get(kind, "").split(":")[0] for kind in ("granularity", "curves", "dyes"))
        kind = row["type"].replace("black-and-white", "b&w")
        rms = f"{row['rms']:.1f}"
        cells.append((row["name"], kind, str(row["iso"] or ""), str(row["year"] or ""), rms, *short, row["print"]))
    note = (
        "RMS: granularity x1000 at net density 1.0, green-sensitive layer. Grain, curves, dyes: from the maker's\n"
        "sheet, borrowed from another film's, or otherwise. d2f stocks NAME says more; --prints lists prints."
    )
    return "\n".join([*_aligned(cells, right=(2, 3, 4)), "", note])


def _aligned(cells: list[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    )
    return [line.rstrip() for line in lines]


def card(stock: FilmStock) -> str:
    """Lay out what there is to say about one stock; a black-and-white one's single layer once."""
    facts, layers = summary(stock), 1 if stock.black_and_white else 3
    aperture = f"{stock.aperture_um:g} um aperture" if stock.aperture_um else f"a pixel of {stock.pitch_um:g} um"
    known = [str(v) for v in (facts["type"], stock.medium, stock.iso and f"ISO {stock.iso}", stock.year) if v]

    def row(name: str, values: Iterable[Any], form: str = "{}") -> str:
        return f"{name:<22}" + "".join(f"{form.format(value):>8}" for value in list(values)[:layers])

    lines = [f"{stock.title} ({stock.name})", f"{stock.maker or 'fitted'}: {', '.join(known)}", ""]
    lines += [row("base density", stock.base, "{:.2f}"), row("greatest density", stock.curves.max(0), "{:.2f}"), ""]
    lines += [f"granularity x1000 by net density, {aperture}"] + ([row("", "RGB")] if layers == 3 else [])
    for density in (net for net in _NET if net <= stock.grain_density[-1]):
        lines.append(row(f"  {density:.1f}", (1000 * float(stock.sigma(density, c)) for c in range(3)), "{:.1f}"))
    lines.append("")
    if stock.radius_um is not None:
        what = "grain" if stock.black_and_white else "dye cloud"
        lines.append(row(f"{what} radius, um", stock.radius_um, "{:.2f}"))
    lines.append(row("power halved at, /mm", (_half_power(stock, mode) for mode in range(3))))
    if layers == 3:
        lines.append(row("correlation RG RB GB", stock.correlation[[0, 0, 1], [1, 2, 2]], "{:.2f}"))
    if stock.spectra is not None:
        lines.append(f"{'balanced for':<22}  {stock.spectra.kelvin:g} K")
        if layers == 3:
            lines.append(f"{'masking':<22}  {stock.spectra.masking:g}")
        if stock.spectra.halation:
            lines.append(f"{'halation':<22}  {stock.spectra.halation:g} of the light, no anti-halation layer")
    if facts["print"]:
        lines.append(f"{'printed on':<22}  {facts['print']}")
    lines += ["", "sources", *(f"  {name}: {source}" for name, source in facts["sources"].items())]
    if stock.report:
        lines += ["report", *(f"  {name}: {_short(value)}" for name, value in stock.report.items())]
    return "\n".join([*lines, "", stock.credit]).rstrip()


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... (--json prints all)"


def _half_power(stock: FilmStock, mode: int) -> str:
    """Say beyond which frequency the spectrum stays below half its first value."""
    last = np.flatnonzero(stock.spectrum[:, mode] >= stock.spectrum[0, mode] / 2)[-1]
    return f"{stock.frequency[last]:.0f}" if last < len(stock.frequency) - 1 else f">{stock.frequency[-1]:.0f}"
