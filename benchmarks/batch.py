"""Time a batch of photographs from files to files: one after another, overlapped, and shared out among processes.

    python benchmarks/batch.py --json batch.json
    python benchmarks/batch.py --count 4 --size 1500 2000 --suffix .png

The photographs are generated JPEGs. Each way has a process of its own and, but for --jobs, a picture to warm up with;
the time of --jobs has the processes' start in it. The stages are those of the pictures one after another, each stage's
times added up: overlapped, a batch should take as long as the slowest of them, if there are cores for all three. Where
developing takes all cores, little is left to overlap with. "peak GiB" is one process's.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from d2f_mlx import images
from d2f_mlx.develop import Developer, develop_files
from d2f_mlx.develop.files import FileDeveloper

import numpy as np

from grain import picture
from report import add_json, peak_gib, publish

STAGES = ("read", "develop", "write")

Pairs = list[tuple[Path, Path]]


def photographs(folder: Path, count: int, height: int, width: int) -> None:
    """Write ramps with a texture and a camera's noise."""
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = picture(height, width) + rng.integers(0, 13, (height, width, 3), np.uint8)
        images.write(folder / f"{index}.jpg", pixels, quality=92)


def one_after_another(pairs: Pairs) -> dict[str, Any]:
    files = FileDeveloper(Developer())
    files(*pairs[0])
    times = []
    for photo, out in pairs:
        marks = [time.perf_counter()]
        read = images.read(photo)
        marks.append(time.perf_counter())
        film = files.developed(photo, read)
        marks.append(time.perf_counter())
        files.write(out, film)
        times.append(np.diff([*marks, time.perf_counter()]))
    stages = np.sum(times, axis=0).tolist()
    return {"s": sum(stages), "peak GiB": peak_gib(), "stages": stages}


def overlapped(pairs: Pairs) -> dict[str, Any]:
    developer = Developer()
    batch(developer, pairs[:1])
    return {"s": batch(developer, pairs), "peak GiB": peak_gib()}


def shared_out(pairs: Pairs) -> dict[str, Any]:
    return {"s": batch(Developer(), pairs, jobs=2), "peak GiB": peak_gib(resource.RUSAGE_CHILDREN)}


def batch(developer: Developer, pairs: Pairs, jobs: int = 1) -> float:
    """Develop pairs and return the seconds."""
    start = time.perf_counter()
    for done in develop_files(developer, pairs, jobs=jobs):
        if done.error:
            raise SystemExit(done.error)
    return time.perf_counter() - start


WAYS: dict[str, Callable[[Pairs], dict[str, Any]]] = {
    "one after another": one_after_another,
    "overlapped": overlapped,
    "--jobs 2": shared_out,
}


def median(way: str, folder: Path, suffix: str, repeats: int) -> dict[str, Any]:
    """Run a way a few times, in a process each; return the run that took the median time."""
    command = [sys.executable, __file__, "--one", way, str(folder), suffix]
    runs = [
        json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for _ in range(repeats)
    ]
    middle = statistics.median_low(run["s"] for run in runs)
    return next(run for run in runs if run["s"] == middle)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=8, help="photographs (default: 8)")
    parser.add_argument("--size", type=int, nargs=2, default=(4000, 6000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--suffix", default=".jpg", choices=images.SUFFIXES, help="of what is written (default: .jpg)")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median counts (default: 3)")
    parser.add_argument("--one", nargs=3, metavar=("WAY", "FOLDER", "SUFFIX"), help=argparse.SUPPRESS)
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.one:
        way, folder, suffix = arguments.one
        photos = images.find(folder)
        with tempfile.TemporaryDirectory() as out:
            print(json.dumps(WAYS[way]([(photo, Path(out, photo.name).with_suffix(suffix)) for photo in photos])))
        return
    height, width = arguments.size
    with tempfile.TemporaryDirectory() as name:
        photographs(Path(name), arguments.count, height, width)
        found = {way: median(way, Path(name), arguments.suffix, arguments.repeats) for way in WAYS}
    stages = dict(zip(STAGES, found["one after another"]["stages"], strict=True))
    slowest = max(stages.values())
    megapixels = arguments.count * height * width / 1e6
    rows: list[dict[str, object]] = [
        *({"what": f"all {stage}", "s": seconds} for stage, seconds in stages.items()),
        *({"what": way, "s": run["s"], "peak GiB": run["peak GiB"]} for way, run in found.items()),
    ]
    columns = ("what", "s", "times the slowest stage", "Mpx/s", "peak GiB")
    for row in rows:
        seconds = float(str(row["s"]))
        row |= {"times the slowest stage": seconds / slowest, "Mpx/s": megapixels / seconds}
    rows = [{column: row.get(column, "") for column in columns} for row in rows]
    title = f"{arguments.count} JPEGs of {width} x {height} to {arguments.suffix}"
    publish(title, rows, arguments.json)


if __name__ == "__main__":
    main()
