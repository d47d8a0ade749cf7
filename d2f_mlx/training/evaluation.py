"""How well a reconstructor does on scans that it does not learn from: errors, and grain's statistics."""

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
from .examples import Examples, as_film, examples, rebuilt, squared_error, statistics

EVALUATION_CROP = 128


class Evaluation:
    """Measure a reconstructor, and normalised convolution beside it, on crops of held-out scans.

    Args:
        network: What to measure, with the weights that it has when called. If it takes noise, it is given two draws,
            the same ones every time.
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
        maps = network.config.noise

        @partial(mx.compile, inputs=network.state)
        def measured(batch: Examples) -> dict[str, mx.array]:
            draws = [rebuilt(network, batch, mx.random.key(i)) for i in range(2 if maps else 1)]
            found = {"mse": squared_error(draws[0], batch)}
            if network.config.way == "residual":
                counts = batch.weight.sum()
                film = as_film(draws[0], batch.base)
                found |= {name: mx.stack([x * counts, counts]) for name, x in statistics(film, batch).items()}
            if maps:
                found["diversity"] = squared_error(draws[0] - draws[1] + batch.target, batch)
                found["grain"] = squared_error(mx.zeros_like(batch.target), batch)
            return found

        def rival(batch: Examples) -> dict[str, mx.array]:
            return {"mse": squared_error(normalised_convolution(batch.halides, batch.mask), batch)}

        self._measured = measured
        self._rival = self._means(mx.compile(rival))["mse"] / 4

    def _means(self, measured: Callable[[Examples], dict[str, mx.array]]) -> dict[str, float]:
        """Average over all crops' pixels that count."""
        found = [{name: np.array(pair, np.float64) for name, pair in measured(b).items()} for b in self._examples]
        own = np.array([sum(pairs[name] for pairs in found) for name in found[0]])
        totals = np.array(self._over_all(mx.array(own, mx.float32)), np.float64)
        if not totals[0, 1]:
            raise ValueError("Evaluation expects held-out scans with flat areas to measure grain on, got none")
        return dict(zip(found[0], (totals[:, 0] / totals[:, 1]).tolist(), strict=True))

    def __call__(self) -> dict[str, float]:
        """Return what was measured.

        Returns: ``mse`` and ``psnr``, and ``rival_mse`` and ``rival_psnr``, for pictures in [0, 1]; for a network of
            the residual way ``spectrum``, ``deviation`` and ``covariance``, how far one drawing's statistics are from
            film's (`d2f_mlx.losses`), and their sum, ``statistics``; for one that takes noise ``diversity``, the
            variance that noise gives a pixel, over film grain's.
        """
        means = self._means(self._measured)
        mse = means["mse"] / 4  # from [-1, 1] to [0, 1]
        found = {"mse": mse, "psnr": _psnr(mse), "rival_mse": self._rival, "rival_psnr": _psnr(self._rival)}
        figures = {name: means[name] for name in ("spectrum", "deviation", "covariance") if name in means}
        if figures:
            found |= figures | {"statistics": sum(figures.values())}
        if "diversity" in means:
            found["diversity"] = means["diversity"] / 2 / max(means["grain"], 1e-12)
        return found


def _psnr(mse: float) -> float:
    return -10 * float(np.log10(max(mse, 1e-12)))
