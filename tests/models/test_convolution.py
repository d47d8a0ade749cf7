from d2f_mlx.models import convolution
from d2f_mlx.models.convolution import conv, conv_transpose, depthwise, native, space_to_depth, upsample2

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

ROUNDING = 1e-5  # of the largest value: float32 sums in another order
SIZES = [(1, 1, 1), (1, 1, 6), (2, 9, 12), (1, 17, 33), (1, 40, 41)]
KERNELS = [(1, 1), (2, 2), (3, 3), (4, 3), (7, 7)]


def normal(*shape, seed=0):
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def assert_same_function(found, expected, *arguments):
    """Compare outputs, and the gradients of a random projection of them by every argument, eager and compiled."""
    output = expected(*arguments)
    projection = normal(*output.shape, seed=9)

    def everything(function):
        gradient = mx.grad(lambda *a: (function(*a) * projection).sum(), argnums=list(range(len(arguments))))
        return lambda *a: (function(*a), *gradient(*a))

    wanted = everything(expected)(*arguments)
    for run in (everything(found), mx.compile(everything(found))):
        for ours, theirs in zip(run(*arguments), wanted, strict=True):
            assert ours.shape == theirs.shape
            largest = max(1.0, float(mx.abs(theirs).max()))
            np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=0, atol=ROUNDING * largest)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (1, 3), (2, 0), (2, 1), (3, 2)])
def test_convolution_equals_the_native_one(size, kernel, stride, padding):
    x, weight = normal(*size, 5), normal(4, *kernel, 5, seed=1)
    if min(size[1] - kernel[0], size[2] - kernel[1]) + 2 * padding < 0:
        with pytest.raises(ValueError, match="at least the kernel's size"):
            conv(x, weight, stride, padding)
        return
    assert_same_function(
        lambda x, w: conv(x, w, stride, padding),
        lambda x, w: mx.conv2d(x, w, stride=stride, padding=padding),
        x,
        weight,
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((1, 1), 1, 0), ((2, 2), 2, 0), ((3, 3), 2, 1), ((4, 4), 2, 1), ((5, 4), 3, 0), ((2, 3), 3, 0)],
)
def test_transposed_convolution_equals_the_native_one(size, kernel, stride, padding):
    assert_same_function(
        lambda x, w: conv_transpose(x, w, stride, padding),
        lambda x, w: mx.conv_transpose2d(x, w, stride=stride, padding=padding),
        normal(*size, 5),
        normal(4, *kernel, 5, seed=1),
    )


@pytest.mark.parametrize("size", SIZES[2:])
@pytest.mark.parametrize(("kernel", "padding"), [((1, 1), 0), ((3, 3), 1), ((5, 4), 0), ((7, 7), 3)])
def test_depthwise_convolution_equals_the_native_one_in_groups(size, kernel, padding):
    assert_same_function(
        lambda x, w: depthwise(x, w, padding),
        lambda x, w: mx.conv2d(x, w, padding=padding, groups=5),
        normal(*size, 5),
        normal(5, *kernel, 1, seed=1),
    )


@pytest.mark.parametrize("size", SIZES)
def test_upsampling_equals_the_native_one(size):
    assert_same_function(upsample2, nn.Upsample(2, "linear"), normal(*size, 3))


def test_small_and_large_maps_take_different_ways_to_the_same_result(monkeypatch):
    x, weight = normal(3, 4, 5, 2), normal(2, 3, 3, 2, seed=1)
    results = []
    for limit in (0.0, np.inf):
        monkeypatch.setattr(convolution, "_SMALL", limit)
        results.append(np.array(conv(x, weight, padding=1)))
    np.testing.assert_allclose(*results, rtol=0, atol=ROUNDING * np.abs(results[0]).max())


def test_pictures_of_a_batch_do_not_touch():
    x, weight = normal(3, 40, 50, 2), normal(2, 3, 3, 2, seed=1)
    apart = mx.concatenate([conv(x[i : i + 1], weight, padding=1) for i in range(3)])
    np.testing.assert_allclose(np.array(conv(x, weight, padding=1)), np.array(apart), rtol=0, atol=1e-4)


def test_channels_that_miss_metals_fast_paths_are_filled_up(monkeypatch):
    x, weight = normal(2, 9, 8, 12), normal(24, 3, 3, 12, seed=1)
    seen = []
    plain = mx.conv2d
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "conv2d", lambda x, w, **k: seen.append((x.shape[3], *w.shape)) or plain(x, w, **k))
    found = native(x, weight, padding=1)
    assert seen == [(16, 32, 3, 3, 16)]
    np.testing.assert_allclose(np.array(found), np.array(plain(x, weight, padding=1)), rtol=0, atol=1e-4)


def test_a_gpu_takes_the_native_operations(monkeypatch):
    x, weight, each = normal(1, 9, 8, 3), normal(2, 3, 3, 3, seed=1), normal(3, 3, 3, 1, seed=2)
    on_cpu = [conv(x, weight, 2, 1), conv_transpose(x, weight, 2), depthwise(x, each, 1)]
    monkeypatch.setattr(convolution, "on_gpu", lambda: True)
    for name in ("_convolution", "_depthwise"):
        monkeypatch.setattr(convolution, name, None)
    on_gpu = [conv(x, weight, 2, 1), conv_transpose(x, weight, 2), depthwise(x, each, 1)]
    for ours, theirs in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=0, atol=1e-4)


def test_blocks_of_pixels_lie_along_the_channels():
    x = mx.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    blocks = np.array(space_to_depth(x, 2))
    np.testing.assert_array_equal(blocks[1, 1, 2], np.array(x[1, 2:4, 4:6]).reshape(-1))
    np.testing.assert_array_equal(np.array(convolution.depth_to_space(mx.array(blocks), 2)), np.array(x))


def test_channels_must_match():
    with pytest.raises(ValueError, match="conv expects 3 channels"):
        conv(normal(1, 9, 9, 4), normal(2, 3, 3, 3))
