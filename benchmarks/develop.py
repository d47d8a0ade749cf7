"""Time and weigh the whole of developing, colour and grain, on pictures of 6 and 24 megapixels.

    python benchmarks/develop.py --json develop.json

Everyone takes uint8 pixels and gives uint8 pixels back, in a process of its own, so that its peak memory is its own
(the whole process's, the interpreter and both pictures included). "first s" is the first picture, with what is set up
and compiled for it; "s" the next one, as in a batch. The rival is the same chain as one would write it with NumPy and
SciPy, on the whole picture in float32: decoding, a matrix, a Gaussian for the MTF, curves by interp, a Gaussian field
as grain, and the print by map_coordinates on a table of 65 points.

Rivals that cannot be installed from PyPI are quoted, as CPU seconds on two x86 cores of another machine: compare with
"CPU s". roofline.py has developing stage by stage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from d2f_mlx.color import SRGB, Lut3D
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.film import Darkroom, FilmStock, Negative, Scanner, exposure_matrix, positive, scene_light

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from grain import picture
from report import add_json, peak_gib, publish

SIZES = ((2000, 3000), (4000, 6000))
STOCK = "kodak-vision3-500t"
BLUR, SIGMA, LUMP = 0.6, 0.03, 0.7  # of the rival: pixels, density, pixels
# CPU seconds and peak GB at 6 and 24 megapixels.
QUOTED = {
    "spektrafilm, colour + grain": ((34, 2.3), (141, 7.7)),
    "filmgrainer, grain alone": ((21, 0.5), (81, 1.9)),
    "GrainNet in PyTorch, grain alone": ((38, 3.3), (191, 11.5)),
}

Run = Callable[[np.ndarray], np.ndarray]


def ours(**options: Any) -> Run:
    darkroom = options.pop("darkroom", None)
    return Developer(DevelopConfig(stock=STOCK, **options), darkroom=darkroom)


def numpy_chain() -> Run:
    """Set up the chain in NumPy and SciPy, its table too."""
    stock, darkroom = FilmStock.load(STOCK), Darkroom()
    film = Negative(stock, darkroom)
    assert stock.spectra is not None
    light = scene_light(np.arange(256) / 255, SRGB, darkroom).astype(np.float32)
    matrix = exposure_matrix(stock.spectra, SRGB, darkroom).astype(np.float32)
    low, high = film.density.min(0) - 0.2, film.density.max(0) + 0.2
    table = Lut3D.bake(positive(stock, darkroom, Scanner(), SRGB), 65, low, high).table
    rng = np.random.default_rng(0)

    def run(photo: np.ndarray) -> np.ndarray:
        exposure = light[photo] @ matrix.T
        exposure = gaussian_filter(exposure, (BLUR, BLUR, 0))
        h = film.log_exposures(exposure)
        density = np.stack([np.interp(h[..., c], film.log_exposure, film.density[:, c]) for c in range(3)], -1)
        grain = gaussian_filter(rng.standard_normal(photo.shape, np.float32), (LUMP, LUMP, 0))
        density = density.astype(np.float32) + SIGMA / grain.std() * grain
        place = ((density - low) / (high - low) * 64).astype(np.float32).transpose(2, 0, 1)
        film_picture = [map_coordinates(table[..., c], place, order=1, mode="nearest") for c in range(3)]
        return np.rint(255 * np.stack(film_picture, -1).clip(0, 1)).astype(np.uint8)

    return run


CONTESTANTS: dict[str, Callable[[], Run]] = {
    "d2f colour + grain": ours,
    "d2f colour + grain, no MTF": lambda: ours(darkroom=Darkroom(mtf="off")),
    "d2f colour + grain, halation": lambda: ours(darkroom=Darkroom(halation="no-backing")),
    "d2f grain alone": lambda: ours(colour="photo"),
    "NumPy and SciPy chain": numpy_chain,
}


def measure(name: str, height: int, width: int) -> dict[str, object]:
    """Develop a picture twice in this process; return the seconds and the peak."""
    photo = picture(height, width)
    seconds = []
    film = photo
    start, busy = time.perf_counter(), 0.0
    run = CONTESTANTS[name]()
    for _ in range(2):
        busy = time.process_time()
        film = run(photo)
        busy = time.process_time() - busy
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    if film.shape != photo.shape or film.dtype != np.uint8 or np.array_equal(film, photo):
        raise SystemExit(f"{name}: gave {film.dtype} {film.shape}, or nothing new")
    megapixels = height * width / 1e6
    return {
        "first s": seconds[0],
        "s": seconds[1],
        "CPU s": busy,
        "Mpx/s": megapixels / seconds[1],
        "peak GiB": peak_gib(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--one", nargs=3, metavar=("NAME", "HEIGHT", "WIDTH"), help=argparse.SUPPRESS)
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.one:
        name, height, width = arguments.one
        print(json.dumps(measure(name, int(height), int(width))))
        return
    rows: list[dict[str, Any]] = []
    for height, width in SIZES:
        for name in CONTESTANTS:
            command = [sys.executable, __file__, "--one", name, str(height), str(width)]
            figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            rows.append({"what": name, "picture": f"{width}x{height}", **figures})
    rival = {row["picture"]: row["s"] for row in rows if row["what"] == "NumPy and SciPy chain"}
    for row in rows:
        row["times faster"] = rival[row["picture"]] / row["s"]
    publish("Developing: colour and grain, uint8 in and out", rows, arguments.json)
    quoted = [
        {"what": name, "picture": f"{width}x{height}", "CPU s": busy, "peak GB": peak}
        for name, figures in QUOTED.items()
        for (height, width), (busy, peak) in zip(SIZES, figures, strict=True)
    ]
    publish("Quoted, not measured here", quoted, None)


if __name__ == "__main__":
    main()
