"""The files of a training: what resuming needs, and the best model so far."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from .. import checkpoint
from ..grain import HalideStatistics
from ..models import Reconstructor, ResNet
from .learner import Learner

_LAST = "last.safetensors"
# What changes no result.
_FREE = ("prefetch", "threads", "cache_mb", "cache_dir", "cache_gb", "accumulate", "memory_gb", "timeout")


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


def settings_of(configs: Sequence[Any], *scans: Sequence[Path]) -> str:
    """Write down all that decides the losses and the best of them: what has to be the same to resume.

    Args:
        configs: Dataclasses that have no field of the same name.
        scans: The training's, the held-out ones, and whatever other lists there are.
    """
    names = json.dumps([[os.fsdecode(path.name) for path in paths] for paths in scans])
    values = {name: value for config in configs for name, value in asdict(config).items()}
    values["scans"] = hashlib.sha256(names.encode()).hexdigest()
    return json.dumps({name: value for name, value in values.items() if name not in _FREE}, sort_keys=True)


class Files:
    """What a training writes.

    Args:
        folder: Where to.
        network: The model to keep, with the weights to be kept.
        step: What resuming needs.
        settings: From `settings_of`.
        statistics: The film's, saved beside the model.
        writes: Whether this process writes at all; of several one does.

    Attributes:
        evaluated: Step of the last evaluation that `keep` was told of.
    """

    def __init__(
        self,
        folder: Path,
        network: Reconstructor | ResNet,
        step: Learner,
        settings: str,
        statistics: HalideStatistics | None,
        writes: bool,
    ) -> None:
        self._folder, self._network, self._step = folder, network, step
        self._settings, self._statistics, self._writes = settings, statistics, writes
        self._best = float("inf")
        self.evaluated = 0

    def keep(self, error: float) -> None:
        """Save the training, evaluated now, and the model too if it is the best so far."""
        if error < self._best:
            self._save_model()  # first: an interrupt here leaves the step to be evaluated again
            self._best = error
        self.evaluated = self._step.count
        self.save()

    def _save_model(self) -> None:
        if self._writes:
            checkpoint.save(self._folder, self._network, self._statistics)

    def save(self) -> None:
        """Save all that a resumption needs, and a model where there is none yet."""
        if not self._writes:
            return
        if not (self._folder / "config.json").exists():
            self._save_model()
        arrays: dict[str, mx.array] = {}
        tree_flatten(self._step.state, destination=arrays)
        metadata = {
            "step": str(self._step.count),
            "best": repr(self._best),
            "evaluated": str(self.evaluated),
            "settings": self._settings,
        }
        checkpoint.save_arrays(self._folder / _LAST, arrays, metadata)

    def restore(self) -> None:
        """Load what `save` wrote.

        Raises: ValueError if there is nothing, or if it was trained with other settings.
        """
        path = self._folder / _LAST
        arrays, metadata = checkpoint.load_arrays(path)
        if metadata.get("settings") != self._settings:
            raise ValueError(f"{path}: was trained with other settings or scans; give the same ones to resume")
        mx.eval(arrays)
        empty: dict[str, Any] = {"average": {}}
        self._step.restore(empty | tree_unflatten(list(arrays.items())))
        self._best = float(metadata["best"])
        self.evaluated = int(metadata["evaluated"])
