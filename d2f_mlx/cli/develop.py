"""``d2f develop``: photographs in, film pictures out."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from ..develop import DevelopConfig, Developer, develop_files
from ..film import Darkroom, Scanner
from .flags import add_flags, from_flags
from .plan import plan, shard, shard_of

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
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="processes that share the pictures out, for machines that develop on the CPU; on a GPU, which they would "
        "share, 1 is right (default: 1)",
    )
    parser.add_argument(
        "--shard",
        type=shard_of,
        metavar="I/N",
        help="develop one picture in N, from the Ith on in the order of the photos' names: N machines that are given "
        "the same photos and 1/N, 2/N, ... N/N develop each picture once",
    )
    for config in (DevelopConfig, Scanner):
        add_flags(parser, config, leave_out=fixed)
    parser.set_defaults(run=run, **fixed)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Develop every photo; go on past those that fail, and return 1 if any did."""
    if not arguments.out:
        raise ValueError("develop expects the name of an output, got an empty one")
    developer = developer_from(arguments)
    pairs, failures = plan(arguments.photos, Path(arguments.out))
    if arguments.bits == 16 and any(out.suffix.lower() in _EIGHT_BITS for _, out in pairs):
        raise ValueError(f"--bits 16 is for PNG and TIFF; {' '.join(_EIGHT_BITS)} hold 8")
    if arguments.shard:
        pairs = shard(pairs, *arguments.shard)
    for failure in failures:
        print(f"d2f: {failure}", file=sys.stderr)
    return _developed(developer, pairs, len(failures), arguments)


def _developed(developer: Developer, pairs: list[tuple[Path, Path]], failed: int, arguments: argparse.Namespace) -> int:
    """Develop, show how far it is, sum up on stderr, and return the exit status."""
    skipped, megapixels, start = 0, [], time.perf_counter()
    with (
        tqdm(total=len(pairs), desc=arguments.command, unit="picture", disable=None) as bar,
        tqdm(unit="tile", leave=False, disable=None if arguments.jobs == 1 else True) as tiles,
    ):

        def wanted() -> Iterator[tuple[Path, Path]]:
            nonlocal skipped
            for photo, out in pairs:
                if arguments.force or not out.exists():
                    yield photo, out
                else:
                    skipped += 1
                    bar.update()

        def progress(photo: Path, done: int, total: int) -> None:
            if done == 1:
                tiles.reset(total)
                tiles.set_description_str(photo.name)
            tiles.update(done - tiles.n)

        results = develop_files(
            developer,
            wanted(),
            seed=arguments.seed,
            quality=arguments.quality,
            bits=arguments.bits,
            jobs=arguments.jobs,
            progress=progress,
        )
        with closing(results), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # of harmless damage, as where pictures are read in threads
            for done in results:
                bar.update()
                if done.error:
                    failed += 1
                    tqdm.write(f"d2f: {done.error}", file=sys.stderr)
                else:
                    megapixels.append(done.size[0] * done.size[1] / 1e6)
    seconds = time.perf_counter() - start
    there = " (already there; --force develops them again)" if skipped else ""
    print(
        f"d2f: {len(megapixels)} developed, {skipped} skipped{there}, {failed} failed; {seconds:.1f} s, "
        f"{len(megapixels) / seconds:.2f} pictures/s, {sum(megapixels) / seconds:.1f} megapixels/s",
        file=sys.stderr,
    )
    return 1 if failed else 0


def developer_from(arguments: argparse.Namespace) -> Developer:
    """Set a developer up as flags ask."""
    return Developer(
        from_flags(arguments, DevelopConfig),
        darkroom=from_flags(arguments, Darkroom),
        scanner=from_flags(arguments, Scanner),
    )
