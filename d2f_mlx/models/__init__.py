"""The networks, one file each."""

from .dianet import DIANet
from .discriminators import MultiscaleDiscriminator, PatchDiscriminator
from .harmony import Harmony, Independent
from .reconstructor import Reconstructor, ReconstructorConfig
from .resnet import ResNet, ResNetConfig
from .unet import UNet
from .vgg import VGG

__all__ = [
    "VGG",
    "DIANet",
    "Harmony",
    "Independent",
    "MultiscaleDiscriminator",
    "PatchDiscriminator",
    "Reconstructor",
    "ReconstructorConfig",
    "ResNet",
    "ResNetConfig",
    "UNet",
]
