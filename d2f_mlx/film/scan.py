"""A stock as a scanner sees it: from granularity on the film to grain in a positive picture's pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from ..backend import looked_up
from ..grain import HalideStatistics
from ..grain.aperture import disc_variance, pixel_variance
from ..grain.gaussian import GrainField, design_field, pixel_kernel
from ..grain.overlay import Tone, add_grain, scan_density, scan_display, tabulate
from ..grain.statistics import BANDS

if TYPE_CHECKING:
    from .stock import FilmStock

FORMATS = {  # long side of the picture on the film, mm
    "135": 36.0,
    "half-frame": 24.0,
    "645": 56.0,
    "6x6": 56.0,
    "6x7": 69.5,
    "6x9": 84.0,
    "4x5": 120.0,
    "super35": 24.9,
    "16mm": 10.3,
    "super16": 12.5,
    "super8": 5.8,
}
"""Film formats and the long side of a frame in millimetres (ISO 1007, ISO 732 and SMPTE camera apertures)."""
DEFAULT = "kodak-vision3-250d"
"""The stock that is used where none is named."""
SIGMA_STEP = 0.005
"""Of net density, in the table of a `ScannedGrain`."""
_TYPICAL = 0.75  # net density at which the channels' correlation is taken; it hardly depends on it
_PUSH = 0.27  # log of granularity by log of exposure index
_GREY_DENSITY = -math.log10(0.18)
_WHITEST, _BLACKEST = -0.1, 8.0  # densities of a positive at the ends of the logistic curve, beyond what is displayed


@dataclass(frozen=True)
class Scanner:
    """How film is turned into a positive picture.

    A negative goes through a curve as papers and lab scanners have it: the positive's density against the negative's
    is logistic, flat towards white and steep in the shadows. What is positive already (reversal film, scans) is
    taken as it is. The defaults were chosen so that data sheets' negatives have the grain by brightness, up
    to one factor, that the film library's scans have (within 17 % RMS).

    Args:
        contrast: Slope, at mid grey, of the positive's density against the negative's; 1.7 undoes a gamma of 0.6.
        grey: Net density of a negative that becomes mid grey, 18 % of white.
        blur: Deviation of the scanner's Gaussian spread, in micrometres on the film.
        crosstalk: How much of each channel is the mean of the three layers' densities, from 0 (channels are correlated
            by the dyes' side absorptions only) to 1 (all three the same). Scanners' bands are wide, and labs take
            colour noise out: 0.65 gives a correlation of 0.8 to 0.9, as lab scans have it.
    """

    contrast: float = 1.7
    grey: float = 0.6
    blur: float = 3.0
    crosstalk: float = 0.65

    def __post_init__(self) -> None:
        for name, low, high in (("contrast", 0.1, 10), ("grey", 0, 3), ("blur", 0, 100), ("crosstalk", 0, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"Scanner expects {name} in [{low}, {high}], got {value}")


@dataclass(frozen=True, eq=False)
class ScannedGrain:
    """A stock's grain in the pixels of a scan, ready for an engine.

    Args:
        field: Spectrum and channel correlation at the scan's pitch.
        tone: Density and granularity by display value, for `grain.overlay.add_grain`.
        pitch_um: The scan's pixel pitch.
        density: Net density behind display values from 0 to 1. Shape (257, 3)
        sigma: Deviation by net density, `SIGMA_STEP` apart from 0 on. Shape (K, 3)
        neighbours: Each field's correlation between neighbouring pixels. Shape (M,)
        kernel: The filter that gives white noise on the pixels the mean spectrum of the channels. Shape (9, 9)
    """

    field: GrainField
    tone: Tone
    pitch_um: float
    density: np.ndarray
    sigma: np.ndarray
    neighbours: np.ndarray
    kernel: np.ndarray

    def behind(self, photo: mx.array) -> mx.array:
        """Give the net density behind a positive's display values, (H, W, 3) -> (H, W, 3)."""
        return _behind(photo, mx.array(self.density, mx.float32))

    def add_to(self, density: mx.array, unit: mx.array) -> mx.array:
        """Add grain of mean 0 and variance 1 to net densities, as strong as each density's is; (H, W, 3)."""
        return _added(density, unit, mx.array(self.sigma, mx.float32))


@mx.compile
def _behind(photo: mx.array, table: mx.array) -> mx.array:
    last = len(table) - 1
    return looked_up(table, mx.clip(photo * last + 0.5, 0, last).astype(mx.int32))


@mx.compile
def _added(density: mx.array, unit: mx.array, sigma: mx.array) -> mx.array:
    step = mx.clip(density / SIGMA_STEP + 0.5, 0, len(sigma) - 1).astype(mx.int32)
    return density + looked_up(sigma, step) * unit


def pitch_of(size: tuple[int, int], film_format: str = "135", enlargement: float = 1.0) -> float:
    """Give the pixel pitch in micrometres on the film of a picture that fills a frame.

    Args:
        size: Height and width in pixels.
        film_format: A name in `FORMATS`.
        enlargement: Above 1 the picture is taken to be a crop of the frame, enlarged as much more.

    Raises: ValueError for an unknown format or an enlargement that is not positive.
    """
    if film_format not in FORMATS:
        raise ValueError(f"a film format is one of {', '.join(FORMATS)}, got {film_format!r}")
    if not (enlargement > 0 and math.isfinite(enlargement)):
        raise ValueError(f"an enlargement is positive, got {enlargement}")
    return 1000 * FORMATS[film_format] / max(size) / enlargement


def push(stock: FilmStock, exposure_index: float) -> float:
    """Give the factor by which granularity grows when a stock is exposed and developed at another speed.

    sigma ~ EI^0.27, from Portra 800 at 800, 1600 and 3200 (4.8, 6 and 7 in the digitised sheets; a
    rule of thumb for other stocks).

    Raises: ValueError for a speed that is not positive, or a stock whose own is not known.
    """
    if not exposure_index > 0:
        raise ValueError(f"an exposure index is positive, got {exposure_index}")
    if not stock.iso:
        raise ValueError(f"{stock.name} has no speed that an exposure index could be set against")
    return (exposure_index / stock.iso) ** _PUSH


def film_density(stock: FilmStock, display: np.ndarray, scanner: Scanner) -> np.ndarray:
    """Give the net density on the film behind display values.

    Density of a negative below its base, negative that is, stands for tones darker than it can give.

    Shape: any -> the same
    """
    positive = scan_density(display)
    if stock.kind != "negative":
        return positive
    return scanner.grey + (_logit(_GREY_DENSITY) - _logit(positive)) / _steepness(scanner)


def film_display(stock: FilmStock, density: np.ndarray, scanner: Scanner) -> np.ndarray:
    """Give the display value of net densities on the film: the inverse of `film_density`."""
    if stock.kind != "negative":
        return scan_display(density)
    logit = _logit(_GREY_DENSITY) - (np.asarray(density) - scanner.grey) * _steepness(scanner)
    return scan_display(_WHITEST + (_BLACKEST - _WHITEST) / (1 + np.exp(-logit)))


def _logit(positive: np.ndarray | float) -> np.ndarray:
    share = (np.asarray(positive) - _WHITEST) / (_BLACKEST - _WHITEST)
    return np.log(share / (1 - share))


def _steepness(scanner: Scanner) -> float:
    """Give d logit / d density of a negative: the logistic curve's slope is share (1 - share) of its span times it."""
    share = (_GREY_DENSITY - _WHITEST) / (_BLACKEST - _WHITEST)
    return scanner.contrast / ((_BLACKEST - _WHITEST) * share * (1 - share))


def scanned_grain(
    stock: FilmStock, pitch_um: float, scanner: Scanner | None = None, strength: float = 1.0
) -> ScannedGrain:
    """Work out a stock's grain in a scan: how strong by display value, with what spectrum and correlation.

    Granularity is known through one aperture (48 um on data sheets); the spectrum says what it is through a pixel of
    the scan, after the scanner's spread: sigma_pixel = sigma_48 sqrt(integral of W through the pixel / through the
    disc). A fitted stock holds its scanner already, so ``scanner`` leaves it alone.

    Raises: ValueError for a pitch that is not positive.
    """
    scanner = scanner or Scanner()
    fitted = stock.kind == "scan"
    blur_um = 0.0 if fitted else scanner.blur
    used = np.abs(stock.mixing).sum(0) > 0  # black and white has one field
    shape = (stock.frequency, stock.spectrum[:, used])
    seen = stock.pitch_um
    through_pixel = pixel_variance(*shape, pitch_um=pitch_um, seen_um=seen, blur_um=blur_um)
    through_aperture = (
        disc_variance(*shape, diameter_um=stock.aperture_um)
        if stock.aperture_um
        else pixel_variance(*shape, pitch_um=seen, seen_um=seen)
    )
    layers = stock.mixing[:, used] * np.sqrt(through_pixel / through_aperture)
    crosstalk = 0.0 if fitted else scanner.crosstalk
    # What each channel takes of each layer's density: neutral stays neutral.
    share = (1 - crosstalk) * np.eye(3) + crosstalk / 3

    def channels(density: np.ndarray) -> np.ndarray:
        """Give what each channel takes of each field at densities, (N, 3, M)."""
        sigma = np.stack([stock.sigma(density, c) for c in range(3)], -1)
        return np.einsum("ck,nk,km->ncm", share, sigma, layers)

    mixing = channels(np.array([_TYPICAL]))[0]
    mixing = mixing / np.linalg.norm(mixing, axis=1, keepdims=True)
    field = design_field(*shape, mixing, pitch_um=pitch_um, seen_um=seen, blur_um=blur_um, tail=stock.tail)
    tone = tabulate(
        lambda display: film_density(stock, display, scanner),
        lambda density: film_display(stock, density, scanner),
        lambda density: strength * np.linalg.norm(channels(density), axis=2),
    )
    seen_as = {"pitch_um": pitch_um, "seen_um": seen, "blur_um": blur_um}
    mean = (stock.spectrum[:, used] * (mixing**2).mean(0)).sum(1, keepdims=True)
    kernel = pixel_kernel(stock.frequency, mean, radius=4, **seen_as)
    density = np.repeat(film_density(stock, np.linspace(0, 1, 257), scanner)[:, None], 3, 1)
    neighbours = np.array([_neighbours(stock.frequency, shape[1][:, [m]], seen_as) for m in range(mixing.shape[1])])
    steps = np.arange(0, stock.grain_density[-1] + SIGMA_STEP, SIGMA_STEP)
    sigma = strength * np.linalg.norm(channels(steps), axis=2)
    return ScannedGrain(field, tone, pitch_um, density, sigma, neighbours, kernel)


def _neighbours(frequency: np.ndarray, spectrum: np.ndarray, seen_as: dict[str, float]) -> float:
    """Correlation between neighbouring pixels of a field with a spectrum."""
    kernel = pixel_kernel(frequency, spectrum, radius=12, **seen_as).astype(float)
    return float(((kernel[1:] * kernel[:-1]).sum() + (kernel[:, 1:] * kernel[:, :-1]).sum()) / 2)


def film_halides(grain: ScannedGrain, like: HalideStatistics) -> HalideStatistics:
    """Give the halide engine a stock's grain: its strength by brightness, channel correlation and spectrum.

    What `scatter` reads is replaced; densities, heights and occupancy, which follow from it, stay those of ``like``.
    """
    centres = mx.array((np.arange(BANDS) + 0.5) / BANDS, mx.float32)
    plain = mx.broadcast_to(centres[:, None, None], (BANDS, 1, 3))
    step = 0.1  # of a deviation: the slope of display against grain
    sigma = (add_grain(plain, mx.array(step), grain.tone) - add_grain(plain, mx.array(-step), grain.tone)) / (2 * step)
    mixing = np.array(grain.field.mixing, np.float64)
    return replace(
        like,
        sigma=255 * np.abs(np.array(sigma))[:, 0],
        correlation=np.float32(mixing @ mixing.T),
        kernel=grain.kernel,
    )
