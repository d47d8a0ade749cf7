"""A film's tone and palette, learned from scans and digital photographs of the same scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..color import delta_e_2000
from .look import Look, Palette, bake
from .samples import CELLS, Source, cell_means, cell_shape, srgb_pixels
from .tone import lab_of, paired_curves, straight, through
from .warp import SplineFit, spline_basis

SMOOTHNESS = (1.0, 0.03, 0.001)
"""Of the displacements that are tried, beside none."""
_SAME_SHAPE = 0.02
_PULL = 0.0003
_HUBER = 0.02  # encoded sRGB
_ROUNDS = 3
_FLAT = 0.04  # difference between neighbouring cells that halves their weight
_FOLDS = 4
_BLOCK = 16  # cells that are held out together where there is but one pair
_ALL = 4000
_NO_CHANGE = "no change"


@dataclass(frozen=True)
class _Cells:
    """Colours of the same places in a photograph and a scan, how sure each is, and what is held out with what.

    Shape: (N, 3), (N, 3), (N,), (N,)
    """

    photo: np.ndarray
    film: np.ndarray
    weight: np.ndarray
    group: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> _Cells:
        return _Cells(self.photo[chosen], self.film[chosen], self.weight[chosen], self.group[chosen])


def fit_pairs(pairs: Sequence[tuple[Source, Source]], *, points: int = 17, seed: int = 0) -> Palette:
    """Learn how a film renders tone and colour from photographs and scans of the same scenes.

    Both are averaged over the same cells, some 160 along the long side, so that grain and shifts of a few pixels do not
    count; edges count less. A curve a channel is fitted, then a smooth displacement, by least squares with Huber's
    weights. How smooth is chosen by cross-validation over pairs (over parts of the picture if there is one pair), with
    "no change" among the choices: the least mean CIEDE2000.

    Args:
        pairs: Photograph and scan of each, aligned: the same frame, in any sizes.
        points: Of the table, along each axis.
        seed: Of which cells are drawn.

    Raises: ValueError for no pairs, or a pair whose shapes differ by 2 % or more.
    Reference: Huber 1964, doi:10.1214/aoms/1177703732
    """
    if not pairs:
        raise ValueError("fit_pairs expects at least one pair of a photograph and its scan, got none")
    found = [_cells(*pair, index, len(pairs) == 1) for index, pair in enumerate(pairs)]
    cells = _Cells(*(np.concatenate([getattr(one, name) for one in found]) for name in _Cells.__annotations__))
    rng = np.random.default_rng(seed)
    cells = cells[np.sort(rng.permutation(len(cells.weight))[:_ALL])]
    folds = min(_FOLDS, len(np.unique(cells.group)))
    errors: dict[str, list[float]] = {}
    for fold in range(folds):
        held = cells.group % folds == fold
        test, seen = cells[held], lab_of(cells.film[held])
        for name, fit in _fits(cells[~held]).items():
            error = delta_e_2000(lab_of(fit()(test.photo)), seen)
            errors.setdefault(name, []).append(float(np.average(error, weights=test.weight)))
    means = {name: float(np.mean(values)) for name, values in errors.items()}
    chosen = min(means, key=lambda name: means[name])
    report = {
        "pairs": len(pairs),
        "cells": len(cells.weight),
        "chosen": chosen,
        "CIEDE2000 before": round(means[_NO_CHANGE], 3),
        "CIEDE2000 after": round(means[chosen], 3),
        "CIEDE2000 of each choice": {name: round(value, 3) for name, value in means.items()},
    }
    return bake(_fits(cells)[chosen](), points, report)


def _cells(photo: Source, scan: Source, index: int, alone: bool) -> _Cells:
    one, two = srgb_pixels(photo), srgb_pixels(scan)
    (height, width), (scan_height, scan_width) = one.shape[:2], two.shape[:2]
    if abs(np.log(height / width * scan_width / scan_height)) > _SAME_SHAPE:
        raise ValueError(
            f"fit_pairs expects a photograph and a scan of the same frame, got {height}x{width} and "
            f"{scan_height}x{scan_width} pixels in pair {index + 1}"
        )
    shape = cell_shape((min(height, scan_height), min(width, scan_width)))
    first, second = cell_means(one, shape), cell_means(two, shape)
    weight = 1 / (1 + (np.maximum(_contrast(first), _contrast(second)) / _FLAT) ** 2)
    rows, columns = np.indices(shape) // _BLOCK
    group = rows + columns * (CELLS // _BLOCK + 1) if alone else np.full(shape, index)
    return _Cells(first.reshape(-1, 3), second.reshape(-1, 3), weight.ravel(), group.ravel())


def _contrast(cells: np.ndarray) -> np.ndarray:
    """Return the largest difference to a neighbour, in any channel. Shape: (H, W, 3) -> (H, W)."""
    padded = np.pad(cells, ((1, 1), (1, 1), (0, 0)), "edge")
    height, width = cells.shape[:2]
    shifts = [padded[y : y + height, x : x + width] for y, x in ((0, 1), (2, 1), (1, 0), (1, 2))]
    return np.max([np.abs(shift - cells).max(-1) for shift in shifts], 0)


def _fits(cells: _Cells) -> dict[str, partial[Look]]:
    weight, curves = cells.weight, straight()
    for _ in range(_ROUNDS):
        curves = paired_curves(cells.photo, cells.film, weight)
        weight = _trusted(cells, cells.film - through(curves, cells.photo))
    fits: dict[str, partial[Look]] = {_NO_CHANGE: partial(Look), "curves": partial(Look, curves)}
    basis = spline_basis(cells.photo)
    for smooth in SMOOTHNESS:
        fits[f"curves, displacement at smoothness {smooth:g}"] = partial(_displaced, cells, basis, curves, smooth)
    return fits


def _displaced(cells: _Cells, basis: np.ndarray, curves: np.ndarray, smooth: float) -> Look:
    """Fit the displacement that is left after the curves; what lies far off counts less from round to round."""
    rest = cells.film - through(curves, cells.photo)
    weight, controls = _trusted(cells, rest), np.zeros(0)
    for _ in range(_ROUNDS):
        controls = SplineFit.at(basis, weight, smooth, _PULL)(rest)
        weight = _trusted(cells, rest - basis @ controls)
    return Look(curves, controls)


def _trusted(cells: _Cells, off: np.ndarray) -> np.ndarray:
    """Weight cells by Huber's rule, for how far off they are. Shape: (N, 3) -> (N,)."""
    return cells.weight * _HUBER / np.maximum(np.linalg.norm(off, axis=1), _HUBER)
