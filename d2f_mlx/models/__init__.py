"""The networks, one file each."""

from .dianet import DIANet
from .harmony import Harmony, Independent
from .reconstructor import Reconstructor, ReconstructorConfig
from .unet import UNet

__all__ = ["DIANet", "Harmony", "Independent", "Reconstructor", "ReconstructorConfig", "UNet"]
