"""Time and weigh our networks against the same made of MLX's own layers and in PyTorch: training steps and inference.

    python benchmarks/networks.py --json networks.json
    python benchmarks/networks.py --device cuda

Same weights, same random pictures, float32. A training step is forward, backward of the mean squared error, and Adam.
MLX's are compiled; PyTorch is eager, eager in channels-last, and torch.compile. Before anything is timed, everyone's
outputs, and gradients where the case trains, must equal ours (on a GPU without TF32; they are timed with it, as both
libraries have it by default); the largest difference, as a share of an array's largest magnitude, is in the table.

Each contestant runs in a process of its own with the same number of threads and, on Linux, on the same cores. "times
ours" is its time over ours: above 1 ours is faster. "peak GiB" is the whole process's on a CPU, the library and the
interpreter included, and what the library held at once on a GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contest import TOLERANCE, add_threads, difference, in_its_own_process, share_cores, within_budget_ms
from report import add_json, publish


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
OURS = "d2f"
NATIVE = "MLX's own layers"
TORCH = ("PyTorch", "PyTorch channels-last", "PyTorch torch.compile")
FULL_PRECISION = {"MLX_ENABLE_TF32": "0", "NVIDIA_TF32_OVERRIDE": "0"}


def one(case: str, what: str, device: str, folder: str, repeats: int) -> dict[str, object]:
    """Answer in this process, into the folder, or with repeats be timed and weighed."""
    if what in TORCH:
        from torch_networks import prepare
    else:
        from mlx_networks import prepare
    training, network, *_ = CASES[case]
    with np.load(Path(folder, f"{case}.npz")) as example:
        contestant = prepare(what, network, training, device, dict(example))
    if not repeats:
        answers: dict[str, Any] = contestant.answers()
        np.savez(Path(folder, "answers.npz"), **answers)
        return {}
    return {"ms": within_budget_ms(contestant.run, repeats), "peak GiB": contestant.peak_gib()}


def check(case: str, contestants: list[str], task: dict[str, object], folder: Path) -> list[dict[str, Any]]:
    """Return a row for each contestant: by how much its answers differ from ours, or why it has none.

    Raises: SystemExit where they differ by more than rounding, or ours fail.
    """
    expected: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []
    for what in contestants:
        failed = in_its_own_process(__file__, {**task, "case": case, "what": what, "repeats": 0}, **FULL_PRECISION)
        if failed and what == OURS:
            raise SystemExit(f"{case}, {what}: {failed['failed']}")
        row: dict[str, object] = {"case": case, "what": what, "ms": "", "times ours": "", "peak GiB": ""}
        rows.append({**row, "differs": "", **failed})
        if failed:
            continue
        with np.load(folder / "answers.npz") as archive:
            answers = dict(archive)
        expected = expected or answers
        rows[-1]["differs"] = share = difference(answers, expected)
        if not share <= TOLERANCE:
            raise SystemExit(f"{case}, {what}: differs from ours by {share:.2g}, more than {TOLERANCE}: not timed")
    return rows


def refuse_cuda(contestants: list[str]) -> None:
    """Raise SystemExit where a library finds no CUDA GPU."""
    import mlx_networks

    if not mlx_networks.has_cuda():
        raise SystemExit("--device cuda: MLX has no CUDA GPU here (on Linux: pip install 'd2f_mlx[cuda13]')")
    if contestants[-1] in TORCH:
        import torch_networks

        if not torch_networks.has_cuda():
            raise SystemExit("--device cuda: PyTorch has no CUDA GPU here (is it a build for CUDA?)")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=20, help="at most; fewer where 20 seconds do not suffice")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    add_threads(parser)
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(**json.loads(arguments.one))))
        return
    if arguments.repeats < 1:
        parser.error(f"--repeats expects 1 or more, got {arguments.repeats}")
    share_cores(arguments.threads)
    contestants = [OURS, NATIVE]
    if util.find_spec("torch"):
        contestants += TORCH
    else:
        print("PyTorch: not installed, left out")
    if arguments.device == "cuda":
        refuse_cuda(contestants)
    from mlx_networks import example

    with tempfile.TemporaryDirectory() as folder:
        task: dict[str, object] = {"device": arguments.device, "folder": folder}
        rows: list[dict[str, Any]] = []
        for name in arguments.cases:
            case = CASES[name]
            drawn: dict[str, Any] = example(case.network, case.width, case.size, case.batch)
            np.savez(Path(folder, f"{name}.npz"), **drawn)
            rows += check(name, contestants, task, Path(folder))
        task["repeats"] = arguments.repeats
        own: dict[str, Any] = {}
        for row in rows:
            if "failed" in row:
                continue
            row.update(in_its_own_process(__file__, {**task, "case": row["case"], "what": row["what"]}))
            if row["what"] == OURS:
                own = row
            if row["ms"] and own["ms"]:
                row["times ours"] = row["ms"] / own["ms"]
    title = (
        f"Networks, float32, {arguments.device}, {arguments.threads} threads each; times ours: above 1 ours is faster"
    )
    publish(title, rows, arguments.json, device=arguments.device, threads=arguments.threads)


if __name__ == "__main__":
    main()
