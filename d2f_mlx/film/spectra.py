"""Light and what materials do with it, wavelength by wavelength: illuminants, the eye, densitometers, emulsions."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .shelf import check, freeze, plain

WAVELENGTH = np.arange(380, 781, 5.0)
"""Where every spectrum in the package is given, in nm. Shape (81,)"""
Densitometry = Literal["status_m", "status_a", "visual"]
_BANDS: dict[str, tuple[tuple[float, float], ...]] = {
    "status_m": ((648, 12), (545, 16), (452, 17)),
    "status_a": ((628, 14), (535, 12), (444, 11)),
}
_HC_OVER_K = 1.438776877e7  # nm K, CODATA 2018
_TUNGSTEN = 4000.0  # below it light is taken for a black body's, above for daylight
SOURCES = ("sensitivity", "dyes", "base", "mtf")


@cache
def _tables() -> dict[str, np.ndarray]:
    path = Path(__file__).with_name("spectral_tables.csv")
    with path.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
        columns = np.loadtxt(file, delimiter=",").T
    return dict(zip(names, columns, strict=True))


def observer() -> np.ndarray:
    """Give the colour-matching functions of the CIE 1931 2 degree observer, (81, 3)."""
    return np.stack([_tables()[name] for name in "xyz"], 1)


def primaries() -> np.ndarray:
    """Give the reflectances of sRGB's red, green and blue, which add up to 1, (81, 3).

    A colour ``rgb`` of linear sRGB has the reflectance ``primaries() @ rgb``: inside the gamut between 0 and 1, and the
    right colour under D65.

    Reference: Mallett & Yuksel 2019, 'Spectral Primary Decomposition for Rendering with sRGB Reflectance', EGSR
    """
    return np.stack([_tables()[name] for name in ("red", "green", "blue")], 1)


def illuminant(kelvin: float) -> np.ndarray:
    """Give the power of light of a colour temperature, 1 at 560 nm: a black body below 4000 K, else CIE daylight.

    Shape: -> (81,)
    Reference: CIE 015:2018, 4.1 (daylight); Planck's law
    Raises: ValueError outside [1000, 25000] kelvin.
    """
    if not 1000 <= kelvin <= 25000:
        raise ValueError(f"a colour temperature is from 1000 to 25000 kelvin, got {kelvin}")
    if kelvin < _TUNGSTEN:
        power = WAVELENGTH**-5 / np.expm1(_HC_OVER_K / (WAVELENGTH * kelvin))
    else:
        t = 1000 / kelvin
        if kelvin <= 7000:
            x = 0.244063 + 0.09911 * t + 2.9678 * t**2 - 4.6070 * t**3
        else:
            x = 0.237040 + 0.24748 * t + 1.9018 * t**2 - 2.0064 * t**3
        y = -3.000 * x**2 + 2.870 * x - 0.275
        scale = 0.0241 + 0.2562 * x - 0.7341 * y
        first, second = (-1.3515 - 1.7703 * x + 5.9114 * y) / scale, (0.0300 - 31.4424 * x + 30.0717 * y) / scale
        power = _tables()["s0"] + first * _tables()["s1"] + second * _tables()["s2"]
    return power / np.interp(560.0, WAVELENGTH, power)


def bands(measure: Densitometry) -> np.ndarray:
    """Give a densitometer's red, green and blue response to light, each of sum 1, (81, 3); the eye's for "visual".

    Status M and A are Gaussians with the mean and deviation of the standard's spectral products.

    Reference: ISO 5-3:2009
    """
    if measure == "visual":
        response = np.repeat((illuminant(2856) * observer()[:, 1])[:, None], 3, 1)
    else:
        response = np.stack([np.exp(-0.5 * ((WAVELENGTH - mean) / width) ** 2) for mean, width in _BANDS[measure]], 1)
    return response / response.sum(0)


def measured(spectral_density: np.ndarray, measure: Densitometry) -> np.ndarray:
    """Measure spectral densities with a densitometer: D = -log10 of the mean transmittance in each band.

    Shape: (..., 81) -> (..., 3)
    """
    return np.asarray(-np.log10(10.0 ** -np.asarray(spectral_density) @ bands(measure)))


@dataclass(frozen=True, eq=False)
class Spectra:
    """How an emulsion sees light and absorbs it.

    Args:
        sensitivity: log10 of the red-, green- and blue-sensitive layer's sensitivity to power. Shape (81, 3)
        dyes: Density of a unit of the cyan, magenta and yellow dye; silver is the same at every wavelength and in every
            column, a third each. Shape (81, 3)
        base: Density of the base, mask and fog. Shape (81,)
        measure: The densitometer that its curves were read with.
        kelvin: Colour temperature of the light that it is balanced for, or exposed with.
        masking: How far one layer's exposure leaves the other channels' densities alone: 1 if coloured couplers make up
            for the dyes' side absorptions, 0 if nothing does.
        frequency: Of ``mtf``, cycles a millimetre, rising from 0. Shape (K,)
        mtf: Response of each layer; 1 at 0. Shape (K, 3)
        halation: Share of the light that comes back from the base's back (`optics`); 0 behind an anti-halation layer.
        sources: Where "sensitivity", "dyes", "base" and "mtf" come from, as for `FilmStock`.

    Raises: ValueError that names the field and what it holds.
    """

    sensitivity: np.ndarray
    dyes: np.ndarray
    base: np.ndarray
    measure: Densitometry
    kelvin: float
    masking: float
    sources: dict[str, str]
    frequency: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0]))
    mtf: np.ndarray = field(default_factory=lambda: np.ones((2, 3)))
    halation: float = 0.0

    def __post_init__(self) -> None:
        count, points = len(WAVELENGTH), np.size(self.frequency)
        shapes = {
            "sensitivity": (count, 3),
            "dyes": (count, 3),
            "base": (count,),
            "frequency": (points,),
            "mtf": (points, 3),
        }
        freeze(self, shapes)
        check(self, self.measure in get_args(Densitometry), "status_m, status_a or visual", self.measure)
        thirds = not self.silver or bool(np.allclose(self.dyes, 1 / 3, atol=1e-3))
        check(self, thirds, "dyes that differ, or silver, a third each", self.dyes[0])
        check(self, 1000 <= self.kelvin <= 25000, "kelvin from 1000 to 25000", self.kelvin)
        for name in ("masking", "halation"):
            check(self, 0 <= getattr(self, name) <= 1, f"{name} in [0, 1]", getattr(self, name))
        rising = points > 1 and self.frequency[0] == 0 and bool((np.diff(self.frequency) > 0).all())
        check(self, rising, "frequency to rise from 0", self.frequency)
        check(self, sorted(self.sources) == sorted(SOURCES), f"sources of {', '.join(SOURCES)}", sorted(self.sources))

    @property
    def silver(self) -> bool:
        """Whether the image is silver: neutral, with one density instead of three dyes."""
        return bool((self.dyes == self.dyes[:, :1]).all())

    @property
    def sides(self) -> np.ndarray:
        """What a unit of each dye (column) adds to each channel's density (row) as long as it is thin, (3, 3)."""
        return np.eye(3) if self.silver else bands(self.measure).T @ self.dyes

    def density(self, amounts: np.ndarray) -> np.ndarray:
        """Give the spectral density of dyes on the base: D = base + sum of amounts c_k times dyes' densities.

        Shape: (..., 3) -> (..., 81)
        """
        return np.asarray(self.base + np.asarray(amounts) @ self.dyes.T)

    def amounts(self, density: np.ndarray) -> np.ndarray:
        """Find the dyes that a densitometer measures as these densities, base included.

        By steps of Newton's method with the slope of thin dyes throughout.

        Shape: (N, 3) -> (N, 3)
        Raises: ValueError if there are none.
        """
        density = np.asarray(density, np.float64)
        if self.silver:
            return density - measured(self.base, self.measure)
        found, left = np.zeros_like(density), density
        inverse = np.linalg.inv(self.sides)
        for _ in range(200):
            left = density - measured(self.density(found), self.measure)
            if np.abs(left).max() < 1e-9:
                return found
            found = found + left @ inverse.T
        raise ValueError(f"these dyes give no densities of {density[np.abs(left).max(1).argmax()].round(2)}")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}
