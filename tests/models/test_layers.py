from d2f_mlx.models.layers import Conv3x3, Down2, Up2, activate, padded_to

import mlx.core as mx
import numpy as np
import pytest

# Sums of at most a few hundred products of order one, in float32.
ROUNDING = 1e-4
SIZES = [(1, 1, 1), (1, 1, 6), (2, 5, 1), (3, 4, 4), (2, 7, 9)]


def normal(*shape, seed=0):
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def close(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=0, atol=ROUNDING)


def values_and_gradients(function, *arguments):
    """Return the output, and the gradients of a random projection of it by every argument."""
    output = function(*arguments)
    projection = normal(*output.shape, seed=9)
    scalar = lambda *a: (function(*a) * projection).sum()  # noqa: E731
    return output, *mx.grad(scalar, argnums=list(range(len(arguments))))(*arguments)


def assert_same_function(found, expected, *arguments):
    for f, e in zip(values_and_gradients(found, *arguments), values_and_gradients(expected, *arguments), strict=True):
        close(f, e)


def test_conv3x3_adds_its_bias():
    layer = Conv3x3(3, 4)
    layer.bias = normal(4)
    x = normal(2, 5, 6, 3)
    close(layer(x), mx.conv2d(x, layer.weight, padding=1) + layer.bias)


@pytest.mark.parametrize("size", SIZES)
def test_up2_equals_the_native_transposed_convolution(size):
    layer = Up2(5, 3)

    def found(x, weight, bias):
        layer.weight, layer.bias = weight, bias
        return layer(x)

    def native(x, weight, bias):
        return mx.conv_transpose2d(x, weight.transpose(3, 1, 2, 0), stride=2) + bias

    assert_same_function(found, native, normal(*size, 5), normal(5, 2, 2, 3, seed=1), normal(3, seed=2))


@pytest.mark.parametrize("size", [(1, 2, 2), (2, 6, 4), (1, 2, 10)])
def test_down2_equals_the_native_strided_convolution(size):
    layer = Down2(5, 3)

    def found(x, weight, bias):
        layer.weight, layer.bias = weight, bias
        return layer(x)

    def native(x, weight, bias):
        return mx.conv2d(x, weight, stride=2) + bias

    assert_same_function(found, native, normal(*size, 5), normal(3, 2, 2, 5, seed=1), normal(3, seed=2))


def test_blocks_pass_from_up2_to_down2_without_reordering():
    up, down = Up2(4, 6), Down2(6, 5)
    up.bias, down.bias = normal(6, seed=1), normal(5, seed=2)
    x = normal(2, 3, 5, 4)
    close(down.from_blocks(activate(up.blocks(x))), down(activate(up(x))))


def test_activation_is_leaky_relu_of_slope_a_fifth():
    np.testing.assert_array_equal(np.array(activate(mx.array([-5.0, -0.5, 0.0, 2.0]))), np.float32([-1, -0.1, 0, 2]))


@pytest.mark.parametrize(
    ("layer", "fan_in"), [(Conv3x3(64, 64), 9 * 64), (Up2(128, 64), 128), (Down2(64, 128), 4 * 64)]
)
def test_weights_have_the_deviation_of_he_and_biases_are_zero(layer, fan_in):
    # He et al. 2015, section 2.2, slope 0.2; the standard error for 32768 and more weights is 0.4 percent.
    np.testing.assert_allclose(np.array(layer.weight).std(), np.sqrt(2 / 1.04 / fan_in), rtol=0.02)
    np.testing.assert_array_equal(np.array(layer.bias), 0)


@pytest.mark.parametrize(
    ("size", "multiple", "expected"),
    [((5, 7), 4, (8, 8)), ((8, 16), 8, (8, 16)), ((1, 1), 16, (16, 16)), ((3, 5), 1, (3, 5)), ((17, 16), 16, (32, 16))],
)
def test_padded_to_adds_zeros_below_and_right(size, multiple, expected):
    x = normal(2, *size, 3)
    padded = np.array(padded_to(x, multiple))
    assert padded.shape == (2, *expected, 3)
    np.testing.assert_array_equal(padded[:, : size[0], : size[1]], np.array(x))
    assert np.count_nonzero(padded) == x.size


def test_the_activations_gradient_is_the_slope_on_either_side_and_the_lower_one_at_zero():
    gradient = mx.grad(lambda x: (activate(x) * mx.array([1.0, 2.0, 3.0, 4.0])).sum())
    np.testing.assert_allclose(np.array(gradient(mx.array([-5.0, -0.5, 0.0, 2.0]))), [0.2, 0.4, 0.6, 4], rtol=1e-6)
