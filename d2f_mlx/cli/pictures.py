"""What commands share: pictures that can be read, their pitch, and files to be written."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from .. import images
from ..film import FORMATS, pitch_of
from ..images import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = (".png", ".pdf", ".svg")


class Readable(NamedTuple):
    """Pictures that can be read, with the upright (height, width) of each; and how many were not."""

    paths: list[Path]
    sizes: list[tuple[int, int]]
    failures: int


def found(inputs: list[str]) -> tuple[list[Path], list[str]]:
    """List the pictures that files and folders stand for, each once, and what is wrong with those that hold none."""
    paths: dict[Path, None] = {}
    problems: list[str] = []
    for name in inputs:
        try:
            paths.update(dict.fromkeys(images.find([name])))
        except images.ImageFileError as error:
            problems.append(str(error))
    return list(paths), problems


def readable(inputs: list[str], what: str) -> Readable:
    """Find pictures and decode each once; on stderr report those that fail, and how many have coarse colour.

    Raises: ValueError if none is left.
    """
    every, problems = found(inputs)
    paths, sizes = [], []
    for path in tqdm(every, desc=f"read {what}", unit="picture", leave=False, disable=None):
        try:
            sizes.append(images.read(path).pixels.shape[:2])
            paths.append(path)
        except images.ImageFileError as error:
            problems.append(str(error))
    for problem in problems:
        print(f"d2f: {problem}; skipped", file=sys.stderr)
    if not paths:
        raise ValueError(f"no {what} could be read")
    coarse = sum(images.subsampled(path) for path in paths)
    if coarse:
        print(
            f"d2f: {coarse} of {len(paths)} {what} are JPEG with subsampled colour, "
            "where the channels' correlation reads high",
            file=sys.stderr,
        )
    return Readable(paths, sizes, len(problems))


def decoded(paths: Iterable[Path], good: list[Path], report: bool = True) -> Iterator[np.ndarray]:
    """Decode pictures, note those that can be, and report the others."""
    for path in paths:
        try:
            pixels = images.read(path).pixels
        except images.ImageFileError as error:
            if report:
                tqdm.write(f"d2f: {error}; skipped", file=sys.stderr)
            continue
        good.append(path)
        yield pixels


def add_pitch(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how large a pixel is on the film."""
    pitch = parser.add_mutually_exclusive_group()
    pitch.add_argument(
        "--format",
        "--film-format",
        choices=tuple(FORMATS),
        help="the frame that a scan's long side covers; gives the size of a pixel",
    )
    pitch.add_argument("--pitch", type=float, metavar="UM", help="size of a pixel on the film, in micrometres")


def pitch_from(arguments: argparse.Namespace, sizes: list[tuple[int, int]]) -> float:
    """Return the pitch in micrometres that flags ask for, 0 if they ask for none; of a format, scans' median.

    Scans whose pitch differs by more than a fifth are pointed out on stderr.

    Raises: ValueError for a pitch that is not positive.
    """
    if arguments.pitch is not None:
        if not 0 < arguments.pitch < np.inf:
            raise ValueError(f"--pitch expects micrometres above 0, got {arguments.pitch}")
        return arguments.pitch
    if arguments.format is None:
        return 0.0
    pitches = [pitch_of(size, arguments.format) for size in sizes]
    if max(pitches) > 1.2 * min(pitches):
        print(
            f"d2f: the scans' pixels differ, from {min(pitches):.1f} to {max(pitches):.1f} um; the median is taken",
            file=sys.stderr,
        )
    return float(np.median(pitches))


def add_outputs(parser: argparse.ArgumentParser, drawn: str) -> None:
    """Add the flags that say where figures and a drawing of them go."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help=f"draw {drawn} there (.png, .pdf, .svg)")
    parser.add_argument("--force", action="store_true", help="write over files that are there")


def check_outputs(arguments: argparse.Namespace) -> None:
    """Refuse, before any work, files that could not be written, or are there already."""
    if arguments.json is not None:
        check_new(arguments.json, arguments.force)
    if arguments.plot is not None:
        check_plot(arguments.plot, arguments.force)


def check_plot(file: Path, force: bool) -> None:
    """Refuse a drawing that could not be written, or is there already."""
    check_new(file, force)
    if file.suffix.lower() not in PLOTS:
        raise ValueError(f"{file}: a plot's name ends in one of {' '.join(PLOTS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise ValueError("--plot needs Matplotlib: pip install 'd2f_mlx[plot]'")


def check_new(file: Path, force: bool, makes_folder: bool = False) -> None:
    """Refuse, before any work, a file that could not be written, or is there already.

    Args:
        file: To be written.
        force: Whether it may be there.
        makes_folder: Whether a folder that is missing will be made.
    """
    if file.is_dir():
        raise ValueError(f"{file}: is a folder")
    if file.exists() and not force:
        raise ValueError(f"{file}: exists (--force writes over it)")
    above = next(folder for folder in file.resolve().parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"{file}: cannot be written, {above} is not a folder")
    if above != file.resolve().parent and not makes_folder:
        raise ValueError(f"{file}: cannot be written, its folder does not exist")


def check_apart(outputs: Iterable[Path | None], inputs: Iterable[Path]) -> None:
    """Refuse to write over a picture that is read, by whatever name."""
    there = [file for file in inputs if file.exists()]
    for output in outputs:
        if output is not None and output.exists() and any(output.samefile(file) for file in there):
            raise ValueError(f"{output}: is an input; choose another output")


def write_json(file: Path, values: dict[str, object]) -> None:
    """Write JSON, a line a field, whole or not at all."""
    lines = (f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in values.items())
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    with replacing(file) as out:
        out.write(text.encode())


def write_plot(file: Path, figure: Figure) -> None:
    """Write a figure in the format its suffix names, whole or not at all."""
    with replacing(file) as out:
        figure.savefig(out, format=file.suffix[1:].lower())
