"""Layers whose forward and backward passes are matrix products where MLX's CPU path is a naive loop."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from ..backend import on_gpu


def _flat_conv3x3(x: mx.array, weight: mx.array) -> mx.array:
    """Convolve as nine matrix products on shifted views of one padded, flattened picture: no im2col, no copies."""
    batch, height, width, _ = x.shape
    outputs = weight.shape[0]
    flat, row = _padded(x)
    count = flat.shape[0] - 2 * row - 2
    out = None
    for i in range(3):
        for j in range(3):
            start, tap = i * row + j, weight[:, i, j].T
            view = flat[start : start + count]
            out = view @ tap if out is None else mx.addmm(out, view, tap)
    assert out is not None
    out = mx.pad(out, [(0, 2 * row + 2), (0, 0)]).reshape(batch, height + 2, row, outputs)
    return out[:, :height, :width]


def _padded(x: mx.array) -> tuple[mx.array, int]:
    """Pad by one pixel all round; return the rows of pixels, flat (N, C), and the padded width."""
    padded = mx.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    return padded.reshape(-1, x.shape[-1]), x.shape[2] + 2


@mx.custom_function
def _conv3x3(x: mx.array, weight: mx.array):
    return _flat_conv3x3(x, weight)


@_conv3x3.vjp
def _conv3x3_vjp(primals, cotangent, _):
    x, weight = primals
    flipped = weight[:, ::-1, ::-1].transpose(3, 1, 2, 0)
    flat, row = _padded(x)
    count = flat.shape[0] - 2 * row - 2
    grad = mx.pad(cotangent, [(0, 0), (0, 2), (0, 2), (0, 0)]).reshape(-1, weight.shape[0])[:count].T
    starts = [i * row + j for i in range(3) for j in range(3)]
    taps = mx.stack([grad @ flat[start : start + count] for start in starts], axis=1)
    return _flat_conv3x3(cotangent, flipped), taps.reshape(weight.shape)


def conv3x3(x: mx.array, weight: mx.array) -> mx.array:
    """Convolve with a 3x3 kernel, stride 1, zero padding: native on the GPU, as matrix products on the CPU.

    Shape: x (B, H, W, I), weight (O, 3, 3, I) -> (B, H, W, O)
    """
    return mx.conv2d(x, weight, padding=1) if on_gpu() else _conv3x3(x, weight)  # type: ignore[return-value]


class Conv3x3(nn.Module):
    """A 3x3 convolution with bias, stride 1, zero padding; weights (O, 3, 3, I) as in `mlx.nn.Conv2d`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = _he_normal((outputs, 3, 3, inputs), 9 * inputs)
        self.bias = mx.zeros((outputs,))

    def __call__(self, x: mx.array) -> mx.array:
        """Convolve and add the bias."""
        return conv3x3(x, self.weight) + self.bias


class Up2(nn.Module):
    """A transposed convolution with kernel 2 and stride 2, as one matrix product; weights (I, 2, 2, O).

    Shape: (B, H, W, I) -> (B, 2 H, 2 W, O)
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = _he_normal((inputs, 2, 2, outputs), inputs)
        self.bias = mx.zeros((outputs,))

    def blocks(self, x: mx.array) -> mx.array:
        """Return the output with each 2x2 block's pixels along the channels: (B, H, W, 2 * 2 * O)."""
        return x @ self.weight.reshape(x.shape[-1], -1) + mx.tile(self.bias, 4)

    def __call__(self, x: mx.array) -> mx.array:
        """Turn every pixel into a block of 2x2."""
        batch, height, width, _ = x.shape
        blocks = self.blocks(x).reshape(batch, height, width, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
        return blocks.reshape(batch, 2 * height, 2 * width, -1)


class Down2(nn.Module):
    """A convolution with kernel 2 and stride 2, as one matrix product; weights (O, 2, 2, I).

    Shape: (B, H, W, I), H and W even -> (B, H / 2, W / 2, O)
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = _he_normal((outputs, 2, 2, inputs), 4 * inputs)
        self.bias = mx.zeros((outputs,))

    def from_blocks(self, blocks: mx.array) -> mx.array:
        """Contract what `Up2.blocks` laid out: (B, H, W, 2 * 2 * I) -> (B, H, W, O)."""
        return blocks @ self.weight.reshape(-1, blocks.shape[-1]).T + self.bias

    def __call__(self, x: mx.array) -> mx.array:
        """Turn every block of 2x2 into a pixel."""
        batch, height, width, inputs = x.shape
        blocks = x.reshape(batch, height // 2, 2, width // 2, 2, inputs).transpose(0, 1, 3, 2, 4, 5)
        return self.from_blocks(blocks.reshape(batch, height // 2, width // 2, 4 * inputs))


def _he_normal(shape: tuple[int, ...], fan_in: int) -> mx.array:
    """Draw weights for leaky ReLU (slope 0.2).

    Reference: He et al. 2015, 'Delving deep into rectifiers', section 2.2. arXiv:1502.01852
    """
    return mx.random.normal(shape) * math.sqrt(2 / (1 + 0.2**2) / fan_in)


def activate(x: mx.array) -> mx.array:
    """Apply leaky ReLU with slope 0.2."""
    return mx.maximum(x, 0.2 * x)


def padded_to(x: mx.array, multiple: int) -> mx.array:
    """Pad at the bottom and right with zeros until height and width are multiples.

    Shape: (B, H, W, C) -> (B, ceil(H / m) m, ceil(W / m) m, C)
    """
    down, right = -x.shape[1] % multiple, -x.shape[2] % multiple
    return mx.pad(x, [(0, 0), (0, down), (0, right), (0, 0)]) if down or right else x
