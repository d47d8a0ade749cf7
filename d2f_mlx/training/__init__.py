"""Training: compiled steps, a plain loop, exact resumption."""

from .examples import Examples, examples
from .reconstruct import EVALUATION_CROP, Judge, Report, TrainConfig, train_reconstructor

__all__ = ["EVALUATION_CROP", "Examples", "Judge", "Report", "TrainConfig", "examples", "train_reconstructor"]
