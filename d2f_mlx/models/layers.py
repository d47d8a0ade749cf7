"""The networks' layers; `convolution` makes them fast."""

from __future__ import annotations

import math

import mlx.core as mx
import mlx.nn as nn

from .convolution import conv, depth_to_space, space_to_depth


class Conv3x3(nn.Module):
    """A 3x3 convolution with bias, stride 1, zero padding; weights (O, 3, 3, I) as in `mlx.nn.Conv2d`.

    The weights are drawn with a key, or where None from MLX's global state.
    """

    def __init__(self, inputs: int, outputs: int, key: mx.array | None = None) -> None:
        super().__init__()
        self.weight = _he_normal((outputs, 3, 3, inputs), 9 * inputs, key)
        self.bias = mx.zeros((outputs,))

    def __call__(self, x: mx.array) -> mx.array:
        """Convolve and add the bias."""
        return conv(x, self.weight, padding=1) + self.bias


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
        return depth_to_space(self.blocks(x), 2)


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
        return self.from_blocks(space_to_depth(x, 2))


def _he_normal(shape: tuple[int, ...], fan_in: int, key: mx.array | None = None) -> mx.array:
    """Draw weights for leaky ReLU (slope 0.2).

    Reference: He et al. 2015, 'Delving deep into rectifiers', section 2.2. arXiv:1502.01852
    """
    return mx.random.normal(shape, key=key) * math.sqrt(2 / (1 + 0.2**2) / fan_in)


@mx.custom_function
def _activated(x: mx.array) -> mx.array:
    return mx.maximum(x, 0.2 * x)


@_activated.vjp
def _activated_vjp(primals, cotangent, output):
    return mx.where(output > 0, cotangent, 0.2 * cotangent)


def activate(x: mx.array) -> mx.array:
    """Apply leaky ReLU with slope 0.2; the backward pass asks its output, so that its input need not be kept."""
    return _activated(x)  # type: ignore[return-value]


def padded_to(x: mx.array, multiple: int) -> mx.array:
    """Pad at the bottom and right with zeros until height and width are multiples.

    Shape: (B, H, W, C) -> (B, ceil(H / m) m, ceil(W / m) m, C)
    """
    down, right = -x.shape[1] % multiple, -x.shape[2] % multiple
    return mx.pad(x, [(0, 0), (0, down), (0, right), (0, 0)]) if down or right else x
