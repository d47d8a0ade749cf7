"""Time and weigh our networks against the same made of MLX's own layers and in PyTorch: training steps and inference.

    python benchmarks/networks.py --json networks.json
    python benchmarks/networks.py --device cuda

Same weights, same random pictures, float32. A training step is forward, backward of the mean squared error, and Adam.
MLX's are compiled; PyTorch is eager, eager in channels-last, and torch.compile. Before anything is timed, everyone's
outputs, and gradients where the case trains, must equal ours on the first two pictures; "differs" is the largest
difference, as a share of an array's largest magnitude.

Each contestant runs in a process of its own with the same number of threads and, on Linux, on the same cores. "times
ours" is its time over ours: above 1 ours is faster. "peak GiB" is the whole process's on a CPU, the library and the
interpreter included, and what the library held at once on a GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contest import Contestant, Task, contest, parse, serve
from report import publish


class Case(NamedTuple):
    """What is run: a network of some width, on square pictures, to train it or not."""

    training: bool
    network: str
    width: int
    size: int
    batch: int


CASES = {
    "train-unet512-256": Case(True, "unet", 512, 256, 4),
    "train-unet512-16": Case(True, "unet", 512, 16, 128),
    "train-unet128-64": Case(True, "unet", 128, 64, 16),
    "train-dianet-32": Case(True, "dianet", 24, 32, 64),
    "run-unet128-512": Case(False, "unet", 128, 512, 1),
    "run-unet512-512": Case(False, "unet", 512, 512, 1),
    "run-dianet-192": Case(False, "dianet", 24, 192, 1),
}
CONTESTANTS = ("d2f", "MLX's own layers", "PyTorch", "PyTorch channels-last", "PyTorch torch.compile")
COMPARED = 2  # pictures: a bias's gradient, summed over the four million pixels of a batch, rounds to a hundredth


def prepare(task: Task) -> Contestant:
    """Set up a contestant, with the one library that it needs."""
    if task.what.startswith("PyTorch"):
        from torch_networks import prepare
    else:
        from mlx_networks import prepare
    case = CASES[task.case]
    with np.load(Path(task.folder, f"{task.case}.npz")) as archive:
        example = dict(archive)
    if not task.repeats:
        example |= {name: example[name][:COMPARED] for name in ("x", "target")}
    return prepare(task.what, case.network, case.training, task.device, example)


def write_example(name: str, folder: Path) -> None:
    from mlx_networks import example

    case = CASES[name]
    drawn: dict[str, Any] = example(case.network, case.width, case.size, case.batch)
    np.savez(folder / f"{name}.npz", **drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments = parse(parser, CASES)
    if arguments.one:
        serve(arguments.one, prepare)
        return
    rows = contest(__file__, arguments, CONTESTANTS, {"ms": "times ours"}, write_example)
    device, threads = arguments.device, arguments.threads
    title = f"Networks, float32, {device}, {threads} threads each (times ours: above 1 ours is faster)"
    publish(title, rows, arguments.json, device=device, threads=threads)


if __name__ == "__main__":
    main()
