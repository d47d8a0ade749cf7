"""``d2f judge``: what a network that learned to tell film from digital pictures says of pictures."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

from tqdm import tqdm

from .. import checkpoint, images
from ..evaluate import Judgement, judge
from ..evaluate.judgement import PATCH, checked_stride
from .pictures import check_apart, check_new, found, write_json
from .plan import plan

_NAME = inspect.signature(checkpoint.judge).parameters["name"].default
_DECIDED = 0.8  # share of the patches that have to agree
_CAVEAT = (
    "one network's opinion, by texture, learned from few rolls and cameras: no proof of where a picture is from, and "
    "filters may change it"
)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "judge",
        help="ask a network whether pictures look like film",
        description="Ask a network that learned to tell film from digital pictures how many patches of a picture look "
        f"like film to it. The answer is {_CAVEAT}.",
    )
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture files, or folders of them")
    parser.add_argument("--judge", default=_NAME, metavar="NAME", help="a bundled judge, or a folder of a trained one")
    parser.add_argument("--patch", type=int, default=PATCH, help=f"side of a patch, in pixels (default: {PATCH})")
    parser.add_argument("--stride", type=int, help="pixels from patch to patch (default: the patch's side)")
    parser.add_argument(
        "--map", type=Path, metavar="OUT", help="draw where pictures look like film: a picture file, or a folder"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--force", action="store_true", help="write over files that are there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line a picture; go on past those that cannot be judged, and return 1 if there were any."""
    stride = checked_stride(arguments.patch, arguments.stride)
    network = checkpoint.judge(arguments.judge)
    pairs, problems = _planned(arguments)
    for problem in problems:
        print(f"d2f: {problem}; skipped", file=sys.stderr)
    judged: list[dict[str, object]] = []
    for path, target in tqdm(pairs, desc="judge", unit="picture", leave=False, disable=None):
        try:
            pixels = images.read(path).pixels
            judgement = judge(pixels, network, patch=arguments.patch, stride=stride)
        except images.ImageFileError as error:
            problems.append(str(error))
        except ValueError as error:
            problems.append(f"{path.name}: {error}")
        else:
            judged.append({"file": str(path), "verdict": _verdict(judgement), **judgement.as_dict()})
            tqdm.write(_line(path, judgement))
            if target:
                target.parent.mkdir(parents=True, exist_ok=True)
                images.write(target, judgement.heat_map(pixels))
            continue
        tqdm.write(f"d2f: {problems[-1]}; skipped", file=sys.stderr)
    if not judged:
        raise ValueError("no picture could be judged")
    if arguments.json:
        write_json(arguments.json, {"judge": arguments.judge, "caveat": _CAVEAT, "pictures": judged})
    print(f"d2f: {_CAVEAT}", file=sys.stderr)
    return 1 if problems else 0


def _planned(arguments: argparse.Namespace) -> tuple[list[tuple[Path, Path | None]], list[str]]:
    """Pair pictures with the files of their maps, and refuse, before any work, what could not be written."""
    pairs: list[tuple[Path, Path | None]] = []
    if arguments.map is None:
        paths, problems = found(arguments.pictures)
        pairs += [(path, None) for path in paths]
    else:
        planned, problems = plan(arguments.pictures, arguments.map)
        for _, target in planned:
            check_new(target, arguments.force, makes_folder=True)
        pairs += planned
    if arguments.json is not None:
        check_new(arguments.json, arguments.force)
        check_apart([arguments.json], [path for path, _ in pairs])
    return pairs, problems


def _line(path: Path, judgement: Judgement) -> str:
    count = judgement.logits.size
    return (
        f"{path}: {judgement.film_share:.0%} of {count} patch{'es' * (count > 1)} film-like, "
        f"mean logit {judgement.mean_logit:+.2f}: {_verdict(judgement)}"
    )


def _verdict(judgement: Judgement) -> str:
    if judgement.film_share >= _DECIDED:
        return "looks like film to this judge"
    if judgement.film_share <= 1 - _DECIDED:
        return "looks digital to this judge"
    return "this judge is undecided"
