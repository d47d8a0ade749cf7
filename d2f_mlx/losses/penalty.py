"""Wasserstein adversarial losses, and penalties that hold the critic's gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mlx.core as mx

from .pixel import TINY, alike, average, sums


def wasserstein_critic(fake: mx.array, real: mx.array) -> mx.array:
    """Return a critic's loss, mean D(fake) - mean D(real), of its scores; minus it estimates the Wasserstein distance.

    Shape: (...), (...) -> ()
    Reference: Arjovsky, Chintala and Bottou 2017, 'Wasserstein GAN', algorithm 1. arXiv:1701.07875
    """
    return average(fake.astype(mx.float32)) - average(real.astype(mx.float32))


def wasserstein_generator(fake: mx.array) -> mx.array:
    """Return a generator's loss, -mean D(fake), of the critic's scores.

    Shape: (...) -> ()
    Reference: Arjovsky, Chintala and Bottou 2017, 'Wasserstein GAN', algorithm 1. arXiv:1701.07875
    """
    return -average(fake.astype(mx.float32))


def interpolates(fake: mx.array, real: mx.array, key: mx.array) -> mx.array:
    """Mix each fake picture with a real one, in a share drawn evenly from [0, 1].

    Shape: (B, ...), (B, ...) -> (B, ...)
    """
    fake, real = alike(fake, real)
    share = mx.random.uniform(shape=(fake.shape[0],) + (1,) * (fake.ndim - 1), key=key)
    return real + share * (fake - real)


def gradient_norms(critic: Callable[[mx.array], mx.array], pictures: mx.array) -> mx.array:
    """Return how steep a critic is at each picture, the Euclidean norm of its score's gradient by the pixels.

    Gradients by the critic's weights flow through it. Scores of one picture must not depend on the others: no batch
    normalisation.

    Args:
        critic: Returns scores, one or more for each picture.
        pictures: Where; `interpolates` of fake and real ones.

    Shape: (B, ...) -> (B,)
    """
    gradients = mx.grad(lambda at: critic(at).sum())(pictures).astype(mx.float32)
    return mx.sqrt(sums(mx.square(gradients)) + TINY)


def gradient_penalty(norms: mx.array) -> mx.array:
    """Return WGAN-GP's penalty of gradients that are not of norm 1, mean (|grad| - 1)^2.

    Shape: (B,) -> ()
    Reference: Gulrajani et al. 2017, 'Improved training of Wasserstein GANs', equation 3. arXiv:1704.00028
    """
    return mx.square(norms - 1).mean()


def one_sided_penalty(norms: mx.array) -> mx.array:
    """Return Deep Photo Enhancer's penalty of gradients that are above norm 1, mean max(0, |grad| - 1).

    Shape: (B,) -> ()
    Reference: Chen et al. 2018, 'Deep Photo Enhancer'. doi:10.1109/CVPR.2018.00660
    """
    return mx.maximum(norms - 1, 0).mean()


def penalty_weight(weight: float = 10.0, window: int = 50) -> dict[str, mx.array]:
    """Return the state in which an adaptive weight of the penalty starts; see `adapted`.

    Args:
        weight: To start with.
        window: Steps over which gradient norms are averaged.

    Returns: ``weight``, a scalar to multiply the penalty by; ``norms``, the last ``window`` ones; ``age``, the steps
        since the weight changed.
    Raises: ValueError if ``weight`` is not above 0, or ``window`` is below 1.
    """
    if not weight > 0 or window < 1:
        raise ValueError(f"penalty_weight expects weight > 0 and window >= 1, got {weight} and {window}")
    return {"weight": mx.array(weight, mx.float32), "norms": mx.zeros(window), "age": mx.array(0)}


def adapted(
    state: Mapping[str, mx.array],
    norms: mx.array,
    band: tuple[float, float] = (1.001, 1.05),
    limits: tuple[float, float] = (1e-2, 1e4),
) -> dict[str, mx.array]:
    """Adapt the penalty's weight to a step's gradient norms, as A-WGAN does: hold their moving average in a band.

    Above the band the weight is doubled, below it halved; then it stays for a whole window, until none of the norms in
    the average is from before the change. A pure function for use inside a compiled step: pass the state in and return
    it.

    Args:
        state: Of `penalty_weight`, or the last step's.
        norms: Of `gradient_norms`.
        band: Where the average should be.
        limits: Of the weight: a critic that is flat for long would halve it to nothing, from where it never returns.

    Reference: Chen et al. 2018, 'Deep Photo Enhancer'. doi:10.1109/CVPR.2018.00660
    """
    low, high = band
    newest = mx.stop_gradient(norms.astype(mx.float32)).mean(keepdims=True)
    window = mx.concatenate([state["norms"][1:], newest])
    age, mean = state["age"] + 1, window.mean()
    factor = mx.where(mean > high, 2.0, mx.where(mean < low, 0.5, 1.0))
    changes = (age >= window.size) & (factor != 1)
    weight = mx.where(changes, mx.clip(state["weight"] * factor, *limits), state["weight"])
    return {"weight": weight, "norms": window, "age": mx.where(changes, 0, age)}
