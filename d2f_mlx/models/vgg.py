"""VGG's feature part: what perceptual losses and style statistics look at pictures with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import mlx.core as mx
import mlx.nn as nn

from .layers import Conv3x3

Depth = Literal[16, 19]

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS: dict[int, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
# Of ImageNet's pictures, which trained weights expect to be taken out.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG(nn.Module):
    """The convolutions of VGG16 or VGG19, up to the layers asked for.

    Five blocks of 3x3 convolutions, a ReLU after each, and max pooling that halves the picture after each block.
    Parameters are named ``features.N`` as torchvision's are; `checkpoint.pretrained_vgg` reads its files. Without them
    the weights are random: such a network sees colours and textures, but knows nothing of what things are.

    Args:
        depth: 16 or 19.
        seed: Draws the weights.

    Raises: ValueError for another depth.
    Reference: Simonyan and Zisserman 2015, table 1, columns D and E. arXiv:1409.1556
    """

    def __init__(self, depth: Depth = 19, seed: int = 0) -> None:
        super().__init__()
        if depth not in get_args(Depth):
            raise ValueError(f"VGG expects depth in {get_args(Depth)}, got {depth}")
        counts = _CONVOLUTIONS[depth]
        keys = iter(mx.random.split(mx.random.key(seed), sum(counts)))
        self.features: list[nn.Module] = []
        self._layers: list[str] = []
        inputs = 3
        for block, (width, count) in enumerate(zip(_WIDTHS, counts, strict=True), 1):
            for number in range(1, count + 1):
                self.features += [Conv3x3(inputs, width, next(keys)), nn.ReLU()]
                self._layers += [f"conv{block}_{number}", f"relu{block}_{number}"]
                inputs = width
            self.features.append(_Halve())
            self._layers.append(f"pool{block}")

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers, in order: conv1_1, relu1_1, ..., pool5."""
        return tuple(self._layers)

    def __call__(self, pictures: mx.array, layers: Sequence[str]) -> dict[str, mx.array]:
        """Return the activations of layers by name, and compute none behind the last of them.

        Shape: pictures (B, H, W, 3) -> (B, H / 2^k, W / 2^k, C), rounded down, after k poolings
        Range: sRGB, [0, 1]; ImageNet's mean and deviation are taken out here
        Raises: ValueError for a layer that there is not, or a picture that poolings leave nothing of.
        """
        last = self._last(pictures, layers)
        x = (pictures - mx.array(_MEAN)) / mx.array(_STD)
        found: dict[str, mx.array] = {}
        for name, layer in zip(self._layers[: last + 1], self.features, strict=False):
            x = layer(x)
            if name in layers:
                found[name] = x
        return {name: found[name] for name in layers}

    def _last(self, pictures: mx.array, layers: Sequence[str]) -> int:
        if isinstance(layers, str) or not layers or not set(layers) <= set(self._layers):
            raise ValueError(f"VGG expects layers among {', '.join(self._layers)}, got {layers!r}")
        last = max(map(self._layers.index, layers))
        least = 2 ** sum(name.startswith("pool") for name in self._layers[: last + 1])
        if pictures.ndim != 4 or pictures.shape[3] != 3 or min(pictures.shape[1:3]) < least:
            raise ValueError(f"VGG expects (B, H, W, 3) with H and W from {least} for these, got {pictures.shape}")
        return last


class _Halve(nn.Module):
    """Take the largest of each block of 2x2; an odd last row or column is left out, as by `mlx.nn.MaxPool2d`.

    Its gradient for odd sides is eight times as fast as MLX's on the CPU (mlx 0.32).
    """

    def __call__(self, x: mx.array) -> mx.array:
        batch, height, width, channels = x.shape
        x = x[:, : height // 2 * 2, : width // 2 * 2]
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))
