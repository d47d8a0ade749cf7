"""Adversarial training of a reconstructor: one compiled step for it, its discriminator and their random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_unflatten

from ..losses import WeightSchedule, normalised, paired_hinge, r1, running_scale, weighted
from ..models import MultiscaleDiscriminator, PatchDiscriminator, Reconstructor, ReconstructorConfig
from .config import TrainConfig
from .examples import Examples, as_film, examples, rebuilt, shuffled, statistics, varied
from .step import running_mean, schedule

Weighting = Literal["constant", "stepped", "smooth"]

GAIN = 12.0  # brings grain to the order of one for the discriminator; its square does so for squared errors
Critic = PatchDiscriminator | MultiscaleDiscriminator
_WON = 0.01
_COLLAPSED = 0.005
_STEEPNESS = 8.0
NAMES = ("mse", "spectrum", "deviation", "covariance", "adversary")
# The notes' table, for what these losses are: the adversary in the place of the perceptual loss, the statistics in that
# of Gram's. Its weights multiply the configured ones; the mean over the training is about one.
_PHASES = {
    "mse": (0.4, 1.0, 1.6),
    "spectrum": (0.65, 1.1, 1.25),
    "deviation": (0.65, 1.1, 1.25),
    "covariance": (0.65, 1.1, 1.25),
    "adversary": (1.5, 0.85, 0.65),
}


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
        phases = WeightSchedule((0.0, 0.3, 0.6), _PHASES, smooth=self.weighting == "smooth")(progress)
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
    generated = batch * _times(model)
    if 0 < against.pool < generated:
        raise ValueError(
            f"AdversaryConfig expects a pool of 0, or of {generated} crops at least for batches of {batch}, got "
            f"{against.pool}"
        )


def _times(model: ReconstructorConfig) -> int:
    """Return how often each crop is rebuilt in a step."""
    return 2 if model.noise else 1


class AdversarialStep:
    """A reconstructor in training against its statistics and a discriminator; as `Step`, on one machine.

    Each crop is rebuilt twice from its halides, with different noise. The squared error is the product of both errors,
    (a - film) (b - film): its mean is the squared error of the mean over the noise, so that randomness costs nothing
    and what the halides do decide is still learned. Both networks' gradients are taken at the same point. The
    discriminator is shown grain of flat areas alone, rounded to 8-bit levels as film is (the gradient passes that by),
    over the same base and with the same holes on both sides.

    Args:
        network: What learns; without noise of its own (`ReconstructorConfig.noise`) crops are rebuilt once.
        config: How.
        adversary: Against what.
        seed: Of the discriminator's weights and of all noise.
        group: Crops within which channels are mixed; see `shuffled`.
        batch: Crops in a step.

    Attributes:
        state: All that a resumption needs, by name.
        losses: Of the last step, by name, ``discriminator`` and ``penalty`` too; and as ``weight.NAME`` each one's
            weight, where weights change.

    Raises: ValueError as `check_adversary` does.
    """

    def __init__(
        self, network: Reconstructor, config: TrainConfig, adversary: AdversaryConfig, seed: int, group: int, batch: int
    ) -> None:
        check_adversary(network.config, config, adversary, batch)
        self._times = _times(network.config)
        self._network, self._config, self._adversary, self._group = network, config, adversary, group
        self._optimizer = optim.Adam(schedule(config), betas=[0.5, 0.99], bias_correction=True)
        self._critic_optimizer = optim.Adam(adversary.discriminator_rate, betas=[0.5, 0.99], bias_correction=True)
        key = mx.random.key(seed)
        weights = network.trainable_parameters()
        self._optimizer.init(weights)
        state = {
            "model": weights,
            "average": weights if config.ema else {},
            "optimizer": self._optimizer.state,
            "random": {"key": key},
            "scale": {name: mx.array(0.0) for name in NAMES},
        }
        if adversary.adversary:
            self._critic = adversary.make()
            self._critic.iterate(10)
            self._critic_optimizer.init(self._critic.trainable_parameters())
            state |= {
                "discriminator": self._critic.parameters(),
                "discriminator_optimizer": self._critic_optimizer.state,
            }
        self.losses: dict[str, float] = {}
        self.restore(state)
        self._advance = mx.compile(self._advanced)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.state = state
        self._network.update(state["average"] or state["model"])

    @property
    def count(self) -> int:
        """Steps done."""
        return int(self.state["optimizer"]["step"])

    @property
    def learning_rate(self) -> float:
        """The last step's."""
        return float(self.state["optimizer"]["learning_rate"])

    def __call__(self, crops: np.ndarray) -> float:
        """Learn from a batch and return its squared error of the mean, pictures in [-1, 1].

        Shape: (B, H, W, 3), uint8
        """
        batch = shuffled(mx.array(crops), self._group)
        if self._adversary.adversary and self._adversary.pool and "pool" not in self.state:
            self.state["pool"] = self._first(batch)
        weights = self._adversary.weights(min(self.count / self._config.steps, 1.0))
        try:
            state, losses = self._advance(self.state, batch, tree_map(mx.array, weights))
            mx.eval(state, losses)
        finally:
            self.restore(self.state)  # tracing leaves its own
        self.restore(state)
        self.losses = {name: float(loss) for name, loss in losses.items()}
        if self._adversary.weighting != "constant":
            self.losses |= {f"weight.{name}": weight for name, weight in weights.items()}
        return self.losses["mse"] / GAIN**2

    def _first(self, crops: mx.array) -> mx.array:
        """Fill the pool with crops generated from the first batch."""
        batch = self._repeated(examples(crops, self._network.config))
        shown = [_shown(x, batch) for x in (batch.target, self._rebuilt(batch, mx.random.key(0)))]
        times = -(-self._adversary.pool // len(shown[0]))
        return mx.contiguous(mx.tile(mx.concatenate(shown, axis=-1), (times, 1, 1, 1))[: self._adversary.pool])

    def _repeated(self, batch: Examples) -> Examples:
        return Examples(*(mx.concatenate([array] * self._times) for array in batch))

    def _rebuilt(self, batch: Examples, key: mx.array) -> mx.array:
        return as_film(rebuilt(self._network, batch, key), batch.base)

    def _advanced(self, state: dict[str, Any], crops: mx.array, weights: dict[str, mx.array]) -> tuple[Any, Any]:
        key, noise_key, pool_key, vary_key = mx.random.split(state["random"]["key"], 4)
        if self._adversary.vary:
            crops = varied(crops, vary_key, self._adversary.vary)
        once = examples(crops, self._network.config)
        batch = self._repeated(once)
        scale = state["scale"]
        critic = self._critic if self._adversary.adversary else None
        if critic:
            critic.update(state["discriminator"])
            critic.iterate()
        real = _shown(batch.target, batch)

        def generator_loss(parameters: dict) -> tuple[mx.array, Any]:
            self._network.update(parameters)
            grain = self._rebuilt(batch, noise_key)
            losses = {"mse": _error_of_mean(grain, once), **statistics(grain, batch)}
            shown = _shown(grain, batch)
            if critic:
                losses["adversary"] = paired_hinge(judged(critic, real), judged(critic, shown))[1]
            else:
                losses["adversary"] = mx.array(0.0)
            scales = running_scale(scale, losses)
            scaled = losses if self._adversary.weighting == "constant" else normalised(losses, scales)
            return weighted(scaled, weights), (losses, scales, mx.stop_gradient(shown))

        (_, (losses, scale, shown)), gradients = mx.value_and_grad(generator_loss)(state["model"])
        self._optimizer.state = state["optimizer"]
        model = self._optimizer.apply_gradients(gradients, state["model"])
        new = {
            "model": model,
            "average": running_mean(state["average"], model, self._config.ema),
            "optimizer": self._optimizer.state,
            "random": {"key": key},
            "scale": scale,
        }
        if critic:
            if "pool" in state:
                pairs = mx.concatenate([real, shown], axis=-1)
                pairs, new["pool"] = _exchanged(state["pool"], pairs, pool_key)
                real, shown = mx.split(pairs, 2, axis=-1)
            own, new["discriminator"] = self._critic_step(critic, state, real, shown)
            new["discriminator_optimizer"] = self._critic_optimizer.state
            losses |= own
        return new, losses

    def _critic_step(
        self, critic: Critic, state: dict, real: mx.array, fake: mx.array
    ) -> tuple[dict[str, mx.array], dict]:
        """Improve the discriminator on film and on generated crops; return its losses and weights."""
        directions = critic.parameters()

        def loss(parameters: dict) -> tuple[mx.array, Any]:
            critic.update(parameters)
            hinge = paired_hinge(judged(critic, real), judged(critic, fake))[0]
            slope = r1(partial(judged, critic), real) if self._adversary.penalty else mx.array(0.0)
            return hinge + self._adversary.penalty * slope, {"discriminator": hinge, "penalty": slope}

        weights = critic.trainable_parameters()
        (_, losses), gradients = mx.value_and_grad(loss)(weights)
        critic.update(directions)
        self._critic_optimizer.state = state["discriminator_optimizer"]
        critic.update(self._critic_optimizer.apply_gradients(gradients, weights))
        return losses, critic.parameters()


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


def _error_of_mean(grain: mx.array, once: Examples) -> mx.array:
    """Return the squared error of the mean over the noise, without bias, from one or two draws of it."""
    first, *others = mx.split(grain, len(grain) // len(once.target))
    product = (first - once.target) * ((others[0] if others else first) - once.target)
    counts = once.weight.sum((1, 2, 3)).sum() * 3
    return (product * once.weight).sum((1, 2, 3)).sum() / mx.maximum(counts, 1) * GAIN**2


def _shown(residual: mx.array, batch: Examples) -> mx.array:
    """Lay out what a discriminator sees: the grain of flat areas, enlarged, and the base under it."""
    return mx.concatenate([GAIN * residual * batch.weight, batch.base], axis=-1)


def judged(critic: Critic, pictures: mx.array) -> list[mx.array]:
    """Return a discriminator's logits, which spectral normalisation keeps small, on a scale that suits the hinge."""
    return [_STEEPNESS * logits for logits in critic(pictures)]


def _exchanged(pool: mx.array, shown: mx.array, key: mx.array) -> tuple[mx.array, mx.array]:
    """Give half of the new pairs into the pool for older ones; return what to show, and the pool.

    Reference: Shrivastava et al. 2017, 'Learning from simulated and unsupervised images', section 2.3. arXiv:1612.07828
    """
    place_key, choice_key = mx.random.split(key)
    places = mx.random.permutation(len(pool), key=place_key)[: len(shown)]
    older = pool[places]
    swap = mx.random.uniform(shape=(len(shown), 1, 1, 1), key=choice_key) < 0.5
    pool = mx.array(pool)
    pool[places] = mx.where(swap, shown, older)
    return mx.where(swap, older, shown), pool
