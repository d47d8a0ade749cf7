"""How a training goes, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import mlx.nn as nn

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast a reconstructor learns.

    Args:
        steps: Batches in all.
        learning_rate: Adam's, at its highest.
        warmup: Steps of linear rise before the cosine fall to a hundredth.
        evaluate_every: Steps between evaluations on the held-out scans, each followed by a checkpoint.
        evaluation_crops: Crops of 128 x 128 taken from each held-out scan.
        ema: Share of its past in a running mean of the weights (0.999, say), which is judged and kept then; 0 for none.
        precision: What the network computes in; weights, losses and sums are float32 in any case.
        accumulate: Parts that a batch is worked through in, one after the other: less memory, the same result.
        memory_gb: Memory that a step may take, in GiB; 0 for what the machine has free.
        timeout: Seconds to wait in a step for the other machines, where several train together.
    """

    steps: int = 3000
    learning_rate: float = 1e-3
    warmup: int = 100
    evaluate_every: int = 250
    evaluation_crops: int = 4
    ema: float = 0.0
    precision: Precision = "float32"
    accumulate: int = 1
    memory_gb: float = 0.0
    timeout: float = 45.0

    def __post_init__(self) -> None:
        for name in ("steps", "evaluate_every", "evaluation_crops", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"TrainConfig expects {name} >= 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < 1 or self.warmup < 0:
            raise ValueError(
                f"TrainConfig expects 0 < learning_rate < 1 and warmup >= 0, got {self.learning_rate}, {self.warmup}"
            )
        if not 0 <= self.ema < 1:
            raise ValueError(f"TrainConfig expects 0 <= ema < 1, got {self.ema}")
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"TrainConfig expects a precision of {', '.join(get_args(Precision))}, got {self.precision!r}"
            )
        if not self.memory_gb >= 0 or not self.timeout > 0:
            raise ValueError(
                f"TrainConfig expects memory_gb >= 0 and timeout > 0, got {self.memory_gb}, {self.timeout}"
            )


@dataclass(frozen=True)
class DiscriminatorConfig:
    """How a discriminator learns to tell film from digital pictures.

    Args:
        steps: Batches in all, half film, half digital.
        learning_rate: Stochastic gradient descent's at the start.
        momentum: Share of the last update in the next one.
        weight_decay: Share of the weights that is added to their gradients.
        decay: Factor of the learning rate's steps.
        decay_every: Batches between them.
        smoothing: Share of the label that is given to both classes alike.
        alter: Probability that a crop is blurred, filtered, denoised, made noisy, compressed, resized or sharpened.
        bare: Share of the digital crops in whose place film without its grain is put: for a judge of grain alone.
        turn: Probability that a crop is turned by 90, 180 or 270 degrees.
        colour: Spread of the channels' gains, of the saturation (as logarithms) and of the levels; 0 leaves colours.
        grey: Probability that a crop is made grey.
        evaluate_every: Batches between evaluations on the held-out pictures, each followed by a checkpoint.
        evaluation_crops: Crops taken from each held-out picture.
    """

    steps: int = 2000
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay: float = 0.1
    decay_every: int = 1000
    smoothing: float = 0.0
    alter: float = 0.5
    bare: float = 0.0
    turn: float = 0.75
    colour: float = 0.2
    grey: float = 0.2
    evaluate_every: int = 250
    evaluation_crops: int = 16

    def __post_init__(self) -> None:
        for name in ("steps", "decay_every", "evaluate_every", "evaluation_crops"):
            if getattr(self, name) < 1:
                raise ValueError(f"DiscriminatorConfig expects {name} >= 1, got {getattr(self, name)}")
        for name in ("alter", "bare", "turn", "grey", "weight_decay", "colour"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"DiscriminatorConfig expects 0 <= {name} <= 1, got {getattr(self, name)}")
        for name in ("momentum", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"DiscriminatorConfig expects 0 <= {name} < 1, got {getattr(self, name)}")
        for name in ("learning_rate", "decay"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"DiscriminatorConfig expects 0 < {name} <= 1, got {getattr(self, name)}")


def is_due(step: int, config: TrainConfig | DiscriminatorConfig) -> bool:
    """Tell whether an evaluation follows a step."""
    return step % config.evaluate_every == 0 or step == config.steps


@dataclass(frozen=True)
class Report:
    """What a callback is told after a step.

    Args:
        step: Steps done.
        loss: The step's: a reconstructor's mean squared error, pictures in [-1, 1]; a discriminator's cross entropy.
            Not a number where a resumed training evaluates the step that it goes on from.
        evaluation: After an evaluation: a reconstructor's held-out ``mse`` and ``psnr`` (pictures in [0, 1]), and
            ``rival_mse`` and ``rival_psnr`` of normalised convolution on the same halides; a discriminator's from
            `DiscriminatorEvaluation`.
        meter: Prepare time, process time and compute efficiency so far.
        losses: Each loss by name, where there are several, and as ``weight.NAME`` its weight where that changes.
        learning_rate: The step's, where it is known.
        network: What is being trained, with the weights to be judged and kept; to be looked at, not to be changed.
        alarm: What goes wrong in an adversarial training; empty where nothing does.
    """

    step: int
    loss: float
    evaluation: dict[str, float] | None = None
    meter: dict[str, float] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float | None = None
    network: nn.Module | None = None
    alarm: str = ""


Callback = Callable[[Report], None]
