"""``d2f fit``: scans of a film in, the film as a stock out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import images
from ..evaluate import plot_palette
from ..film import FORMATS, FilmStock, Palette, fit
from .pictures import check_apart, check_new, check_plot, write_plot


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "fit",
        help="measure a film stock from your own scans of it",
        description="Measure a film stock from positive scans of it: its grain (granularity by brightness, spectrum, "
        "channel correlation, halides), on flat areas only, and its look (tone and palette). Then: d2f develop PHOTO "
        "-o FILM --stock OUT.",
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
    colours = parser.add_mutually_exclusive_group()
    colours.add_argument(
        "--photos",
        nargs="+",
        default=(),
        metavar="PHOTO",
        help="your own digital photographs, or folders of them: the look is what tells the scans from them (default: "
        "figures of ordinary photographs)",
    )
    colours.add_argument(
        "--pairs",
        type=Path,
        metavar="FOLDER",
        help="digital photographs of the scans' own frames, each of the same name as its scan (any suffix)",
    )
    colours.add_argument("--grain-only", action="store_true", help="leave the look out: photos keep their colours")
    parser.add_argument(
        "--look-strength",
        type=float,
        metavar="SHARE",
        help="how much of the look to keep, 0 to 1 (default: as much as the scans agree on)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the look there (.png, .pdf, .svg)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit, save, and say how sure it is."""
    if not arguments.out.name:
        raise ValueError(f"fit expects the name of an output, got {str(arguments.out)!r}")
    out = arguments.out if arguments.out.suffix.lower() == ".json" else Path(f"{arguments.out}.json")
    check_new(out, arguments.force, makes_folder=True)
    if arguments.plot is not None:
        if arguments.grain_only:
            raise ValueError("--plot draws the look, which --grain-only leaves out")
        check_plot(arguments.plot, arguments.force)
    paths = images.find(arguments.scans)
    photos = images.find(arguments.photos) if arguments.photos else []
    pairs = paired(arguments.pairs, paths) if arguments.pairs else []
    check_apart([out, arguments.plot], [*paths, *photos, *(photo for photo, _ in pairs)])
    with tqdm(desc="fit", unit="step", leave=False, disable=None) as bar:

        def progress(what: str) -> None:
            bar.set_postfix_str(what)
            bar.update()

        stock = fit(
            paths,
            name=arguments.name or out.stem,
            film_format=arguments.film_format,
            look=not arguments.grain_only,
            photos=photos,
            pairs=pairs,
            look_strength=arguments.look_strength,
            progress=progress,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    stock.save(out)
    print(describe(stock))
    if arguments.plot is not None and stock.palette is None:
        print(f"d2f: {arguments.plot}: not drawn, there is no look", file=sys.stderr)
    if arguments.plot is not None and stock.palette is not None:
        palette = Palette(stock.palette, stock.report["look"])
        scans = list(islice(_decoded(paths), 4))
        before = [photo for photo, _ in pairs] or photos
        photo = images.read(before[0]).pixels if before else scans[0]
        write_plot(arguments.plot, plot_palette(palette, photo, scans, stock.title))
    print(f"{out}: use it with d2f develop PHOTO -o FILM --stock {out}")
    return 0


def _decoded(paths: list[Path]) -> Iterator[np.ndarray]:
    """Decode the pictures that can be; the fit's report names the others."""
    for path in paths:
        with suppress(images.ImageFileError):
            yield images.read(path).pixels


def paired(folder: Path, scans: list[Path]) -> list[tuple[Path, Path]]:
    """Pair photographs with the scans of the same name; say which have none.

    Raises: ValueError if none has, or two files on one side have one name.
    """
    themselves = {scan.resolve() for scan in scans}
    photos = _by_name(photo for photo in images.find([folder]) if photo.resolve() not in themselves)
    _by_name(scan for scan in scans if scan.stem.casefold() in photos)
    pairs = [(photos[scan.stem.casefold()], scan) for scan in scans if scan.stem.casefold() in photos]
    if not pairs:
        raise ValueError(f"{folder}: holds no photograph of the same name as a scan, such as {scans[0].stem}")
    alone = [scan.name for scan in scans if scan.stem.casefold() not in photos]
    if alone:
        print(f"d2f: {len(alone)} scans have no photograph in {folder}: {', '.join(alone[:5])}", file=sys.stderr)
    return pairs


def _by_name(files: Iterable[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        other = named.setdefault(file.stem.casefold(), file)
        if other != file:
            raise ValueError(f"--pairs goes by names, and two are the same: {other} and {file}")
    return named


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
    look = report.get("look")
    if look and "pairs" in look:
        before, after = look["CIEDE2000 before"], look["CIEDE2000 after"]
        lines.append(
            f"look, from {look['pairs']} pairs: held-out scans are {before:.1f} CIEDE2000 off, {after:.1f} with it"
        )
    elif look:
        before, after = look["distance before"], look["distance after"]
        lines.append(
            f"look, of {look['scans']} scans against {look['photographs']} photographs, {look['strength']:.0%} kept: "
            f"held-out scans' colours are {before:.1f} from photographs', {after:.1f} with it"
            " (sliced Wasserstein distance in L*a*b*)"
        )
    lines += [f"left out: {line}" for line in report["skipped"]]
    return "\n".join([*lines, *(f"note: {line}" for line in report["notes"])])
