"""A film stock: how it turns light into density, and what grain that density has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..grain import HalideStatistics
from .shelf import check, find, freeze, listed, load, plain, save
from .spectra import Spectra

BUNDLED = Path(__file__).parent / "stocks"
"""The folder of the stocks that come with the package; each file in it is a name for `FilmStock.load`."""
Kind = Literal["negative", "reversal", "scan"]
SOURCES = ("curves", "granularity", "spectrum", "correlation")
"""What a stock says the source of, each "sheet", "borrowed: ...", "guess: ...", "model: ..." or "scans..."."""
_ORIGINS = ("sheet", "borrowed", "guess", "model", "scans")
_FORMAT = "film stock"
_NORM_TOLERANCE = 1e-3
_POWER_TOLERANCE = 1e-2


def stocks() -> dict[str, Path]:
    """Return the names and files of the bundled stocks, without reading them."""
    return listed(BUNDLED)


def radial_power(frequency: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Integrate 2 pi W f df, exactly for radial spectra that are linear between the points.

    Shape: (F,), (F, C) -> (C,)
    """
    low, high = frequency[:-1, None], frequency[1:, None]
    first, last = spectrum[:-1], spectrum[1:]
    return 2 * np.pi * ((high - low) / 6 * (low * (2 * first + last) + high * (first + 2 * last))).sum(0)


@dataclass(frozen=True, eq=False)
class FilmStock:
    """A film's curves and grain, layer by layer: the red-, the green- and the blue-sensitive one.

    The grain of a channel at net density D is ``sigma(D)`` times a field of unit variance with the power spectrum
    ``spectrum``; the channels' fields are `mixing` times three independent ones. Assumes that the spectrum does not
    depend on the density. A black-and-white stock has one layer, given three times, and one field.

    Args:
        name: What `load` calls it, "kodak-vision3-500t".
        title: What people call it, with the maker's code.
        kind: How density becomes light: a negative is printed, reversal is looked at, "scan" was fitted to positives.
        medium: "photo", "cine".
        log_exposure: Common axis of the curves, log10 lux s for data sheets, rising. Shape (N,).
        curves: Density of each layer, base included; reversal falls with exposure. Shape (N, 3).
        base: Minimum density; net density is the curve less this. Shape (3,).
        grain_density: Net densities of the granularity, rising. Shape (K,).
        granularity: Standard deviation of density (not x1000), as seen through the aperture. Shape (K, 3).
        aperture_um: Diameter of that aperture, 48 for data sheets; 0 means one pixel of `pitch_um`.
        frequency: Cycles a millimetre, rising from 0. Shape (F,).
        spectrum: Radial power spectrum of each independent field, mm^2: with the points joined by lines,
            ``2 pi integral of W f df = 1``. Shape (F, 3).
        mixing: Rows of norm 1; ``mixing @ mixing.T`` is the correlation of the channels. Shape (3, 3).
        pitch_um: Of the scans a stock was fitted to, through whose pixel the spectrum was seen; 0 for the film's own.
        sources: Where "curves", "granularity", "spectrum" and "correlation" come from (see `SOURCES`).
        credit: Whose work the data is.
        tail: How heavy the tails of each channel's grain are, as in `grain.GrainField`; 0 if Gaussian. Shape (3,)
        radius_um: Mean radius of a grain or dye cloud of each layer, where a model of them made the spectrum.
        radius_sigma_um: Standard deviation of that radius, of a log-normal distribution.
        halides: What halides its scans have.
        spectra: How it sees and absorbs light; None for a stock that was fitted to scans.
        palette: The look of its scans, of a stock that was fitted to them: sRGB colours to sRGB colours, indexed [red,
            green, blue]. Shape (N, N, N, 3)
        report: How sure this is, and what else is known; JSON values.

    Raises: ValueError that names the field and what it holds.
    """

    name: str
    title: str
    maker: str
    year: int | None
    iso: int | None
    kind: Kind
    medium: str
    black_and_white: bool
    log_exposure: np.ndarray
    curves: np.ndarray
    base: np.ndarray
    grain_density: np.ndarray
    granularity: np.ndarray
    aperture_um: float
    frequency: np.ndarray
    spectrum: np.ndarray
    mixing: np.ndarray
    pitch_um: float
    sources: dict[str, str]
    credit: str = ""
    tail: np.ndarray = field(default_factory=lambda: np.zeros(3))
    radius_um: np.ndarray | None = None
    radius_sigma_um: np.ndarray | None = None
    halides: HalideStatistics | None = None
    spectra: Spectra | None = None
    palette: np.ndarray | None = None
    report: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "title"):
            check(self, bool(getattr(self, name)), f"a {name}", getattr(self, name))
        check(self, self.kind in get_args(Kind), f"kind to be one of {get_args(Kind)}", self.kind)
        for name in ("year", "iso"):
            value = getattr(self, name)
            check(
                self, value is None or (isinstance(value, int) and value > 0), f"{name} to be positive or None", value
            )
        for name in ("aperture_um", "pitch_um"):
            value = getattr(self, name)
            check(self, bool(np.isfinite(value)) and value >= 0, f"{name} of 0 or more", value)
        check(self, self.aperture_um + self.pitch_um > 0, "aperture_um or pitch_um above 0", 0)
        self._freeze()
        check(
            self,
            bool((self.curves >= self.base - _NORM_TOLERANCE).all()),
            "base to be the least density of each curve",
            self.base,
        )
        check(self, bool((self.granularity > 0).all()), "granularity above 0", self.granularity.min())
        check(self, self.grain_density[0] >= 0, "grain_density of 0 or more", self.grain_density[0])
        check(self, self.frequency[0] == 0, "frequency to begin with 0", self.frequency[0])
        check(self, bool((self.spectrum >= 0).all()), "spectrum of 0 or more", self.spectrum.min())
        power = radial_power(self.frequency, self.spectrum)
        check(self, bool(np.allclose(power, 1, atol=_POWER_TOLERANCE)), "spectrum with a power of 1", power)
        norms = np.linalg.norm(self.mixing, axis=1)
        check(self, bool(np.allclose(norms, 1, atol=_NORM_TOLERANCE)), "mixing with rows of norm 1", norms)
        for name in ("radius_um", "radius_sigma_um"):
            value = getattr(self, name)
            least = 0 if name == "radius_sigma_um" else np.finfo(float).tiny
            check(self, value is None or bool((value >= least).all()), f"{name} above 0", value)
        if self.palette is not None:
            palette = np.array(self.palette, np.float64)
            cube = palette.ndim == 4 and palette.shape == (*[len(palette)] * 3, 3) and len(palette) > 1
            check(
                self, cube and bool(np.isfinite(palette).all()), "a finite palette of shape (N, N, N, 3)", palette.shape
            )
            palette.flags.writeable = False
            object.__setattr__(self, "palette", palette)
        check(self, sorted(self.sources) == sorted(SOURCES), f"sources of {', '.join(SOURCES)}", sorted(self.sources))
        for name, source in self.sources.items():
            known = source.split(":")[0].split(" ")[0] in _ORIGINS
            check(self, known, f"the source of {name} to begin with one of {', '.join(_ORIGINS)}", source)

    def _freeze(self) -> None:
        """Copy the arrays as read-only float64 and check their shapes, that they are finite, and the axes rise."""
        points, densities, frequencies = (np.size(getattr(self, axis)) for axis in _AXES)
        shapes = {
            "log_exposure": (points,),
            "curves": (points, 3),
            "base": (3,),
            "grain_density": (densities,),
            "granularity": (densities, 3),
            "frequency": (frequencies,),
            "spectrum": (frequencies, 3),
            "mixing": (3, 3),
            "tail": (3,),
            "radius_um": (3,),
            "radius_sigma_um": (3,),
        }
        for name in ("radius_um", "radius_sigma_um"):  # which may be unknown
            if getattr(self, name) is None:
                del shapes[name]
        freeze(self, shapes)
        for name in _AXES:
            axis = getattr(self, name)
            check(self, len(axis) > 1 and bool((np.diff(axis) > 0).all()), f"{name} to rise", axis)

    @property
    def correlation(self) -> np.ndarray:
        """Correlation between the channels' grain, (3, 3)."""
        return self.mixing @ self.mixing.T

    def net(self, channel: int) -> np.ndarray:
        """Return the channel's curve less its base, (N,)."""
        return self.curves[:, channel] - self.base[channel]

    def sigma(self, density: np.ndarray | float, channel: int) -> np.ndarray:
        """Interpolate the channel's granularity at net densities; constant beyond the ends."""
        return np.asarray(np.interp(density, self.grain_density, self.granularity[:, channel]))

    def to_dict(self) -> dict[str, Any]:
        """Return what `save` writes."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.halides is not None:
            values["halides"] = {f.name: getattr(self.halides, f.name) for f in fields(self.halides)}
            values["halides"] = {name: plain(value) for name, value in values["halides"].items()}
        if self.spectra is not None:
            values["spectra"] = self.spectra.to_dict()
        return {"format": _FORMAT, **{name: plain(value) for name, value in values.items()}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FilmStock:
        """Build a stock from what `to_dict` returned.

        Raises: ValueError for anything else.
        """
        values = dict(values)
        if values.pop("format", None) != _FORMAT:
            raise ValueError("it holds something else")
        if values.get("halides") is not None:
            halides = values["halides"]
            counts = {name: halides[name] for name in ("pictures", "blocks")}
            arrays = {name: np.array(value, np.float32) for name, value in halides.items() if name not in counts}
            values["halides"] = HalideStatistics(**arrays, **counts)
        if values.get("spectra") is not None:
            values["spectra"] = Spectra(**values["spectra"])
        return cls(**values)

    def save(self, path: str | Path) -> None:
        """Write one JSON file, a line a field, whole or not at all."""
        save(path, self.to_dict())

    @classmethod
    def fit(cls, scans: Sequence[str | Path | np.ndarray], **options: Any) -> FilmStock:
        """Measure a stock from scans of it; see `film.fit`."""
        from .fit import fit

        return fit(scans, **options)

    @classmethod
    def load(cls, name: str | Path) -> FilmStock:
        """Load a bundled stock by its name (see `stocks`), or a file that `save` wrote.

        Raises: ValueError that names similar stocks, or the file and what is wrong with it.
        """
        path = find(name, stocks(), "FilmStock.load expects a bundled stock")
        return load(path, cls.from_dict, _FORMAT)


_AXES = ("log_exposure", "grain_density", "frequency")
