"""``d2f lut``: a film's colours as a ``.cube`` file that other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from ..color import SPACES
from ..develop.look import FULL_DENSITY, Part, film_look
from ..film import DEFAULT, Darkroom, Scanner
from .flags import add_flags, from_flags
from .pictures import check_new


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "lut",
        help="write a film's colours as a .cube file for other programs",
        description="Write a film's colours as a 3-D table (.cube) that DaVinci Resolve, Photoshop, darktable and "
        "ffmpeg read. Grain, MTF and halation are not in it.",
    )
    parser.add_argument("-o", "--out", required=True, type=Path, help="the file, .cube")
    parser.add_argument("--stock", default=DEFAULT, help="a film stock's name or file (default: %(default)s)")
    parser.add_argument("--points", type=int, choices=(17, 33, 65), default=33, help="along an axis (default: 33)")
    parser.add_argument("--space", choices=tuple(SPACES), default="srgb", help="of the pictures (default: %(default)s)")
    parser.add_argument(
        "--part",
        choices=get_args(Part),
        default="whole",
        help=f"whole: photo to picture; negative: photo to densities above the base / {FULL_DENSITY:g}; print: those "
        "to the picture (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    for config in (Darkroom, Scanner):
        add_flags(parser, config)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Bake and write."""
    out: Path = arguments.out
    if out.suffix.lower() != ".cube":
        raise ValueError(f"{out}: a table's name ends in .cube")
    check_new(out, arguments.force)
    look = film_look(
        arguments.stock,
        darkroom=from_flags(arguments, Darkroom),
        scanner=from_flags(arguments, Scanner),
        space=SPACES[arguments.space],
        part=arguments.part,
        points=arguments.points,
    )
    look.save(out)
    print(f"{out}: {look.title}, {look.points} points along an axis")
    return 0
