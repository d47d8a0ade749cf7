"""The U-Net that rebuilds a film picture from its halides."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn

from .layers import Conv3x3, Down2, Up2, activate, padded_to


class UNet(nn.Module):
    """Contract four times by two, expand again, with a skip connection at every scale.

    The notes' UNet128 and UNet512: leaky ReLU, one convolution just before each concatenation, no sigmoid at the end
    (the picture is in [-1, 1]). Down and up by kernel 2, stride 2. Any height and width: padded and cropped inside.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        widths: Channels at each scale, finest first; the deepest tensor of a 256 crop is (16, 16, widths[-1]).

    Shape: (B, H, W, inputs) -> (B, H, W, outputs)
    Reference: Ronneberger et al. 2015, 'U-Net'. arXiv:1505.04597; d2f notes, UNet512 / UNet128
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        finer, coarser = list(widths[:-1]), list(widths[1:])
        self.stem = Conv3x3(inputs, widths[0])
        self.encode = [Conv3x3(w, w) for w in widths]
        self.down = [Down2(a, b) for a, b in zip(finer, coarser, strict=True)]
        self.up = [Up2(b, a) for a, b in zip(finer, coarser, strict=True)]
        self.lift = [Conv3x3(w, w) for w in finer]
        self.decode = [Conv3x3(2 * w, w) for w in finer]
        self.head = Conv3x3(widths[0], outputs)
        self.head.weight = self.head.weight * 0.1

    @property
    def reach(self) -> int:
        """How many pixels away an input can change an output (half the receptive field), at worst."""
        *scales, deepest = (2**i for i in range(len(self.encode)))
        # Stem and head; three convolutions at each scale; one at the deepest, seen from the far end of its block.
        return 2 + 3 * sum(scales) + deepest + deepest - 1

    @property
    def multiple(self) -> int:
        """What height and width are padded to multiples of."""
        return 2 ** len(self.down)

    def encoded(self, x: mx.array) -> list[mx.array]:
        """Return the encoder's tensors, finest first; the last is the deepest.

        Shape: (B, H, W, inputs), H and W multiples of 16 -> (B, H / 2^i, W / 2^i, widths[i])
        """
        x = activate(self.stem(x))
        skips = [activate(self.encode[0](x))]
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skips.append(activate(encode(activate(down(skips[-1])))))
        return skips

    def __call__(self, x: mx.array) -> mx.array:
        """Contract and expand again; the picture may have any size."""
        height, width = x.shape[1:3]
        *skips, x = self.encoded(padded_to(x, self.multiple))
        for level in reversed(range(len(skips))):
            x = activate(self.lift[level](activate(self.up[level](x))))
            x = mx.concatenate([x, skips[level]], axis=-1)  # (B, H / 2^level, W / 2^level, 2 widths[level])
            x = activate(self.decode[level](x))
        return self.head(x)[:, :height, :width]
