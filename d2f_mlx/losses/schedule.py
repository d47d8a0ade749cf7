"""Dynamic weighting: weights that change while a training goes on, and losses brought to one scale."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx

_FLOOR = 1e-8  # a loss that has vanished is not blown up again


@dataclass(frozen=True)
class WeightSchedule:
    """How much each loss weighs in each phase of a training.

    Called with the progress in [0, 1], the share of the training that is done, it returns every loss's weight. A phase
    reaches from its start up to the next one's, the last to 1. If ``smooth``, weights go in straight lines between the
    phases' centres, each of which has the weight of its phase, and stay the same before the first centre and after the
    last; otherwise they step at a phase's start.

    A compiled step is not traced again if it gets the weights as arrays: `tree_map(mx.array, schedule(progress))`.

    Args:
        starts: Where phases start: ascending in [0, 1), the first at 0.
        weights: Of each loss, one weight per phase, 0 or more.
        smooth: Whether weights change in lines rather than in steps.

    Raises: ValueError if ``starts`` or ``weights`` are not as said, or if progress is not in [0, 1].
    """

    starts: tuple[float, ...]
    weights: Mapping[str, tuple[float, ...]]
    smooth: bool = False

    def __post_init__(self) -> None:
        """Check the phases."""
        rising = all(first < second for first, second in pairwise((*self.starts, 1.0)))
        if not self.starts or self.starts[0] != 0 or not rising:
            raise ValueError(
                f"WeightSchedule expects phases' starts to rise from 0 and stay below 1, got {self.starts}"
            )
        for name, weights in self.weights.items():
            if len(weights) != len(self.starts) or not all(0 <= weight < math.inf for weight in weights):
                expected = f"{len(self.starts)} weights of {name!r}, finite and not negative"
                raise ValueError(f"WeightSchedule expects {expected}, got {weights}")

    def __call__(self, progress: float) -> dict[str, float]:
        """Return every loss's weight at ``progress`` in [0, 1]."""
        if not 0 <= progress <= 1:
            raise ValueError(f"WeightSchedule expects progress in [0, 1], got {progress}")
        if not self.smooth:
            phase = bisect_right(self.starts, progress) - 1
            return {name: weights[phase] for name, weights in self.weights.items()}
        centres = [(start + end) / 2 for start, end in pairwise((*self.starts, 1.0))]
        after = bisect_right(centres, progress)
        if after in (0, len(centres)):
            return {name: weights[max(after - 1, 0)] for name, weights in self.weights.items()}
        share = (progress - centres[after - 1]) / (centres[after] - centres[after - 1])
        return {name: (1 - share) * w[after - 1] + share * w[after] for name, w in self.weights.items()}


# The lab notes' table: structure and perception first, then a balance, then colour and texture. `ssim` is 1 - SSIM.
NOTES = WeightSchedule(
    starts=(0.0, 0.3, 0.6),
    weights={"mse": (0.2, 0.5, 0.8), "lpips": (0.7, 0.4, 0.3), "ssim": (0.8, 0.4, 0.2), "gram": (0.3, 0.5, 0.6)},
)


def running_scale(
    state: Mapping[str, mx.array], losses: Mapping[str, mx.array], share: float = 0.01
) -> dict[str, mx.array]:
    """Follow how large each loss is: the exponential mean of its absolute value, s <- s + share (|loss| - s).

    A loss that ``state`` lacks, or of which it has seen only zeros, starts at |loss|; start with an empty state. A pure
    function for use inside a compiled step: pass the state in and return it.

    Args:
        state: The scale so far of each loss.
        losses: This step's losses, scalars.
        share: Of a new loss in the mean, in (0, 1].

    Returns: the new state, float32; no gradient flows into it.
    Raises: ValueError if ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"running_scale expects a share in (0, 1], got {share}")
    sizes = {name: mx.abs(mx.stop_gradient(loss).astype(mx.float32)) for name, loss in losses.items()}
    before = {name: state.get(name, mx.array(0.0)) for name in sizes}
    return {
        **state,
        **{n: mx.where(before[n] > 0, before[n] + share * (size - before[n]), size) for n, size in sizes.items()},
    }


def normalised(losses: Mapping[str, mx.array], state: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """Divide losses by their running scales, so that each is about 1 and weights compare what they weigh.

    A scale counts as a constant: gradients are divided by it, and none flows through it. Scales below 1e-8 count as
    1e-8: a loss of zero stays zero.

    Args:
        losses: Scalars.
        state: Of `running_scale`.

    Raises: ValueError if ``state`` lacks a loss.
    """
    if missing := losses.keys() - state.keys():
        raise ValueError(f"normalised expects a running scale of every loss, got none of {sorted(missing)}")
    return {name: loss / mx.maximum(state[name], _FLOOR) for name, loss in losses.items()}


def weighted(losses: Mapping[str, mx.array], weights: Mapping[str, mx.array] | Mapping[str, float]) -> mx.array:
    """Return the weighted sum of losses, a scalar.

    Raises: ValueError if losses and weights have not the same names.
    """
    if losses.keys() != weights.keys():
        raise ValueError(f"weighted expects a weight of each of {sorted(losses)}, got those of {sorted(weights)}")
    total = mx.array(0.0)
    for name, loss in losses.items():
        total = total + weights[name] * loss
    return total
