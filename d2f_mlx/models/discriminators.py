"""Discriminators to train against: a logit for every patch of a picture, at one scale or at several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import mlx.core as mx
import mlx.nn as nn

from .convolution import conv
from .layers import activate


class SpectralConv(nn.Module):
    """A convolution whose weights are divided by their largest singular value, so that its output changes no faster.

    The singular value is that of the weights as a matrix (outputs x rest), followed by power iteration from step to
    step: `iterate` turns ``direction`` towards its left singular vector. Gradients go through the value, not through
    the vectors.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Its side.
        stride: Between outputs.
        bias: Whether it has one.
        reflect: Whether the picture is mirrored at its border, by half a kernel, or has zeros there.

    Shape: (B, H, W, I) -> (B, ceil(H / s), ceil(W / s), O), for odd kernels
    Reference: Miyato et al. 2018, 'Spectral normalization for generative adversarial networks', appendix A.
        arXiv:1802.05957
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True, reflect: bool = False
    ) -> None:
        super().__init__()
        bound = (inputs * kernel * kernel) ** -0.5
        self.weight = mx.random.uniform(-bound, bound, (outputs, kernel, kernel, inputs))
        if bias:
            self.bias = mx.random.uniform(-bound, bound, (outputs,))
        self.direction = _unit(mx.random.normal((outputs,)))
        self._stride, self._padding, self._reflect = stride, (kernel - 1) // 2, reflect
        self.freeze(recurse=False, keys=["direction"])

    def iterate(self, times: int = 1) -> None:
        """Turn the direction towards the weights' left singular vector."""
        matrix = mx.stop_gradient(self.weight.reshape(len(self.weight), -1))
        for _ in range(times):
            self.direction = _unit(matrix @ _unit(self.direction @ matrix))

    def normalised(self) -> mx.array:
        """Return the weights over their largest singular value."""
        matrix = self.weight.reshape(len(self.weight), -1)
        right = _unit(mx.stop_gradient(self.direction @ matrix))
        return self.weight / mx.maximum(self.direction @ matrix @ right, 1e-12)

    def __call__(self, x: mx.array) -> mx.array:
        """Convolve by the normalised weights."""
        padding = self._padding
        if self._reflect:
            x, padding = reflected(x, padding), 0
        x = conv(x, self.normalised(), self._stride, padding)
        return x + self.bias if "bias" in self else x


def _unit(vector: mx.array) -> mx.array:
    return vector / mx.maximum(mx.linalg.norm(vector), 1e-12)


def reflected(x: mx.array, width: int) -> mx.array:
    """Mirror a picture at its border; the border pixels themselves are not repeated.

    Shape: (B, H, W, C) -> (B, H + 2 width, W + 2 width, C)
    Raises: ValueError for a picture that is no larger than ``width``.
    """
    if min(x.shape[1:3]) <= width:
        raise ValueError(f"reflected expects a picture larger than {width}, got {x.shape[1:3]}")
    for axis in (1, 2):
        length = x.shape[axis]
        inside = mx.arange(-width, length + width)
        inside = length - 1 - mx.abs(length - 1 - mx.abs(inside))
        x = mx.take(x, inside, axis)
    return x


class PatchDiscriminator(nn.Module):
    """Judge overlapping patches, of 70 pixels with three strided layers: PatchGAN with spectral normalisation.

    Args:
        inputs: Input channels.
        width: Channels of the first layer; each following one has twice as many, up to eight times.
        layers: Strided layers.

    Shape: (B, H, W, inputs) -> a list of one (B, H / 2^layers - 2, W / 2^layers - 2, 1)
    Reference: Isola et al. 2017, 'Image-to-image translation with conditional adversarial networks', section 3.2.2.
        arXiv:1611.07004
    """

    def __init__(self, inputs: int = 3, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        self.layers = [SpectralConv(inputs, width, 4, 2)]
        for before, after in pairwise(widths):
            self.layers.append(SpectralConv(before, after, 4, 1 if len(self.layers) == layers else 2))
        self.head = SpectralConv(widths[-1], 1, 4)

    def iterate(self, times: int = 1) -> None:
        """Follow the largest singular values."""
        for layer in [*self.layers, self.head]:
            layer.iterate(times)

    def __call__(self, x: mx.array) -> list[mx.array]:
        """Judge a batch."""
        for layer in self.layers:
            x = activate(layer(x))
        return [self.head(x)]


class MultiscaleDiscriminator(nn.Module):
    """Judge a picture after each of five strided layers of one trunk, UEGAN's discriminator.

    Args:
        inputs: Input channels.
        widths: Channels of each layer.
        kernels: Their sides, and those of the heads.

    Shape: (B, H, W, inputs) -> a list of (B, H / 2^i, W / 2^i, 1), i = 1, 2, ...
    Reference: Ni et al. 2020, 'Towards unsupervised deep image enhancement with generative adversarial network'.
        arXiv:2012.15020
    """

    def __init__(
        self, inputs: int = 3, widths: Sequence[int] = (32, 64, 128, 256, 512), kernels: Sequence[int] = (7, 7, 7, 5, 5)
    ) -> None:
        super().__init__()
        channels = [inputs, *widths]
        self.layers = [
            SpectralConv(before, after, kernel, 2, reflect=True)
            for (before, after), kernel in zip(pairwise(channels), kernels, strict=True)
        ]
        self.heads = [
            SpectralConv(width, 1, kernel, bias=False, reflect=True)
            for width, kernel in zip(widths, kernels, strict=True)
        ]

    def iterate(self, times: int = 1) -> None:
        """Follow the largest singular values."""
        for layer in [*self.layers, *self.heads]:
            layer.iterate(times)

    def __call__(self, x: mx.array) -> list[mx.array]:
        """Judge a batch at every scale."""
        logits = []
        for layer, head in zip(self.layers, self.heads, strict=True):
            x = activate(layer(x))
            logits.append(head(x))
        return logits
