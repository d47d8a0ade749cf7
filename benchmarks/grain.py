"""Time and weigh the grain engines on pictures of 6 and 24 megapixels, against what else one could use.

    python benchmarks/grain.py --json grain.json

Everyone takes uint8 pixels and gives uint8 pixels back, colour, in a process of its own, so that its peak memory is its
own (the whole process's, the interpreter and both pictures included). A picture of 256x256 goes first, for what is
compiled. "first s" is the first picture of its size, set up and compiled for; "s" the next one, as in a batch. What
would take too long is measured on a part of the picture, at the whole picture's pixel pitch, and its time scaled by
area: the column "measured" says so. --all measures everything whole but the Monte-Carlo rivals.

Rivals that are not installed are left out: scikit-image comes with pip install 'd2f_mlx[benchmark]', filmgrainer is not
on PyPI but in its author's repository only.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

from d2f_mlx.develop import DevelopConfig, Developer

import numpy as np
from PIL import Image

from report import add_json, peak_gib, publish

SIZES = ((2000, 3000), (4000, 6000))
WARM_UP = 256
SIGMA = 5.0  # levels of 255, as much as a fast film has
RADIUS, BLUR, SAMPLES = 0.1, 0.8, 100  # Newson et al. 2017; their own default is 800 samples

Run = Callable[[np.ndarray], np.ndarray]


class Contestant(NamedTuple):
    """What is timed.

    Args:
        prepare: Given the width of the whole picture and of the part, return what gives grain to the part.
        needs: The package that it comes from, if it is not one of ours.
        side: Largest part that is measured by default; 0 for no limit.
        always: Whether --all leaves it at that.
        largest: Width of the largest picture it is tried on by default.
    """

    prepare: Callable[[int, int], Run]
    needs: str = ""
    side: int = 0
    always: bool = False
    largest: int = 10**6


def ours(**options: str) -> Callable[[int, int], Run]:
    """Give grain alone with one of our engines, at the pitch of the whole picture."""

    def prepare(width: int, part: int) -> Run:
        enlargement = width / part if options.get("stock") else 1.0
        config = DevelopConfig(**options, colour="photo", enlargement=enlargement)  # pyright: ignore[reportArgumentType]
        return Developer(config)

    return prepare


def skimage(width: int, part: int) -> Run:
    from skimage.util import img_as_float, img_as_ubyte, random_noise

    return lambda photo: img_as_ubyte(random_noise(img_as_float(photo), "gaussian", var=(SIGMA / 255) ** 2))


def numpy_noise(width: int, part: int) -> Run:
    rng = np.random.default_rng(0)
    return lambda photo: np.rint((photo + rng.normal(0, SIGMA, photo.shape)).clip(0, 255)).astype(np.uint8)


def numpy_boolean(width: int, part: int) -> Run:
    """Newson's model as one would write it in NumPy, channels apart."""
    rng = np.random.default_rng(0)

    def run(photo: np.ndarray) -> np.ndarray:
        views = np.stack([boolean_channel(photo[..., c] / 255.1, rng) for c in range(3)], -1)
        if abs(views.mean() - (photo / 255.1).mean()) > 0.02:
            raise SystemExit("NumPy Boolean model: gives another mean")
        return np.rint(255 * views).astype(np.uint8)

    return run


def boolean_channel(coverage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Estimate by Monte Carlo how much of each pixel grains cover: v(y) = mean over k of 1_Z(y + xi_k).

    Grains' number in a cell of 1 / ceil(1 / r) pixels is Poisson distributed, -ln(1 - u) / (pi r^2) a pixel.

    Shape: (H, W) -> the same
    Reference: Newson, Faraj, Galerne and Delon 2017, IPOL 7, algorithm 2. doi:10.5201/ipol.2017.192
    """
    apron = math.ceil(4 * BLUR + RADIUS)
    finer = math.ceil(1 / RADIUS)
    lit = np.pad(coverage, apron, mode="edge")
    mean = np.repeat(np.repeat(-np.log1p(-lit) / (np.pi * RADIUS**2), finer, 0), finer, 1) / finer**2
    count = rng.poisson(mean)
    most, first = count.max(), np.cumsum(count).reshape(count.shape) - count
    cell = np.repeat(np.arange(count.size), count.ravel())
    down = (cell // count.shape[1] + rng.random(len(cell))) / finer
    right = (cell % count.shape[1] + rng.random(len(cell))) / finer
    view = np.zeros(coverage.shape)
    for shift in rng.normal(0, BLUR, (SAMPLES, 2)).clip(-4 * BLUR, 4 * BLUR):
        rows, columns = (apron + np.arange(n) + 0.5 + x for n, x in zip(coverage.shape, shift, strict=True))
        covered = np.zeros(coverage.shape, bool)
        for near in np.ndindex(3, 3):
            place = np.ix_(*((axis * finer).astype(int) + d - 1 for axis, d in zip((rows, columns), near, strict=True)))
            number, grain = count[place], first[place]
            for k in range(most):
                y, x = np.nonzero((number > k) & ~covered)
                g = grain[y, x] + k
                covered[y, x] = (down[g] - rows[y]) ** 2 + (right[g] - columns[x]) ** 2 < RADIUS**2
        view += covered
    return view / SAMPLES


def filmgrainer(width: int, part: int) -> Run:
    from filmgrainer.filmgrainer import process  # pyright: ignore[reportMissingImports]

    def run(photo: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder) / "before.png", Path(folder) / "after.png"
            Image.fromarray(photo).save(before, compress_level=1)
            process(str(before), 1.0, 1.0, 0.8, 0.2, 0.2, 1, 0.5, False, 0, time.time_ns() % 2**31, str(after))
            return np.asarray(Image.open(after))

    return run


CONTESTANTS = {
    "d2f gaussian": Contestant(ours(grain="gaussian", stock="kodak-portra-400")),
    "d2f halide (unet)": Contestant(ours(grain="halide"), largest=3000),
    "d2f boolean": Contestant(ours(grain="boolean", stock="kodak-vision3-500t"), side=1024),
    "skimage random_noise": Contestant(skimage, "skimage"),
    "NumPy Gaussian noise": Contestant(numpy_noise),
    f"NumPy Boolean, N = {SAMPLES}": Contestant(numpy_boolean, side=256, always=True),
    "filmgrainer": Contestant(filmgrainer, "filmgrainer"),
}


def picture(height: int, width: int) -> np.ndarray:
    """Generate a photograph of sorts: a ramp from dark to bright, each channel's own, with a texture."""
    y, x = np.mgrid[:256, :256]
    texture = np.uint8(8 + 8 * np.sin(x / 9) * np.cos(y / 7))
    pixels = np.empty((height, width, 3), np.uint8)
    for c, ramp in enumerate((np.linspace(20, 210, width), np.linspace(220, 30, width), np.linspace(60, 160, width))):
        pixels[..., c] = ramp.astype(np.uint8)
        pixels[..., c] += np.tile(texture, (height // 256 + 1, width // 256 + 1))[:height, :width]
    return pixels


def measure(name: str, height: int, width: int, whole: bool) -> dict[str, object]:
    """Give a picture, or a part of it, grain in this process; return the seconds that all would take, and the peak."""
    found = CONTESTANTS[name]
    side = 0 if whole and not found.always else found.side
    part = (min(height, side), min(width, side)) if side else (height, width)
    found.prepare(width, WARM_UP)(picture(WARM_UP, WARM_UP))
    photo, run = picture(*part), found.prepare(width, part[1])
    seconds = []
    film = photo
    for _ in range(2):
        start = time.perf_counter()
        film = run(photo)
        seconds.append(time.perf_counter() - start)
    if film.shape != photo.shape or film.dtype != np.uint8 or np.array_equal(film, photo):
        raise SystemExit(f"{name}: gave {film.dtype} {film.shape}, or no grain")
    share = part[0] * part[1] / (height * width)
    return {
        "first s": seconds[0] / share,
        "s": seconds[1] / share,
        "Mpx/s": part[0] * part[1] / 1e6 / seconds[1],
        "peak GiB": peak_gib(),
        "measured": "whole" if share == 1 else f"{part[1]}x{part[0]}, s scaled",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="those whose names contain one of these")
    parser.add_argument("--all", action="store_true", help="measure whole pictures, and halide at 24 megapixels too")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "HEIGHT", "WIDTH"), help=argparse.SUPPRESS)
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.one:
        name, height, width = arguments.one
        print(json.dumps(measure(name, int(height), int(width), arguments.all)))
        return
    rows: list[dict[str, Any]] = []
    for name, found in CONTESTANTS.items():
        if arguments.only and not any(part in name for part in arguments.only):
            continue
        if found.needs and util.find_spec(found.needs) is None:
            print(f"{name}: {found.needs} is not installed, left out")
            continue
        for height, width in SIZES:
            if width > found.largest and not arguments.all:
                continue
            command = [sys.executable, __file__, "--one", name, str(height), str(width), *["--all"] * arguments.all]
            figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            rows.append({"what": name, "picture": f"{width}x{height}", **figures})
    gaussian = {row["picture"]: row["s"] for row in rows if row["what"] == "d2f gaussian"}
    for row in rows:
        row["times gaussian"] = row["s"] / gaussian[row["picture"]] if row["picture"] in gaussian else ""
    publish("Giving pictures grain, uint8 in and out", rows, arguments.json)


if __name__ == "__main__":
    main()
