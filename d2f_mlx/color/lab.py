"""CIE 1976 L*a*b*, and how different two colours look: CIEDE2000."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .spaces import Array, module_for

_KNEE = 6 / 29


def to_lab(xyz: Array, white_xyz: ArrayLike) -> Array:
    """Turn XYZ into L*a*b*.

    L* = 116 f(Y / Yn) - 16, a* = 500 (f(X / Xn) - f(Y / Yn)), b* = 200 (f(Y / Yn) - f(Z / Zn)), where f(t) is the cube
    root, and a line below (6 / 29)^3.

    Args:
        xyz: Shape (..., 3)
        white_xyz: Xn, Yn, Zn. Shape (3,)

    Shape: (..., 3) -> (..., 3)
    Range: Y / Yn in [0, 1] -> L* in [0, 100]
    Reference: CIE 15:2018, section 8.2.1
    """
    xp, xyz = module_for(xyz)
    ratio = xyz / xp.array(np.asarray(white_xyz, np.float64), xyz.dtype)
    root = xp.maximum(ratio, _KNEE**3) ** (1 / 3)
    response = xp.where(ratio > _KNEE**3, root, ratio / (3 * _KNEE**2) + 4 / 29)
    x, y, z = (response[..., i] for i in range(3))
    return xp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def from_lab(lab: Array, white_xyz: ArrayLike) -> Array:
    """Turn L*a*b* into XYZ: the inverse of `to_lab`.

    Shape: (..., 3) -> (..., 3)
    Reference: CIE 15:2018, annex D
    """
    xp, lab = module_for(lab)
    y = (lab[..., 0] + 16) / 116
    response = xp.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    ratio = xp.where(response > _KNEE, response**3, (response - 4 / 29) * (3 * _KNEE**2))
    return ratio * xp.array(np.asarray(white_xyz, np.float64), lab.dtype)


def delta_e_2000(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Return how different two colours look, CIEDE2000 with kL = kC = kH = 1; about 1 is just noticeable.

    Args:
        first: L*a*b*. Shape (..., 3)
        second: L*a*b*, broadcast against the first.

    Shape: -> (...)
    Reference: Sharma, Wu and Dalal 2005, equations 2 to 22. doi:10.1002/col.20070
    """
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(np.asarray(lab, np.float64), -1, 0) for lab in (first, second))
    grey = 0.5 * (1 - _chroma_share((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2))
    a1, a2 = a1 * (1 + grey), a2 * (1 + grey)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180  # of greys, whose hue means nothing, all that it goes into is 0
    turn = np.where(h2 - h1 == 180, 180, turn)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    hue = (h1 + h2 + np.where(np.abs(h1 - h2) > 180, np.where(h1 + h2 < 360, 360, -360), 0)) / 2
    weight = (
        1
        - 0.17 * _cosine(hue - 30)
        + 0.24 * _cosine(2 * hue)
        + 0.32 * _cosine(3 * hue + 6)
        - 0.20 * _cosine(4 * hue - 63)
    )
    away = (light - 50) ** 2
    d_light = (l2 - l1) / (1 + 0.015 * away / np.sqrt(20 + away))
    d_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * chroma * weight)
    blue = 60 * np.exp(-(((hue - 275) / 25) ** 2))  # degrees: twice 30
    rotation = -2 * _chroma_share(chroma) * np.sin(np.radians(blue))
    return np.sqrt(d_light**2 + d_chroma**2 + d_hue**2 + rotation * d_chroma * d_hue)


def _chroma_share(chroma: np.ndarray) -> np.ndarray:
    return np.sqrt(chroma**7 / (chroma**7 + 25.0**7))


def _cosine(degrees: np.ndarray) -> np.ndarray:
    return np.cos(np.radians(degrees))
