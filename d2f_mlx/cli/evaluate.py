"""``d2f evaluate``: how real developed pictures' grain is."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

import numpy as np
from tqdm import tqdm

from ..evaluate import plot_report, realism
from ..grain import STRICT, FlatBlocks
from .flags import add_flags, from_flags
from .pictures import add_outputs, add_pitch, check_apart, check_outputs, pitch_from, readable, write_json, write_plot


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "evaluate",
        help="compare developed pictures with real film",
        description="Compare the grain of developed pictures with that of film scans, on flat areas, and beside it the "
        "film with itself, the photos before development and plain noise. All pictures must have one pixel pitch: "
        "scale them to it before.",
    )
    parser.add_argument("developed", nargs="+", metavar="DEVELOPED", help="developed pictures, or folders of them")
    parser.add_argument(
        "--against", nargs="+", required=True, metavar="SCANS", help="scans of one film, or folders (a folder a roll)"
    )
    parser.add_argument("--photos", nargs="+", metavar="UNDEVELOPED", help="what was developed, as it was before")
    add_pitch(parser)
    add_outputs(parser, "them")
    add_flags(parser, FlatBlocks)
    parser.set_defaults(run=run, **asdict(STRICT))


def run(arguments: argparse.Namespace) -> int:
    """Print the report on what can be read, and return 1 if anything could not."""
    rule = from_flags(arguments, FlatBlocks)
    check_outputs(arguments)
    developed = readable(arguments.developed, "developed pictures")
    film = readable(arguments.against, "film scans")
    photos = readable(arguments.photos, "photos") if arguments.photos else None
    inputs = [*developed.paths, *film.paths, *(photos.paths if photos else [])]
    check_apart((arguments.json, arguments.plot), inputs)
    both = {p.resolve() for p in developed.paths} & {p.resolve() for p in film.paths}
    if both:
        print(f"d2f: {len(both)} picture(s) are on both sides: {min(both).name}", file=sys.stderr)
    width, film_width = (np.median([max(size) for size in side.sizes]) for side in (developed, film))
    if not 1 / 1.2 <= width / film_width <= 1.2:
        print(
            f"d2f: developed pictures are {width:.0f} pixels long and scans {film_width:.0f}; "
            "grain is compared pixel by pixel",
            file=sys.stderr,
        )
    with tqdm(desc="measure", unit="set", leave=False, disable=None) as bar:

        def progress(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        report = realism(
            developed.paths,
            film.paths,
            photos.paths if photos else None,
            rolls=[path.parent for path in film.paths],
            rule=rule,
            pitch_um=pitch_from(arguments, film.sizes),
            progress=progress,
        )
    if arguments.json:
        write_json(arguments.json, report.as_dict())
    if arguments.plot:
        write_plot(arguments.plot, plot_report(report))
    print(report.table())
    return 1 if developed.failures + film.failures + (photos.failures if photos else 0) else 0
