"""One step of a discriminator's training: cross entropy, stochastic gradient descent, BatchNorm's running means."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from ..models import ResNet
from .config import DiscriminatorConfig
from .learner import Learner


def normalised(crops: mx.array) -> mx.array:
    """Bring 8-bit pictures to [-1, 1], what networks see."""
    return crops.astype(mx.float32) / 127.5 - 1


def film_cross_entropy(logits: mx.array, is_film: mx.array, smoothing: float = 0.0) -> mx.array:
    """Return the mean cross entropy: binary for one logit, softmax for two (digital, film).

    Always from logits: from probabilities, the gradients at exactly 0 and 1 are not numbers. Both kinds are one
    function: two logits' is the binary one of their difference.

    Args:
        logits: A network's.
        is_film: Labels.
        smoothing: Share of the label that both classes have half of.

    Shape: logits (B, 1) or (B, 2), is_film (B,) -> ()
    Raises: ValueError for other logits.
    """
    if logits.shape[1] == 2:
        return nn.losses.cross_entropy(logits, is_film.astype(mx.int32), label_smoothing=smoothing, reduction="mean")
    if logits.shape[1] != 1:
        raise ValueError(f"film_cross_entropy expects logits (B, 1) or (B, 2), got {logits.shape}")
    targets = (1 - smoothing) * is_film.astype(mx.float32) + smoothing / 2
    return nn.losses.binary_cross_entropy(logits[:, 0], targets, with_logits=True, reduction="mean")


class DiscriminatorStep(Learner):
    """A discriminator in training; its BatchNorm's running means are part of its weights.

    Args:
        network: What learns.
        config: How.
    """

    def __init__(self, network: ResNet, config: DiscriminatorConfig) -> None:
        self._smoothing = config.smoothing
        rate = optim.step_decay(config.learning_rate, config.decay, config.decay_every)
        self._optimizer = optim.SGD(rate, config.momentum, config.weight_decay)
        self._optimizer.init(network.trainable_parameters())
        self._compiled = mx.compile(self._stepped)
        super().__init__(network, {"model": network.parameters(), "optimizer": self._optimizer.state})

    def __call__(self, crops: np.ndarray, is_film: np.ndarray) -> float:
        """Learn from a batch and return its cross entropy.

        Shape: crops (B, H, W, 3) uint8, is_film (B,) bool
        """
        return float(self._go_on(self._compiled, mx.array(crops), mx.array(is_film)))

    def _stepped(self, state: dict[str, Any], crops: mx.array, is_film: mx.array) -> tuple[dict[str, Any], mx.array]:
        network, optimizer = self._network, self._optimizer
        network.update(state["model"])
        network.train()

        def error(pictures: mx.array) -> mx.array:
            return film_cross_entropy(network(pictures), is_film, self._smoothing)

        loss, gradients = nn.value_and_grad(network, error)(normalised(crops))
        optimizer.state = state["optimizer"]
        network.update(optimizer.apply_gradients(gradients, network.trainable_parameters()))
        return {"model": network.parameters(), "optimizer": optimizer.state}, loss
