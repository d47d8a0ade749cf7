"""RGB colour spaces of photographs: what their numbers mean, and how to get from one to another.

Matrices act on column vectors (``xyz = to_xyz @ rgb``), are float64, and relative to a white of Y = 1. Curves take MLX
arrays (float32, fit for `mlx.core.compile`) and NumPy arrays (float64), and go on beyond [0, 1] on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import mlx.core as mx
import numpy as np
from numpy.typing import ArrayLike

Array = TypeVar("Array", mx.array, np.ndarray)
Adaptation = Literal["bradford", "cat16", "cat02"]


def module_for(values: mx.array | ArrayLike) -> tuple[Any, Any]:
    """Return the module that computes with an array, MLX or NumPy, and the array in that module's precision."""
    if isinstance(values, mx.array):
        return mx, values.astype(mx.float32)
    return np, np.asarray(values, np.float64)


@dataclass(frozen=True)
class Transfer:
    """A power curve with a linear toe, odd: f(-v) = -f(v).

    decode(v) = v / slope for v <= toe, else ((v + offset) / (1 + offset))^gamma.

    Args:
        gamma: Exponent of the light.
        offset: What is added before it.
        slope: Of the toe, in encoded values by light.
        toe: Encoded value where the toe ends; 0 for a plain power.
    """

    gamma: float
    offset: float = 0.0
    slope: float = 1.0
    toe: float = 0.0

    def decode(self, encoded: Array) -> Array:
        """Turn encoded values into light.

        Range: [0, 1] -> [0, 1], and beyond
        """
        xp, encoded = module_for(encoded)
        size = xp.abs(encoded)
        power = ((size + self.offset) * (1 / (1 + self.offset))) ** self.gamma
        return xp.sign(encoded) * xp.where(size <= self.toe, size * (1 / self.slope), power)

    def encode(self, linear: Array) -> Array:
        """Turn light into encoded values: the inverse of `decode`.

        Range: [0, 1] -> [0, 1], and beyond
        """
        xp, linear = module_for(linear)
        size = xp.abs(linear)
        power = (1 + self.offset) * size ** (1 / self.gamma) - self.offset
        return xp.sign(linear) * xp.where(size <= self.toe / self.slope, size * self.slope, power)


@dataclass(frozen=True)
class RGBSpace:
    """An RGB colour space for display-encoded pictures.

    Args:
        name: What `SPACES` calls it.
        title: What people call it.
        primaries: CIE 1931 xy of red, green and blue.
        white: CIE 1931 xy of white.
        transfer: How light is encoded.
    """

    name: str
    title: str
    primaries: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    white: tuple[float, float]
    transfer: Transfer

    @cached_property
    def white_xyz(self) -> np.ndarray:
        """XYZ of white, Y = 1. Shape (3,)."""
        return _constant(xyz_of(self.white))

    @cached_property
    def to_xyz(self) -> np.ndarray:
        """Matrix from linear RGB to XYZ relative to the space's own white. Shape (3, 3).

        Reference: SMPTE RP 177-1993, Derivation of Basic Television Color Equations
        """
        columns = np.stack([xyz_of(primary) for primary in self.primaries], axis=1)
        return _constant(columns * np.linalg.solve(columns, self.white_xyz))

    @cached_property
    def from_xyz(self) -> np.ndarray:
        """Matrix from XYZ relative to the space's own white to linear RGB. Shape (3, 3)."""
        return _constant(np.linalg.inv(self.to_xyz))

    def decode(self, encoded: Array) -> Array:
        """Turn the space's pixels into linear RGB.

        Range: [0, 1] -> [0, 1], and beyond
        """
        return self.transfer.decode(encoded)

    def encode(self, linear: Array) -> Array:
        """Turn linear RGB into the space's pixels: the inverse of `decode`.

        Range: [0, 1] -> [0, 1], and beyond
        """
        return self.transfer.encode(linear)


def xyz_of(xy: tuple[float, float]) -> np.ndarray:
    """Return the XYZ of a chromaticity at Y = 1.

    Shape: -> (3,)
    """
    x, y = xy
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _constant(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


_D65, _D50 = (0.3127, 0.3290), (0.3457, 0.3585)
_SRGB_CURVE = Transfer(2.4, 0.055, 12.92, 0.04045)

SRGB = RGBSpace("srgb", "sRGB", ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)), _D65, _SRGB_CURVE)
"""IEC 61966-2-1:1999."""
DISPLAY_P3 = RGBSpace("display-p3", "Display P3", ((0.680, 0.320), (0.265, 0.690), (0.15, 0.06)), _D65, _SRGB_CURVE)
"""SMPTE EG 432-1:2010's primaries with D65 and sRGB's curve (Apple)."""
ADOBE_RGB = RGBSpace(
    "adobe-rgb", "Adobe RGB (1998)", ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), _D65, Transfer(563 / 256)
)
"""Adobe RGB (1998) Color Image Encoding, version 2005-05."""
PROPHOTO = RGBSpace(
    "prophoto",
    "ProPhoto RGB",
    ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
    _D50,
    Transfer(1.8, slope=16.0, toe=1 / 32),
)
"""ROMM RGB, ISO 22028-2:2013."""
SPACES = {space.name: space for space in (SRGB, DISPLAY_P3, ADOBE_RGB, PROPHOTO)}
"""The known spaces by name; Display P3 and Adobe RGB are of nearly one size, between the other two."""

_CONES: dict[str, np.ndarray] = {
    "bradford": np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]),
    "cat02": np.array([[0.7328, 0.4296, -0.1624], [-0.7036, 1.6975, 0.0061], [0.0030, 0.0136, 0.9834]]),
    "cat16": np.array(
        [[0.401288, 0.650173, -0.051461], [-0.250268, 1.204414, 0.045854], [-0.002079, 0.048952, 0.953127]]
    ),
}


def adaptation(source_xyz: ArrayLike, target_xyz: ArrayLike, method: Adaptation = "bradford") -> np.ndarray:
    """Return the matrix that takes XYZ seen under one white to XYZ that look alike under another.

    M^-1 diag(M target / M source) M: complete adaptation in von Kries' way, in sharpened cone responses M.

    Args:
        source_xyz: The white it is seen under, Y > 0. Shape (3,)
        target_xyz: The white it is wanted for. Shape (3,)
        method: Whose cone responses: "bradford" (ICC profiles), "cat02" (CIECAM02), "cat16" (CAM16).

    Shape: -> (3, 3)

    Raises:
        ValueError: for another method, or whites that are not three numbers with positive cone responses.

    Reference: ICC.1:2022, annex E; CIE 159:2004; Li et al. 2017, equation 1. doi:10.1002/col.22131
    """
    if method not in _CONES:
        raise ValueError(f"adaptation expects a method of {', '.join(_CONES)}, got {method!r}")
    cones = _CONES[method]
    source, target = np.asarray(source_xyz, np.float64), np.asarray(target_xyz, np.float64)
    if source.shape != (3,) or target.shape != (3,) or not (np.min([cones @ source, cones @ target]) > 0):
        raise ValueError(f"adaptation expects two whites as XYZ of shape (3,), got {source_xyz} and {target_xyz}")
    return np.linalg.solve(cones, ((cones @ target) / (cones @ source))[:, None] * cones)


def between(source: RGBSpace, target: RGBSpace) -> np.ndarray:
    """Return the matrix from one space's linear RGB to another's, adapted by Bradford where the whites differ.

    Shape: -> (3, 3)
    """
    adapted = np.eye(3) if source.white == target.white else adaptation(source.white_xyz, target.white_xyz)
    return target.from_xyz @ adapted @ source.to_xyz


def transform(matrix: np.ndarray, colours: Array) -> Array:
    """Multiply every colour by a matrix, in a fixed order of additions, so that tiles agree bit for bit.

    Shape: (3, 3), (..., 3) -> (..., 3)
    """
    xp, colours = module_for(colours)
    columns = xp.array(matrix.T, colours.dtype)
    return colours[..., :1] * columns[0] + colours[..., 1:2] * columns[1] + colours[..., 2:] * columns[2]


def convert(pixels: Array, source: RGBSpace, target: RGBSpace) -> Array:
    """Convert display-encoded pixels from one space to another; colours outside the target are not clipped.

    Shape: (..., 3) -> (..., 3)
    Range: [0, 1] -> beyond it where the target is the smaller
    """
    if source == target:
        return module_for(pixels)[1]
    return target.encode(transform(between(source, target), source.decode(pixels)))
