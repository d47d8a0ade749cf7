"""Train a reconstructor on film scans: one step, a plain loop, exact resumption."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx

from .. import checkpoint
from ..data import Meter, StreamConfig, crop_batches
from ..grain import HalideStatistics
from ..models import Reconstructor, ReconstructorConfig
from .adversarial_step import AdversarialStep
from .adversary import AdversaryConfig, adversary_for, alarms, check_adversary, start_from
from .config import Callback, Report, TrainConfig, is_due
from .evaluation import Evaluation
from .files import Files, check_folder, settings_of
from .interrupt import terminable
from .memory import memory_limit
from .ranks import PeerLostError, Ranks
from .step import Step

_DIVERGED = 1.0  # a mean squared error, of pictures in [-1, 1], far above an untrained network's
_MIXED = 8  # crops, at least, whose channels are mixed


def train_reconstructor(
    train: Sequence[Path],
    held_out: Sequence[Path],
    folder: str | Path,
    *,
    model: ReconstructorConfig | None = None,
    stream: StreamConfig | None = None,
    config: TrainConfig | None = None,
    adversary: AdversaryConfig | None = None,
    statistics: HalideStatistics | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Reconstructor:
    """Train on film scans and keep the best model, by held-out error, in ``folder``.

    ``folder`` then loads with `checkpoint.from_pretrained`; ``last.safetensors`` in it holds all that a
    resumption needs. An interrupt (Ctrl-C) after the first step leaves both in it before it goes on.

    Several processes, started by ``mlx.launch`` or MPI on machines that all have the scans, share each batch and the
    held-out scans among them. The first one tells the callbacks, writes, and resumes: the others need no folder.

    Args:
        train: Scans to learn from.
        held_out: Scans to be judged on; no crop of theirs is learned from.
        folder: Where to; created.
        model: What to train.
        stream: How scans become batches; its seed also seeds the weights.
        config: How long and how fast.
        adversary: What it learns from beside squared errors, and what it starts from. The best model is then the one
            whose grain's statistics are nearest to film's, and one process trains.
        statistics: The film's, saved beside the model for developing.
        resume: Go on from ``last.safetensors``: the losses are those of an uninterrupted run, to rounding. A step
            whose evaluation was interrupted is evaluated and reported first.
        callbacks: Told after each step.

    Returns: the best model; in processes other than the first, the last one.

    Raises: ValueError for a folder that holds another training, or nothing to resume, without scans on either side, for
        held-out scans that show no grain alone, and for processes with different settings; FloatingPointError where the
        loss explodes (what was saved before stays); `PeerLostError` where another process is gone, once what was
        learned is saved. Where one does not answer any more, the first saves and every one ends, with a message.
    """
    model_config, stream, config = model or ReconstructorConfig(), stream or StreamConfig(), config or TrainConfig()
    adversary = adversary or AdversaryConfig()
    folder = Path(folder)
    if not train or not held_out:
        raise ValueError(f"train_reconstructor expects scans on both sides, got {len(train)} and {len(held_out)}")
    ranks = Ranks(config.timeout)
    if stream.batch // ranks.size < config.accumulate:
        raise ValueError(
            f"TrainConfig expects a batch's {stream.batch} crops to be enough for {config.accumulate} parts"
        )
    check_adversary(model_config, config, adversary, stream.batch)
    settings = settings_of((model_config, stream, config, adversary), train, held_out)
    first = ranks.rank == 0
    if first:
        check_folder(folder, resume)
    mx.random.seed(stream.seed)
    network = Reconstructor(model_config)
    if adversary.start:
        start_from(network, checkpoint.from_pretrained(adversary.start))
    step: AdversarialStep | Step
    if adversary_for(model_config, adversary):
        if ranks.size > 1:
            raise ValueError(f"adversarial training expects one process, got {ranks.size}")
        step = AdversarialStep(network, config, adversary, stream.seed, _group(stream), stream.batch)
    else:
        step = Step(network, config, _group(stream), ranks.mean)
    files = Files(folder, network, step, settings, statistics, writes=first)
    if resume and first:
        files.restore()
    if not ranks.agree(zlib.crc32(settings.encode()) >> 1):
        raise ValueError("the processes were started with different settings or scans; give all of them the same")
    step.restore(ranks.first(step.state))
    start = step.count
    ranks.rescue = files.save
    share = (ranks.rank, ranks.size)
    batches = crop_batches(train, stream, start_step=start, steps=config.steps - start, share=share)
    evaluate = Evaluation(network, held_out[ranks.rank :: ranks.size], config.evaluation_crops, ranks.mean)
    evaluated = int(ranks.first(mx.array(files.evaluated)))
    meter = Meter(warmup=2)

    def finish(error: float) -> None:
        """Evaluate where that is due, and tell the callbacks."""
        evaluation = None
        if is_due(step.count, config):
            evaluation = evaluate()
            files.keep(evaluation[adversary.figure])
        report = Report(
            step.count,
            error,
            evaluation,
            meter.summary(),
            step.losses,
            step.learning_rate,
            network,
            alarms(step.losses, evaluation),
        )
        for callback in callbacks if first else ():
            callback(report)

    try:
        with terminable(), memory_limit(config.memory_gb):
            if evaluated < start and is_due(start, config):
                finish(math.nan)
            for batch in meter.prepare(batches):
                with meter.process():
                    error = step(batch)
                if not (error < _DIVERGED and all(map(math.isfinite, step.losses.values()))):
                    raise FloatingPointError(
                        f"{folder}: diverged at step {step.count} ({error:.3g}); lower the learning rate"
                    )
                finish(error)
    except (KeyboardInterrupt, PeerLostError):
        if step.count > start:
            files.save()
        raise
    finally:
        batches.close()
    return checkpoint.from_pretrained(folder) if first else network


def _group(stream: StreamConfig) -> int:
    """Choose how many crops `shuffled` mixes: whole pictures, so that machines that share a batch mix the same."""
    pictures = -(-_MIXED // stream.crops_per_picture)
    return stream.crops_per_picture * (pictures + pictures * stream.crops_per_picture % 2)
