"""Losses of embeddings: what is alike lies close together."""

from __future__ import annotations

import mlx.core as mx

from .pixel import alike

_EPSILON = 1e-6  # added to every difference, as in PyTorch: a distance of zero has no gradient


def triplet_margin(anchor: mx.array, positive: mx.array, negative: mx.array, margin: float = 1.0) -> mx.array:
    """Return the triplet margin loss, mean max(0, |a - p| - |a - n| + margin), with Euclidean distances.

    Args:
        anchor: Embeddings.
        positive: Of things like the anchors.
        negative: Of things unlike them.
        margin: By how much the unlike have to be farther away.

    Shape: three times (..., D) -> ()
    Reference: Schroff, Kalenichenko and Philbin 2015, 'FaceNet', section 3.1. arXiv:1503.03832
    """
    near, far = (_distance(*alike(anchor, other)) for other in (positive, negative))
    return mx.maximum(near - far + margin, 0).mean()


def _distance(first: mx.array, second: mx.array) -> mx.array:
    return mx.sqrt(mx.square(first - second + _EPSILON).sum(axis=-1))
