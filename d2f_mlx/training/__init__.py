"""Training: one step, a plain loop, exact resumption; on one machine or on several."""

from .adversarial_step import AdversarialStep
from .adversary import AdversaryConfig, check_adversary, start_from
from .animate import Animation
from .config import Callback, DiscriminatorConfig, Report, TrainConfig
from .discriminator import check_discriminator, train_discriminator
from .discriminator_evaluation import DiscriminatorEvaluation
from .evaluation import EVALUATION_CROP, Evaluation
from .examples import Examples, example_pictures, examples, rebuilt
from .files import can_resume, check_folder
from .log import Log
from .memory import MemoryPlan, plan_memory
from .ranks import PeerLostError, Ranks
from .reconstruct import train_reconstructor
from .summary import Summary
from .tensorboard import TensorBoard

__all__ = [
    "EVALUATION_CROP",
    "AdversarialStep",
    "AdversaryConfig",
    "Animation",
    "Callback",
    "DiscriminatorConfig",
    "DiscriminatorEvaluation",
    "Evaluation",
    "Examples",
    "Log",
    "MemoryPlan",
    "PeerLostError",
    "Ranks",
    "Report",
    "Summary",
    "TensorBoard",
    "TrainConfig",
    "can_resume",
    "check_adversary",
    "check_discriminator",
    "check_folder",
    "example_pictures",
    "examples",
    "plan_memory",
    "rebuilt",
    "start_from",
    "train_discriminator",
    "train_reconstructor",
]
