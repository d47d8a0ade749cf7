"""The residual network that tells film from digital pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import mlx.core as mx
import mlx.nn as nn

from .convolution import conv

Depth = Literal[20, 32, 44, 56]

_WIDTHS = (16, 32, 64)
SMALLEST = 32
"""Side of the smallest picture that is taken: what the network was published for."""


@dataclass(frozen=True)
class ResNetConfig:
    """What a residual network is made of.

    Args:
        depth: Layers with weights: 20, 32, 44 or 56.
        outputs: Logits: 1 for binary, 2 for two-class cross entropy.
    """

    depth: Depth = 20
    outputs: int = 1

    def __post_init__(self) -> None:
        if self.depth not in get_args(Depth):
            raise ValueError(f"ResNetConfig expects a depth of {get_args(Depth)}, got {self.depth!r}")
        if self.outputs < 1:
            raise ValueError(f"ResNetConfig expects outputs >= 1, got {self.outputs}")


class _Conv(nn.Module):
    """A 3x3 convolution without bias; weights (O, 3, 3, I)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self._stride = stride
        self.weight = mx.random.normal((outputs, 3, 3, inputs)) * math.sqrt(2 / (9 * inputs))  # He et al. 2015

    def __call__(self, x: mx.array) -> mx.array:
        return conv(x, self.weight, self._stride, padding=1)


class _Block(nn.Module):
    """Two convolutions, and past them the input itself: every stride-th pixel, with zeros for channels it has not.

    Shape: (B, H, W, inputs) -> (B, ceil(H / stride), ceil(W / stride), outputs)
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self._stride, self._more = outputs // inputs, outputs - inputs
        self.conv1, self.norm1 = _Conv(inputs, outputs, self._stride), nn.BatchNorm(outputs)
        self.conv2, self.norm2 = _Conv(outputs, outputs), nn.BatchNorm(outputs)

    def __call__(self, x: mx.array) -> mx.array:
        out = nn.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        if self._more:
            x = x[:, :: self._stride, :: self._stride]
            x = mx.pad(x, [(0, 0)] * 3 + [(self._more // 2, self._more // 2)])
        return nn.relu(out + x)


class ResNet(nn.Module):
    """Classify pictures: a stem, three stages of blocks at 16, 32 and 64 channels, the mean over the picture.

    Any height and width from 32 up: the notes' were 224.

    Args:
        config: What it is made of.

    Shape: (B, H, W, 3) -> (B, outputs)
    Range: pictures in [-1, 1]; logits
    Reference: He et al. 2016, 'Deep residual learning for image recognition', section 4.2, shortcuts of option A.
        arXiv:1512.03385
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self._config = config
        self.stem, self.norm = _Conv(3, _WIDTHS[0]), nn.BatchNorm(_WIDTHS[0])
        widths = [width for width in _WIDTHS for _ in range((config.depth - 2) // 6)]
        self.blocks = [_Block(a, b) for a, b in zip([_WIDTHS[0], *widths], widths, strict=False)]
        self.head = nn.Linear(_WIDTHS[-1], config.outputs)

    @property
    def config(self) -> ResNetConfig:
        """What it is made of."""
        return self._config

    def __call__(self, x: mx.array) -> mx.array:
        """Return a batch's logits.

        Raises: ValueError for pictures that are too small or not RGB.
        """
        if x.ndim != 4 or x.shape[3] != 3 or min(x.shape[1:3]) < SMALLEST:
            raise ValueError(f"ResNet expects (B, H, W, 3) of {SMALLEST} x {SMALLEST} or more, got {x.shape}")
        x = nn.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))  # (B, H / 4, W / 4, 64) -> (B, outputs)

    def film_logit(self, x: mx.array) -> mx.array:
        """Return the logit of 'this is film': the one output, or how far the second exceeds the first.

        Shape: (B, H, W, 3) -> (B,)
        Raises: ValueError for more than two outputs.
        """
        if self._config.outputs > 2:
            raise ValueError(f"film_logit expects a network of 1 or 2 outputs, got {self._config.outputs}")
        logits = self(x)
        return logits[:, 0] if self._config.outputs == 1 else logits[:, 1] - logits[:, 0]
