import re

from d2f_mlx.models import VGG

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

ROUNDING = 1e-4  # of activations of order one
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
# torchvision's features.N of each block's convolutions.
PLACES = {
    16: [[0, 2], [5, 7], [10, 12, 14], [17, 19, 21], [24, 26, 28]],
    19: [[0, 2], [5, 7], [10, 12, 14, 16], [19, 21, 23, 25], [28, 30, 32, 34]],
}


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def weights(network):
    return {name: np.array(a) for name, a in tree_flatten(network.parameters())}


def convolved(x, weight, bias):
    """Convolve as the definition says: (H, W, I), (O, 3, 3, I) -> (H, W, O)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, [(1, 1), (1, 1), (0, 0)]), (3, 3), (0, 1))
    return np.einsum("hwiab,oabi->hwo", windows, weight, optimize=True) + bias


def by_numpy(found, depth, x, blocks):
    """Return every activation of a picture (H, W, 3) up to a block."""
    x, all_of_them = (x - MEAN) / STD, {}
    for block, places in enumerate(PLACES[depth][:blocks], 1):
        for number, place in enumerate(places, 1):
            x = convolved(x, found[f"features.{place}.weight"], found[f"features.{place}.bias"])
            all_of_them[f"conv{block}_{number}"] = x
            x = all_of_them[f"relu{block}_{number}"] = x.clip(0)
        x = x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2]
        x = np.maximum(np.maximum(x[::2, ::2], x[1::2, ::2]), np.maximum(x[::2, 1::2], x[1::2, 1::2]))
        all_of_them[f"pool{block}"] = x
    return all_of_them


def with_biases(network, seed=3):
    """Let biases count in a comparison."""
    rng = np.random.default_rng(seed)
    biases = [(name, a) for name, a in tree_flatten(network.parameters()) if name.endswith("bias")]
    drawn = [(name, mx.array(rng.normal(0, 0.3, a.shape).astype(np.float32))) for name, a in biases]
    network.load_weights(drawn, strict=False)
    return network


@pytest.mark.parametrize(("depth", "parameters"), [(16, 14_714_688), (19, 20_024_384)])
def test_parameters_are_as_many_and_called_as_torchvisions(depth, parameters):
    found = tree_flatten(VGG(depth).parameters())
    assert sum(a.size for _, a in found) == parameters
    places = [place for block in PLACES[depth] for place in block]
    assert {name for name, _ in found} == {f"features.{p}.{kind}" for p in places for kind in ("weight", "bias")}


@pytest.mark.parametrize(("depth", "last"), [(16, "relu5_3"), (19, "relu5_4")])
def test_layers_are_named_in_order(depth, last):
    layers = VGG(depth).layers
    assert layers[:5] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1")
    assert layers[-2:] == (last, "pool5")
    assert len(layers) == 2 * (depth - 3) + 5


@pytest.mark.parametrize("depth", [16, 19])
def test_activations_are_numpys(depth):
    network, x = with_biases(VGG(depth, seed=1)), picture(21, 18, 3)  # odd sides, here and after a pooling
    expected = by_numpy(weights(network), depth, x, 4)
    found = network(mx.array(x)[None], list(expected))
    assert list(found) == list(expected)
    for name, activation in expected.items():
        np.testing.assert_allclose(np.array(found[name])[0], activation, rtol=0, atol=ROUNDING, err_msg=name)


@pytest.mark.parametrize("depth", [16, 19])
def test_activations_and_gradients_are_pytorchs(depth):
    torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")
    network, x = with_biases(VGG(depth, seed=2)), picture(2, 35, 33, 3)
    modules, inputs = [], 3
    for width, places in zip((64, 128, 256, 512, 512), PLACES[depth], strict=True):
        for _ in places:
            modules += [torch.nn.Conv2d(inputs, width, 3, padding=1), torch.nn.ReLU()]
            inputs = width
        modules.append(torch.nn.MaxPool2d(2))
    features = torch.nn.Sequential(*modules)
    state = {name.removeprefix("features."): torch.from_numpy(a.copy()) for name, a in weights(network).items()}
    features.load_state_dict({k: a.permute(0, 3, 1, 2) if a.ndim == 4 else a for k, a in state.items()})
    source = torch.from_numpy(x).requires_grad_()
    y, expected = ((source - torch.from_numpy(MEAN)) / torch.from_numpy(STD)).permute(0, 3, 1, 2), {}
    for name, module in zip(network.layers, features, strict=True):
        y = module(y)
        expected[name] = y
    found = network(mx.array(x), network.layers)
    for name, activation in expected.items():
        there = activation.detach().permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(np.array(found[name]), there, rtol=0, atol=ROUNDING, err_msg=name)
    expected["conv4_2"].square().mean().backward()
    gradient = mx.grad(lambda x: mx.square(network(x, ["conv4_2"])["conv4_2"]).mean())(mx.array(x))
    np.testing.assert_allclose(gradient, source.grad.numpy(), rtol=0, atol=ROUNDING * float(source.grad.abs().max()))


def test_nothing_behind_the_last_layer_is_computed():
    network = VGG(19)
    for name in ("features.16", "features.19", "features.34"):  # conv3_4, conv4_1, conv5_4
        network.features[int(name.split(".")[1])] = None  # type: ignore[call-overload]
    found = network(mx.zeros((1, 16, 16, 3)), ["relu3_3", "conv1_1"])
    assert {name: a.shape for name, a in found.items()} == {"relu3_3": (1, 4, 4, 256), "conv1_1": (1, 16, 16, 64)}
    with pytest.raises(TypeError):
        network(mx.zeros((1, 16, 16, 3)), ["conv3_4"])


def test_the_seed_alone_draws_the_weights():
    mx.random.seed(4)
    before = np.array(mx.random.state[0])
    first, again, other = (weights(VGG(16, seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(np.array(mx.random.state[0]), before)
    for name, array in first.items():
        np.testing.assert_array_equal(again[name], array)
        if name.endswith("weight"):
            assert np.abs(other[name] - array).max() > 0.01
            fan_in = array[0].size
            assert array.std() == pytest.approx(np.sqrt(2 / 1.04 / fan_in), rel=0.05)


def test_a_layer_in_the_list_twice_is_returned_once():
    assert list(VGG(16)(mx.zeros((1, 4, 4, 3)), ["relu1_1", "relu1_1"])) == ["relu1_1"]


@pytest.mark.parametrize("layers", ["relu1_1", [], ["relu1_3"], ["conv1_1", "fc6"]])
def test_other_layers_are_refused(layers):
    with pytest.raises(ValueError, match=re.escape("VGG expects layers among conv1_1, relu1_1, ")) as raised:
        VGG(16)(mx.zeros((1, 32, 32, 3)), layers)
    assert str(raised.value).endswith(f"pool5, got {layers!r}")


@pytest.mark.parametrize(
    ("shape", "layer", "least"),
    [
        ((1, 3, 8, 3), "conv3_1", 4),
        ((1, 32, 31, 3), "pool5", 32),
        ((8, 8, 3), "conv1_1", 1),
        ((1, 8, 8, 1), "conv1_1", 1),
    ],
)
def test_pictures_that_do_not_fit_are_refused(shape, layer, least):
    with pytest.raises(ValueError, match=re.escape(f"H and W from {least} for these, got {shape}")):
        VGG(16)(mx.zeros(shape), [layer])


def test_another_depth_is_refused():
    with pytest.raises(ValueError, match=re.escape("VGG expects depth in (16, 19), got 11")):
        VGG(11)  # type: ignore[arg-type]
