from d2f_mlx.losses import paired_hinge, relativistic_hinge, wasserstein_critic, wasserstein_generator

import mlx.core as mx
import numpy as np
import pytest


def hinge(x):
    return np.maximum(1 - x, 0).mean()


def test_the_relativistic_hinge_is_that_of_the_paper():
    rng = np.random.default_rng(0)
    real, fake = ([rng.normal(m, 1, (2, s, s, 1)) for s in (8, 4)] for m in (0.5, -0.5))
    pairs = [(r - f.mean(), f - r.mean()) for r, f in zip(real, fake, strict=True)]
    critic = np.mean([(hinge(r) + hinge(-f)) / 2 for r, f in pairs])
    generator = np.mean([(hinge(-r) + hinge(f)) / 2 for r, f in pairs])
    found = relativistic_hinge([mx.array(r) for r in real], [mx.array(f) for f in fake])
    assert [x.item() for x in found] == pytest.approx([critic, generator], rel=1e-5)
    assert critic < 1 < generator


def test_undecided_critics_cost_one_on_both_sides_and_gradients_are_finite():
    logits = mx.zeros((2, 4, 4, 1))
    assert [x.item() for x in relativistic_hinge([logits], [logits])] == [1, 1]
    gradient = mx.grad(lambda f, r: relativistic_hinge([r], [f])[1])(logits, logits)
    assert (np.array(gradient) < 0).all()  # the generator is to raise its logits


def test_the_paired_hinge_compares_each_picture_with_its_own_imitation():
    rng = np.random.default_rng(1)
    real = [
        rng.normal(0, 1, (6, s, s, 1)) + 9 * np.arange(6)[:, None, None, None] for s in (8, 4)
    ]  # unlike one another
    fake = [r + rng.normal(-0.5, 0.3, r.shape) for r in real]
    margins = [(r - f).mean((1, 2, 3)) for r, f in zip(real, fake, strict=True)]
    expected = np.mean([hinge(m) for m in margins]), np.mean([hinge(-m) for m in margins])
    found = paired_hinge([mx.array(r) for r in real], [mx.array(f) for f in fake])
    assert [x.item() for x in found] == pytest.approx(expected, rel=1e-5)
    assert expected[0] < 0.7 < 1.3 < expected[1]


def test_logits_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="expects arrays of one shape"):
        paired_hinge([mx.zeros((4, 8, 8, 1))], [mx.zeros((1, 8, 8, 1))])


def test_hinges_of_half_precision_are_averaged_in_full():
    real, fake = ([mx.random.normal((2, 64, 64, 1), key=mx.random.key(k)).astype(mx.bfloat16)] for k in (0, 1))
    for losses in (relativistic_hinge, paired_hinge):
        full = losses(*([logits.astype(mx.float32) for logits in side] for side in (real, fake)))
        for found, expected in zip(losses(real, fake), full, strict=True):
            assert found.dtype == mx.float32
            assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_wasserstein_losses_are_the_difference_of_mean_scores_and_minus_one():
    fake, real = mx.array([[1.0], [2.0], [6.0]]), mx.array([[-1.0], [0.0]])
    assert float(wasserstein_critic(real, fake)) == pytest.approx(3.5)
    assert float(wasserstein_generator(fake)) == pytest.approx(-3)
