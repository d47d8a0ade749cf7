"""How much memory a training takes, measured before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from ..backend import free_memory_bytes
from ..data import StreamConfig
from ..models import Reconstructor, ReconstructorConfig
from .adversarial_step import AdversarialStep
from .adversary import AdversaryConfig, adversary_for
from .config import TrainConfig
from .step import Step

_GIB = 2**30
_SMALL = 64  # side of the largest crops that are tried
_TRIED = (2**13, 2**15)  # pixels
_POOLED = 2 * 6 * 4  # bytes a pixel of the pool: what a discriminator sees of film and of its imitation
_SPARE = 0.1  # of the estimate, for what grows otherwise


@dataclass(frozen=True)
class MemoryPlan:
    """What a training step takes, and what there is.

    Memory grows with the pixels of a part of the batch, above what the weights, their gradients and the optimizer take.

    Args:
        fixed: Bytes whatever the batch.
        per_pixel: Bytes a pixel of the crops that are worked through at once.
        crop: Side of a crop.
        batch: Crops that this machine gets.
        accumulate: Parts that they are worked through in.
        available: Bytes that the step may take.
        divisible: Whether crops can be worked through in parts; an adversarial step's cannot.
    """

    fixed: float
    per_pixel: float
    crop: int
    batch: int
    accumulate: int
    available: float
    divisible: bool = True

    @property
    def needed(self) -> float:
        """Bytes that the step takes."""
        return self._bytes(-(-self.batch // self.accumulate))

    def _bytes(self, crops: int) -> float:
        return (1 + _SPARE) * (self.fixed + self.per_pixel * crops * self.crop**2)

    @property
    def most_crops(self) -> int:
        """Crops of this side that fit at once; 0 if none does."""
        return max(0, int((self.available / (1 + _SPARE) - self.fixed) / (self.per_pixel * self.crop**2)))

    def describe(self) -> str:
        """Say what the step takes, and the largest that would fit."""
        parts = f" in {self.accumulate} parts" if self.accumulate > 1 else ""
        return (
            f"a step of {self.batch} crops of {self.crop}{parts} takes about {self.needed / _GIB:.2f} of "
            f"{self.available / _GIB:.2f} GiB; up to {self.most_crops} such crops fit at once"
        )

    def check(self) -> None:
        """Refuse what does not fit, and name what does.

        Raises: ValueError with the flag that makes it fit.
        """
        if self.needed <= self.available:
            return
        if self.most_crops and not self.divisible:
            raise ValueError(f"{self.describe()}: --batch {self.most_crops} or less would fit")
        if self.most_crops:
            parts = -(-self.batch // self.most_crops)
            raise ValueError(f"{self.describe()}: --accumulate {parts} gives the same result in as many parts")
        room = self.available / (1 + _SPARE) - self.fixed
        side = int((max(room, 0) / self.per_pixel) ** 0.5) // 16 * 16
        raise ValueError(f"{self.describe()}: " + (f"--crop {side} would fit" if side else "not even --crop 16 would"))


@contextmanager
def memory_limit(gibibytes: float) -> Iterator[None]:
    """Have MLX keep to so much memory, as a guideline; 0 leaves it as it is."""
    if not gibibytes:
        yield
        return
    before = mx.set_memory_limit(int(gibibytes * _GIB))
    try:
        yield
    finally:
        mx.set_memory_limit(before)


def plan_memory(
    model: ReconstructorConfig,
    stream: StreamConfig,
    config: TrainConfig,
    machines: int = 1,
    adversary: AdversaryConfig | None = None,
) -> MemoryPlan:
    """Measure what a training step takes by running two small ones, and set it against what the machine has.

    Args:
        model: What is trained.
        stream: Whose crops and batch.
        config: How; ``memory_gb`` takes the place of what is free.
        machines: That share the batch.
        adversary: What it is trained against, if not by squared errors alone.
    """
    side = min(stream.crop, _SMALL)
    against = adversary_for(model, adversary)
    step = None if against else Step(Reconstructor(model), config, group=2)
    if step:
        mx.eval(step.state["model"])
    pixels, peaks = [], []
    for tried in _TRIED:
        crops = -(-tried // side**2)
        film = np.random.default_rng(0).normal(128, 8, (crops, side, side, 3)).round().astype(np.uint8)
        mx.clear_cache()
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        if step:
            step.sums(film, parts=1)
        elif against:
            AdversarialStep(Reconstructor(model), config, replace(against, pool=0), 0, 2, crops)(film)
        pixels.append(crops * side**2)
        peaks.append(mx.get_peak_memory() - before)
    per_pixel = max(peaks[1] - peaks[0], 1) / (pixels[1] - pixels[0])
    fixed = max(peaks[0] - per_pixel * pixels[0], 0)
    if step:  # that was measured without the update, which holds old and new weights, moments, and gradients
        weights = sum(array.nbytes for array in dict(tree_flatten(step.state["model"])).values())  # pyright: ignore
        fixed += (7 + 2 * bool(config.ema)) * weights
    elif against and against.adversary:  # and this without the pool, old and new
        fixed += 2 * _POOLED * against.pool * stream.crop**2
    available = config.memory_gb * _GIB or free_memory_bytes()
    batch = -(-stream.batch // machines)
    return MemoryPlan(fixed, per_pixel, stream.crop, batch, config.accumulate, available, divisible=against is None)
