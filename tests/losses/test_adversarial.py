from d2f_mlx.losses import r1, relativistic_hinge

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
    gradient = mx.compile(mx.grad(lambda f, r: relativistic_hinge([r], [f])[1]))(logits, logits)
    assert (np.array(gradient) < 0).all()  # the generator is to raise its logits


def test_r1_of_a_linear_critic_is_half_its_squared_slope():
    slope = mx.random.normal((4, 4, 3), key=mx.random.key(0))

    def critic(x):
        return [(x * slope).sum((1, 2, 3), keepdims=True)] * 2

    x = mx.random.normal((5, 4, 4, 3), key=mx.random.key(1))
    assert r1(critic, x).item() == pytest.approx((slope * slope).sum().item() / 2, rel=1e-5)


def test_r1_of_a_square_has_the_known_gradient():
    x = mx.random.normal((2, 4, 4, 1), key=mx.random.key(2))

    def penalty(a):
        return r1(lambda pictures: [a * pictures**2], x)

    # value = a mean(x^2), slope = 2 a x / 16, penalty = a^2 sum(4 x^2 / 256) / 2 a picture
    each = (4 * np.array(x) ** 2 / 256).sum((1, 2, 3)).mean()
    value, gradient = mx.compile(mx.value_and_grad(penalty))(mx.array(3.0))
    assert value.item() == pytest.approx(9 * each / 2, rel=1e-5)
    assert gradient.item() == pytest.approx(3 * each, rel=1e-5)
