"""Time and weigh developing a picture of a gigapixel, file to file, by bands of rows.

    python benchmarks/gigapixel.py --json gigapixel.json
    python benchmarks/gigapixel.py --megapixels 30 90 --width 10000

A TIFF of a repeated photograph-like texture is written into a temporary folder, uncompressed and in strips, and
developed with the default stock's colour and Gaussian grain in a process of its own, so that its peak memory is its own
(the whole process's). Pictures of one width show whether memory grows with height. The folder needs room for both
files, up to 12 GB for a gigapixel of 16 bits. The frame is that of a large-format camera, as a gigapixel's is: on 35 mm
film a pixel would be 0.9 um wide, and light spread over so many of them that it takes several times as long.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.images.pixels import with_bits

import mlx.core as mx
import numpy as np
import OpenImageIO as oiio

from grain import picture
from report import add_json, peak_gib, publish

TEXTURE = (512, 2048)


def write_photo(path: Path, height: int, width: int, bits: int) -> None:
    """Write a picture of any height a band at a time."""
    texture = with_bits(picture(*TEXTURE), bits)
    band = np.tile(texture, (1, -(-width // TEXTURE[1]), 1))[:, :width].copy()
    spec = oiio.ImageSpec(width, height, 3, f"uint{bits}")
    spec.attribute("compression", "none")
    spec.attribute("tiff:bigtiff", 1)
    out = oiio.ImageOutput.create(str(path))
    assert out is not None  # it always has TIFF
    written = out.open(str(path), spec)
    for top in range(0, height, TEXTURE[0]):
        bottom = min(top + TEXTURE[0], height)
        written = written and out.write_scanlines(top, bottom, 0, band[: bottom - top])
    if not (out.close() and written):
        raise OSError(out.geterror())


def develop(photo: str, film: str) -> dict[str, float]:
    """Develop one file in this process and report its peak memory."""
    start = time.perf_counter()
    Developer(DevelopConfig(film_format="4x5")).file(photo, film, large=0)
    seconds = time.perf_counter() - start
    return {"s": seconds, "peak GiB": peak_gib(), "of it MLX": mx.get_peak_memory() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1000])
    parser.add_argument("--width", type=int, default=40000)
    parser.add_argument("--bits", type=int, nargs="+", choices=(8, 16), default=[8])
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--one", nargs=2, metavar=("PHOTO", "FILM"), help=argparse.SUPPRESS)
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(develop(*arguments.one)))
        return
    rows: list[dict[str, object]] = []
    for bits in arguments.bits:
        for megapixels in arguments.megapixels:
            height, width = round(megapixels * 1e6 / arguments.width), arguments.width
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                photo, film = Path(folder, "photo.tif"), Path(folder, "film.tif")
                write_photo(photo, height, width, bits)
                command = [sys.executable, __file__, "--one", str(photo), str(film)]
                figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                sizes = {"photo GB": photo.stat().st_size / 1e9, "film GB": film.stat().st_size / 1e9}
            speed = height * width / 1e6 / figures["s"]
            rows.append({"picture": f"{width}x{height}", "bits": bits, **figures, "Mpx/s": speed, **sizes})
    publish("Developing pictures larger than memory", rows, arguments.json)


if __name__ == "__main__":
    main()
