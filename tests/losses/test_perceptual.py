import re
import sys
from types import ModuleType, SimpleNamespace

from d2f_mlx.checkpoint import lpips_heads
from d2f_mlx.losses import FIDELITY, LPIPS_LAYERS, content_distance, fidelity, gram, gram_distance, lpips
from d2f_mlx.models import VGG

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

ROUNDING = 1e-5  # relative, of float32 sums
WIDTHS = {"relu1": 64, "relu2": 128, "relu3": 256, "relu4": 512, "relu5": 512}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def drawn(layers, seed):
    """Features of two pictures as a network might find: none negative, some pixels dead."""
    rng = np.random.default_rng(seed)
    features = {}
    for index, name in enumerate(layers):
        side = 16 >> index
        found = rng.standard_normal((2, side, side, WIDTHS[name[:5]])).clip(0)
        found[:, 0, 0] = 0
        features[name] = found
    return features


def handed(*all_features):
    """Return a trunk that hands out prepared features, one set a call."""
    sets = iter(all_features)
    return lambda pictures, layers: {name: mx.array(a.astype(np.float32)) for name, a in next(sets).items()}


def test_gram_is_the_mean_of_products():
    features = normal(2, 5, 7, 4)
    expected = np.einsum("bhwc,bhwd->bcd", features, features, dtype=np.float64) / 35
    np.testing.assert_allclose(gram(mx.array(features)), expected, rtol=ROUNDING, atol=1e-6)


def test_gram_does_not_ask_where():
    features = normal(1, 6, 8, 5)
    shuffled = np.random.default_rng(1).permutation(features.reshape(48, 5)).reshape(1, 8, 6, 5)
    np.testing.assert_allclose(gram(mx.array(shuffled)), gram(mx.array(features)), rtol=0, atol=1e-6)


def test_gram_of_half_precision_does_not_overflow():
    features = mx.full((1, 64, 64, 2), 300, mx.float16)
    np.testing.assert_allclose(gram(features), np.full((1, 2, 2), 90_000), rtol=1e-4)


def test_gram_distance_is_gatyss():
    one, two = normal(1, 5, 6, 4), normal(1, 5, 6, 4, seed=1)
    f, p = (a.reshape(30, 4).T.astype(np.float64) for a in (one, two))
    expected = ((f @ f.T - p @ p.T) ** 2).sum() / (4 * 4**2 * 30**2)
    assert float(gram_distance(mx.array(one), mx.array(two))) == pytest.approx(expected, rel=ROUNDING)


def test_gram_distance_compares_pictures_of_two_sizes():
    one = normal(1, 4, 4, 3)
    assert float(gram_distance(mx.array(one), mx.array(np.tile(one, (1, 2, 3, 1))))) == pytest.approx(0, abs=1e-12)


def test_content_distance_is_the_mean_square():
    one, two = normal(2, 4, 5, 3), normal(2, 4, 5, 3, seed=1)
    expected = ((one.astype(np.float64) - two) ** 2).mean()
    assert float(content_distance(mx.array(one), mx.array(two))) == pytest.approx(expected, rel=ROUNDING)


def test_distances_of_large_features_are_precise():
    features = mx.full((1, 1000, 1000, 4), 0.6575811)
    assert float(content_distance(features, mx.zeros_like(features))) == pytest.approx(0.6575811**2, rel=1e-4)


def test_features_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="expects arrays of one shape"):
        content_distance(mx.zeros((2, 4, 4, 3)), mx.zeros((1, 4, 4, 3)))


def test_fidelity_is_of_normalised_features():
    one, two = drawn(FIDELITY, 0), drawn(FIDELITY, 1)

    def normed(a):
        return (a - a.mean((1, 2), keepdims=True)) / np.sqrt(a.var((1, 2), keepdims=True) + 1e-5)

    weights = [1 / 64, 1 / 64, 1 / 32, 1 / 32, 1]
    expected = sum(w * ((normed(one[n]) - normed(two[n])) ** 2).mean() for n, w in zip(FIDELITY, weights, strict=True))
    black = mx.zeros((2, 16, 16, 3))
    assert float(fidelity(black, black, handed(one, two))) == pytest.approx(expected, rel=ROUNDING)


def test_fidelity_asks_the_trunk_for_its_layers():
    assert tuple(FIDELITY) == ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    x = mx.array(np.random.default_rng(0).random((1, 32, 32, 3), np.float32))
    network = VGG(19)
    assert float(fidelity(x, x, network)) == 0
    assert float(fidelity(x, x[:, ::-1], network)) > 0.1


def by_numpy(one, two, heads):
    def unit(a):
        return a / (np.sqrt((a**2).sum(-1, keepdims=True)) + 1e-10)

    return sum(((unit(one[n]) - unit(two[n])) ** 2 @ np.array(heads[n], np.float64)).mean() for n in LPIPS_LAYERS)


def test_lpips_is_numpys():
    one, two, heads = drawn(LPIPS_LAYERS, 0), drawn(LPIPS_LAYERS, 1), lpips_heads()
    black = mx.zeros((2, 16, 16, 3))
    found = float(lpips(black, black, handed(one, two), heads))
    assert found == pytest.approx(by_numpy(one, two, heads), rel=ROUNDING)
    assert found == pytest.approx(0.4259561915311573, rel=ROUNDING)  # by the package lpips 0.1.4, in float64


def test_pictures_are_brought_to_the_trunks_range():
    seen = []

    def trunk(pictures, layers):
        seen.append((np.array(pictures), tuple(layers)))
        return {name: mx.ones((1, 1, 1, WIDTHS[name[:5]])) for name in layers}

    lpips(mx.full((1, 2, 2, 3), -1.0), mx.full((1, 2, 2, 3), 1.0), trunk, lpips_heads())
    (one, layers), (two, _) = seen
    assert (one.max(), two.min()) == (0, 1)
    assert layers == ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")


def package(monkeypatch, state):
    """Return the package lpips with a trunk's weights; it wants torchvision for the empty trunk only."""
    torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")
    modules, inputs = [], 3
    for width, count in zip((64, 128, 256, 512, 512), (2, 2, 3, 3, 3), strict=True):
        for _ in range(count):
            modules += [torch.nn.Conv2d(inputs, width, 3, padding=1), torch.nn.ReLU()]
            inputs = width
        modules.append(torch.nn.MaxPool2d(2))
    features = torch.nn.Sequential(*modules)
    features.load_state_dict(
        {k: torch.from_numpy(a.copy().transpose(0, 3, 1, 2) if a.ndim == 4 else a.copy()) for k, a in state.items()}
    )
    stand_in = ModuleType("torchvision")
    stand_in.models = SimpleNamespace(vgg16=lambda pretrained: SimpleNamespace(features=features))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", stand_in)
    reference = pytest.importorskip("lpips", reason="a rival: comes with the extra `rivals`")
    return reference.LPIPS(net="vgg", pnet_rand=True, verbose=False)


def test_lpips_is_the_packages(monkeypatch):
    torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")
    network, size = VGG(16, seed=1), (35, 33)
    state = {name.removeprefix("features."): np.array(a) for name, a in tree_flatten(network.parameters())}
    rng = np.random.default_rng(0)
    one = rng.uniform(-1, 1, (2, *size, 3)).astype(np.float32)
    two = (one + 0.2 * normal(2, *size, 3)).clip(-1, 1)
    theirs = package(monkeypatch, state).double()
    source = torch.from_numpy(one).double().requires_grad_()
    expected = theirs(source.permute(0, 3, 1, 2), torch.from_numpy(two).double().permute(0, 3, 1, 2)).mean()
    expected.backward()
    found, gradient = mx.value_and_grad(lpips)(mx.array(one), mx.array(two), network, lpips_heads())
    assert float(found) == pytest.approx(expected.item(), rel=ROUNDING)
    there = source.grad.numpy()
    # Rounding turns a ReLU or two on or off: PyTorch's own float32 is up to half a percent from its float64.
    assert np.linalg.norm(np.array(gradient) - there) < 0.01 * np.linalg.norm(there)


def small(pictures, layers):
    """Stand in for a network: random mixtures of the colours, dead on black."""
    mixed = pictures @ mx.array(normal(3, 8)) - mx.array(normal(8, seed=1))
    mixed = mx.maximum(mixed * (pictures.sum(-1, keepdims=True) != 0), 0)
    return {name: mixed * (index + 1) for index, name in enumerate(layers)}


def check_gradients(name, kind, trunk, heads):
    """Check a loss between two such pictures, and between one such and any other."""
    picture = mx.array(np.random.default_rng(0).random((1, 32, 32, 3), np.float32))
    same = {"equal": picture, "plain": mx.full((1, 32, 32, 3), 0.5), "black": mx.zeros((1, 32, 32, 3))}[kind]
    losses = {
        "lpips": lambda a, b: lpips(2 * a - 1, 2 * b - 1, trunk, heads),
        "fidelity": lambda a, b: fidelity(a, b, trunk),
        "gram": lambda a, b: gram_distance(trunk(a, ["relu3_1"])["relu3_1"], trunk(b, ["relu3_1"])["relu3_1"]),
    }
    step = mx.value_and_grad(losses[name], argnums=(0, 1))
    for one in (same, picture):
        value, gradients = step(one, same)
        assert np.isfinite(float(value))
        assert all(np.isfinite(np.array(g)).all() for g in gradients)
        if one is same:
            assert float(value) == 0
            assert not any(np.array(g).any() for g in gradients)


@pytest.mark.parametrize("name", ["lpips", "fidelity", "gram"])
@pytest.mark.parametrize("kind", ["equal", "plain", "black"])
def test_gradients_are_finite_where_there_is_nothing_to_see(name, kind):
    check_gradients(name, kind, small, {name: mx.ones((8,)) for name in LPIPS_LAYERS})


@pytest.mark.parametrize(("name", "depth"), [("lpips", 16), ("fidelity", 19), ("gram", 19)])
def test_gradients_through_the_network_are_finite(name, depth):
    check_gradients(name, "plain", VGG(depth), lpips_heads())  # where all that is pooled is equally large


def test_a_layer_without_a_head_is_refused():
    heads = lpips_heads()
    del heads["relu3_3"]
    black = mx.zeros((1, 16, 16, 3))
    with pytest.raises(ValueError, match=re.escape("got none for relu3_3")):
        lpips(black, black, handed({}), heads)
