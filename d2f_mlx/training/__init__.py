"""Training: compiled steps, a plain loop, exact resumption."""

from .examples import Examples, examples
from .reconstruct import (
    EVALUATION_CROP,
    Judge,
    Report,
    TrainConfig,
    can_resume,
    check_folder,
    train_reconstructor,
)

__all__ = [
    "EVALUATION_CROP",
    "Examples",
    "Judge",
    "Report",
    "TrainConfig",
    "can_resume",
    "check_folder",
    "examples",
    "train_reconstructor",
]
