"""What a film stock is: its curves, its grain and where every figure comes from."""

from .fit import FEWEST_BLOCKS, Scans, fit, survey
from .layers import BooleanGrain, boolean_grain
from .scan import DEFAULT, FORMATS, ScannedGrain, Scanner, film_density, film_halides, pitch_of, push, scanned_grain
from .stock import FilmStock, Kind, stocks

__all__ = [
    "DEFAULT",
    "FEWEST_BLOCKS",
    "FORMATS",
    "BooleanGrain",
    "FilmStock",
    "Kind",
    "ScannedGrain",
    "Scanner",
    "Scans",
    "boolean_grain",
    "film_density",
    "film_halides",
    "fit",
    "pitch_of",
    "push",
    "scanned_grain",
    "stocks",
    "survey",
]
