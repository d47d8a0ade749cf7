"""A look: curves a channel, then a smooth displacement of colours; and the table it is kept as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np

from ..color import SRGB, Lut3D
from .tone import lab_of, straight, through
from .warp import CONTROLS, grid, least_volume, sharpest_bend, spline_basis

_LEAST_VOLUME = 0.01
_HALVINGS = 12


@dataclass(frozen=True, eq=False)
class Look:
    """What happens to a colour: through the curves, plus the displacement at where it was.

    Args:
        curves: Of each channel, at even values. Shape (NODES, 3)
        controls: Control points of the displacement's splines. Shape (CONTROLS^3, 3)
        grey: Whether colours become greys of the same luminance before the curves.
    """

    curves: np.ndarray = field(default_factory=straight)
    controls: np.ndarray = field(default_factory=lambda: np.zeros((CONTROLS**3, 3)))
    grey: bool = False

    def __call__(self, colours: np.ndarray) -> np.ndarray:
        """Change colours; the result may lie a little outside [0, 1].

        Shape: (N, 3) -> (N, 3)
        """
        if self.grey:
            colours = greys(colours)
        curved = through(self.curves, colours)
        return curved + spline_basis(colours) @ self.controls if self.controls.any() else curved

    def weakened(self, strength: float) -> Look:
        """Keep a part of the change, between nothing (0) and all of it (1)."""
        return replace(
            self, curves=straight() + strength * (self.curves - straight()), controls=strength * self.controls
        )

    def table(self, points: int) -> np.ndarray:
        """Tabulate, without clipping. Shape: (points, points, points, 3)."""
        return self(grid(points)).reshape(points, points, points, 3)


def greys(colours: np.ndarray) -> np.ndarray:
    """Replace colours by greys of the same luminance.

    Shape: (N, 3) -> (N, 3)
    """
    luminance = SRGB.decode(colours) @ SRGB.to_xyz[1]
    return np.repeat(SRGB.encode(luminance)[:, None], 3, 1)


@dataclass(frozen=True, eq=False)
class Palette:
    """How a film renders colours, as a table to look photographs' colours up in.

    Args:
        table: Encoded sRGB to encoded sRGB, indexed [red, green, blue]. Shape (points, points, points, 3), float32
        report: How it was found and how sure it is; JSON values.
    """

    table: np.ndarray
    report: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def lut(self) -> Lut3D:
        """The table, ready to apply and to save as a ``.cube`` file."""
        return Lut3D(self.table, title="film palette")

    def __call__(self, pixels: mx.array) -> mx.array:
        """Give pixels the film's tone and palette.

        Shape: (..., 3) -> (..., 3)
        Range: encoded sRGB, [0, 1]
        """
        return self.lut(pixels)


def bake(look: Look, points: int, report: Mapping[str, Any]) -> Palette:
    """Tabulate a look, its displacement weakened as far as it would fold or invert greys; say in the report how smooth.

    Raises: ValueError unless there are 9 to 65 points.
    """
    if not 9 <= points <= 65:
        raise ValueError(f"a palette expects 9 to 65 points an axis, got {points}")
    kept = 1.0
    if look.controls.any() and not _sound(look.table(points)):
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            kept = (low + high) / 2
            weaker = replace(look, controls=kept * look.controls)
            low, high = (kept, high) if _sound(weaker.table(points)) else (low, kept)
        kept = low
        look = replace(look, controls=kept * look.controls)
    table = look.table(points)
    clipped = table.clip(0, 1)
    smoothness = {
        "points": points,
        "least volume": None if look.grey else round(least_volume(table), 4),
        "sharpest bend": round(255 * sharpest_bend(clipped), 2),
        "least step of greys": round(float(np.diff(_greys(clipped)[:, 0]).min()), 3),
        "cast of greys": round(float(np.hypot(*_greys(clipped)[:, 1:].T).max()), 2),
        "outside": round(float((np.abs(table - clipped) > 0.5 / 255).any(-1).mean()), 4),
        "displacement kept": round(kept, 3),
    }
    return Palette(clipped.astype(np.float32), {**report, **smoothness})


def _sound(table: np.ndarray) -> bool:
    return least_volume(table) >= _LEAST_VOLUME and bool((np.diff(_greys(table)[:, 0]) > 0).all())


def _greys(table: np.ndarray) -> np.ndarray:
    """Return what greys become, in L*a*b*. Shape: (points, 3)."""
    diagonal = np.arange(len(table))
    return lab_of(table[diagonal, diagonal, diagonal])
