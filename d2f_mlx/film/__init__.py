"""What a film stock is, how it is exposed and printed, its grain, and where every figure comes from."""

from .darkroom import SCAN, Darkroom, print_for
from .expose import Negative, exposure_matrix, scene_light
from .fit import FEWEST_BLOCKS, Scans, fit, survey
from .layers import BooleanGrain, boolean_grain
from .look import Palette
from .optics import Optics, optics
from .pairs import fit_pairs
from .palette import fit_palette
from .paper import PrintStock, prints
from .positive import Positive, positive
from .samples import colours_of
from .scan import DEFAULT, FORMATS, ScannedGrain, Scanner, film_density, film_halides, pitch_of, push, scanned_grain
from .spectra import Spectra
from .stock import FilmStock, Kind, stocks

__all__ = [
    "DEFAULT",
    "FEWEST_BLOCKS",
    "FORMATS",
    "SCAN",
    "BooleanGrain",
    "Darkroom",
    "FilmStock",
    "Kind",
    "Negative",
    "Optics",
    "Palette",
    "Positive",
    "PrintStock",
    "ScannedGrain",
    "Scanner",
    "Scans",
    "Spectra",
    "boolean_grain",
    "colours_of",
    "exposure_matrix",
    "film_density",
    "film_halides",
    "fit",
    "fit_pairs",
    "fit_palette",
    "optics",
    "pitch_of",
    "positive",
    "print_for",
    "prints",
    "push",
    "scanned_grain",
    "scene_light",
    "stocks",
    "survey",
]
