"""Training: compiled steps, a plain loop, exact resumption."""

from .examples import Examples, examples
from .reconstruct import Judge, Report, TrainConfig, train_reconstructor

__all__ = ["Examples", "Judge", "Report", "TrainConfig", "examples", "train_reconstructor"]
