"""How a photograph is developed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..film import FORMATS

Grain = Literal["halide", "gaussian", "boolean"]
Colours = Literal["film", "photo"]
Precision = Literal["float32", "bfloat16", "float16"]
LARGEST_TILE = 2048  # MLX has been wrong, silently, beyond 2^31 elements


@dataclass(frozen=True)
class DevelopConfig:
    """How a photograph is developed.

    Args:
        reconstructor: A bundled network's name, or the folder of a trained one, for the halide engine.
        density_scale: Halides against the film's own density, above 0 and up to 9, for the halide engine.
        strength: Of the grain: 0 is none, 1 is the film's, up to 4 exaggerates.
        tile: Side of the tiles in pixels; the result does not depend on it; 0 chooses what suits the engine.
        grain: What makes the grain: halides and a network, a Gaussian field, or the Boolean model's grains.
        colour: Whether the picture gets the film's tones and colours, or keeps the photo's and gets grain alone.
        stock: A bundled film stock's name (d2f stocks), or the file of a fitted one; "" is kodak-vision3-250d, and for
            the halide engine's grain the film of its own reconstructor.
        film_format: The frame that a photo fills: 135, half-frame, 645, 6x6, 6x7, 6x9, 4x5, super35, 16mm, super16,
            super8; "" is 135, and for a fitted stock the scans' own pixels.
        enlargement: Above 1, the photo is that much of a crop from the frame.
        lut: A 3-D table (.cube) for sRGB whose colours take the place of the film's; "" for none.
        exposure_index: Speed at which the film is exposed and developed; 0 for its own.
        precision: What the halide engine's network computes in; the half types are for GPUs.
    """

    reconstructor: str = "unet"
    density_scale: float = 1.0
    strength: float = 1.0
    tile: int = 0
    grain: Grain = "gaussian"
    colour: Colours = "film"
    stock: str = ""
    film_format: str = ""
    enlargement: float = 1.0
    exposure_index: float = 0.0
    lut: str = ""
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if not 0 < self.density_scale <= 9:
            raise ValueError(f"develop expects density_scale in (0, 9], got {self.density_scale}")
        if not 0 <= self.strength <= 4:
            raise ValueError(f"develop expects strength in [0, 4], got {self.strength}")
        if not 0 <= self.tile <= LARGEST_TILE:
            raise ValueError(f"develop expects a tile from 0 to {LARGEST_TILE} pixels, got {self.tile}")
        if self.grain not in get_args(Grain):
            raise ValueError(f"develop expects grain to be one of {', '.join(get_args(Grain))}, got {self.grain!r}")
        if self.colour not in get_args(Colours):
            raise ValueError(f"develop expects colour to be one of {', '.join(get_args(Colours))}, got {self.colour!r}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"develop expects a precision of {', '.join(get_args(Precision))}, got {self.precision!r}")
        if self.lut and self.colour == "photo":
            raise ValueError("develop expects colour='film' for a lut, got colour='photo'")
        if self.film_format and self.film_format not in FORMATS:
            raise ValueError(f"develop expects a film_format of {', '.join(FORMATS)}, got {self.film_format!r}")
        if not 0.01 <= self.enlargement <= 100:
            raise ValueError(f"develop expects an enlargement in [0.01, 100], got {self.enlargement}")
        if not (self.exposure_index == 0 or 1 <= self.exposure_index <= 1e6):
            raise ValueError(f"develop expects an exposure_index of 0, or in [1, 1000000], got {self.exposure_index}")
