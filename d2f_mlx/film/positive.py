"""From densities on the film to the colours that are seen: prints, slides and scans."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..color import SRGB, RGBSpace, adaptation, between, compress
from .darkroom import SCAN, Darkroom, print_for
from .expose import CONTRAST, GREY, Negative
from .paper import PrintStock
from .scan import Scanner, film_display
from .spectra import Spectra, illuminant, observer
from .stock import FilmStock

_PRINTER_KELVIN = 3200.0
_STOPS = np.arange(-7, 7.01, 0.25)  # of the grey scale that a print is balanced on
_LEAST = 1e-12
PRINT_INTERLAYER = np.array([[-0.20, -0.01, 0.21], [-0.09, 0.24, -0.15], [0.02, -0.08, 0.06]])
"""K of `Print`: what each layer's stops (column) do to each layer (row)."""
_RENDERING = 1 + CONTRAST / 2  # contrast that pictures have beyond the scene's: the slope of the camera's curve
_THRESHOLD, _LIMIT = 0.95, 1.4  # of colours that are drawn into the picture's space
_POINTS, _SMOOTH = 64, 1.5  # of what balances a grey scale: points along it, and their smoothing's deviation


class Positive(Protocol):
    """Densities of a film's channels above the base in, display-encoded colours out.

    What is brighter than white is above 1 and left for the caller to clip, after interpolation if there is any.
    """

    def __call__(self, density: np.ndarray) -> np.ndarray:
        """Shape: (..., 3) -> (..., 3)."""
        ...


class Viewed:
    """A dye or silver image, projected or looked at by its light, as a picture in an RGB space.

    Its bare base is white, as eyes adapt to it (Bradford), and its greatest density black; between them light is kept
    in proportion. Colours beyond the space are drawn in smoothly (`color.compress`).

    Args:
        spectra: Of the image.
        kelvin: Colour temperature of the light.
        base: Amounts of dye in the bare base. Shape (3,)
        black: Amounts of dye where it is darkest. Shape (3,)
        space: The picture's.
    """

    def __init__(self, spectra: Spectra, kelvin: float, base: np.ndarray, black: np.ndarray, space: RGBSpace) -> None:
        light = illuminant(kelvin)[:, None] * observer()
        self._spectra, self._space = spectra, space
        self._seen = light / light[:, 1].sum()
        white = self.xyz(base)
        target = np.asarray(space.to_xyz).sum(1)
        self._to_rgb = np.asarray(space.from_xyz) @ adaptation(white / white[1], target) / white[1]
        self.black = float(self.light(black)[1])

    def xyz(self, amounts: np.ndarray) -> np.ndarray:
        """Give tristimulus values, 1 for the Y of the light itself, (..., 3)."""
        return np.exp(-math.log(10) * self._spectra.density(amounts)) @ self._seen

    def light(self, amounts: np.ndarray) -> np.ndarray:
        """Give linear colours in the space, 1 for the bare base and not yet drawn into it, (..., 3)."""
        return self.xyz(amounts) @ self._to_rgb.T

    def __call__(self, amounts: np.ndarray) -> np.ndarray:
        """Give the encoded colours of dyes, (..., 3)."""
        return _shown((self.light(amounts) - self.black) / (1 - self.black), self._space)

    def balance(self, amounts: np.ndarray) -> np.ndarray:
        """Find the dyes that make these neutral at the same luminance, by Newton's method; (N, 3) -> (N, 3).

        Silver is left as it is.
        """
        if self._spectra.silver:
            return amounts
        weights = np.asarray(self._space.to_xyz)[1]
        wanted = np.log((self.light(amounts) @ weights).clip(_LEAST))[:, None]
        found = np.array(amounts, np.float64)
        steps = np.eye(3) * 1e-5
        for _ in range(50):
            left = wanted - np.log(self.light(found).clip(_LEAST))
            if np.abs(left).max() < 1e-9:
                break
            slopes = np.stack(
                [(np.log(self.light(found + step).clip(_LEAST)) - wanted + left) / 1e-5 for step in steps], -1
            )
            found = found + np.clip(np.linalg.solve(slopes, left[..., None])[..., 0], -0.5, 0.5)
        return found


class Slide:
    """Reversal film looked at as it is."""

    def __init__(self, film: Negative, darkroom: Darkroom, space: RGBSpace) -> None:
        whole = film.amounts[np.argsort(film.density.sum(1))]
        self._viewed = Viewed(film.spectra, 5500.0, whole[0], whole[-1], space)
        self._from_density = np.linalg.inv(film.spectra.sides)
        scale = film.grey_scale(_STOPS) @ self._from_density.T
        self._balance = _Balance(scale, darkroom.neutral * (self._viewed.balance(scale) - scale))

    def __call__(self, density: np.ndarray) -> np.ndarray:
        """Give the colours of densities, (..., 3)."""
        amounts = np.asarray(density) @ self._from_density.T
        return self._viewed(amounts + self._balance(amounts))


class Print:
    """A negative printed.

    The negative's transmittance and the printer's light expose the print's layers; how much light each gets is such
    that the mid grey of a well exposed negative prints as mid grey, neutral (the idea of the laboratory aim density).
    What cast a grey scale has then, because the sheets' curves are not quite parallel, is taken away by ``neutral``.

    Masks, and effects between layers, make up for the impure dyes of the print too. No sheet has them, and without
    them foliage prints brown. So the grey stops s that each layer's exposure stands for become ``s + K s``, the rows of
    K adding up to 0 for grey: one matrix for all colour negatives on all colour prints, which was fitted to keep the
    hues of a colour chart on nine bundled pairs (`benchmarks/film_colour.py` fits it). A guess of the effect's
    kind, then; stocks keep their differences.

    Reference: Hunt 2004, 'The Reproduction of Colour', 6th ed., ch. 16; Kodak Publication H-61, 'LAD'
    """

    def __init__(self, film: Negative, paper: PrintStock, darkroom: Darkroom, space: RGBSpace) -> None:
        self._film = film
        self._from_density = np.linalg.inv(film.spectra.sides)
        self._through = illuminant(_PRINTER_KELVIN)[:, None] * 10.0**paper.spectra.sensitivity
        self._log_exposure = np.repeat(paper.log_exposure[:, None], 3, 1)
        self._dyes = paper.spectra.amounts(paper.curves)
        self._viewed = Viewed(paper.spectra, paper.viewing_kelvin, self._dyes[0], self._dyes[-1], space)
        self._lights = np.zeros(3)
        self._lights = self._aimed()
        scale = self._exposures(film.grey_scale(_STOPS))
        self._longer = darkroom.print_exposure * math.log10(2)
        plain = self._developed(scale + self._longer)
        self._balance = _Balance(scale + self._longer, darkroom.neutral * (self._viewed.balance(plain) - plain))
        colours = not (film.spectra.silver or paper.spectra.silver)
        self._between = darkroom.interlayer / Darkroom.interlayer * PRINT_INTERLAYER * colours
        self._scale = scale

    def _purified(self, log_exposure: np.ndarray) -> np.ndarray:
        """Let the print's layers act on each other, (..., 3)."""
        if not self._between.any():
            return log_exposure
        steps = np.repeat(_STOPS[:, None], 3, 1)
        stops = _along(log_exposure, self._scale, steps).clip(*self._film.useful)
        moved = stops + stops @ self._between.T
        return log_exposure + (_along(moved, steps, self._scale) - _along(stops, steps, self._scale))

    def _exposures(self, density: np.ndarray) -> np.ndarray:
        """Give the print's log exposures, (..., 3)."""
        spectral = self._film.spectra.density(np.asarray(density) @ self._from_density.T)
        return np.log10(np.exp(-math.log(10) * spectral) @ self._through) + self._lights

    def _developed(self, log_exposure: np.ndarray) -> np.ndarray:
        return _along(log_exposure, self._log_exposure, self._dyes)

    def _aimed(self) -> np.ndarray:
        """Find the printer lights that print mid grey as neutral mid grey."""
        grey = self._exposures(self._film.grey[None])[0]
        aim = GREY + (1 - GREY) * self._viewed.black  # which is taken for 0
        start = np.argmin(np.abs(self._viewed.light(self._dyes) - aim).sum(1))
        wanted = self._viewed.balance(self._dyes[[start]])[0]
        for _ in range(20):  # the same grey at the luminance that is wanted
            wanted = wanted * np.log(aim) / np.log(self._viewed.light(wanted).mean())
            wanted = self._viewed.balance(wanted[None])[0]
        return _along(wanted, self._dyes, self._log_exposure) - grey

    def __call__(self, density: np.ndarray) -> np.ndarray:
        """Give the colours of densities, (..., 3)."""
        h = self._purified(self._exposures(density)) + self._longer
        return self._viewed(self._developed(h) + self._balance(h))


class Scan:
    """A negative inverted by a neutral scanner.

    Each channel's grey scale is brought to their mean, so that greys are neutral; then comes `Scanner`'s curve, its
    contrast times 1.4, as pictures are more contrasty than scenes.
    """

    def __init__(self, film: Negative, scanner: Scanner, darkroom: Darkroom, space: RGBSpace) -> None:
        self._stock, self._space = film.stock, space
        self._scanner = replace(scanner, contrast=_RENDERING * scanner.contrast)
        self._scale = film.density
        self._mean = np.repeat(film.density.mean(1, keepdims=True), 3, 1)
        self._grey = float(_along(film.grey, self._scale, self._mean).mean())
        self._darker = darkroom.print_exposure * math.log10(2) / self._scanner.contrast

    def __call__(self, density: np.ndarray) -> np.ndarray:
        """Give the colours of densities, (..., 3)."""
        d = np.asarray(density)
        beyond = d - d.clip(self._scale.min(0), self._scale.max(0))  # where the scale goes on with slope 1
        common = _along(d, self._scale, self._mean) + beyond
        shown = film_display(self._stock, common - self._grey + self._scanner.grey - self._darker, self._scanner)
        linear = np.asarray(SRGB.decode(shown)) @ between(SRGB, self._space).T
        return _shown(linear, self._space)


def positive(stock: FilmStock, darkroom: Darkroom, scanner: Scanner, space: RGBSpace) -> Positive:
    """Choose how a film is looked at: reversal as it is, a negative scanned or printed.

    Raises: ValueError for an unknown print stock, or a print that is asked of reversal film.
    """
    film = Negative(stock, darkroom)
    if stock.kind == "reversal":
        if darkroom.print:
            raise ValueError(f"{stock.name} is reversal film: it is not printed, got a print of {darkroom.print!r}")
        return Slide(film, darkroom, space)
    if darkroom.print == SCAN:
        return Scan(film, scanner, darkroom, space)
    return Print(film, PrintStock.load(darkroom.print or print_for(stock)), darkroom, space)


def _shown(linear: np.ndarray, space: RGBSpace) -> np.ndarray:
    """Draw colours into a space and encode them.

    Print dyes reach half as far again as sRGB (1.5 in `color.compress`'s measure). Only the outermost twentieth gives
    way, as one part in a hundred of light in a dark channel is a tenth of its display range: saturated reds would turn
    pink.
    """
    return np.asarray(space.encode(compress(linear, _THRESHOLD, _LIMIT)))


class _Balance:
    """What is added to each channel, smooth along its grey scale and the same beyond the ends; arguments (N, 3)."""

    def __init__(self, scale: np.ndarray, corrections: np.ndarray) -> None:
        reach = math.ceil(3 * _SMOOTH)
        taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH) ** 2)
        self._grid = np.linspace(scale.min(0), scale.max(0), _POINTS)
        padded = np.pad(_along(self._grid, scale, corrections), [(reach, reach), (0, 0)], "edge")
        self._values = np.stack([np.convolve(column, taps / taps.sum(), "valid") for column in padded.T], -1)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Give the corrections, (..., 3) -> (..., 3)."""
        return _along(values, self._grid, self._values)


def _along(values: np.ndarray, scale: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Interpolate each channel's answers along its own scale, constant beyond the ends.

    Shape: (..., 3), (N, 3), (N, 3) -> (..., 3)
    """
    return np.stack([np.interp(values[..., c], *_rising(scale[:, c], answers[:, c])) for c in range(3)], -1)


def _rising(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort points by x and leave out those where it stands still."""
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    keep = np.append(True, np.diff(x) > 1e-9)
    return x[keep], y[keep]
