"""Independent channel networks, and the small network that harmonises them."""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from .dianet import DIANet
from .layers import Conv3x3, activate
from .unet import UNet


class Independent(nn.Module):
    """One network for each of R, G and B, which see nothing of one another.

    Args:
        make: Builds the network of a channel.

    Shape: (B, H, W, 3 K): K groups of R, G, B -> (B, H, W, 3)
    Reference: d2f notes, trials 1 to 3
    """

    def __init__(self, make: Callable[[], UNet | DIANet]) -> None:
        super().__init__()
        self.channels = [make() for _ in range(3)]

    @property
    def reach(self) -> int:
        """How many pixels away an input can change an output."""
        return self.channels[0].reach

    @property
    def multiple(self) -> int:
        """What height and width are padded to multiples of."""
        return self.channels[0].multiple

    def __call__(self, x: mx.array) -> mx.array:
        """Give each network its channel of every group, and put the results side by side."""
        return mx.concatenate([network(x[..., c::3]) for c, network in enumerate(self.channels)], axis=-1)


class Harmony(nn.Module):
    """Let three channels that were rebuilt apart correct one another.

    Args:
        network: What rebuilds the channels.
        width: Hidden channels.

    Shape: as the wrapped network's
    Reference: d2f notes, 'RGB + harmony'
    """

    def __init__(self, network: Independent, width: int = 16) -> None:
        super().__init__()
        self.network = network
        self.mix = Conv3x3(3, width)
        self.head = Conv3x3(width, 3)
        self.head.weight = self.head.weight * 0.1

    @property
    def reach(self) -> int:
        """How many pixels away an input can change an output."""
        return self.network.reach + 2

    @property
    def multiple(self) -> int:
        """What height and width are padded to multiples of."""
        return self.network.multiple

    def __call__(self, x: mx.array) -> mx.array:
        """Add a correction, made from all three channels, to what the network rebuilt."""
        x = self.network(x)
        return x + self.head(activate(self.mix(x)))
