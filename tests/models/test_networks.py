from functools import partial
from itertools import pairwise

from d2f_mlx.models import DIANet, Harmony, Independent, ReconstructorConfig, UNet
from d2f_mlx.models.layers import activate

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

ROUNDING = 1e-5  # of outputs of order one
UNTOUCHED = 1e-6  # outputs out of reach: only the order of sums may differ
U32 = (4, 8, 16, 24, 32)
D24 = (8, 12, 16, 24)


def unet(inputs=3, outputs=3, widths=U32):
    return UNet(inputs, outputs, widths)


def dianet(inputs=3, outputs=3, widths=D24):
    return DIANet(inputs, outputs, widths)


NETWORKS = {
    "unet": unet,
    "dianet": dianet,
    "independent unet": lambda: Independent(partial(unet, 1, 1)),
    "independent dianet": lambda: Independent(partial(dianet, 1, 1)),
    "harmony unet": lambda: Harmony(Independent(partial(unet, 1, 1))),
    "harmony dianet": lambda: Harmony(Independent(partial(dianet, 1, 1))),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    mx.random.seed(0)
    return NETWORKS[request.param]()


def normal(*shape, seed=0):
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def parameters(network):
    return sum(a.size for _, a in tree_flatten(network.parameters()))


def gradients(network, x):
    loss = nn.value_and_grad(network, lambda x: mx.square(network(x) - 1).mean())
    return {name: np.array(g) for name, g in tree_flatten(loss(x)[1])}


# The notes: UNet512's deepest tensor is 512x16x16 for a 256 crop, DIANet's 24x1024x1024 for one of 128.
@pytest.mark.parametrize("width", [128, 512])
def test_unets_deepest_tensor_is_the_notes(width):
    skips = unet(3, 3, ReconstructorConfig(width=width).widths).encoded(mx.zeros((1, 256, 256, 3)))
    assert skips[-1].shape == (1, 16, 16, width)
    assert [s.shape[1] for s in skips] == [256, 128, 64, 32, 16]


def test_dianets_deepest_tensor_is_the_notes():
    tensors = dianet(3, 3, ReconstructorConfig("dianet").widths).encoded(mx.zeros((1, 128, 128, 3)))
    assert tensors[-1].shape == (1, 1024, 1024, 24)
    assert [t.shape[1] for t in tensors] == [128, 256, 512, 1024]


def count_conv(inputs, outputs, taps=9):
    return taps * inputs * outputs + outputs


def count_unet(inputs, outputs, widths):
    total = count_conv(inputs, widths[0]) + count_conv(widths[0], outputs)
    total += sum(count_conv(w, w) for w in widths)
    for fine, coarse in pairwise(widths):
        total += count_conv(fine, coarse, 4) + 4 * coarse * fine + fine  # down and up
        total += count_conv(fine, fine) + count_conv(2 * fine, fine)  # lift and decode
    return total


def count_dianet(inputs, outputs, widths):
    total = count_conv(inputs, widths[0]) + count_conv(widths[0], widths[0]) + count_conv(widths[0], outputs)
    for coarse, fine in pairwise(widths):
        total += 4 * coarse * fine + fine + count_conv(fine, coarse, 4) + count_conv(2 * coarse, coarse)
    return total


@pytest.mark.parametrize(("width", "expected"), [(128, 844_163), (512, 13_465_091)], ids=["UNet128", "UNet512"])
def test_unets_parameters_are_counted(width, expected):
    widths = ReconstructorConfig(width=width).widths
    assert parameters(unet(12, 3, widths)) == count_unet(12, 3, widths) == expected


def test_dianets_parameters_are_counted():
    widths = ReconstructorConfig("dianet").widths
    assert parameters(dianet(12, 3, widths)) == count_dianet(12, 3, widths) == 15_527


def test_harmony_adds_two_convolutions_to_three_networks():
    harmony = NETWORKS["harmony unet"]()
    assert parameters(harmony) == 3 * count_unet(1, 1, U32) + count_conv(3, 16) + count_conv(16, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (17, 16), (31, 33)])
def test_any_height_and_width(network, size):
    out = network(normal(2, *size, 3))
    assert out.shape == (2, *size, 3)
    assert np.isfinite(np.array(out)).all()


@pytest.mark.parametrize("size", [(7, 21), (16, 5)])
def test_unet_on_an_odd_picture_is_unet_on_one_padded_with_zeros(size):
    mx.random.seed(1)
    network, x = unet(), normal(1, *size, 3)
    padded = mx.pad(x, [(0, 0), (0, 32 - size[0]), (0, 32 - size[1]), (0, 0)])
    inside = padded[:, : -(-size[0] // 16) * 16, : -(-size[1] // 16) * 16]
    np.testing.assert_allclose(network(x), network(inside)[:, : size[0], : size[1]], rtol=0, atol=ROUNDING)


def test_dianet_equals_its_layers_in_the_ordinary_layout():
    mx.random.seed(2)
    network, x = dianet(), normal(2, 5, 7, 3)
    *skips, inner = network.encoded(x)
    for level in (2, 1, 0):
        inner = activate(network.down[level](inner))
        inner = activate(network.decode[level](mx.concatenate([inner, skips[level]], axis=-1)))
    np.testing.assert_allclose(network(x), network.head(inner), rtol=0, atol=ROUNDING)


def touched(network, side, row, column, channel=1):
    """Where and how much an input pixel changes the outputs."""
    x = normal(1, side, side, 3, seed=5)
    changed = np.array(x)
    changed[0, row, column, channel] += 10
    return np.abs(np.array(network(mx.array(changed)) - network(x)))[0]


@pytest.mark.parametrize("offset", [(0, 0), (7, 15), (15, 3)])
def test_reach_bounds_an_inputs_influence(network, offset):
    margin = network.reach + 5
    side = -(-(2 * margin + 17) // 16) * 16
    row, column = (side // 32 * 16 + o for o in offset)
    difference = touched(network, side, row, column).max(-1)
    rows, columns = np.mgrid[:side, :side]
    away = np.maximum(abs(rows - row), abs(columns - column))
    assert away.max() > network.reach
    assert difference[away > network.reach].max() < UNTOUCHED
    assert difference[row, column] > 100 * UNTOUCHED


def test_unets_reach_is_attained():
    network = unet(1, 1)
    network.apply(lambda a: mx.full(a.shape, 0.1))  # nothing can cancel
    x = mx.zeros((1, 192, 192, 1))
    gradient = mx.grad(lambda x, row: network(x)[0, row, 96, 0])
    found = [np.flatnonzero(np.array(gradient(x, row))[0, :, 96, 0]) for row in range(96, 112)]
    assert max(row - f.min() for row, f in zip(range(96, 112), found, strict=True)) == network.reach
    assert max(f.max() - row for row, f in zip(range(96, 112), found, strict=True)) == network.reach


@pytest.mark.parametrize("name", ["independent unet", "independent dianet"])
def test_independent_channels_never_mix(name):
    difference = touched(NETWORKS[name](), 32, 9, 20, channel=1)
    np.testing.assert_array_equal(difference[..., [0, 2]], 0)
    assert difference[..., 1].max() > 0


def test_independent_networks_get_their_channel_of_every_group():
    network, x = Independent(partial(unet, 2, 1)), normal(1, 16, 16, 6)
    for c in range(3):
        alone = network.channels[c](mx.stack([x[..., c], x[..., 3 + c]], axis=-1))
        np.testing.assert_allclose(network(x)[..., c : c + 1], alone, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("name", ["harmony unet", "harmony dianet", "unet", "dianet"])
def test_joint_and_harmonised_channels_mix(name):
    mx.random.seed(0)
    assert (touched(NETWORKS[name](), 32, 9, 20, channel=1).max((0, 1)) > 1e-4).all()


def test_harmony_corrects_what_the_network_rebuilt():
    harmony, x = NETWORKS["harmony dianet"](), normal(1, 8, 8, 3)
    harmony.head.weight = mx.zeros_like(harmony.head.weight)
    harmony.head.bias = mx.array([0.5, 0.0, -1.0])
    np.testing.assert_allclose(harmony(x), harmony.network(x) + harmony.head.bias, rtol=0, atol=ROUNDING)


def test_every_weight_has_a_finite_gradient_that_is_not_zero(network):
    for name, gradient in gradients(network, normal(2, 32, 32, 3)).items():
        assert np.isfinite(gradient).all(), name
        assert np.abs(gradient).max() > 0, name


def test_a_gradient_is_the_slope_of_the_loss(network):
    """Compare with central differences along the gradient itself."""
    x = normal(1, 16, 16, 3)
    slopes = gradients(network, x)
    before = dict(tree_flatten(network.parameters()))
    norm = np.sqrt(sum(np.square(g).sum() for g in slopes.values()))

    def loss(step):
        network.load_weights([(name, a + step * slopes[name] / norm) for name, a in before.items()])
        return mx.square(network(x) - 1).mean().item()

    step = 1e-2
    # Loss of order one in float32 and kinks of the leaky ReLU: a percent.
    np.testing.assert_allclose((loss(step) - loss(-step)) / (2 * step), norm, rtol=0.01)
