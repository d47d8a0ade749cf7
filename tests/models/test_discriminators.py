from d2f_mlx.models import MultiscaleDiscriminator, PatchDiscriminator
from d2f_mlx.models.discriminators import SpectralConv, reflected

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

ROUNDING = 1e-5


def parameters(network):
    return sum(array.size for name, array in tree_flatten(network.parameters()) if not name.endswith("direction"))


def test_parameter_counts_are_the_published_ones():
    assert parameters(MultiscaleDiscriminator()) == 4_633_632  # UEGAN
    assert parameters(PatchDiscriminator()) == 2_764_737  # PatchGAN of 70 pixels, as published with CycleGAN


def test_the_largest_singular_value_becomes_one():
    mx.random.seed(0)
    layer = SpectralConv(5, 8, 3)
    layer.iterate(200)
    matrix = np.array(layer.weight).reshape(8, -1)
    expected = matrix / np.linalg.svd(matrix, compute_uv=False)[0]
    np.testing.assert_allclose(np.array(layer.normalised()).reshape(8, -1), expected, rtol=0, atol=ROUNDING)


def test_gradients_pass_through_the_singular_value_and_not_through_its_vectors():
    mx.random.seed(1)
    layer = SpectralConv(2, 3, 3)
    layer.iterate(3)
    weight, left = np.array(layer.weight, np.float64).reshape(3, -1), np.array(layer.direction, np.float64)
    right = left @ weight
    right /= np.linalg.norm(right)
    probe = np.random.default_rng(0).normal(size=weight.shape)

    def value(matrix):
        return (matrix / (left @ matrix @ right) * probe).sum()

    def ours(weights):
        layer.weight = weights
        return (layer.normalised().reshape(3, -1) * mx.array(probe, mx.float32)).sum()

    found = np.array(mx.grad(ours)(layer.weight)).reshape(3, -1)
    step = 1e-6 * np.eye(weight.size).reshape(-1, *weight.shape)
    expected = np.array([(value(weight + s) - value(weight - s)) / 2e-6 for s in step]).reshape(weight.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_the_direction_is_no_weight_to_learn_and_is_kept_with_them():
    layer = SpectralConv(2, 3, 3)
    assert set(layer.trainable_parameters()) == {"weight", "bias"}
    assert set(layer.parameters()) == {"weight", "bias", "direction"}


def test_borders_are_mirrored_as_numpy_does():
    x = np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = np.pad(x, [(0, 0), (3, 3), (3, 3), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(np.array(reflected(mx.array(x), 3)), expected)
    with pytest.raises(ValueError, match="larger than 5"):
        reflected(mx.array(x), 5)


@pytest.mark.parametrize(
    ("network", "sizes"),
    [(lambda: PatchDiscriminator(6, 8, 2), [14]), (lambda: MultiscaleDiscriminator(6, [8, 16], (7, 5)), [32, 16])],
)
def test_logits_are_one_map_a_scale_compiled_or_not(network, sizes):
    mx.random.seed(2)
    network = network()
    network.iterate(5)
    x = mx.random.normal((2, 64, 64, 6))
    found = network(x)
    assert [logits.shape for logits in found] == [(2, size, size, 1) for size in sizes]
    for eager, compiled in zip(found, mx.compile(network.__call__)(x), strict=True):
        np.testing.assert_allclose(np.array(compiled), np.array(eager), rtol=0, atol=ROUNDING)
