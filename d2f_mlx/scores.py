"""How well scores tell one kind from another: ranking, accuracy and its uncertainty. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 2000


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, ties counting half.

    U / (m n), with Mann and Whitney's U. 0.5 tells nothing, 1 everything.

    Shape: positive (m,), negative (n,)
    Raises: ValueError without scores on either side, and for NaN.
    Reference: Hanley and McNeil 1982, 'The meaning and use of the area under a ROC curve'.
        doi:10.1148/radiology.143.1.7063747
    """
    positive, negative = np.ravel(positive), np.sort(np.ravel(negative))
    if not len(positive) or not len(negative) or np.isnan(positive).any() or np.isnan(negative).any():
        raise ValueError(f"auc expects scores on both sides and no NaN, got {len(positive)} and {len(negative)}")
    below, not_above = (np.searchsorted(negative, positive, side) for side in ("left", "right"))
    return float((below.sum() + not_above.sum()) / 2 / (len(positive) * len(negative)))


def accuracy_interval(
    classes: Sequence[Sequence[np.ndarray]], rng: np.random.Generator, level: float = 0.95
) -> tuple[float, float]:
    """Bound the mean of the classes' accuracies, by bootstrap over pictures.

    Crops of one picture are alike, so that they count as one draw: whole pictures are drawn again, with replacement,
    within each class. Where every picture is wholly right or wholly wrong, and all of a class alike, nothing is left to
    vary, and the interval is a point: with few pictures it is too narrow.

    Args:
        classes: For each class, for each picture: which of its crops were judged rightly, (crops,) bool.
        rng: Draws.
        level: Share of the draws that the interval covers.

    Returns: its ends.

    Raises: ValueError for no classes, and for a class without pictures or a picture without crops.
    Reference: Efron and Tibshirani 1993, 'An introduction to the bootstrap', chapter 13 (percentile interval)
    """
    if not classes or not all(len(pictures) and all(map(len, pictures)) for pictures in classes):
        raise ValueError("accuracy_interval expects pictures with crops in every class, got none in one")
    means = np.zeros(_RESAMPLES)
    for pictures in classes:
        right, crops = (np.array([count(picture) for picture in pictures]) for count in (np.sum, len))
        drawn = rng.integers(0, len(pictures), (_RESAMPLES, len(pictures)))
        means += right[drawn].sum(1) / crops[drawn].sum(1) / len(classes)
    return _middle(means, level)


def auc_interval(
    positive: Sequence[np.ndarray],
    negative: Sequence[np.ndarray],
    rng: np.random.Generator,
    level: float = 0.95,
    paired: bool = False,
) -> tuple[float, float]:
    """Bound `auc` of all crops, by bootstrap over pictures; as narrow with few pictures as `accuracy_interval`.

    Args:
        positive: For each picture, its crops' scores.
        negative: Likewise.
        rng: Draws.
        level: Share of the draws that the interval covers.
        paired: The n-th pictures of both sides show one scene, and are drawn together.

    Returns: its ends.

    Raises: ValueError without pictures on either side, for a picture without crops and for NaN, and for pairs of sides
        that are not equally many.
    """
    if not len(positive) or not len(negative) or (paired and len(positive) != len(negative)):
        raise ValueError(
            f"auc_interval expects pictures on both sides{', equally many' * paired}, "
            f"got {len(positive)} and {len(negative)}"
        )
    crops = [np.array([np.size(scores) for scores in side]) for side in (positive, negative)]
    above = np.array([[auc(one, other) for other in negative] for one in positive]) * np.outer(*crops)
    # How often each picture is drawn. Shape (draws, pictures)
    times = [rng.multinomial(len(side), np.full(len(side), 1 / len(side)), _RESAMPLES) for side in (positive, negative)]
    if paired:
        times[1] = times[0]
    pairs = (times[0] @ crops[0]) * (times[1] @ crops[1])
    found = ((times[0] @ above) * times[1]).sum(1) / pairs
    return _middle(found, level)


def _middle(draws: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
