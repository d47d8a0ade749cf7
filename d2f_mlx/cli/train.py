"""``d2f train``: a network of one's own, from one's own film scans."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from .. import checkpoint, images
from ..data import StreamConfig, crop_batches, grid_crops, roll_names, split_by_roll, usable
from ..grain import HalideStatistics
from ..models import Reconstructor, ReconstructorConfig
from ..training import (
    EVALUATION_CROP,
    AdversaryConfig,
    Callback,
    PeerLostError,
    Ranks,
    Report,
    Summary,
    TrainConfig,
    can_resume,
    check_adversary,
    check_folder,
    example_pictures,
    plan_memory,
    start_from,
    train_reconstructor,
)
from . import train_discriminator
from .flags import add_flags, from_flags
from .pictures import decoded
from .watch import add_watch, denoised_crop, developed, photo_crop, watchers

FIGURES = ("spectrum", "deviation", "covariance", "diversity")


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    train = commands.add_parser("train", help="train a network on film scans (and digital photographs)")
    models = train.add_subparsers(dest="model", required=True, metavar="MODEL")
    parser = models.add_parser(
        "reconstructor",
        help="what rebuilds a film picture from its halides",
        description="Measure the halides of film scans and train a reconstructor on them. The folder of a scan "
        "is its roll: whole rolls are held out to judge the network by.",
    )
    parser.add_argument("scans", nargs="+", metavar="SCANS", help="film scans, or folders of them (a folder a roll)")
    parser.add_argument("-o", "--out", required=True, type=Path, help="folder for the trained reconstructor")
    held_out = parser.add_mutually_exclusive_group()
    held_out.add_argument("--hold-out", nargs="+", metavar="ROLL", help="rolls (folder names) to judge by")
    held_out.add_argument(
        "--hold-out-share", type=float, default=0.2, help="share of rolls drawn to judge by (default: 0.2)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training; same flags")
    for config in (ReconstructorConfig, StreamConfig, TrainConfig, AdversaryConfig):
        add_flags(parser, config)
    add_watch(parser)
    parser.set_defaults(run=run)
    train_discriminator.add(models)


def run(arguments: argparse.Namespace) -> int:
    """Split, measure, train, and print what came of it; of several processes, the first one prints."""
    model = from_flags(arguments, ReconstructorConfig)
    stream, config = from_flags(arguments, StreamConfig), from_flags(arguments, TrainConfig)
    adversary = from_flags(arguments, AdversaryConfig)
    check_adversary(model, config, adversary, stream.batch)
    if adversary.start:  # refused now, if that cannot be
        start_from(Reconstructor(model), checkpoint.from_pretrained(adversary.start))
    ranks = Ranks(config.timeout)
    first = ranks.rank == 0
    quiet = None if first else True  # tqdm: None shows a bar on a terminal
    scans, problems = usable(images.find(arguments.scans), max(stream.crop, EVALUATION_CROP))
    for problem in problems if first else ():
        print(f"d2f: {problem}; skipped", file=sys.stderr)
    train, held_out = split_by_roll(scans, arguments.hold_out or arguments.hold_out_share)
    names = sorted({name for name, scan in zip(roll_names(scans), scans, strict=True) if scan in set(held_out)})
    # A cache that cannot be written to, and a batch that cannot be shared, are refused now.
    crop_batches(train, stream, steps=0, share=(ranks.rank, ranks.size)).close()
    plan = plan_memory(model, stream, config, ranks.size, adversary)
    plan.check()
    watching: list[Callback] = []
    summary: Summary | None = None
    if first:
        check_folder(arguments.out, arguments.resume)
        photo = photo_crop(arguments.animate_photo) if arguments.animate else None
        watching = watchers(
            arguments,
            pictures=lambda network: example_pictures(grid_crops(held_out[0], EVALUATION_CROP, 1)[0], network),
            picture=lambda network: developed(
                denoised_crop(images.read(held_out[0]).pixels) if photo is None else photo, network, statistics
            ),
        )
        print(f"{len(train)} scans to learn from, {len(held_out)} to judge by (rolls: {', '.join(names)})")
        print(plan.describe())
    good: list[Path] = []
    statistics = HalideStatistics.measure(decoded(tqdm(train, desc="measure", unit="scan", disable=quiet), good, first))
    train, judges = good, [*held_out]
    held_out = []
    for _ in decoded(judges, held_out, first):
        pass
    if first:
        print(statistics.describe())
        summary = Summary(arguments.out, adversary.figure, resume=arguments.resume)
        watching = [summary, *watching]
    with tqdm(total=config.steps, desc="train", unit="step", disable=quiet) as bar:

        def follow(report: Report) -> None:
            bar.update(report.step - bar.n)
            bar.set_postfix(loss=f"{report.loss:.5f}", efficiency=f"{report.meter['compute_efficiency']:.3f}")
            if report.evaluation:
                e = report.evaluation
                rest = "".join(f", {name} {e[name]:.3f}" for name in FIGURES if name in e)
                bar.write(
                    f"step {report.step}: held-out MSE {e['mse']:.3e} ({e['psnr']:.2f} dB), "
                    f"normalised convolution {e['rival_mse']:.3e} ({e['rival_psnr']:.2f} dB){rest}"
                )
                if report.alarm:
                    bar.write(f"d2f: step {report.step}: {report.alarm}", file=sys.stderr)

        try:
            train_reconstructor(
                train,
                held_out,
                arguments.out,
                model=model,
                stream=stream,
                config=config,
                adversary=adversary,
                statistics=statistics,
                resume=arguments.resume,
                callbacks=[*watching, follow],
            )
        except (KeyboardInterrupt, PeerLostError):
            if summary and summary.figures:
                summary.write()
            if first and can_resume(arguments.out):
                print(f"d2f: saved in {arguments.out}; the same command with --resume goes on", file=sys.stderr)
            raise
    if not first:
        return 0
    if summary and summary.figures:
        print(summary.describe())
    print(f"{arguments.out}: d2f grain PHOTO -o FILM.jpg --grain halide --reconstructor {arguments.out}")
    return 0
