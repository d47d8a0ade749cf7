"""Give a photograph the grain of film, and look at its halides.

    python examples/quickstart.py --out .        # a few seconds

Writes film.png (the coffee cup that comes with scikit-image, developed) and halides.png (where its grains are, and what
they hold), and prints the share of peaks before and after; film has about 0.1.
"""

import argparse
from pathlib import Path

import d2f_mlx as d2f

import mlx.core as mx
import numpy as np
from skimage import data


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path())
    folder = parser.parse_args().out

    photo = data.coffee()  # (400, 600, 3), uint8; or d2f.read("photo.jpg").pixels
    film = d2f.develop(photo, key=1)
    d2f.write(folder / "film.png", film)

    for name, pixels in (("photo", photo), ("film", film)):
        share = d2f.density(d2f.peaks(pixels))
        print(f"{name}: peaks R, G, B {np.array(share).round(3)}")
    halides = d2f.halide_image(mx.array(film), d2f.extrema(film))
    d2f.write(folder / "halides.png", np.array(halides))


if __name__ == "__main__":
    main()
