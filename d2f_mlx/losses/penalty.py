"""Penalties that hold the gradient of a critic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import mlx.core as mx

from .pixel import TINY, alike, sums


def interpolates(real: mx.array, fake: mx.array, key: mx.array) -> mx.array:
    """Mix each real picture with a fake one, in a share drawn evenly from [0, 1].

    Shape: (B, ...), (B, ...) -> (B, ...)
    """
    real, fake = alike(real, fake)
    share = mx.random.uniform(shape=(real.shape[0],) + (1,) * (real.ndim - 1), key=key)
    return real + share * (fake - real)


def gradient_norms(critic: Callable[[mx.array], mx.array], pictures: mx.array) -> mx.array:
    """Return how steep a critic is at each picture, the Euclidean norm of its score's gradient by the pixels.

    Gradients by the critic's weights flow through it. Scores of one picture must not depend on the others: no batch
    normalisation.

    Args:
        critic: Returns scores, one or more for each picture.
        pictures: Where; `interpolates` of real and fake ones.

    Shape: (B, ...) -> (B,)
    """
    return mx.sqrt(_squared_norms(critic, pictures) + TINY)


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


def r1(critic: Callable[[mx.array], Sequence[mx.array]], real: mx.array) -> mx.array:
    """Return the R1 penalty, half the mean squared norm of the critic's gradient at real pictures.

    The critic's score of a picture is the mean of its logits over patches, averaged over scales.

    Args:
        critic: Returns logits, an array (B, h, w, 1) a scale.
        real: Pictures.

    Shape: real (B, H, W, C) -> ()
    Reference: Mescheder et al. 2018, 'Which training methods for GANs do actually converge?', equation 9.
        arXiv:1801.04406
    """

    def score(pictures: mx.array) -> mx.array:
        return mx.stack([logits.mean((1, 2, 3)) for logits in critic(pictures)]).mean(0)

    return _squared_norms(score, real).mean() / 2


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


def _squared_norms(critic: Callable[[mx.array], mx.array], pictures: mx.array) -> mx.array:
    """Square and add up the gradient of each picture's score by its pixels: (B, ...) -> (B,)."""
    gradients = mx.grad(lambda at: critic(at).sum())(pictures).astype(mx.float32)
    return sums(mx.square(gradients))
