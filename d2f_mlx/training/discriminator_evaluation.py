"""What a discriminator knows of pictures that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import mlx.core as mx
import numpy as np

from ..data import grid_crops
from ..models import ResNet
from ..scores import accuracy_interval, auc
from .discriminator_step import normalised


class DiscriminatorEvaluation:
    """Have a discriminator judge crops of held-out pictures.

    Args:
        network: What to measure, with the weights that it has when called.
        film: Film scans.
        digital: Digital photographs.
        crop: Side of a crop, in pixels.
        crops: From each picture, on a grid.
    """

    def __init__(self, network: ResNet, film: Sequence[Path], digital: Sequence[Path], crop: int, crops: int) -> None:
        self._classes = [[grid_crops(path, crop, crops) for path in paths] for paths in (film, digital)]

        @partial(mx.compile, inputs=network.state)
        def logits(batch: mx.array) -> mx.array:
            network.eval()
            return network.film_logit(normalised(batch))

        self._logits = logits

    def __call__(self) -> dict[str, float]:
        """Return the shares of crops judged rightly, of the ``film``, of the ``digital`` and of all (``accuracy``).

        And ``balanced``, the mean of the two classes'; each of these also as ``..._low`` and ``..._high``, the ends of
        its 95 % interval by bootstrap over pictures; and ``auc``, and ``loss``, the mean of the classes' cross entropy.
        """
        film, digital = ([np.array(self._logits(mx.array(crops))) for crops in paths] for paths in self._classes)
        rightly = [[scores > 0 for scores in film], [scores <= 0 for scores in digital]]
        result = {
            "loss": float(
                np.mean([np.logaddexp(0, -np.stack(film)).mean(), np.logaddexp(0, np.stack(digital)).mean()])
            ),
            "auc": auc(np.stack(film), np.stack(digital)),
        }
        figures = {
            "accuracy": [rightly[0] + rightly[1]],
            "balanced": rightly,
            "film": rightly[:1],
            "digital": rightly[1:],
        }
        for name, classes in figures.items():
            result[name] = float(np.mean([np.mean(pictures) for pictures in classes]))
            low, high = accuracy_interval(classes, np.random.default_rng(0))
            result |= {f"{name}_low": low, f"{name}_high": high}
        return result
