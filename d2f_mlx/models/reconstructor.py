"""From halides to a film picture: a classical prior, a network on top of it, and the known halides pinned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from ..grain.filters import averaged, gaussian_taps
from ..grain.halide import KINDS, Kind
from ..grain.interpolate import RADIUS, normalised_convolution
from .dianet import DIANet
from .harmony import Harmony, Independent
from .unet import UNet

Network = Literal["unet", "dianet"]
Way = Literal["residual", "absolute"]
Channels = Literal["joint", "independent", "harmony"]
MOST_NOISE = 4
"""Most maps of noise in a channel."""

_GAIN = 12.0  # brings grain (about 5 levels of 255, in [-1, 1]) to the order of one for the network

_GUIDE = 2.0  # standard deviation, in pixels, of the blur of the base that guides the network


@dataclass(frozen=True)
class ReconstructorConfig:
    """What a reconstructor is made of.

    Args:
        network: unet (contracts) or dianet (expands).
        way: residual rebuilds the grain over a base picture, absolute the picture from its halides alone.
        halides: Which halides it is given: peaks, valleys or extrema.
        channels: joint sees R, G and B together; independent is one network a channel; harmony mixes those at the end.
        width: Channels of the deepest tensor: 128 or 512 for the UNet of the notes, 24 for DIANet; 0 chooses 128 or 24.
        noise: Maps of white noise, in each channel, that it is given beside, so that the same halides have many grains;
            0 for none.
    """

    network: Network = "unet"
    way: Way = "residual"
    halides: Kind = "extrema"
    channels: Channels = "joint"
    width: int = 0
    noise: int = 0

    def __post_init__(self) -> None:
        choices = {"network": get_args(Network), "way": get_args(Way), "halides": KINDS, "channels": get_args(Channels)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"ReconstructorConfig expects {name} in {allowed}, got {getattr(self, name)!r}")
        if (self.width % 24 and self.width % 32) or self.width < 0:
            raise ValueError(f"ReconstructorConfig expects width to be a multiple of 24 or 32, got {self.width}")
        if not 0 <= self.noise <= MOST_NOISE:
            raise ValueError(f"ReconstructorConfig expects noise from 0 to {MOST_NOISE}, got {self.noise}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each scale, from the picture's own to the deepest."""
        if self.network == "unet":
            width = self.width or 128
            return (width // 8, width // 4, width // 2, 3 * width // 4, width)
        width = self.width or 24
        return (width // 3, width // 2, 2 * width // 3, width)


class Reconstructor(nn.Module):
    """Rebuild what lies between the halides.

    out = prior + network(features) / gain between the halides, and the halides themselves where they are known
    (pinned). The prior is the normalised convolution of the halides. In the *absolute* way they hold the film picture,
    in the *residual* way the picture less its base, and the network is guided by that base's brightness: blurred, so
    that it can neither sharpen nor smear what the base shows.

    What lies between the halides is not decided by them. A network that is told nothing else can learn its mean only;
    one that is given white noise too, and an adversary, can learn to draw it.

    The network computes in its weights' type (``set_dtype(mx.bfloat16)``, say), everything else in the halides'.

    Args:
        config: What it is made of.

    Shape: halides, mask and base (B, H, W, 3), noise (B, H, W, 3 N) -> (B, H, W, 3)
    Range: halides and base in [-1, 1] (a residual is a difference of such); mask is bool; noise of deviation 1
    Reference: d2f notes, trials 1 to 5; prior after Knutsson and Westin 1993
    """

    def __init__(self, config: ReconstructorConfig) -> None:
        super().__init__()
        self._config = config
        kind = UNet if config.network == "unet" else DIANet
        features = (4 if config.way == "residual" else 3) + config.noise
        widths = config.widths
        if config.channels == "joint":
            self.network = kind(3 * features, 3, widths)
        else:
            self.network = Independent(lambda: kind(features, 1, widths))
            if config.channels == "harmony":
                self.network = Harmony(self.network)

    @property
    def config(self) -> ReconstructorConfig:
        """What it is made of."""
        return self._config

    @property
    def overlap(self) -> int:
        """How many pixels beyond a tile an output can depend on, rounded up so that tiles stay aligned.

        The network's reach, the prior's, and one pixel for the halides' own windows.
        """
        multiple = max(self.network.multiple, 8)
        return -(-(self.network.reach + RADIUS + 1) // multiple) * multiple

    def __call__(
        self, halides: mx.array, mask: mx.array, base: mx.array | None = None, noise: mx.array | None = None
    ) -> mx.array:
        """Rebuild a batch; the absolute way needs no base, and a network without noise none of that.

        Raises: ValueError for a missing base in the residual way, and for missing noise.
        """
        prior = normalised_convolution(halides, mask)
        # The network is shown the halides' own values: what they differ from the prior by is zero, for it is pinned.
        if self._config.way == "residual":
            if base is None:
                raise ValueError("Reconstructor expects a base picture in the residual way, got None")
            features = [averaged(base, gaussian_taps(_GUIDE)), _GAIN * halides * mask, mask, _GAIN * prior]
        else:
            features = [prior, halides * mask, mask]
        if self._config.noise:
            if noise is None:
                raise ValueError(f"Reconstructor expects {self._config.noise} maps of noise a channel, got None")
            features.append(noise)
        dtype = next(iter(dict(tree_flatten(self.network.parameters())).values())).dtype  # pyright: ignore
        features = mx.concatenate([f.astype(dtype) for f in features], axis=-1)
        return mx.where(mask, halides, prior + self.network(features).astype(prior.dtype) / _GAIN)
