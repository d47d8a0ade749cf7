from collections import deque
from functools import partial

from d2f_mlx.losses import (
    adapted,
    gradient_norms,
    gradient_penalty,
    interpolates,
    one_sided_penalty,
    penalty_weight,
    r1,
)
from d2f_mlx.models.convolution import conv

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_map

RNG = np.random.default_rng(6)
FAKE, REAL = (RNG.random((5, 8, 9, 3), np.float32) for _ in range(2))
PENALTIES = {"two-sided": gradient_penalty, "one-sided": one_sided_penalty}
SCALE = {"two-sided": 1.0, "one-sided": 4.0}  # of the critic's last layer: norms on both sides of 1, and above it


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def perceptron(weights, pictures):
    hidden = mx.tanh(pictures.reshape(len(pictures), -1) @ weights["in"])
    return hidden @ weights["out"]


PERCEPTRON = {"in": normal(8 * 9 * 3, 16) * 0.2, "out": normal(16, 1)}


def perceptron_norms(weights, pictures):
    """The gradient's norm by hand, in float64."""
    inner, outer = weights["in"], weights["out"][:, 0]
    slope = 1 - np.tanh(pictures.reshape(len(pictures), -1).astype(float) @ inner) ** 2
    return np.linalg.norm((slope * outer) @ inner.T, axis=-1)


def conv_critic(weights, pictures):
    x = mx.conv2d(pictures, weights["first"], stride=2, padding=1)
    x = mx.maximum(x, 0.2 * x)
    return mx.tanh(mx.conv2d(x, weights["second"], padding=1)).mean(axis=(1, 2)) @ weights["out"]


CONVOLUTIONS = {"first": normal(8, 3, 3, 3), "second": normal(8, 3, 3, 8) * 0.3, "out": normal(8, 1) * 20}


def test_interpolates_lie_between_at_a_place_of_their_own():
    fake, real = mx.array(FAKE), mx.array(REAL)
    shares = (np.array(interpolates(real, fake, mx.random.key(1))) - REAL) / (FAKE - REAL)
    each = np.median(shares, axis=(1, 2, 3))
    np.testing.assert_allclose(shares, np.broadcast_to(each[:, None, None, None], shares.shape), atol=1e-3)
    assert ((each > 0) & (each < 1)).all()
    assert np.ptp(each) > 0.1
    with pytest.raises(ValueError, match="one shape"):
        interpolates(real[:1], fake, mx.random.key(1))


def test_the_norm_of_a_linear_critic_is_that_of_its_weights():
    norms = gradient_norms(lambda x: (x * mx.array(REAL[0])).sum(axis=(1, 2, 3)), mx.array(FAKE))
    np.testing.assert_allclose(np.array(norms), np.full(5, np.linalg.norm(REAL[0])), rtol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_and_their_gradients_by_the_weights_are_those_of_finite_differences(name):
    def loss(weights):
        return PENALTIES[name](gradient_norms(partial(perceptron, weights), mx.array(FAKE)))

    def by_hand(weights):
        excess = perceptron_norms(weights, FAKE) - 1
        return np.mean(excess**2 if name == "two-sided" else np.maximum(excess, 0))

    weights = {**PERCEPTRON, "out": PERCEPTRON["out"] * SCALE[name]}
    value, gradient = mx.value_and_grad(loss)(tree_map(mx.array, weights))
    assert float(value) == pytest.approx(by_hand(weights), rel=1e-4)
    rng = np.random.default_rng(8)
    way = {key: rng.standard_normal(value.shape) for key, value in weights.items()}
    step = 1e-5
    ends = [by_hand({key: weights[key] + sign * step * way[key] for key in weights}) for sign in (1, -1)]
    found = sum(np.sum(np.array(gradient[key]) * way[key]) for key in weights)
    assert found == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("kind", ["perceptron", "convolutions"])
def test_penalties_and_their_gradients_are_pytorchs(kind, name):
    torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")

    def theirs(weights, pictures):
        if kind == "perceptron":
            return torch.tanh(pictures.flatten(1) @ weights["in"]) @ weights["out"]
        x, (first, second) = pictures.permute(0, 3, 1, 2), (weights[k].permute(0, 3, 1, 2) for k in ("first", "second"))
        x = torch.nn.functional.leaky_relu(torch.conv2d(x, first, stride=2, padding=1), 0.2)
        return torch.tanh(torch.conv2d(x, second, padding=1)).mean(dim=(2, 3)) @ weights["out"]

    start, critic = (PERCEPTRON, perceptron) if kind == "perceptron" else (CONVOLUTIONS, conv_critic)
    tensors = {key: torch.tensor(value, requires_grad=True) for key, value in start.items()}
    pictures = torch.tensor(FAKE, requires_grad=True)
    (slope,) = torch.autograd.grad(theirs(tensors, pictures).sum(), pictures, create_graph=True)
    norms = slope.flatten(1).norm(dim=1)
    expected = ((norms - 1) ** 2 if name == "two-sided" else (norms - 1).clamp(min=0)).mean()
    expected.backward()

    def loss(weights):
        return PENALTIES[name](gradient_norms(partial(critic, weights), mx.array(FAKE)))

    value, gradient = mx.value_and_grad(loss)(tree_map(mx.array, start))
    assert float(value) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert float(value) > 0
    for key, tensor in tensors.items():
        wanted = tensor.grad.numpy()
        np.testing.assert_allclose(np.array(gradient[key]), wanted, atol=1e-4 * np.abs(wanted).max())


def test_the_penalties_sides():
    norms = mx.array([0.0, 1.0, 3.0])
    assert float(gradient_penalty(norms)) == pytest.approx((1 + 0 + 4) / 3)
    assert float(one_sided_penalty(norms)) == pytest.approx(2 / 3)


def test_a_flat_critic_has_a_finite_penalty_and_gradient():
    def loss(weight):
        return gradient_penalty(gradient_norms(lambda x: (weight * x).mean(axis=(1, 2, 3)), mx.array(FAKE)))

    value, gradient = mx.value_and_grad(loss)(mx.array(0.0))
    assert float(value) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(float(gradient))


def simulated(norms, window, weight=10.0):
    """The rule in plain Python."""
    recent, age, weights = deque(maxlen=window), 0, []
    for norm in norms:
        recent.append(norm)
        age += 1
        mean = np.mean(recent)
        if age >= window and not 1.001 <= mean <= 1.05:
            weight, age = np.clip(weight * (2 if mean > 1.05 else 0.5), 1e-2, 1e4), 0
        weights.append(weight)
    return weights


def test_the_weight_follows_the_rule_compiled_and_traced_once():
    rng = np.random.default_rng(7)
    norms = np.concatenate([np.full(80, 1.02), rng.normal(1.2, 0.1, 120), rng.normal(0.9, 0.1, 110), np.full(60, 1.03)])
    traces = []

    @mx.compile
    def step(state, norms):
        traces.append(state)
        return adapted(state, norms)

    state, weights = penalty_weight(), []
    for norm in norms:
        state = step(state, mx.array([norm - 0.5, norm + 0.5], mx.float32))
        weights.append(float(state["weight"]))
    np.testing.assert_allclose(weights, simulated(norms, window=50))
    assert max(weights) > 20
    assert weights[-1] < max(weights)
    assert len(traces) == 1


def test_the_weight_does_not_change_twice_within_a_window():
    state, weights = penalty_weight(window=10), []
    for _ in range(40):
        state = adapted(state, mx.array([2.0]))
        weights.append(float(state["weight"]))
    assert weights == [10.0] * 9 + [20.0] * 10 + [40.0] * 10 + [80.0] * 10 + [160.0]


@pytest.mark.parametrize(("norm", "limit"), [(0.0, 1e-2), (5.0, 1e4)])
def test_the_weight_stays_within_its_limits_and_comes_back(norm, limit):
    state = penalty_weight(window=2)
    for _ in range(60):
        state = adapted(state, mx.array([norm]))
    assert float(state["weight"]) == pytest.approx(limit)
    for _ in range(4):
        state = adapted(state, mx.array([5.0 - norm]))
    assert float(state["weight"]) == pytest.approx(limit * 4 if norm == 0 else limit / 4)


@pytest.mark.parametrize(("weight", "window"), [(0.0, 50), (-1.0, 50), (10.0, 0)])
def test_an_impossible_start_is_refused(weight, window):
    with pytest.raises(ValueError, match="weight > 0 and window >= 1"):
        penalty_weight(weight, window)


def test_penalties_reach_the_weights_of_the_librarys_own_convolutions():
    def loss(weights, convolution):
        def critic(x):
            x = mx.tanh(convolution(x, weights["first"], stride=2, padding=1))
            return mx.tanh(convolution(x, weights["second"], padding=1)).mean(axis=(1, 2)) @ weights["out"]

        return gradient_penalty(gradient_norms(critic, mx.array(FAKE)))

    weights = tree_map(mx.array, CONVOLUTIONS)
    found, expected = (mx.grad(loss)(weights, convolution) for convolution in (conv, mx.conv2d))
    for key in weights:
        largest = float(mx.abs(expected[key]).max())
        assert largest > 0
        np.testing.assert_allclose(np.array(found[key]), np.array(expected[key]), atol=1e-4 * largest)


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
    value, gradient = mx.value_and_grad(penalty)(mx.array(3.0))
    assert value.item() == pytest.approx(9 * each / 2, rel=1e-5)
    assert gradient.item() == pytest.approx(3 * each, rel=1e-5)
