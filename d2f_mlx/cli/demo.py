"""``d2f demo``: a photograph that comes with scikit-image, before and after."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .. import images
from ..develop import DevelopConfig
from ..film import Darkroom, Scanner
from .develop import developer_from
from .flags import add_flags

PHOTOS = ("astronaut", "coffee", "chelsea")
_CROP = 256
_GAP = 8


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("demo", help="develop a sample photograph: before, after and a crop")
    parser.add_argument("-o", "--out", type=Path, default=Path("d2f-demo.png"), help="(default: d2f-demo.png)")
    parser.add_argument("--photo", choices=PHOTOS, default="astronaut", help="(default: astronaut)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another grain (default: 0)")
    for config in (DevelopConfig, Darkroom, Scanner):
        add_flags(parser, config)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Develop the photograph and write one picture."""
    photo = sample(arguments.photo)
    film = developer_from(arguments)(photo, key=arguments.seed)
    images.write(arguments.out, sheet(photo, film))
    print(f"{arguments.out}: before, after, and a 100 % crop of each")
    return 0


def sample(name: str) -> np.ndarray:
    """Return one of scikit-image's photographs, uint8 sRGB.

    Raises: ValueError where scikit-image is missing.
    """
    try:
        from skimage import data
    except ImportError:
        raise ValueError("demo needs a photograph from scikit-image: pip install 'd2f_mlx[demo]'") from None
    return getattr(data, name)()


def sheet(photo: np.ndarray, film: np.ndarray) -> np.ndarray:
    """Lay out before | after | a crop of each, one above the other, at one pixel to a pixel.

    Shape: two of (H, W, 3) -> (H', W', 3), uint8
    """
    height, width = photo.shape[:2]
    side = min(_CROP, height, width)
    top, left = min(height // 6, height - side), (width - side) // 2
    crops = [pixels[top : top + side, left : left + side] for pixels in (photo, film)]
    canvas = Image.new("RGB", (2 * width + side + 2 * _GAP, max(height, 2 * side + _GAP)), "white")
    places = [(0, 0), (width + _GAP, 0), (2 * (width + _GAP), 0), (2 * (width + _GAP), side + _GAP)]
    labels = ("before", "after", "before, 100 %", "after, 100 %")
    for pixels, place, label in zip((photo, film, *crops), places, labels, strict=True):
        canvas.paste(Image.fromarray(pixels), place)
        ImageDraw.Draw(canvas).text(
            (place[0] + 6, place[1] + 4), label, fill="white", stroke_width=1, stroke_fill="black"
        )
    return np.asarray(canvas)
