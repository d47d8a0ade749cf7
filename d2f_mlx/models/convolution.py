"""Convolutions that are matrix products where MLX's CPU path is a naive loop, and native on the GPU.

Each equals MLX's own operation, forward and gradient, to rounding. `benchmarks/layers.py` shows what each gains. MLX's
own pooling (of windows that do not overlap) and nearest up-sampling need no help: they are reshapes there too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mlx.core as mx

from ..backend import on_gpu

# Where MLX's own are faster: maps that padding enlarges more than this, and weights of fewer channels' gradients.
_SMALL = 1.25
_FEW = 32


def conv(x: mx.array, weight: mx.array, stride: int = 1, padding: int = 0) -> mx.array:
    """Convolve, with zeros around the picture, as `mlx.core.conv2d` does.

    A stride is taken out first: each block of stride x stride pixels becomes one pixel with as many times the channels,
    and the kernel likewise, so that a convolution of stride 1 is left.

    Shape: x (B, H, W, I), weight (O, kh, kw, I) -> (B, (H + 2 p - kh) // s + 1, (W + 2 p - kw) // s + 1, O)
    Raises: ValueError for channels that do not match, or a picture smaller than the kernel.
    """
    _, height, width, inputs = x.shape
    _, down, right, expected = weight.shape
    if inputs != expected or min(height + 2 * padding - down, width + 2 * padding - right) < 0:
        raise ValueError(f"conv expects {expected} channels and at least the kernel's size, got {x.shape}")
    if on_gpu():
        return native(x, weight, stride, padding)
    if stride > 1:
        x, weight = _in_blocks(x, weight, stride, padding)
        padding = 0
    return _convolution(padding)(x, weight)


def conv_transpose(x: mx.array, weight: mx.array, stride: int = 1, padding: int = 0) -> mx.array:
    """Convolve transposed, as `mlx.core.conv_transpose2d` does: a convolution to blocks of stride x stride pixels.

    Shape: x (B, H, W, I), weight (O, kh, kw, I) -> (B, (H - 1) s + kh - 2 p, (W - 1) s + kw - 2 p, O)
    """
    if on_gpu():
        return mx.conv_transpose2d(x, weight, stride=stride, padding=padding)
    outputs, down, right, inputs = weight.shape
    high, wide = -(-down // stride), -(-right // stride)
    weight = mx.pad(weight, [(0, 0), (0, high * stride - down), (0, wide * stride - right), (0, 0)])
    weight = weight.reshape(outputs, high, stride, wide, stride, inputs).transpose(2, 4, 0, 1, 3, 5)
    weight = weight[:, :, :, ::-1, ::-1].reshape(-1, high, wide, inputs)
    bottom, end = (x.shape[1] - 1) * stride + down - padding, (x.shape[2] - 1) * stride + right - padding
    x = mx.pad(x, [(0, 0), (high - 1, high - 1), (wide - 1, wide - 1), (0, 0)])
    return depth_to_space(_convolution(0)(x, weight), stride)[:, padding:bottom, padding:end]


def depthwise(x: mx.array, weight: mx.array, padding: int = 0) -> mx.array:
    """Convolve each channel with a kernel of its own, as `mlx.core.conv2d` does with as many groups as channels.

    Shape: x (B, H, W, C), weight (C, kh, kw, 1) -> (B, H + 2 p - kh + 1, W + 2 p - kw + 1, C)
    """
    if on_gpu():
        return mx.conv2d(x, weight, padding=padding, groups=x.shape[-1])
    padded = mx.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    return _depthwise(padded, weight)  # type: ignore[return-value]


def upsample2(x: mx.array) -> mx.array:
    """Double height and width by bilinear interpolation, as ``mlx.nn.Upsample(2, "linear")`` does.

    Shape: (B, H, W, C) -> (B, 2 H, 2 W, C)
    """
    for axis in (1, 2):
        first, others = mx.split(x, [1], axis)
        most, last = mx.split(x, [x.shape[axis] - 1], axis)
        earlier, later = mx.concatenate([first, most], axis), mx.concatenate([others, last], axis)
        pairs = mx.stack([0.25 * earlier + 0.75 * x, 0.75 * x + 0.25 * later], axis + 1)
        x = pairs.flatten(axis, axis + 1)
    return x


def space_to_depth(x: mx.array, size: int) -> mx.array:
    """Lay each block of pixels out along the channels: (B, H, W, C) -> (B, H / s, W / s, s * s * C)."""
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // size, size, width // size, size, channels).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, height // size, width // size, size * size * channels)


def depth_to_space(x: mx.array, size: int) -> mx.array:
    """Undo `space_to_depth`: (B, H, W, s * s * C) -> (B, s H, s W, C)."""
    batch, height, width, _ = x.shape
    blocks = x.reshape(batch, height, width, size, size, -1).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, size * height, size * width, -1)


def native(x: mx.array, weight: mx.array, stride: int = 1, padding: int = 0) -> mx.array:
    """Convolve with MLX's own kernels, with channels that miss Metal's fast paths filled up with zeros.

    Those want 4 input channels or fewer or a multiple of 16, and 16 outputs or fewer or a multiple of 16.

    Shape: as `conv`
    """
    outputs, _, _, inputs = weight.shape
    more_in = -inputs % 16 if inputs > 4 else 0
    more_out = -outputs % 16 if outputs > 16 else 0
    if mx.metal.is_available() and (more_in or more_out):
        x = mx.pad(x, [(0, 0)] * 3 + [(0, more_in)])
        weight = mx.pad(weight, [(0, more_out), (0, 0), (0, 0), (0, more_in)])
    return mx.conv2d(x, weight, stride=stride, padding=padding)[..., :outputs]


def _in_blocks(x: mx.array, weight: mx.array, stride: int, padding: int) -> tuple[mx.array, mx.array]:
    """Turn a convolution with a stride into one without, on blocks of pixels."""
    _, height, width, _ = x.shape
    _, down, right, _ = weight.shape
    high, wide = -(-down // stride), -(-right // stride)
    rows = ((height + 2 * padding - down) // stride + high) * stride  # what the last outputs' kernels reach
    columns = ((width + 2 * padding - right) // stride + wide) * stride
    x = x[:, : rows - padding, : columns - padding]
    x = mx.pad(x, [(0, 0), (padding, rows - padding - x.shape[1]), (padding, columns - padding - x.shape[2]), (0, 0)])
    weight = mx.pad(weight, [(0, 0), (0, high * stride - down), (0, wide * stride - right), (0, 0)])
    return space_to_depth(x, stride), space_to_depth(weight, stride)


@lru_cache
def _convolution(padding: int) -> Callable[..., Any]:
    """Return the convolution of stride 1 with so many zeros around, with its gradients."""

    @mx.custom_function
    def convolution(x: mx.array, weight: mx.array) -> mx.array:
        return _convolved(x, weight, padding, padding)

    @convolution.vjp
    def gradients(primals, cotangent, _):
        x, weight = primals
        _, down, right, _ = weight.shape
        x = mx.depends([x], [cotangent])[0]  # or its padded copy would be kept from the forward pass until now
        flipped = weight[:, ::-1, ::-1].transpose(3, 1, 2, 0)
        of_weight = _weight_gradient(x, cotangent, weight.shape, padding)
        # First the weight's, so that the cotangent need not wait for it until the whole chain has been gone through.
        cotangent = mx.depends([cotangent], [of_weight])[0]
        return _convolved(cotangent, flipped, down - 1 - padding, right - 1 - padding), of_weight

    return convolution


def _convolved(x: mx.array, weight: mx.array, over: int, beside: int) -> mx.array:
    """Convolve with zeros (or, where negative, less of the picture) around."""
    outputs, down, right, _ = weight.shape
    x = _padded(x, over, beside)
    batch, height, width, channels = x.shape
    inner = (height - down + 1, width - right + 1)
    if _is_small(x, inner):
        return mx.conv2d(x, weight)
    # A matrix product for each of the kernel's places, on shifted views of the flattened picture: no copies.
    flat = x.reshape(-1, channels)
    reach = (down - 1) * width + right - 1
    count = flat.shape[0] - reach
    out = None
    for start, (i, j) in _places(down, right, width):
        view, tap = flat[start : start + count], weight[:, i, j].T
        out = view @ tap if out is None else mx.addmm(out, view, tap)
    assert out is not None
    return mx.pad(out, [(0, reach), (0, 0)]).reshape(batch, height, width, outputs)[:, : inner[0], : inner[1]]


def _weight_gradient(x: mx.array, cotangent: mx.array, shape: tuple[int, ...], padding: int) -> mx.array:
    outputs, down, right, _ = shape
    x = _padded(x, padding, padding)
    if _is_small(x, cotangent.shape[1:3]) or max(outputs, x.shape[-1]) < _FEW:
        return mx.vjp(lambda weight: mx.conv2d(x, weight), [mx.zeros(shape, x.dtype)], [cotangent])[1][0]
    flat, row = x.reshape(-1, x.shape[-1]), x.shape[2]
    count = flat.shape[0] - (down - 1) * row - right + 1
    spread = mx.pad(cotangent, [(0, 0), (0, down - 1), (0, right - 1), (0, 0)]).reshape(-1, outputs)[:count].T
    taps = [spread @ flat[start : start + count] for start, _ in _places(down, right, row)]
    return mx.stack(taps, axis=1).reshape(shape)


def _padded(x: mx.array, over: int, beside: int) -> mx.array:
    """Put zeros around, or take rows and columns away."""
    if over < 0 or beside < 0:
        x = x[:, max(0, -over) : x.shape[1] - max(0, -over), max(0, -beside) : x.shape[2] - max(0, -beside)]
    over, beside = max(0, over), max(0, beside)
    if over or beside:
        x = mx.pad(x, [(0, 0), (over, over), (beside, beside), (0, 0)])
    return x


def _is_small(x: mx.array, inner: tuple[int, ...]) -> bool:
    """Tell whether most of a padded map is not worth the flat views' products."""
    return x.shape[1] * x.shape[2] > _SMALL * inner[0] * inner[1]


def _places(down: int, right: int, row: int) -> list[tuple[int, tuple[int, int]]]:
    """List where in a flattened picture each of a kernel's places begins."""
    return [(i * row + j, (i, j)) for i in range(down) for j in range(right)]


@mx.custom_function
def _depthwise(x: mx.array, weight: mx.array) -> mx.array:
    return _shifted_sums(x, weight)


@_depthwise.vjp
def _depthwise_vjp(primals, cotangent, _):
    x, weight = primals
    channels, down, right, _ = weight.shape
    around = mx.pad(cotangent, [(0, 0), (down - 1, down - 1), (right - 1, right - 1), (0, 0)])
    height, width = cotangent.shape[1:3]
    taps = [(x[:, i : i + height, j : j + width] * cotangent).sum((0, 1, 2)) for i in range(down) for j in range(right)]
    return _shifted_sums(around, weight[:, ::-1, ::-1]), mx.stack(taps, 1).reshape(channels, down, right, 1)


@mx.compile
def _shifted_sums(x: mx.array, weight: mx.array) -> mx.array:
    """Add up a padded picture's shifted views, each times a weight a channel, a row of the kernel at a time.

    Rows are flattened and the weights repeated along them, because MLX's fused CPU kernels vectorise where nothing is
    broadcast and inputs are few.
    """
    channels, down, right, _ = weight.shape
    batch, height, width = x.shape[0], x.shape[1] - down + 1, x.shape[2] - right + 1
    flat = x.reshape(batch, x.shape[1], -1)
    total = None
    for i in range(down):
        row = None
        for j in range(right):
            view = flat[:, i : i + height, j * channels : (j + width) * channels]
            part = view * mx.tile(weight[:, i, j, 0], width)
            row = part if row is None else row + part
        assert row is not None
        total = mx.contiguous(row) if total is None else mx.contiguous(total + row)
    assert total is not None
    return total.reshape(batch, height, width, channels)
