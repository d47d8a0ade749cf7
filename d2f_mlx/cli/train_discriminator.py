"""``d2f train discriminator``: what tells film from digital photographs, from one's own of both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from .. import images
from ..data import StreamConfig, roll_names, split_by_roll, usable
from ..models import ResNetConfig
from ..training import (
    DiscriminatorConfig,
    DiscriminatorEvaluation,
    Report,
    Summary,
    can_resume,
    check_discriminator,
    check_folder,
    train_discriminator,
)
from .flags import add_flags, from_flags
from .pictures import decoded
from .watch import add_watch, watchers


def add(models: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = models.add_parser(
        "discriminator",
        help="what tells film from digital photographs",
        description="Train a judge of what is film and what is digital. The folder of a picture is its roll, and in a "
        "flat folder each picture is a roll of its own: whole rolls are held out, of both, to examine the judge on.",
    )
    parser.add_argument("--film", nargs="+", required=True, metavar="SCANS", help="film scans, or folders of them")
    parser.add_argument(
        "--digital", nargs="+", required=True, metavar="PHOTOS", help="digital photographs, or folders of them"
    )
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder for the trained judge")
    parser.add_argument("--hold-out", nargs="+", metavar="ROLL", default=[], help="rolls, of either, to examine on")
    parser.add_argument(
        "--hold-out-share",
        type=float,
        default=0.2,
        help="share of the rolls drawn to examine on, of film or digital where none is named (default: 0.2)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training; same flags")
    for config in (ResNetConfig, StreamConfig, DiscriminatorConfig):
        add_flags(parser, config)
    add_watch(parser, animate=False)
    parser.set_defaults(run=run, batch=32)


def _found(inputs: Sequence[str], crop: int) -> list[Path]:
    """Find pictures that crops can be cut from, and report the others."""
    found, problems = usable(images.find(inputs), crop)
    for problem in problems:
        print(f"d2f: {problem}; skipped", file=sys.stderr)
    return found


def _split(pictures: list[Path], named: Sequence[str], share: float, what: str) -> tuple[list[Path], list[Path]]:
    """Hold out the named rolls that are among these, or draw some: what to learn from, what to examine on."""
    rolls = roll_names(pictures)
    try:
        train, chosen = split_by_roll(pictures, [name for name in named if name in rolls] or share)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    held_out: list[Path] = []
    for _ in decoded(chosen, held_out):
        pass
    names = sorted({name for name, path in zip(rolls, pictures, strict=True) if path in set(held_out)})
    print(f"{len(train)} {what} to learn from, {len(held_out)} to examine on (rolls: {', '.join(names)})")
    return train, held_out


def run(arguments: argparse.Namespace) -> int:
    """Split, train, examine, and print what came of it."""
    model, stream = from_flags(arguments, ResNetConfig), from_flags(arguments, StreamConfig)
    config = from_flags(arguments, DiscriminatorConfig)
    check_discriminator(model, stream)
    scans, photographs = _found(arguments.film, stream.crop), _found(arguments.digital, stream.crop)
    if both := set(scans) & set(photographs):
        raise ValueError(f"{min(both)}: given as film and as digital")
    if unknown := sorted({*arguments.hold_out} - {*roll_names(scans), *roll_names(photographs)}):
        raise ValueError(f"--hold-out expects names of rolls among those given, got {', '.join(unknown)}")
    film, film_held_out = _split(scans, arguments.hold_out, arguments.hold_out_share, "film scans")
    digital, digital_held_out = _split(photographs, arguments.hold_out, arguments.hold_out_share, "digital photographs")
    check_folder(arguments.out, arguments.resume)
    watching = watchers(arguments)
    summary = Summary(arguments.out, "balanced", highest=True, resume=arguments.resume)
    with tqdm(total=config.steps, desc="train", unit="step", disable=None) as bar:

        def follow(report: Report) -> None:
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.4f}", efficiency=f"{report.meter['compute_efficiency']:.3f}")
            if report.evaluation:
                bar.write(f"step {report.step}: held-out {_described(report.evaluation)}")

        try:
            judge = train_discriminator(
                film,
                digital,
                film_held_out,
                digital_held_out,
                arguments.out,
                model=model,
                stream=stream,
                config=config,
                resume=arguments.resume,
                callbacks=[summary, *watching, follow],
            )
        except KeyboardInterrupt:
            if summary.figures:
                summary.write()
            if can_resume(arguments.out):
                print(f"d2f: saved in {arguments.out}; the same command with --resume goes on", file=sys.stderr)
            raise
    if summary.figures:
        print(summary.describe())
    evaluate = DiscriminatorEvaluation(judge, film_held_out, digital_held_out, stream.crop, config.evaluation_crops)
    print(f"{arguments.out}: the best on held-out pictures: {_described(evaluate())}")
    return 0


def _described(evaluation: dict[str, float]) -> str:
    """Name the shares judged rightly, with their 95 % intervals in percent, and the rest."""
    shares = [
        f"{name} {100 * evaluation[name]:.1f} % "
        f"({100 * evaluation[f'{name}_low']:.1f} to {100 * evaluation[f'{name}_high']:.1f})"
        for name in ("accuracy", "balanced", "film", "digital")
    ]
    return ", ".join([*shares, f"AUC {evaluation['auc']:.4f}", f"cross entropy {evaluation['loss']:.3f}"])
