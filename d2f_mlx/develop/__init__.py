"""Photo to film, by tiles: one door, the film's colour, three engines for its grain."""

from .batch import develop_files
from .colour import Colour, FilmColour, TableColour
from .config import Colours, DevelopConfig, Grain
from .contact import contact_sheet
from .developer import Developer, develop
from .engine import Engine
from .files import DevelopedFile
from .halide import HalideEngine
from .look import film_look
from .stochastic import StochasticEngine

__all__ = [
    "Colour",
    "Colours",
    "DevelopConfig",
    "DevelopedFile",
    "Developer",
    "Engine",
    "FilmColour",
    "Grain",
    "HalideEngine",
    "StochasticEngine",
    "TableColour",
    "contact_sheet",
    "develop",
    "develop_files",
    "film_look",
]
