"""How much of a training step is spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Batch = TypeVar("Batch")


class Meter:
    """Time the waits for batches (prepare) and the work on them (process).

    compute efficiency = process / (process + prepare): 1 when the data never keeps the model waiting.
    MLX is lazy: the work has to be evaluated (``mx.eval``) inside ``process`` to be counted there.

        meter = Meter(warmup=1)
        for batch in meter.prepare(batches):
            with meter.process():
                mx.eval(step(mx.array(batch)), state)
        meter.summary()["compute_efficiency"]

    Args:
        warmup: batches left out of the count at the start (compilation, first decodes).
        clock: seconds that only grow.

    """

    def __init__(self, warmup: int = 0, clock: Callable[[], float] = time.perf_counter):
        self._warmup, self._clock = warmup, clock
        self._seen = 0
        self._prepare_s: list[float] = []
        self._process_s: list[float] = []

    def prepare(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Pass the batches on and count the time it takes to get each."""
        iterator = iter(batches)
        while True:
            start = self._clock()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self._seen += 1
            if self._seen > self._warmup:
                self._prepare_s.append(self._clock() - start)
            yield batch

    @contextmanager
    def process(self) -> Iterator[None]:
        """Count the time spent inside the ``with`` block; a block that raises is not counted."""
        start = self._clock()
        yield
        if self._seen > self._warmup:
            self._process_s.append(self._clock() - start)

    def summary(self) -> dict[str, float]:
        """Return ``steps``, ``prepare_s`` and ``process_s`` (means of a step) and ``compute_efficiency``.

        Values are NaN as long as no step has been counted.
        """
        steps = len(self._process_s)
        prepare, process = sum(self._prepare_s[:steps]), sum(self._process_s)
        nan = float("nan")
        return {
            "steps": steps,
            "prepare_s": prepare / steps if steps else nan,
            "process_s": process / steps if steps else nan,
            "compute_efficiency": process / (process + prepare) if process + prepare else nan,
        }
