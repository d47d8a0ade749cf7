"""Train a reconstructor on film scans: one compiled step, a plain loop, exact resumption."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_unflatten

from .. import checkpoint
from ..data import Meter, StreamConfig, crop_batches, grid_crops
from ..grain import HalideStatistics, normalised_convolution
from ..models import Reconstructor, ReconstructorConfig
from .examples import Examples, examples, shuffled

_LAST = "last.safetensors"
EVALUATION_CROP = 128
_DIVERGED = 1.0  # a mean squared error, of pictures in [-1, 1], far above an untrained network's


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast a reconstructor learns.

    Args:
        steps: Batches in all.
        learning_rate: Adam's, at its highest.
        warmup: Steps of linear rise before the cosine fall to a hundredth.
        evaluate_every: Steps between evaluations on the held-out scans, each followed by a checkpoint.
        evaluation_crops: Crops of 128 x 128 taken from each held-out scan.
    """

    steps: int = 3000
    learning_rate: float = 1e-3
    warmup: int = 100
    evaluate_every: int = 250
    evaluation_crops: int = 4

    def __post_init__(self) -> None:
        for name in ("steps", "evaluate_every", "evaluation_crops"):
            if getattr(self, name) < 1:
                raise ValueError(f"TrainConfig expects {name} >= 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1 or self.warmup < 0:
            raise ValueError(
                f"TrainConfig expects 0 < learning_rate < 1 and warmup >= 0, got {self.learning_rate}, {self.warmup}"
            )


@dataclass(frozen=True)
class Report:
    """What a callback is told after a step.

    Args:
        step: Steps done.
        loss: The step's mean squared error, pictures in [-1, 1].
        evaluation: After an evaluation: held-out ``mse`` and ``psnr`` (pictures in [0, 1]), and ``rival_mse`` and
            ``rival_psnr`` of normalised convolution on the same halides.
        meter: Prepare time, process time and compute efficiency so far.
    """

    step: int
    loss: float
    evaluation: dict[str, float] | None = None
    meter: dict[str, float] = field(default_factory=dict)


Callback = Callable[[Report], None]


def train_reconstructor(
    train: Sequence[Path],
    held_out: Sequence[Path],
    folder: str | Path,
    *,
    model: ReconstructorConfig | None = None,
    stream: StreamConfig | None = None,
    config: TrainConfig | None = None,
    statistics: HalideStatistics | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Reconstructor:
    """Train on film scans and keep the best model, by held-out error, in ``folder``.

    ``folder`` then loads with `checkpoint.from_pretrained`; ``last.safetensors`` in it holds all that a
    resumption needs. An interrupt (Ctrl-C) after the first step leaves both in it before it goes on.

    Args:
        train: Scans to learn from.
        held_out: Scans to be judged on; no crop of theirs is learned from.
        folder: Where to; created.
        model: What to train.
        stream: How scans become batches; its seed also seeds the weights.
        config: How long and how fast.
        statistics: The film's, saved beside the model for developing.
        resume: Go on from ``last.safetensors``: the losses are those of an uninterrupted run, to rounding.
        callbacks: Told after each step.

    Raises: ValueError for a folder that holds another training, or nothing to resume, without scans on either side,
        and for held-out scans that show no grain alone; FloatingPointError where the loss explodes (what was saved
        before stays).
    """
    model_config, stream, config = model or ReconstructorConfig(), stream or StreamConfig(), config or TrainConfig()
    folder = Path(folder)
    if not train or not held_out:
        raise ValueError(f"train_reconstructor expects scans on both sides, got {len(train)} and {len(held_out)}")
    settings = _settings(model_config, stream, config, train, held_out)
    check_folder(folder, resume)
    mx.random.seed(stream.seed)
    network = Reconstructor(model_config)
    # A short memory of squared gradients: with 0.999 a rare feature's first gradient moves a whole layer at once.
    optimizer = optim.Adam(_schedule(config), betas=[0.9, 0.99], bias_correction=True)
    optimizer.init(network.trainable_parameters())
    run = _Run(folder, network, optimizer, settings, statistics)
    start = run.restore() if resume else 0

    state = [network.state, optimizer.state, mx.random.state]
    loss_and_grad = nn.value_and_grad(network, _loss)

    @partial(mx.compile, inputs=state, outputs=state)
    def step(crops: mx.array) -> mx.array:
        crops = shuffled(crops) if model_config.way == "residual" else crops
        loss, gradients = loss_and_grad(network, examples(crops, model_config))
        optimizer.update(network, gradients)
        return loss

    judge = Judge(network, held_out, config.evaluation_crops)
    meter = Meter(warmup=2)
    batches = crop_batches(train, stream, start_step=start, steps=config.steps - start)
    done = start
    try:
        for batch in meter.prepare(batches):
            with meter.process():
                loss = step(mx.array(batch))
                mx.eval(loss, state)
            done += 1
            error = float(loss)
            if not error < _DIVERGED:
                raise FloatingPointError(f"{folder}: diverged at step {done} ({error:.3g}); lower the learning rate")
            evaluation = None
            if done % config.evaluate_every == 0 or done == config.steps:
                evaluation = judge()
                run.keep(evaluation["mse"])
            for callback in callbacks:
                callback(Report(done, error, evaluation, meter.summary()))
    except KeyboardInterrupt:
        if done > start:  # in the first step there is nothing new, and the state may hold a trace's placeholders
            run.save()
        raise
    finally:
        batches.close()
    return checkpoint.from_pretrained(folder)


def can_resume(folder: Path) -> bool:
    """Tell whether a folder holds a training that can be resumed."""
    return (folder / _LAST).is_file()


def check_folder(folder: Path, resume: bool) -> None:
    """See to it that a training can write here.

    Raises: ValueError for a folder with a model or a training, or, to resume, without one; OSError where it cannot be
        made.
    """
    if resume and not can_resume(folder):
        raise ValueError(f"{folder / _LAST}: no such file, so there is nothing to resume")
    if not resume and any((folder / name).exists() for name in (_LAST, "config.json")):
        raise ValueError(f"{folder}: holds a model or a training already; resume it or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)


def _settings(
    model: ReconstructorConfig,
    stream: StreamConfig,
    config: TrainConfig,
    train: Sequence[Path],
    held_out: Sequence[Path],
) -> str:
    """Write down all that decides the losses and the best of them: what has to be the same to resume."""
    names = json.dumps([[os.fsdecode(path.name) for path in paths] for paths in (train, held_out)])
    scans = hashlib.sha256(names.encode()).hexdigest()
    values = {**asdict(model), **asdict(stream), **asdict(config), "scans": scans}
    for name in ("prefetch", "threads", "cache_mb", "cache_dir", "cache_gb"):
        del values[name]
    return json.dumps(values, sort_keys=True)


class Judge:
    """Measure a reconstructor, and normalised convolution beside it, on crops of held-out scans."""

    def __init__(self, network: Reconstructor, held_out: Sequence[Path], crops: int) -> None:
        side = EVALUATION_CROP
        prepare = mx.compile(lambda batch: examples(batch, network.config))
        self._examples = [Examples(*prepare(mx.array(grid_crops(path, side, crops)))) for path in held_out]

        @partial(mx.compile, inputs=network.state)
        def error(batch: Examples) -> mx.array:
            return _weighed(network(batch.halides, batch.mask, batch.base), batch)

        self._error = error
        self._rival = self._mean(mx.compile(lambda b: _weighed(normalised_convolution(b.halides, b.mask), b)))

    def _mean(self, error: Callable[[Examples], mx.array]) -> float:
        """Average over all crops' pixels that count, and go from [-1, 1] to [0, 1]."""
        total, count = np.sum([np.array(error(batch)) for batch in self._examples], axis=0)
        if not count:
            raise ValueError("Judge expects held-out scans with flat areas to measure grain on, got none")
        return float(total / count / 4)

    def __call__(self) -> dict[str, float]:
        """Return ``mse`` and ``psnr``, and ``rival_mse`` and ``rival_psnr``, for pictures in [0, 1]."""
        mse = self._mean(self._error)
        return {"mse": mse, "psnr": _psnr(mse), "rival_mse": self._rival, "rival_psnr": _psnr(self._rival)}


class _Run:
    """The files of one training."""

    def __init__(
        self,
        folder: Path,
        network: Reconstructor,
        optimizer: optim.Optimizer,
        settings: str,
        statistics: HalideStatistics | None,
    ) -> None:
        self._folder, self._network, self._optimizer = folder, network, optimizer
        self._settings, self._statistics = settings, statistics
        self._best = float("inf")

    def keep(self, error: float) -> None:
        """Save the training, and the model too if it is the best so far."""
        if error < self._best:
            self._best = error
            checkpoint.save(self._folder, self._network, self._statistics)
        self.save()

    def save(self) -> None:
        """Save all that a resumption needs, and a model where there is none yet.

        The optimizer's own count of steps goes with its weights, wherever an interrupt fell.
        """
        if not (self._folder / "config.json").exists():
            checkpoint.save(self._folder, self._network, self._statistics)
        arrays = {"random": cast("Sequence[mx.array]", mx.random.state)[0]}
        tree_flatten(self._network.parameters(), ".model", destination=arrays)
        tree_flatten(self._optimizer.state, ".optimizer", destination=arrays)
        metadata = {"step": str(self._optimizer.step.item()), "best": repr(self._best), "settings": self._settings}
        checkpoint.save_arrays(self._folder / _LAST, arrays, metadata)

    def restore(self) -> int:
        """Load what `save` wrote and return the steps done.

        Raises: ValueError if there is nothing, or if it was trained with other settings.
        """
        path = self._folder / _LAST
        arrays, metadata = checkpoint.load_arrays(path)
        if metadata.get("settings") != self._settings:
            raise ValueError(f"{path}: was trained with other settings or scans; give the same ones to resume")
        part = {p: [(k[len(p) :], a) for k, a in arrays.items() if k.startswith(p)] for p in ("model.", "optimizer.")}
        self._network.load_weights(part["model."])
        self._optimizer.state = tree_unflatten(part["optimizer."])
        high, low = map(int, np.array(arrays["random"]))
        mx.random.seed(high << 32 | low)  # a key is its seed in two words
        self._best = float(metadata["best"])
        return int(metadata["step"])


def _loss(network: Reconstructor, batch: Examples) -> mx.array:
    total, count = _weighed(network(batch.halides, batch.mask, batch.base), batch)
    return total / mx.maximum(count, 1)


def _weighed(prediction: mx.array, batch: Examples) -> mx.array:
    """Return the sum of the squared errors that count, and how many do."""
    error = (prediction - batch.target) * batch.weight
    return mx.stack([(error * error).sum(), batch.weight.sum() * error.shape[-1]])


def _psnr(mse: float) -> float:
    return -10 * float(np.log10(max(mse, 1e-12)))


def _schedule(config: TrainConfig) -> Callable[[mx.array], mx.array]:
    rise = optim.linear_schedule(config.learning_rate / 100, config.learning_rate, max(config.warmup, 1))
    fall = optim.cosine_decay(config.learning_rate, max(config.steps - config.warmup, 1), config.learning_rate / 100)
    return optim.join_schedules([rise, fall], [config.warmup])
