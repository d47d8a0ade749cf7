"""Digital photographs become film: measured against real film, in MLX."""

from . import backend as backend  # first: it puts a fast BLAS under MLX before MLX is loaded

__version__ = "0.1.0"
