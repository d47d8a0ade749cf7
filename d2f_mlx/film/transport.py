"""Optimal transport between two clouds of colours, one direction at a time."""

from __future__ import annotations

import numpy as np

_DIRECTIONS = 64


def transport_1d(
    source: np.ndarray,
    target: np.ndarray,
    source_weight: np.ndarray | None = None,
    target_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Move values so that they are distributed as the target's: T = F_target^-1 (F_source).

    A value stands at the middle of its own share of the weight; between the target's values the map is linear. Two sets
    of as many values, equally weighted, are matched one to one in order, which is the optimal transport.

    Shape: (N,), (M,) -> (N,), in the order of the source
    Reference: Pitie, Kokaram & Dahyot 2007, doi:10.1016/j.cviu.2006.11.011
    """
    order, place = _places(source, source_weight)
    goal_order, goal_place = _places(target, target_weight)
    moved = np.empty(len(source))
    moved[order] = np.interp(place, goal_place, target[goal_order])
    return moved


def _places(values: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sort values, and say at which share of the weight each one's middle lies."""
    order = np.argsort(values, kind="stable")
    share = np.full(len(values), 1 / len(values)) if weight is None else weight[order] / weight.sum()
    return order, np.cumsum(share) - share / 2


def sliced_displacement(
    source: np.ndarray,
    target: np.ndarray,
    rotations: np.ndarray,
    source_weight: np.ndarray | None = None,
    target_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Move a cloud towards another one along the axes of random rotations; the mean of what each rotation asks for.

    v(x) = <sum over axes d of (T_d(x . d) - x . d) d>, the descent direction of the sliced Wasserstein distance.

    Shape: (N, 3), (M, 3), rotations (K, 3, 3) with axes as rows -> (N, 3)
    Reference: Bonneel, Rabin, Peyre & Pfister 2015, section 3, doi:10.1007/s10851-014-0506-3
    """
    moved = np.zeros_like(source)
    for axis in rotations.reshape(-1, 3):
        along = source @ axis
        moved += (transport_1d(along, target @ axis, source_weight, target_weight) - along)[:, None] * axis
    return moved / len(rotations)


def rotations(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw rotations (and reflections) of space, uniformly.

    Shape: (count, 3, 3)
    Reference: Mezzadri 2007, section 5, arXiv:math-ph/0609050
    """
    q, r = np.linalg.qr(rng.normal(size=(count, 3, 3)))
    return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]


def wasserstein_1d(
    a: np.ndarray, b: np.ndarray, a_weight: np.ndarray | None = None, b_weight: np.ndarray | None = None
) -> float:
    """Return the first Wasserstein distance of two sets of values: the area between their distribution functions.

    Shape: (N,), (M,) -> a number in the unit of the values
    Reference: Villani 2003, remark 2.19
    """
    values = np.concatenate([a, b])
    share = np.concatenate([_shares(a, a_weight), -_shares(b, b_weight)])
    order = np.argsort(values, kind="stable")
    return float(np.abs(np.cumsum(share[order])[:-1]) @ np.diff(values[order]))


def _shares(values: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    return np.full(len(values), 1 / len(values)) if weight is None else weight / weight.sum()


def sliced_wasserstein(
    a: np.ndarray, b: np.ndarray, a_weight: np.ndarray | None = None, b_weight: np.ndarray | None = None
) -> float:
    """Return the sliced Wasserstein distance of two clouds of colours: the mean over 64 fixed directions.

    Clouds that only lie at different places, c apart, are c / 2 from each other (the mean of |cos| over the sphere).

    Shape: (N, 3), (M, 3) -> a number in the unit of the colours
    Reference: Bonneel, Rabin, Peyre & Pfister 2015, section 3.1, doi:10.1007/s10851-014-0506-3
    """
    axes = _spiral(_DIRECTIONS)
    return float(np.mean([wasserstein_1d(a @ axis, b @ axis, a_weight, b_weight) for axis in axes]))


def _spiral(count: int) -> np.ndarray:
    """Spread directions evenly over a half sphere (Fibonacci's lattice). Shape: (count, 3)."""
    z = (np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], -1)
