"""One step of a training: the gradients of a batch, in parts and on all machines, then one update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map

from ..models import Reconstructor
from .config import TrainConfig
from .examples import examples, shuffled, squared_error
from .learner import Learner


class Step(Learner):
    """A network in training.

    The parts' errors and their gradients are summed, and the number of pixels that count with them; what is divided is
    the sums, so that a batch gives the same step in however many parts, on however many machines.

    Args:
        network: What learns.
        config: How.
        group: Crops within which channels are mixed; see `shuffled`.
        mean: Averages arrays over the machines.

    """

    def __init__(
        self, network: Reconstructor, config: TrainConfig, group: int, mean: Callable[[Any], Any] = lambda tree: tree
    ) -> None:
        self._config, self._group, self._mean = config, group, mean
        # A short memory of squared gradients: with 0.999 a rare feature's first gradient moves a whole layer at once.
        self._optimizer = optim.Adam(schedule(config), betas=[0.9, 0.99], bias_correction=True)
        self._optimizer.init(network.trainable_parameters())
        weights = network.trainable_parameters()
        average = weights if config.ema else {}
        super().__init__(network, {"model": weights, "average": average, "optimizer": self._optimizer.state})
        self._sums = mx.compile(self._summed)
        self._update = mx.compile(self._updated)

    def __call__(self, crops: np.ndarray) -> float:
        """Learn from a batch and return its mean squared error, pictures in [-1, 1].

        Shape: (B, H, W, 3), uint8
        """
        sums = self._mean(self.sums(crops, self._config.accumulate))
        return float(self._go_on(self._update, sums))

    def sums(self, crops: np.ndarray, parts: int) -> Any:
        """Return a batch's sums, found in parts: squared errors, how many values count, and the errors' gradients."""
        batch = mx.array(crops)
        if self._network.config.way == "residual":
            batch = shuffled(batch, self._group)
        try:
            sums = None
            for part in mx.split(batch, [len(crops) * i // parts for i in range(1, parts)]):
                more = self._sums(self.state["model"], part)
                sums = more if sums is None else tree_map(mx.add, sums, more)
                mx.eval(sums)
        finally:
            self.restore(self.state)  # tracing leaves its own
        return sums

    def _summed(self, parameters: dict, crops: mx.array) -> Any:
        batch = examples(crops, self._network.config)

        def total(weights: dict) -> tuple[mx.array, mx.array]:
            if self._config.precision == "bfloat16":
                weights = tree_map(lambda weight: weight.astype(mx.bfloat16), weights)
            self._network.update(weights)
            error, count = squared_error(self._network(batch.halides, batch.mask, batch.base), batch)
            return error, count

        return mx.value_and_grad(total)(parameters)

    def _updated(self, state: dict[str, Any], sums: Any) -> tuple[dict[str, Any], mx.array]:
        (error, count), gradients = sums
        count = mx.where(count > 0, count, 1)
        self._optimizer.state = state["optimizer"]
        model = self._optimizer.apply_gradients(tree_map(lambda g: g / count, gradients), state["model"])
        average = running_mean(state["average"], model, self._config.ema)
        return {"model": model, "average": average, "optimizer": self._optimizer.state}, error / count


def running_mean(average: dict, weights: dict, share: float) -> dict:
    """Keep a share of what was, where there is a running mean at all."""
    return tree_map(lambda a, w: share * a + (1 - share) * w, average, weights) if share else average


def schedule(config: TrainConfig) -> Callable[[mx.array], mx.array]:
    """Return the learning rate's course: a rise, then a cosine's fall."""
    rise = optim.linear_schedule(config.learning_rate / 100, config.learning_rate, max(config.warmup, 1))
    fall = optim.cosine_decay(config.learning_rate, max(config.steps - config.warmup, 1), config.learning_rate / 100)
    return optim.join_schedules([rise, fall], [config.warmup])
