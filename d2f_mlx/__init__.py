"""Digital photographs become film: measured against real film, in MLX.

import d2f_mlx as d2f

film = d2f.develop("photo.jpg")
d2f.write("film.jpg", film)
"""

from . import backend as backend  # isort: skip  (it puts a fast BLAS under MLX before MLX is loaded)

from . import checkpoint, evaluate, film, grain, images, models
from .checkpoint import from_pretrained
from .develop import DevelopConfig, Developer, develop
from .film import FilmStock, Scanner, stocks
from .grain import GrainMeasurement, HalideStatistics, density, extrema, halide_image, peaks, scatter, valleys
from .images import read, write
from .models import Reconstructor, ReconstructorConfig

__version__ = "0.1.0"

__all__ = [
    "DevelopConfig",
    "Developer",
    "FilmStock",
    "GrainMeasurement",
    "HalideStatistics",
    "Reconstructor",
    "ReconstructorConfig",
    "Scanner",
    "backend",
    "checkpoint",
    "density",
    "develop",
    "evaluate",
    "extrema",
    "film",
    "from_pretrained",
    "grain",
    "halide_image",
    "images",
    "models",
    "peaks",
    "read",
    "scatter",
    "stocks",
    "valleys",
    "write",
]
