"""Digital photographs become film: measured against real film, in MLX.

import d2f_mlx as d2f

film = d2f.develop("photo.jpg")
d2f.write("film.jpg", film)
"""

from . import backend as backend  # isort: skip  (it puts a fast BLAS under MLX before MLX is loaded)

from . import checkpoint, color, evaluate, film, grain, images, losses, models
from .checkpoint import from_pretrained
from .color import Lut3D
from .develop import DevelopConfig, Developer, contact_sheet, develop, develop_files, film_look
from .film import Darkroom, FilmStock, PrintStock, Scanner, prints, stocks
from .grain import GrainMeasurement, HalideStatistics, density, extrema, halide_image, peaks, scatter, valleys
from .images import read, write
from .models import Reconstructor, ReconstructorConfig

__version__ = "0.1.0"

__all__ = [
    "Darkroom",
    "DevelopConfig",
    "Developer",
    "FilmStock",
    "GrainMeasurement",
    "HalideStatistics",
    "Lut3D",
    "PrintStock",
    "Reconstructor",
    "ReconstructorConfig",
    "Scanner",
    "backend",
    "checkpoint",
    "color",
    "contact_sheet",
    "density",
    "develop",
    "develop_files",
    "evaluate",
    "extrema",
    "film",
    "film_look",
    "from_pretrained",
    "grain",
    "halide_image",
    "images",
    "losses",
    "models",
    "peaks",
    "prints",
    "read",
    "scatter",
    "stocks",
    "valleys",
    "write",
]
