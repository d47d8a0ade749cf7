"""``d2f fit``: scans of a film in, the film as a stock out."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from .. import images
from ..film import FORMATS, FilmStock, fit


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "fit",
        help="measure a film stock from your own scans of it",
        description="Measure a film stock's grain from positive scans of it: granularity by brightness, spectrum, "
        "channel correlation and halides, on flat areas only. Then: d2f grain PHOTO -o FILM --stock OUT.",
    )
    parser.add_argument("scans", nargs="+", metavar="SCANS", help="picture files, or folders of them")
    parser.add_argument("-o", "--out", required=True, type=Path, help="the stock's file (.json is added if missing)")
    parser.add_argument("--name", help="what to call the stock (default: the output's name)")
    parser.add_argument(
        "--film-format",
        choices=FORMATS,
        default="135",
        help="the frame that a scan's long side covers; gives micrometres a pixel (default: 135)",
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit, save, and say how sure it is."""
    if not arguments.out.name:
        raise ValueError(f"fit expects the name of an output, got {str(arguments.out)!r}")
    out = arguments.out if arguments.out.suffix.lower() == ".json" else Path(f"{arguments.out}.json")
    if out.is_dir() or (out.exists() and not arguments.force):
        raise ValueError(f"{out}: is a folder" if out.is_dir() else f"{out}: exists (--force writes over it)")
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not above.is_dir():
        raise ValueError(f"{out}: cannot be written, {above} is not a folder")
    paths = images.find(arguments.scans)
    with tqdm(desc="fit", unit="step", leave=False, disable=None) as bar:

        def progress(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        stock = fit(paths, name=arguments.name or out.stem, film_format=arguments.film_format, progress=progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    stock.save(out)
    print(describe(stock))
    print(f"{out}: use it with d2f grain PHOTO -o FILM --stock {out}")
    return 0


def describe(stock: FilmStock) -> str:
    """Lay out what a fit measured and how sure it is."""
    report = stock.report
    red_green, red_blue, green_blue = (stock.correlation[i, j] for i, j in ((0, 1), (0, 2), (1, 2)))
    lines = [
        f"{stock.name}: {report['pictures']} scans, {report['blocks']} flat blocks, {stock.pitch_um:.1f} um a pixel",
        f"correlation of the channels' grain: R-G {red_green:.2f}, R-B {red_blue:.2f}, G-B {green_blue:.2f}",
        "brightness   flat blocks   sigma in levels, with its 95 % interval: red, green, blue",
    ]
    rows = zip(*(report[name] for name in ("blocks by brightness", "sigma", "sigma low", "sigma high")), strict=True)
    for band, (blocks, sigma, low, high) in enumerate(rows):
        if max(blocks) == 0:
            continue
        cells = (
            f"{s:5.2f} ({a:.2f} to {b:.2f})" if s is not None and a is not None else "too few to tell"
            for s, a, b in zip(sigma, low, high, strict=True)
        )
        lines.append(f"{16 * band:3d} to {16 * band + 15:3d}   {min(blocks):7d}       {'   '.join(cells)}")
    lines += [f"left out: {line}" for line in report["skipped"]]
    return "\n".join([*lines, *(f"note: {line}" for line in report["notes"])])
