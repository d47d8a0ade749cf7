"""What a reconstructor is trained against: losses beside squared errors, a discriminator, and what may go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from ..losses import NOTES, WeightSchedule
from ..models import MultiscaleDiscriminator, PatchDiscriminator, Reconstructor, ReconstructorConfig
from .config import TrainConfig

Weighting = Literal["constant", "stepped", "smooth"]

Critic = PatchDiscriminator | MultiscaleDiscriminator
_WON = 0.01
_COLLAPSED = 0.005
NAMES = ("mse", "spectrum", "deviation", "covariance", "adversary")
# The notes' table, for what these losses are: the adversary in the place of the perceptual loss, the statistics in that
# of Gram's. Its weights multiply the configured ones; the mean over the training is about one.
_PHASES = WeightSchedule(
    NOTES.starts,
    {
        "mse": (0.4, 1.0, 1.6),
        "spectrum": (0.65, 1.1, 1.25),
        "deviation": (0.65, 1.1, 1.25),
        "covariance": (0.65, 1.1, 1.25),
        "adversary": (1.5, 0.85, 0.65),
    },
)


@dataclass(frozen=True)
class AdversaryConfig:
    """What a reconstructor learns from beside squared errors, and the discriminator that it learns against.

    Args:
        start: Reconstructor to start from: a bundled one's name or a folder; none where empty.
        mse: Weight of the squared error of the mean over the noise, grain's variance being about 0.2.
        statistics: Weight of the statistics' losses: spectrum, deviation by brightness, and correlation, which counts
            twice.
        adversary: Weight of the adversary; 0 trains without one.
        weighting: constant weights, or the notes' three phases, stepped or smooth, over running scales.
        discriminator: patch or multiscale.
        discriminator_width: Channels of its first layer.
        discriminator_rate: Adam's learning rate for it.
        penalty: Weight of the R1 penalty on it.
        pool: Generated crops that are kept, with the film's, and shown to it again; 0 for none.
        vary: Share of crops whose grain is given another spectrum, correlation and strength; see `varied`.
    """

    start: str = ""
    mse: float = 1.0
    statistics: float = 0.0
    adversary: float = 0.0
    weighting: Weighting = "constant"
    discriminator: Literal["patch", "multiscale"] = "patch"
    discriminator_width: int = 32
    discriminator_rate: float = 2e-3
    penalty: float = 0.01
    pool: int = 50
    vary: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mse", "statistics", "adversary", "penalty", "pool"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"AdversaryConfig expects {name} >= 0, got {getattr(self, name)}")
        if not 0 <= self.vary <= 1:
            raise ValueError(f"AdversaryConfig expects vary in [0, 1], got {self.vary}")
        if self.weighting not in get_args(Weighting) or self.discriminator not in ("patch", "multiscale"):
            raise ValueError(
                f"AdversaryConfig expects a weighting of {', '.join(get_args(Weighting))} and a discriminator of "
                f"patch, multiscale, got {self.weighting!r} and {self.discriminator!r}"
            )
        if self.discriminator_width < 1 or not 0 < self.discriminator_rate < 1:
            raise ValueError(
                "AdversaryConfig expects discriminator_width >= 1 and 0 < discriminator_rate < 1, got "
                f"{self.discriminator_width} and {self.discriminator_rate}"
            )

    @property
    def plain(self) -> bool:
        """Whether squared errors are all that is learned from, and crops are what they are."""
        return not self.statistics and not self.adversary and not self.vary

    @property
    def figure(self) -> str:
        """Which of an evaluation's figures the best model has the least of."""
        return "statistics" if self.statistics or self.adversary else "mse"

    def weights(self, progress: float) -> dict[str, float]:
        """Return each loss's weight when this share of the training is done."""
        own = {"mse": self.mse, **dict.fromkeys(NAMES[1:4], self.statistics), "adversary": self.adversary}
        own["covariance"] *= 2
        if self.weighting == "constant":
            return own
        phases = replace(_PHASES, smooth=self.weighting == "smooth")(progress)
        return {name: weight * phases[name] for name, weight in own.items()}

    def make(self) -> Critic:
        """Build the discriminator: it is shown the grain and the base under it."""
        width = self.discriminator_width
        if self.discriminator == "patch":
            return PatchDiscriminator(6, width, layers=1)
        return MultiscaleDiscriminator(6, [width * 2**i for i in range(3)], (7, 5, 5))


def adversary_for(model: ReconstructorConfig, adversary: AdversaryConfig | None) -> AdversaryConfig | None:
    """Return the adversary if a network is to be trained by `AdversarialStep`: one with noise always is."""
    adversary = adversary or AdversaryConfig()
    return adversary if model.noise or not adversary.plain else None


def check_adversary(
    model: ReconstructorConfig, config: TrainConfig, adversary: AdversaryConfig | None, batch: int
) -> None:
    """See to it that a network can be trained so, where `AdversarialStep` trains it.

    Raises: ValueError for networks in the absolute way, half precision, batches in parts, and a pool smaller than what
        is generated in a step.
    """
    against = adversary_for(model, adversary)
    if against is None:
        return
    if model.way != "residual":
        raise ValueError(f"adversarial training expects a network of the residual way, got {model.way}")
    if config.precision != "float32" or config.accumulate != 1:
        raise ValueError(
            "adversarial training expects precision float32 and accumulate 1, got "
            f"{config.precision} and {config.accumulate}"
        )
    generated = batch * draws(model)
    if 0 < against.pool < generated:
        raise ValueError(
            f"AdversaryConfig expects a pool of 0, or of {generated} crops at least for batches of {batch}, got "
            f"{against.pool}"
        )


def draws(model: ReconstructorConfig) -> int:
    """Return how often each crop is rebuilt in a step."""
    return 2 if model.noise else 1


def start_from(network: Reconstructor, other: Reconstructor) -> None:
    """Give a network another's weights; those of inputs that only it has, noise, stay its own.

    Raises: ValueError for networks that differ otherwise.
    """
    if replace(network.config, noise=0) != replace(other.config, noise=0) or network.config.noise < other.config.noise:
        raise ValueError(f"a network {network.config} cannot start from the weights of {other.config}")
    weights: dict[str, Any] = dict(tree_flatten(network.parameters()))
    known: Any
    for name, known in tree_flatten(other.parameters()):
        more = weights[name][..., known.shape[-1] :]
        weights[name] = mx.concatenate([known, more], axis=-1) if more.size else known
    network.update(tree_unflatten(list(weights.items())))


def alarms(losses: Mapping[str, float], evaluation: Mapping[str, float] | None) -> str:
    """Say what goes wrong: a discriminator that has won, or noise that no longer matters; nothing if all is well."""
    if losses.get("discriminator", 1.0) < _WON:
        return (
            f"the discriminator tells film from imitation every time (its loss is {losses['discriminator']:.3f}): "
            "the reconstructor learns nothing from it; raise penalty or lower discriminator_rate"
        )
    if evaluation and evaluation.get("diversity", 1.0) < _COLLAPSED:
        return (
            f"the grain hardly depends on the noise any more ({evaluation['diversity']:.4f} of its variance): the "
            "reconstructor has collapsed; raise statistics, or lower mse"
        )
    return ""
