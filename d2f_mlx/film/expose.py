"""From a photograph's values to the exposure of a film's layers, and to the densities that it develops.

Everything here works on one value, or on one pixel, at a time; light spreads between pixels in `optics`.
"""

from __future__ import annotations

import math

import numpy as np

from ..color import SRGB, RGBSpace, between
from .darkroom import Darkroom
from .spectra import WAVELENGTH, Spectra, illuminant, observer, primaries
from .stock import FilmStock

GREY = 0.18
"""Linear light of the mid grey that a meter sets the exposure by."""
DARKEST = 1e-6
"""Light that less than this is taken for, as is the negative light of colours that no spectrum here has."""
REVERSAL_INTERLAYER = np.array([[0.06, -0.22, 0.16], [-0.19, 0.26, -0.07], [-0.11, -0.11, 0.22]])
"""Of reversal film, beyond what its masking has. A guess: one matrix for all, which was fitted to keep the hues of a
colour chart on the bundled films (`benchmarks/film_colour.py`)."""
CONTRAST = 0.8
"""How much of the contrast curve of the paper cited in `scene_light` a camera's pictures are taken to have."""
_FILTERS = {  # nm where a long-pass filter reaches a half, or the band that a green or blue one lets through
    "yellow": (465.0, np.inf),
    "orange": (545.0, np.inf),
    "red": (595.0, np.inf),
    "green": (500.0, 575.0),
    "blue": (-np.inf, 500.0),
}
_DEVELOPS = (0.01, 0.99)  # shares of a grey scale's density between which layers act on each other
_FILTER_EDGE = 8.0  # nm over which a filter's edge rises (logistic)
_TINT = (490.0, 600.0)  # nm between which a magenta filter takes light away
_LENS = (410.0, 675.0)  # nm where a lens with an ultraviolet and an infrared filter reaches a half


def scene_light(display: np.ndarray, space: RGBSpace, darkroom: Darkroom) -> np.ndarray:
    """Give the scene's light behind a picture's values, channel by channel.

    tone "linear" decodes. "camera" then undoes a camera's contrast on sRGB-encoded values, which is taken for
    ``v = (1 - s) x + s (3 x^2 - 2 x^3)`` with s = 0.8 (at 1, the curve in the reference, white would be an edge), and
    stretches bright parts, ``L' = L (1 - 0.18 k) / (1 - k L)`` with k such that white lies ``headroom`` stops higher.
    The first leaves a half alone and makes 0.19 of mid grey's 0.18, the second leaves 0.18 alone.

    Shape: any -> the same
    Range: display-encoded; "linear" continues beyond [0, 1], "camera" clips -> linear light, white 1 or 2^headroom
    Reference: Brooks et al. 2019, 'Unprocessing Images for Learned Raw Denoising', CVPR, 3.3 (the contrast curve)
    """
    linear = np.asarray(space.decode(np.asarray(display, np.float64)))
    if darkroom.tone == "linear":
        return linear
    encoded = np.asarray(SRGB.encode(linear)).clip(0, 1)
    slope = 1 + CONTRAST / 2  # with y = x - 1/2: v - 1/2 = slope y - 2 s y^3, which y = size sin(t) solves
    size = math.sqrt(2 * slope / (3 * CONTRAST))
    light = np.asarray(SRGB.decode(0.5 + size * np.sin(np.arcsin(3 * (encoded - 0.5) / (slope * size)) / 3)))
    most = 2.0**darkroom.headroom
    k = (most - 1) / (most - GREY)
    return light * (1 - GREY * k) / (1 - k * light)


def filter_transmittance(name: str) -> np.ndarray:
    """Give the transmittance of a contrast filter for black and white, (81,).

    Edges lie where those of the Wratten filters 8, 21, 25, 58 and 47 do, within a few nm; slopes are a guess.
    """
    if name == "none":
        return np.ones(len(WAVELENGTH))
    return np.maximum(_band(*_FILTERS[name]), 1e-4)


def _band(low: float, high: float) -> np.ndarray:
    """Let light through between two wavelengths in nm."""
    rise = 1 / (1 + np.exp(-(WAVELENGTH - low) / _FILTER_EDGE)) if math.isfinite(low) else 1.0
    fall = 1 / (1 + np.exp((WAVELENGTH - high) / _FILTER_EDGE)) if math.isfinite(high) else 1.0
    return np.asarray(rise * fall)


def exposure_matrix(spectra: Spectra, space: RGBSpace, darkroom: Darkroom) -> np.ndarray:
    """Give what each layer (row) takes of a picture's linear red, green and blue (column), (3, 3).

    A colour is a reflectance (`primaries`) under the scene's light; a layer adds up light times its sensitivity, and is
    counted so that white under the light which the film is balanced for is 1. Another light, or one that a filter has
    tinted, has the same luminance. Contrast filters are for silver, colour film is exposed without.
    The lens keeps to what the eye sees, as the reflectances at the ends of the spectrum are arbitrary: without that,
    the blue-sensitive layers, which are most sensitive near 400 nm, would see every red as a little blue. Colours
    outside sRGB continue linearly.

    Reference: Hunt 2004, 'The Reproduction of Colour', 6th ed., ch. 12; Mallett & Yuksel 2019
    """
    eye = observer()[:, 1]
    lens = _band(*_LENS)
    own, sensitivity = illuminant(spectra.kelvin), 10.0**spectra.sensitivity * lens[:, None]
    light = illuminant(darkroom.temperature) if darkroom.temperature else own
    light = light * 10.0 ** (-darkroom.tint / 100 * _band(*_TINT))
    light = light * (own @ eye) / (light @ eye)
    white = own @ sensitivity
    matrix = (sensitivity * light[:, None]).T @ primaries() / white[:, None]
    if darkroom.filter != "none" and spectra.silver:
        through = filter_transmittance(darkroom.filter)[:, None]
        filtered = (sensitivity * light[:, None] * through).T @ primaries()
        matrix = filtered * (matrix.sum(1) / filtered.sum(1))[:, None]
    return matrix @ between(space, SRGB)


def _between(stock: FilmStock, darkroom: Darkroom) -> np.ndarray:
    """Give what each layer's log exposure (column) does to each layer (row) beyond its own, (3, 3)."""
    if stock.black_and_white:
        return np.zeros((3, 3))
    if stock.kind == "reversal":
        return darkroom.interlayer / Darkroom.interlayer * REVERSAL_INTERLAYER
    return darkroom.interlayer * (np.eye(3) - 1 / 3)


class Negative:
    """A film's response: densities of its channels by the exposure of its layers.

    Each channel's density above the base is counted as if the dyes were thin, ``d = sides @ amounts``, so that dyes and
    densities change into each other linearly. A densitometer, whose bands are wide, reads a little less where dyes are
    dense: 5 % at a density of 2, of Kodachrome's deepest cyan 10 %. On a grey scale the amounts are those that give
    the sheet's curves exactly. Off it, with ``masking`` m, channel c has
    ``m W_c(h_c) + (1 - m) sum of sides_ck a_k(h_k)``: W and a are the grey scale's densities and amounts by log
    exposure h. So the image is the sheet's, whatever the masking, where it is grey.

    Args:
        stock: A stock with spectra.
        darkroom: How it is exposed.

    Raises: ValueError for a stock without spectra, or without a speed.
    """

    def __init__(self, stock: FilmStock, darkroom: Darkroom) -> None:
        if stock.spectra is None:
            raise ValueError(f"{stock.name} has no spectra: it was fitted to scans, which hold its colours already")
        if stock.iso is None:
            raise ValueError(f"{stock.name} has no speed that it could be exposed at")
        self.stock, self.spectra, self.darkroom = stock, stock.spectra, darkroom
        self.log_exposure = stock.log_exposure
        self.amounts = self.spectra.amounts(stock.curves)  # (N, 3) of the grey scale
        self.density = self.amounts @ self.spectra.sides.T  # (N, 3) of the grey scale
        self.between = _between(stock, darkroom)
        self.grey_log_exposure = math.log10(12.5 / stock.iso)  # lux s at the film's speed
        share = ((self.density - self.density.min(0)) / np.ptp(self.density, 0)).mean(1)
        rising = np.maximum.accumulate(share if share[-1] > share[0] else 1 - share)
        ends = np.searchsorted(rising, _DEVELOPS).clip(max=len(rising) - 1)
        self.useful = (self.log_exposure[ends] - self.grey_log_exposure) / math.log10(2)  # stops, (2,)

    def log_exposures(self, light: np.ndarray) -> np.ndarray:
        """Turn the layers' light (mid grey 0.18) into log exposures, interlayer effects included.

        Interlayer effects are taken for their result on colours: h + B h, the rows of B adding up to 0, which leaves
        greys alone. In B h, h is held within what the film responds to: a layer that develops nothing holds nothing
        back. For negatives, B h is s (h_c - mean of h), s being ``Darkroom.interlayer``; for reversal film it is
        `REVERSAL_INTERLAYER` in proportion to that.

        Shape: (..., 3) -> the same
        Reference: Hanson & Horton 1952, 'Subtractive Color Reproduction: Interimage Effects', JOSA 42, 663
        """
        stops = np.log2(np.maximum(light, DARKEST) / GREY) + self.darkroom.exposure
        held = stops.clip(*self.useful)
        stops = stops + held @ self.between.T
        return self.grey_log_exposure + stops * math.log10(2)

    def developed(self, light: np.ndarray, space: RGBSpace) -> np.ndarray:
        """Expose the film with the light of a picture's red, green and blue (mid grey 0.18), and develop it.

        Shape: (..., 3) -> (..., 3), the channels' densities above the base
        """
        return self.densities(self.log_exposures(light @ exposure_matrix(self.spectra, space, self.darkroom).T))

    def densities(self, log_exposure: np.ndarray) -> np.ndarray:
        """Give the channels' densities above the base, (..., 3)."""
        table = self.table(self.log_exposure)
        h = np.asarray(log_exposure)
        parts = (np.interp(h[..., k], self.log_exposure, table[:, k, c]) for c in range(3) for k in range(3))
        parts = np.stack(list(parts), -1)
        return parts.reshape(*h.shape[:-1], 3, 3).sum(-1)

    def table(self, log_exposure: np.ndarray) -> np.ndarray:
        """Tabulate what each layer adds to each channel's density, (N, layer, channel)."""
        masking = self.spectra.masking if not self.spectra.silver else 1.0

        def at(columns: np.ndarray, k: int) -> np.ndarray:
            return np.interp(log_exposure, self.log_exposure, columns[:, k])

        table = np.zeros((len(log_exposure), 3, 3))
        for k in range(3):
            table[:, k] = (1 - masking) * at(self.amounts, k)[:, None] * self.spectra.sides[:, k]
            table[:, k, k] += masking * at(self.density, k)
        return table

    @property
    def grey(self) -> np.ndarray:
        """The densities of the grey that is to be mid grey in the print or scan, (3,)."""
        exposed = self.darkroom.exposure if self.darkroom.aim == "exposure" else 0.0
        return self.grey_scale(np.array([exposed]))[0]

    def grey_scale(self, stops: np.ndarray) -> np.ndarray:
        """Give the densities of greys so many stops above the mid grey of a well exposed film, (N, 3)."""
        h = self.grey_log_exposure + np.asarray(stops) * math.log10(2)
        return np.stack([np.interp(h, self.log_exposure, self.density[:, c]) for c in range(3)], -1)
