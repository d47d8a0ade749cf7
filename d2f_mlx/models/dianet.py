"""The diamond network: the U-Net turned inside out."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from .layers import Conv3x3, Down2, Up2, activate


class DIANet(nn.Module):
    """Expand height, width and channels three times by transposed convolution, then contract, with skips.

    Few parameters and much memory: the deepest tensor of a 128 crop is (1024, 1024, 24). Grain lives between the
    pixels, and that is where this network works. Any height and width.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        widths: Channels at each scale, coarsest (the picture's own) first.

    Shape: (B, H, W, inputs) -> (B, H, W, outputs)
    Reference: d2f notes, DIANet
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        coarser, finer = list(widths[:-1]), list(widths[1:])
        self.stem = Conv3x3(inputs, widths[0])
        self.mix = Conv3x3(widths[0], widths[0])
        self.up = [Up2(a, b) for a, b in zip(coarser, finer, strict=True)]
        self.down = [Down2(b, a) for a, b in zip(coarser, finer, strict=True)]
        self.decode = [Conv3x3(2 * w, w) for w in coarser]
        self.head = Conv3x3(widths[0], outputs)
        self.head.weight = self.head.weight * 0.1

    @property
    def reach(self) -> int:
        """How many pixels away an input can change an output (half the receptive field), a bound."""
        return 3 + len(self.decode)

    @property
    def multiple(self) -> int:
        """What height and width are padded to multiples of: none."""
        return 1

    def encoded(self, x: mx.array, stages: int | None = None) -> list[mx.array]:
        """Return the encoder's tensors after each of its stages (all of them by default), coarsest first.

        Shape: (B, H, W, inputs) -> (B, 2^i H, 2^i W, widths[i])
        """
        skips = [activate(self.mix(activate(self.stem(x))))]
        for up in self.up[:stages]:
            skips.append(activate(up(skips[-1])))
        return skips

    def __call__(self, x: mx.array) -> mx.array:
        """Expand, contract, and correct by the skips."""
        skips = self.encoded(x, len(self.up) - 1)
        # Only an activation lies between the last expansion and the first contraction: blocks need no reordering.
        x = self.down[-1].from_blocks(activate(self.up[-1].blocks(skips[-1])))
        for level in reversed(range(len(skips))):
            x = mx.concatenate([activate(x), skips[level]], axis=-1)  # (B, 2^level H, 2^level W, 2 widths[level])
            x = activate(self.decode[level](x))
            x = self.down[level - 1](x) if level else x
        return self.head(x)
