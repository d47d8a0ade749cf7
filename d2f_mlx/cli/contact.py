"""``d2f contact``: one photograph in every stock, on one sheet."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from .. import images
from ..develop.contact import contact_sheet
from ..film import Darkroom, Scanner
from .flags import add_flags, from_flags
from .pictures import check_apart, check_new


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "contact",
        help="draw a photograph in every stock, labelled",
        description="Draw a photograph in every stock, labelled, on one sheet.",
    )
    parser.add_argument("photo", metavar="PHOTO", help="a picture file")
    parser.add_argument("-o", "--out", required=True, type=Path, help="a picture file")
    parser.add_argument("--stocks", nargs="+", default=(), metavar="STOCK", help="names or files (default: all)")
    parser.add_argument("--width", type=int, default=420, help="of each picture, in pixels (default: 420)")
    parser.add_argument("--columns", type=int, default=0, help="pictures side by side (default: what is squarest)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another grain (default: 0)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    for config in (Darkroom, Scanner):
        add_flags(parser, config)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Develop, lay out and write."""
    out: Path = arguments.out
    if out.suffix.lower() not in images.SUFFIXES:
        raise ValueError(f"{out}: cannot write this kind of file; supported are {' '.join(images.SUFFIXES)}")
    check_apart([out], [Path(arguments.photo)])
    check_new(out, arguments.force)
    with tqdm(desc="contact", unit="film", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        sheet = contact_sheet(
            arguments.photo,
            arguments.stocks,
            darkroom=from_flags(arguments, Darkroom),
            scanner=from_flags(arguments, Scanner),
            width=arguments.width,
            columns=arguments.columns,
            key=arguments.seed,
            progress=progress,
        )
    images.write(out, sheet)
    print(f"{out}: {sheet.shape[1]} x {sheet.shape[0]} pixels")
    return 0
