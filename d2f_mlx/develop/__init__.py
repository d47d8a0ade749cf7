"""Photo to film, by tiles: one door, three engines."""

from .config import DevelopConfig, Grain
from .developer import Developer, develop
from .engine import Engine
from .halide import HalideEngine
from .stochastic import StochasticEngine

__all__ = ["DevelopConfig", "Developer", "Engine", "Grain", "HalideEngine", "StochasticEngine", "develop"]
