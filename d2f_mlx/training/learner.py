"""What all trainings' steps have in common: a state of named parts, taken over whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn


class Learner:
    """A network in training; between steps it is in ``eval`` mode.

    Args:
        network: What learns. It always has the weights to be judged and kept: the running mean, if there is one.
        state: See below; ``average`` may be missing or empty.

    Attributes:
        state: All that a resumption needs, by name: the weights (``model``), their running mean (``average``), the
            optimizer's state with the learning rate and the count of steps (``optimizer``), and what else there is.
        losses: Of the last step, by name, where there are several.
    """

    def __init__(self, network: nn.Module, state: dict[str, Any]) -> None:
        self._network: Any = network
        self.losses: dict[str, float] = {}
        self.restore(state)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.state = state
        self._network.update(state.get("average") or state["model"])
        self._network.eval()

    @property
    def count(self) -> int:
        """Steps done."""
        return int(self.state["optimizer"]["step"])

    @property
    def learning_rate(self) -> float:
        """The last step's."""
        return float(self.state["optimizer"]["learning_rate"])

    def _go_on(self, compiled: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of the state and more, take over the state that it returns, and return the rest."""
        try:
            state, rest = compiled(self.state, *arguments)
            mx.eval(state, rest)
        finally:
            self.restore(self.state)  # tracing leaves its own
        self.restore(state)
        return rest
