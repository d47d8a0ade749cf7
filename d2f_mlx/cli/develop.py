"""``d2f develop``: photographs in, film pictures out."""

from __future__ import annotations

import argparse
import os
import sys
import zlib
from pathlib import Path

import mlx.core as mx
from tqdm import tqdm

from .. import images
from ..develop import DevelopConfig, Developer
from ..film import Darkroom, Scanner
from .flags import add_flags, from_flags

_EIGHT_BITS = (".jpg", ".jpeg", ".webp")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    what = "turn digital photographs into film pictures"
    description = "Turn digital photographs into film pictures: the film's colours, and its grain."
    parser = add_parser(commands, "develop", what, description)
    add_flags(parser, Darkroom)


def add_parser(
    commands: argparse._SubParsersAction, name: str, what: str, description: str, **fixed: object
) -> argparse.ArgumentParser:
    """Add the parser of a command that develops.

    Args:
        commands: Where it goes.
        name: The command.
        what: What it does, in the list of commands.
        description: What it does, in its own help.
        fixed: Fields of `DevelopConfig` that are the command's own, and so have no flag.
    """
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{description} Folders are searched for pictures. EXIF and colour profile are kept. A finished "
        "picture is skipped, an input never overwritten.",
    )
    parser.add_argument("photos", nargs="+", metavar="IN", help="picture files, or folders of them")
    parser.add_argument("-o", "--out", required=True, help="a picture file for a single IN, else a folder")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="another seed, another grain (default: 0); each picture's grain follows from the seed and its file name",
    )
    parser.add_argument("--quality", type=int, default=95, help="of JPEG and WebP, 1 to 100 (default: 95)")
    parser.add_argument("--bits", type=int, choices=(8, 16), help="of PNG and TIFF; the photo's own by default")
    parser.add_argument("--force", action="store_true", help="develop again what is already there")
    for config in (DevelopConfig, Scanner):
        add_flags(parser, config, leave_out=fixed)
    parser.set_defaults(run=run, **fixed)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Develop every photo; go on past those that fail, and return 1 if any did."""
    if not arguments.out:
        raise ValueError("develop expects the name of an output, got an empty one")
    developer = developer_from(arguments)
    jobs, failures = plan(arguments.photos, Path(arguments.out))
    if arguments.bits == 16 and any(out.suffix.lower() in _EIGHT_BITS for _, out in jobs):
        raise ValueError(f"--bits 16 is for PNG and TIFF; {' '.join(_EIGHT_BITS)} hold 8")
    if not 1 <= arguments.quality <= 100:
        raise ValueError(f"--quality is from 1 to 100, got {arguments.quality}")
    for failure in failures:
        print(f"d2f: {failure}", file=sys.stderr)
    bar = tqdm(jobs, desc=arguments.command, unit="picture", disable=None)
    for photo, out in bar:
        bar.set_postfix_str(photo.name)
        if out.exists() and not arguments.force:
            tqdm.write(f"{out}: exists, skipped (--force develops it again)", file=sys.stderr)
            continue
        try:
            _develop(developer, photo, out, arguments)
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            failures.append(str(error) or f"{photo}: out of memory")
            tqdm.write(f"d2f: {failures[-1]}", file=sys.stderr)
    return 1 if failures else 0


def developer_from(arguments: argparse.Namespace) -> Developer:
    """Set a developer up as flags ask."""
    return Developer(
        from_flags(arguments, DevelopConfig),
        darkroom=from_flags(arguments, Darkroom),
        scanner=from_flags(arguments, Scanner),
    )


def _develop(developer: Developer, photo: Path, out: Path, arguments: argparse.Namespace) -> None:
    picture = images.read(photo)
    seed = (arguments.seed + zlib.crc32(os.fsencode(photo.name))) % 2**63
    with tqdm(desc=photo.name, unit="tile", leave=False, disable=None) as tiles:

        def progress(done: int, total: int) -> None:
            tiles.total = total
            tiles.update(done - tiles.n)

        try:
            film = developer(picture, key=mx.random.key(seed), progress=progress)
        except ValueError as error:
            raise images.ImageFileError(f"{photo.name}: {error}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    images.write(out, film.pixels, exif=film.exif, icc=film.icc, quality=arguments.quality, bits=arguments.bits)


def plan(inputs: list[str], out: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pair every photo with its output and list the inputs that hold none.

    A folder's pictures keep their place below it; what lies in the output's folder is no input.

    Raises: ValueError if an output would be an input, or two photos would have one output.
    """
    if "" in inputs:
        raise ValueError("develop expects the names of photos, got an empty one")
    pairs: list[tuple[Path, Path]] = []
    problems: list[str] = []
    single = len(inputs) == 1 and not Path(inputs[0]).is_dir() and not out.is_dir() and out.suffix != ""
    if single and out.suffix.lower() not in images.SUFFIXES:
        raise ValueError(f"{out}: cannot write this kind of file; supported are {' '.join(images.SUFFIXES)}")
    if not single and out.suffix.lower() in images.SUFFIXES and not out.is_dir():
        raise ValueError(f"{out}: develop expects a folder for several photos, got a picture's name")
    for name in inputs:
        try:
            found = images.find([name])
        except images.ImageFileError as error:
            problems.append(str(error))
            continue
        root = Path(name)
        if root.is_dir():
            found = [photo for photo in found if out.resolve() not in photo.resolve().parents or _same(out, root)]
        else:
            root = root.parent
        pairs += [(photo, out if single else out / photo.relative_to(root)) for photo in found]
    sources = {_identity(photo) for photo, _ in pairs}
    taken: dict[str, Path] = {}
    for photo, target in pairs:
        if target.exists() and _identity(target) in sources:
            raise ValueError(f"{target}: is an input; choose another output")
        other = taken.setdefault(str(target.resolve()).casefold(), photo)
        if other != photo:
            raise ValueError(f"{target}: would hold both {other} and {photo}")
    return pairs, problems


def _identity(path: Path) -> tuple[int, int]:
    """Tell a file by its place on the disk: other spellings and hard links of one file are that file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)
