"""What two networks learn from one another: the relativistic average hinge, and a penalty on the critic's slope."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mlx.core as mx


def relativistic_hinge(real: Sequence[mx.array], fake: Sequence[mx.array]) -> tuple[mx.array, mx.array]:
    """Return the discriminator's and the generator's relativistic average hinge losses.

    D = (mean max(0, 1 - (r - mean f)) + mean max(0, 1 + (f - mean r))) / 2, and G the same with both signs changed,
    averaged over scales. Real pictures are to look more real than the average fake one, and the other way round.

    Args:
        real: The discriminator's logits for real pictures, an array a scale.
        fake: For generated ones; to train the discriminator, of pictures that carry no gradient.

    Reference: Jolicoeur-Martineau 2019, 'The relativistic discriminator', appendix D. arXiv:1807.00734
    """
    pairs = [(r - f.mean(), f - r.mean()) for r, f in zip(real, fake, strict=True)]
    critic = sum((_hinge(r) + _hinge(-f) for r, f in pairs), mx.array(0.0)) / (2 * len(pairs))
    generator = sum((_hinge(-r) + _hinge(f) for r, f in pairs), mx.array(0.0)) / (2 * len(pairs))
    return critic, generator


def paired_hinge(real: Sequence[mx.array], fake: Sequence[mx.array]) -> tuple[mx.array, mx.array]:
    """Return the discriminator's and the generator's hinge losses, each picture against its own imitation.

    D = mean max(0, 1 - (r_i - f_i)), G = mean max(0, 1 + (r_i - f_i)), of logits that are averaged over a picture's
    patches, and averaged over scales. Where pictures differ from one another by far more than from their imitations,
    their average, which `relativistic_hinge` compares with, says little.

    Args:
        real: The discriminator's logits for real pictures, an array a scale.
        fake: For imitations of the same pictures, in the same order.

    Shape: each (B, h, w, 1)
    Reference: Jolicoeur-Martineau 2019, 'The relativistic discriminator', section 4 (RSGAN), with pairs that belong
        together and a hinge. arXiv:1807.00734
    """
    margins = [(r - f).mean((1, 2, 3)) for r, f in zip(real, fake, strict=True)]
    critic = sum((_hinge(m) for m in margins), mx.array(0.0)) / len(margins)
    generator = sum((_hinge(-m) for m in margins), mx.array(0.0)) / len(margins)
    return critic, generator


def _hinge(margin: mx.array) -> mx.array:
    return mx.maximum(1 - margin, 0).mean()


def r1(critic: Callable[[mx.array], Sequence[mx.array]], real: mx.array) -> mx.array:
    """Return the R1 penalty, half the mean squared length of the critic's gradient at real pictures.

    The critic's value for a picture is the mean of its logits over patches, averaged over scales.

    Shape: real (B, H, W, C)
    Reference: Mescheder et al. 2018, 'Which training methods for GANs do actually converge?', equation 9.
        arXiv:1801.04406
    """

    def value(pictures: mx.array) -> mx.array:
        logits = critic(pictures)
        return sum((scale.mean((1, 2, 3)).sum() for scale in logits), mx.array(0.0)) / len(logits)

    slope = mx.grad(value)(real)
    return (slope * slope).sum((1, 2, 3)).mean() / 2
