"""``d2f measure``: what grain scans have."""

from __future__ import annotations

import argparse

from tqdm import tqdm

from .. import images
from ..evaluate import plot_measurement, sheet
from ..grain import FlatBlocks, GrainMeasurement
from .flags import add_flags, from_flags
from .pictures import add_outputs, add_pitch, check_apart, check_outputs, pitch_from, readable, write_json, write_plot


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "measure",
        help="measure the grain of film scans",
        description="Print the grain of film scans as a laboratory would, from their flat areas, all scans together: "
        "strength by brightness, RMS granularity, size, spectrum, correlation of the channels, halides.",
    )
    parser.add_argument("scans", nargs="+", metavar="SCAN", help="picture files, or folders of them")
    add_pitch(parser)
    add_outputs(parser, "them")
    add_flags(parser, FlatBlocks)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure the scans that can be read, and return 1 if any could not."""
    rule = from_flags(arguments, FlatBlocks)
    check_outputs(arguments)
    scans = readable(arguments.scans, "scans")
    check_apart((arguments.json, arguments.plot), scans.paths)
    pitch_um = pitch_from(arguments, scans.sizes)
    bar = tqdm(scans.paths, desc="measure", unit="scan", leave=False, disable=None)
    measurement = GrainMeasurement.of((images.read(path).pixels for path in bar), pitch_um=pitch_um, rule=rule)
    if arguments.json:
        write_json(arguments.json, {"scans": [str(path) for path in scans.paths], **sheet.figures(measurement)})
    if arguments.plot:
        pixels = images.read(scans.paths[0]).pixels
        title = scans.paths[0].name if len(scans.paths) == 1 else f"{len(scans.paths)} scans; {scans.paths[0].name}"
        shown = pixels if min(pixels.shape[:2]) >= 64 else None
        write_plot(arguments.plot, plot_measurement(measurement, shown, title))
    print(sheet.text(measurement))
    return 1 if scans.failures else 0
