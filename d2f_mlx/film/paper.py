"""What a negative is printed on: print film and paper."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .shelf import check, find, listed, load, plain, save
from .spectra import Spectra

BUNDLED = Path(__file__).parent / "prints"
"""The folder of the print stocks that come with the package; each file in it is a name for `PrintStock.load`."""
_FORMAT = "print stock"
_VIEWING = {"film": 5500.0, "paper": 5000.0}


def prints() -> dict[str, Path]:
    """Return the names and files of the bundled print stocks, without reading them."""
    return listed(BUNDLED)


@dataclass(frozen=True, eq=False)
class PrintStock:
    """A print film's or paper's curves and spectra.

    Args:
        name: What `load` calls it, "kodak-2383".
        title: What people call it.
        kind: "film" is projected, "paper" looked at.
        black_and_white: Whether its image is silver; its layer is then given three times.
        log_exposure: Common axis of the curves; only differences count. Shape (N,).
        curves: Density of each layer, base included, rising with exposure. Shape (N, 3).
        spectra: How it sees and absorbs light.
        sources: Where "curves" come from; `Spectra` says the rest.
        credit: Whose work the data is.
        report: What else is known; JSON values.

    Raises: ValueError that names the field and what it holds.
    """

    name: str
    title: str
    maker: str
    year: int | None
    kind: Literal["film", "paper"]
    black_and_white: bool
    log_exposure: np.ndarray
    curves: np.ndarray
    spectra: Spectra
    sources: dict[str, str]
    credit: str = ""
    report: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self, bool(self.name and self.title), "a name and a title", (self.name, self.title))
        check(self, self.kind in ("film", "paper"), "kind to be film or paper", self.kind)
        points = np.size(self.log_exposure)
        for name, shape in (("log_exposure", (points,)), ("curves", (points, 3))):
            array = np.array(getattr(self, name), np.float64)
            check(
                self, array.shape == shape and bool(np.isfinite(array).all()), f"finite {name} of {shape}", array.shape
            )
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        rising = (
            points > 1
            and bool((np.diff(self.log_exposure) > 0).all())
            and bool((np.diff(self.curves, axis=0) >= 0).all())
        )
        check(self, rising, "log_exposure and curves to rise", self.log_exposure)
        check(self, sorted(self.sources) == ["curves"], "sources of curves", sorted(self.sources))
        check(
            self, self.black_and_white == self.spectra.silver, "silver for black and white, and only there", self.name
        )

    @property
    def base(self) -> np.ndarray:
        """Minimum density, (3,)."""
        return self.curves[0]

    @property
    def viewing_kelvin(self) -> float:
        """Colour temperature of the light that it is looked at by: a xenon projector's (5500 K) or D50."""
        return _VIEWING[self.kind]

    def to_dict(self) -> dict[str, Any]:
        """Return what `save` writes."""
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "spectra"}
        return {"format": _FORMAT, **values, "spectra": self.spectra.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PrintStock:
        """Build a print stock from what `to_dict` returned.

        Raises: ValueError for anything else.
        """
        values = dict(values)
        if values.pop("format", None) != _FORMAT:
            raise ValueError("it holds something else")
        return cls(**{**values, "spectra": Spectra(**values["spectra"])})

    def save(self, path: str | Path) -> None:
        """Write one JSON file, a line a field, whole or not at all."""
        save(path, self.to_dict())

    @classmethod
    def load(cls, name: str | Path) -> PrintStock:
        """Load a bundled print stock by its name (see `prints`), or a file that `save` wrote.

        Raises: ValueError that names similar ones, or the file and what is wrong with it.
        """
        path = find(name, prints(), "PrintStock.load expects a bundled print stock", "d2f stocks --prints lists them")
        return load(path, cls.from_dict, _FORMAT)
