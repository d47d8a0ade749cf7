"""Turn a photograph into film; then give it film's grain alone, and look at its halides.

    python examples/quickstart.py --out .        # a few seconds

Writes film.png (the coffee cup that comes with scikit-image, in the colours and with the grain of Kodak Vision3 250D),
grain.png (in its own colours, with the grain of a network that learned from film) and halides.png (where those grains
are, and what they hold), and prints the share of peaks before and after; film has about 0.1.
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
    d2f.write(folder / "film.png", d2f.develop(photo, key=1))

    grain = d2f.develop(photo, grain="halide", colour="photo", key=1)
    d2f.write(folder / "grain.png", grain)
    for name, pixels in (("photo", photo), ("grain", grain)):
        share = d2f.density(d2f.peaks(pixels))
        print(f"{name}: peaks R, G, B {np.array(share).round(3)}")
    halides = d2f.halide_image(mx.array(grain), d2f.extrema(grain))
    d2f.write(folder / "halides.png", np.array(halides))


if __name__ == "__main__":
    main()
