"""Training: one step, a plain loop, exact resumption; on one machine or on several."""

from .adversary import AdversarialStep, AdversaryConfig
from .config import Report, TrainConfig
from .examples import Examples, examples
from .files import can_resume, check_folder
from .judge import EVALUATION_CROP, Judge
from .memory import MemoryPlan, plan_memory
from .ranks import PeerLostError, Ranks
from .reconstruct import train_reconstructor

__all__ = [
    "EVALUATION_CROP",
    "AdversarialStep",
    "AdversaryConfig",
    "Examples",
    "Judge",
    "MemoryPlan",
    "PeerLostError",
    "Ranks",
    "Report",
    "TrainConfig",
    "can_resume",
    "check_folder",
    "examples",
    "plan_memory",
    "train_reconstructor",
]
