"""What two networks learn from one another: relativistic hinges, and Wasserstein's distance."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from .pixel import alike, average


def relativistic_hinge(real: Sequence[mx.array], fake: Sequence[mx.array]) -> tuple[mx.array, mx.array]:
    """Return the discriminator's and the generator's relativistic average hinge losses.

    D = (mean max(0, 1 - (r - mean f)) + mean max(0, 1 + (f - mean r))) / 2, and G the same with both signs changed,
    averaged over scales. Real pictures are to look more real than the average fake one, and the other way round.

    Args:
        real: The discriminator's logits for real pictures, an array a scale.
        fake: For generated ones; to train the discriminator, of pictures that carry no gradient.

    Reference: Jolicoeur-Martineau 2019, 'The relativistic discriminator', appendix D. arXiv:1807.00734
    """
    scores = [(r.astype(mx.float32), f.astype(mx.float32)) for r, f in zip(real, fake, strict=True)]
    pairs = [(r - average(f), f - average(r)) for r, f in scores]
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
    Raises: ValueError if real and fake logits differ in shape.
    Reference: Jolicoeur-Martineau 2019, 'The relativistic discriminator', section 4 (RSGAN), with pairs that belong
        together and a hinge. arXiv:1807.00734
    """
    margins = [mx.subtract(*alike(r, f)).mean((1, 2, 3)) for r, f in zip(real, fake, strict=True)]
    critic = sum((_hinge(m) for m in margins), mx.array(0.0)) / len(margins)
    generator = sum((_hinge(-m) for m in margins), mx.array(0.0)) / len(margins)
    return critic, generator


def _hinge(margin: mx.array) -> mx.array:
    return average(mx.maximum(1 - margin, 0))


def wasserstein_critic(real: mx.array, fake: mx.array) -> mx.array:
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
