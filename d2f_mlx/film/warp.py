"""Smooth displacements of colours, made of cubic B-splines, and how smooth a table of colours is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

CONTROLS = 8
"""Control points of the splines along each axis: 5 spans."""


@dataclass(frozen=True, eq=False)
class SplineFit:
    """Regularised least squares for a smooth displacement of given colours.

    Minimises ``sum of w |d(x) - y|^2 / sum of w + (smooth |second differences of c|^2 + pull |c|^2) / CONTROLS^3`` for
    the displacement d with control points c, so that d fades to 0 where nothing is known.

    Shape: basis (N, CONTROLS^3), weight (N,), inverse (CONTROLS^3, CONTROLS^3)
    Reference: Rueckert et al. 1999, doi:10.1109/42.796284
    """

    basis: np.ndarray
    weight: np.ndarray
    inverse: np.ndarray

    @classmethod
    def at(cls, basis: np.ndarray, weight: np.ndarray, smooth: float, pull: float) -> SplineFit:
        """Prepare the fit for colours, given by their `spline_basis`, and their weights.

        Shape: basis (N, CONTROLS^3), weight (N,)
        """
        share = weight / weight.sum()
        penalty = (smooth * _roughness() + pull * np.eye(CONTROLS**3)) / CONTROLS**3
        return cls(basis, share, np.linalg.inv((basis * share[:, None]).T @ basis + penalty))

    def __call__(self, displacement: np.ndarray) -> np.ndarray:
        """Return the control points for displacements of the colours.

        Shape: (N, 3) -> (CONTROLS^3, 3)
        """
        return self.inverse @ (self.basis.T @ (self.weight[:, None] * displacement))


def spline_basis(colours: np.ndarray) -> np.ndarray:
    """Evaluate the tensor product of uniform cubic B-splines over the unit cube.

    Shape: (N, 3) -> (N, CONTROLS^3); rows sum to 1
    """
    red, green, blue = (_basis_1d(colours[:, c]) for c in range(3))
    return (red[:, :, None, None] * green[:, None, :, None] * blue[:, None, None, :]).reshape(len(colours), -1)


def _basis_1d(values: np.ndarray) -> np.ndarray:
    spans = CONTROLS - 3
    place = np.clip(values, 0, 1) * spans
    span = np.minimum(place.astype(int), spans - 1)
    t = place - span
    parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = np.zeros((len(values), CONTROLS))
    for offset, part in enumerate(parts):
        basis[np.arange(len(values)), span + offset] = part / 6
    return basis


@cache
def _roughness() -> np.ndarray:
    """Return the quadratic form of all second differences of control points, mixed ones twice."""
    one = np.eye(CONTROLS)
    first, second = np.diff(one, axis=0), np.diff(one, 2, axis=0)
    gram = {0: one, 1: first.T @ first, 2: second.T @ second}
    total = np.zeros((CONTROLS**3, CONTROLS**3))
    for orders in ((2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (1, 0, 1), (0, 1, 1)):
        a, b, c = (gram[order] for order in orders)
        total += (2 if 1 in orders else 1) * np.kron(np.kron(a, b), c)
    return total


def grid(points: int) -> np.ndarray:
    """List the nodes of a table of the unit cube, blue fastest.

    Shape: (points^3, 3)
    """
    axis = np.linspace(0, 1, points)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def least_volume(table: np.ndarray) -> float:
    """Return the smallest determinant of a table's Jacobian: 1 for the identity, below 0 where it folds.

    At the eight corners of each cell, by one-sided differences.

    Shape: (P, P, P, 3) -> a number
    """
    cells = len(table) - 1
    steps = [np.diff(table, axis=axis) * cells for axis in range(3)]
    least = np.inf
    for corner in range(8):
        keep = [slice(corner >> axis & 1, cells + (corner >> axis & 1)) for axis in range(3)]
        cuts = [step[tuple(slice(None) if a == axis else keep[a] for a in range(3))] for axis, step in enumerate(steps)]
        least = min(least, float(np.linalg.det(np.stack(cuts, -1)).min()))
    return least


def sharpest_bend(table: np.ndarray) -> float:
    """Return the largest second difference of a table along its axes.

    Between nodes a table is off what it was sampled from by an eighth of this at most, and a gradient's slope changes
    by no more than this from cell to cell: what bands would come from.

    Shape: (P, P, P, 3) -> a number in the unit of the table
    """
    return max(float(np.abs(np.diff(table, 2, axis=axis)).max()) for axis in range(3))
