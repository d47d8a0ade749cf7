"""Train a discriminator on film scans and digital photographs: balanced batches, one step, exact resumption."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from .. import checkpoint
from ..data import Meter, StreamConfig, crop_batches
from ..models import ResNet, ResNetConfig
from ..models.resnet import SMALLEST
from .augment import augmented, bared
from .config import Callback, DiscriminatorConfig, Report, is_due
from .discriminator_evaluation import DiscriminatorEvaluation
from .discriminator_step import DiscriminatorStep
from .files import Files, check_folder, settings_of
from .interrupt import terminable

_DIVERGED = 20.0  # a cross entropy far above an untrained network's, which is ln 2


def train_discriminator(
    film_train: Sequence[Path],
    digital_train: Sequence[Path],
    film_held_out: Sequence[Path],
    digital_held_out: Sequence[Path],
    folder: str | Path,
    *,
    model: ResNetConfig | None = None,
    stream: StreamConfig | None = None,
    config: DiscriminatorConfig | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> ResNet:
    """Train a network to tell film from digital pictures, and keep the best, by held-out accuracy, in ``folder``.

    ``folder`` then loads with `checkpoint.judge`; ``last.safetensors`` in it holds all that a resumption needs. An
    interrupt (Ctrl-C) after the first step leaves both in it before it goes on.

    Half of each batch is film, half digital, whatever there is of each: the smaller class's pictures come round more
    often. The best is chosen on the pictures that it is then reported on, which flatters it a little.

    Args:
        film_train: Scans to learn from.
        digital_train: Photographs to learn from.
        film_held_out: Scans to be examined on; no crop of theirs is learned from.
        digital_held_out: Photographs likewise.
        folder: Where to; created.
        model: What to train, of 1 or 2 outputs.
        stream: How both become batches; its seed also seeds the weights and the augmentation.
        config: How long, how fast, how altered.
        resume: Go on from ``last.safetensors``: the losses are those of an uninterrupted run, to rounding. A step
            whose evaluation was interrupted is evaluated and reported first.
        callbacks: Told after each step; evaluations are `DiscriminatorEvaluation`'s.

    Returns: the best network, in ``eval`` mode.

    Raises: ValueError for a folder that holds another training, or nothing to resume, without pictures of either class
        on either side, and for a network, crops or batches that do not suit; FloatingPointError where the loss explodes
        (what was saved before stays).
    """
    model, stream, config = model or ResNetConfig(), stream or StreamConfig(), config or DiscriminatorConfig()
    folder = Path(folder)
    pictures = (film_train, digital_train, film_held_out, digital_held_out)
    if not all(map(len, pictures)):
        raise ValueError(
            f"train_discriminator expects film and digital pictures on both sides, got {[*map(len, pictures)]}"
        )
    check_discriminator(model, stream)
    check_folder(folder, resume)
    mx.random.seed(stream.seed)
    network = ResNet(model)
    step = DiscriminatorStep(network, config)
    files = Files(folder, network, step, settings_of((model, stream, config), *pictures), None, writes=True)
    if resume:
        files.restore()
    start = step.count
    evaluate = DiscriminatorEvaluation(network, film_held_out, digital_held_out, stream.crop, config.evaluation_crops)
    is_film = np.arange(stream.batch) < stream.batch // 2
    meter = Meter(warmup=2)

    def finish(loss: float) -> None:
        """Evaluate where that is due, and tell the callbacks."""
        evaluation = None
        if is_due(step.count, config):
            evaluation = evaluate()
            files.keep(1 - evaluation["balanced"])
        rate = step.learning_rate
        report = Report(step.count, loss, evaluation, meter.summary(), learning_rate=rate, network=network)
        for callback in callbacks:
            callback(report)

    try:
        with terminable(), closing(_batches(film_train, digital_train, stream, config, start)) as batches:
            if files.evaluated < start and is_due(start, config):
                finish(math.nan)
            for crops in meter.prepare(batches):
                with meter.process():
                    loss = step(crops, is_film)
                if not loss < _DIVERGED:
                    raise FloatingPointError(
                        f"{folder}: diverged at step {step.count} ({loss:.3g}); lower the learning rate"
                    )
                finish(loss)
    except KeyboardInterrupt:
        if step.count > start:
            files.save()
        raise
    return checkpoint.judge(folder)


def check_discriminator(model: ResNetConfig, stream: StreamConfig) -> None:
    """See to it that a discriminator can be trained on such batches.

    Raises: ValueError for other than 1 or 2 outputs, crops that are too small, or batches that cannot be halved.
    """
    if model.outputs > 2:
        raise ValueError(f"train_discriminator expects a network of 1 or 2 outputs, got {model.outputs}")
    if stream.crop < SMALLEST:
        raise ValueError(f"train_discriminator expects crop >= {SMALLEST}, got {stream.crop}")
    if stream.batch % (2 * stream.crops_per_picture):
        raise ValueError(
            "train_discriminator expects batch to be a multiple of twice crops_per_picture, "
            f"got {stream.batch} and {stream.crops_per_picture}"
        )


def _batches(
    film: Sequence[Path], digital: Sequence[Path], stream: StreamConfig, config: DiscriminatorConfig, start: int
) -> Generator[np.ndarray, None, None]:
    """Yield the batches from step ``start`` on: first half film, second half digital; step and seed decide them."""
    half = replace(stream, batch=stream.batch // 2, cache_mb=stream.cache_mb // 2)
    steps = config.steps - start
    with (
        closing(crop_batches(film, half, start_step=start, steps=steps)) as scans,
        closing(crop_batches(digital, half, start_step=start, steps=steps)) as photographs,
    ):
        for step, (grainy, clean) in enumerate(zip(scans, photographs, strict=True), start):
            # Four numbers: the streams' generators have two and three.
            rng = np.random.default_rng([stream.seed, step, 0, 1])
            crops = [grainy, bared(grainy, clean, config.bare, rng)]
            yield augmented(np.concatenate(crops), config, rng)
