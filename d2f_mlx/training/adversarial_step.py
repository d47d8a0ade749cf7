"""One compiled step of an adversarial training: a reconstructor, its discriminator, and their random numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_map

from ..losses import normalised, paired_hinge, r1, running_scale, weighted
from ..models import Reconstructor
from .adversary import NAMES, AdversaryConfig, Critic, check_adversary, draws
from .config import TrainConfig
from .examples import Examples, as_film, examples, rebuilt, shuffled, statistics, varied
from .learner import Learner
from .step import running_mean, schedule

GAIN = 12.0  # brings grain to the order of one for the discriminator; its square does so for squared errors
_STEEPNESS = 8.0


class AdversarialStep(Learner):
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
        self._times = draws(network.config)
        self._config, self._adversary, self._group = config, adversary, group
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
        super().__init__(network, state)
        self._advance = mx.compile(self._advanced)

    def __call__(self, crops: np.ndarray) -> float:
        """Learn from a batch and return its squared error of the mean, pictures in [-1, 1].

        Shape: (B, H, W, 3), uint8
        """
        batch = shuffled(mx.array(crops), self._group)
        if self._adversary.adversary and self._adversary.pool and "pool" not in self.state:
            self.state["pool"] = self._first(batch)
        weights = self._adversary.weights(min(self.count / self._config.steps, 1.0))
        losses = self._go_on(self._advance, batch, tree_map(mx.array, weights))
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
                losses["adversary"] = paired_hinge(_judged(critic, real), _judged(critic, shown))[1]
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
            hinge = paired_hinge(_judged(critic, real), _judged(critic, fake))[0]
            slope = r1(partial(_judged, critic), real) if self._adversary.penalty else mx.array(0.0)
            return hinge + self._adversary.penalty * slope, {"discriminator": hinge, "penalty": slope}

        weights = critic.trainable_parameters()
        (_, losses), gradients = mx.value_and_grad(loss)(weights)
        critic.update(directions)
        self._critic_optimizer.state = state["discriminator_optimizer"]
        critic.update(self._critic_optimizer.apply_gradients(gradients, weights))
        return losses, critic.parameters()


def _error_of_mean(grain: mx.array, once: Examples) -> mx.array:
    """Return the squared error of the mean over the noise, without bias, from one or two draws of it."""
    first, *others = mx.split(grain, len(grain) // len(once.target))
    product = (first - once.target) * ((others[0] if others else first) - once.target)
    counts = once.weight.sum((1, 2, 3)).sum() * 3
    return (product * once.weight).sum((1, 2, 3)).sum() / mx.maximum(counts, 1) * GAIN**2


def _shown(residual: mx.array, batch: Examples) -> mx.array:
    """Lay out what a discriminator sees: the grain of flat areas, enlarged, and the base under it."""
    return mx.concatenate([GAIN * residual * batch.weight, batch.base], axis=-1)


def _judged(critic: Critic, pictures: mx.array) -> list[mx.array]:
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
