"""The judge of a training: errors on scans that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from ..data import grid_crops
from ..grain import normalised_convolution
from ..models import Reconstructor
from .examples import Examples, examples, squared_error

EVALUATION_CROP = 128


class Judge:
    """Measure a reconstructor, and normalised convolution beside it, on crops of held-out scans.

    Args:
        network: What to judge, with the weights that it has when called.
        held_out: Scans.
        crops: From each.
        mean: Averages arrays over the processes that share the scans among them, where there are several.

    Raises: ValueError for scans without flat areas.
    """

    def __init__(
        self,
        network: Reconstructor,
        held_out: Sequence[Path],
        crops: int,
        mean: Callable[[Any], Any] = lambda values: values,
    ) -> None:
        self._over_all = mean
        prepare = mx.compile(lambda batch: examples(batch, network.config))
        self._examples = [Examples(*prepare(mx.array(grid_crops(path, EVALUATION_CROP, crops)))) for path in held_out]

        @partial(mx.compile, inputs=network.state)
        def error(batch: Examples) -> mx.array:
            return squared_error(network(batch.halides, batch.mask, batch.base), batch)

        self._error = error
        self._rival = self._mean(mx.compile(lambda b: squared_error(normalised_convolution(b.halides, b.mask), b)))

    def _mean(self, error: Callable[[Examples], mx.array]) -> float:
        """Average over all crops' pixels that count, and go from [-1, 1] to [0, 1]."""
        own = sum((np.array(error(batch), np.float64) for batch in self._examples), np.zeros(2))
        total, count = np.array(self._over_all(mx.array(own, mx.float32)), np.float64)
        if not count:
            raise ValueError("Judge expects held-out scans with flat areas to measure grain on, got none")
        return float(total / count / 4)

    def __call__(self) -> dict[str, float]:
        """Return ``mse`` and ``psnr``, and ``rival_mse`` and ``rival_psnr``, for pictures in [0, 1]."""
        mse = self._mean(self._error)
        return {"mse": mse, "psnr": _psnr(mse), "rival_mse": self._rival, "rival_psnr": _psnr(self._rival)}


def _psnr(mse: float) -> float:
    return -10 * float(np.log10(max(mse, 1e-12)))
