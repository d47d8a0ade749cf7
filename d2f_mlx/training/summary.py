"""What came of a training, in a few figures."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx

from .. import images
from .config import Report

NAME = "summary.json"


class Summary:
    """Keep ``summary.json`` in a training's folder: written at every evaluation, and by `write`.

    ``steps``, ``wall_s`` (over all sessions of a training that was resumed), ``steps_per_s``, ``prepare_s``,
    ``process_s`` and ``compute_efficiency`` of this session, ``peak_memory_gib`` that MLX held, and ``best``: the
    best evaluation, with its step.

    Args:
        folder: The training's; the file's folder.
        figure: Which figure of an evaluation to choose the best by.
        highest: Whether the highest is the best; else the lowest is.
        resume: Go on with the summary that is there.
        clock: Seconds that only grow.

    Attributes:
        figures: The summary so far; empty before the first step.
    """

    def __init__(
        self,
        folder: str | Path,
        figure: str = "mse",
        *,
        highest: bool = False,
        resume: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._figure, self._clock = Path(folder) / NAME, figure, clock
        self._sign = -1 if highest else 1
        self._before: dict[str, Any] = json.loads(self._file.read_text()) if resume and self._file.is_file() else {}
        self.figures, self._best = self._before, self._before.get("best")
        self._from: int | None = None
        self._start = clock()
        mx.reset_peak_memory()

    def __call__(self, report: Report) -> None:
        """Take in a step."""
        if self._from is None:
            self._from = report.step - 1
            if self._before.get("steps", 0) > self._from:  # it tells of steps that are done again
                self._before, self._best = {}, None
        evaluation = report.evaluation
        if evaluation and (self._best is None or self._error(evaluation) < self._error(self._best)):
            self._best = {"step": report.step, **evaluation}
        seconds = self._clock() - self._start
        peak = max(self._before.get("peak_memory_gib", 0.0), mx.get_peak_memory() / 2**30)
        times = {name: value for name, value in report.meter.items() if name != "steps" and math.isfinite(value)}
        self.figures = {
            "steps": report.step,
            "wall_s": self._before.get("wall_s", 0.0) + seconds,
            "steps_per_s": (report.step - self._from) / seconds,
            **times,
            "peak_memory_gib": peak,
            "best": self._best,
        }
        if evaluation:
            self.write()

    def write(self) -> None:
        """Write the file."""
        with images.replacing(self._file) as file:
            file.write(json.dumps(self.figures, indent=1, allow_nan=False).encode() + b"\n")

    def describe(self) -> str:
        """Say it in three lines."""
        f = self.figures
        lines = [f"{f['steps']} steps in {f['wall_s']:.0f} s, {f['steps_per_s']:.3g} a second"]
        if "process_s" in f:
            lines += [
                f"prepare {f['prepare_s']:.4f} s, process {f['process_s']:.4f} s a step, "
                f"compute efficiency {f['compute_efficiency']:.3f}"
            ]
        lines[-1] += f"; at most {f['peak_memory_gib']:.2f} GiB"
        if f["best"]:
            lines += [f"best held-out {self._figure} {f['best'][self._figure]:.3e} at step {f['best']['step']}"]
        return "\n".join(lines)

    def _error(self, evaluation: Mapping[str, float]) -> float:
        return self._sign * evaluation[self._figure]
