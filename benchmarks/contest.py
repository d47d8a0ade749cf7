"""Contestants in processes of their own, on the same cores: those who answer as we do are timed.

On a GPU, answers are compared without TF32, and timed with it: MLX and PyTorch's convolutions have it by default.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from report import add_json, median_ms

TOLERANCE = 1e-4  # of float32 answers, of the largest magnitude in each array

BUDGET_S = 20.0  # for the repeats of one contestant

_ANSWERS = "answers.npz"
_CHECKED = ("differs", "failed")
_FULL_PRECISION = {"MLX_ENABLE_TF32": "0", "NVIDIA_TF32_OVERRIDE": "0"}
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Contestant(NamedTuple):
    """One way to do the work.

    Args:
        answers: Give what is to equal ours, in our layout.
        measure: Give the figures of the table, from so many repeats.
    """

    answers: Callable[[], dict[str, np.ndarray]]
    measure: Callable[[int], dict[str, float]]


class Task(NamedTuple):
    """What a process of its own is told, as JSON.

    Args:
        case: What to do.
        what: The contestant.
        device: cpu or cuda.
        folder: Where the case's example and the answers are.
        repeats: How often; 0 to answer.
    """

    case: str
    what: str
    device: str
    folder: str
    repeats: int


def parse(parser: argparse.ArgumentParser, cases: Collection[str]) -> argparse.Namespace:
    """Add the flags that every contest has, and read the command line.

    Raises: SystemExit for a flag that is off.
    """
    cores = len(_cores())
    parser.add_argument("--cases", nargs="+", choices=cases, default=list(cases), metavar="CASE", help=", ".join(cases))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repeats", type=int, default=20, help=f"at most; fewer where {BUDGET_S:g} s do not suffice")
    parser.add_argument("--threads", type=int, default=cores, help="cores of each contestant (default: all)")
    parser.add_argument("--without", nargs="+", default=[], metavar="WHAT", help="contestants to leave out")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats expects 1 or more, got {arguments.repeats}")
    if not 1 <= arguments.threads <= cores:
        parser.error(f"--threads expects 1 to {cores}, got {arguments.threads}")
    return arguments


def serve(task: str, prepare: Callable[[Task], Contestant]) -> None:
    """Do a task in this process: leave the answers in the folder, or print the figures as JSON."""
    found = Task(*json.loads(task))
    contestant = prepare(found)
    if found.repeats:
        print(json.dumps(contestant.measure(found.repeats)))
    else:
        answers: dict[str, Any] = contestant.answers()
        np.savez(Path(found.folder, _ANSWERS), **answers)


def contest(
    script: str,
    arguments: argparse.Namespace,
    contestants: Sequence[str],
    columns: Mapping[str, str],
    write_example: Callable[[str, Path], None] = lambda case, folder: None,
) -> list[dict[str, Any]]:
    """Let contestants answer every case, then time those that agree with the first, which is ours.

    Args:
        script: Whose `serve` the processes run.
        arguments: What `parse` read.
        contestants: Ours first; PyTorch's are left out where it is not installed.
        columns: For each column of milliseconds, the one that says how many times ours that is.
        write_example: Leaves a case's weights and pictures in a folder, where they are not drawn in each process.

    Raises: SystemExit where answers differ by more than rounding, ours fail, or a library has no GPU.
    """
    if not util.find_spec("torch"):
        print("PyTorch: not installed, left out")
        contestants = [what for what in contestants if not _is_torch(what)]
    contestants = [what for what in contestants if what not in arguments.without or what == contestants[0]]
    if arguments.device == "cuda":
        _refuse_cuda(contestants)
    _share_cores(arguments.threads)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for case in arguments.cases:
            write_example(case, Path(folder))
            rows += _agreed(script, [Task(case, what, arguments.device, folder, 0) for what in contestants])
        for row in rows:
            if "failed" not in row:
                row |= _in_its_own_process(
                    script, Task(row["case"], row["what"], arguments.device, folder, arguments.repeats)
                )
    for row in rows:
        ours = next(other for other in rows if other["case"] == row["case"])
        row |= {times: row[ms] / ours[ms] for ms, times in columns.items() if ms in row and ms in ours}
    order = ["case", "what", *(name for pair in columns.items() for name in pair)]
    names = {name for row in rows for name in row}
    order += sorted(names - {*order, *_CHECKED}) + [name for name in _CHECKED if name in names]
    return [{name: row.get(name, "") for name in order} for row in rows]


def _agreed(script: str, tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Return a row for each contestant: by how much its answers differ from the first's, or why it has none."""
    rows: list[dict[str, Any]] = []
    expected: dict[str, np.ndarray] = {}
    for task in tasks:
        failed = _in_its_own_process(script, task, **_FULL_PRECISION)
        if failed and not expected:
            raise SystemExit(f"{task.case}, {task.what}: {failed['failed']}")
        if not failed:
            with np.load(Path(task.folder, _ANSWERS)) as archive:
                answers = dict(archive)
            expected = expected or answers
            share = difference(answers, expected)
            if not share <= TOLERANCE:
                raise SystemExit(f"{task.case}, {task.what}: differs from ours by {share:.2g}: not timed")
            failed = {"differs": share}
        rows.append({"case": task.case, "what": task.what, **failed})
    return rows


def _in_its_own_process(script: str, task: Task, **variables: str) -> dict[str, Any]:
    """Return the JSON that a script's `serve` prints, if any, or ``{"failed": why}``."""
    if _is_torch(task.what):
        variables["D2F_BLAS"] = "none"  # ours is not to come between PyTorch and its own
    command = [sys.executable, script, "--one", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode == 0:
        return json.loads(done.stdout or "{}")
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    why = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
    return {"failed": why[:160] or f"exit status {done.returncode}"}


def _is_torch(what: str) -> bool:
    return what.startswith("PyTorch")


def _refuse_cuda(contestants: Sequence[str]) -> None:
    from d2f_mlx import backend

    if not backend.mx.cuda.is_available():
        raise SystemExit("--device cuda: MLX has no CUDA GPU here (on Linux: pip install 'd2f_mlx[cuda13]')")
    if any(map(_is_torch, contestants)):
        import torch  # pyright: ignore[reportMissingImports]

        if not torch.cuda.is_available():
            raise SystemExit("--device cuda: PyTorch has no CUDA GPU here (is it a build for CUDA?)")


def _share_cores(threads: int) -> None:
    """Give every process started from now on so many threads, and on Linux so many cores.

    On Linux all have glibc keep freed blocks, as importing d2f_mlx does: it makes the rivals faster too.
    """
    os.environ.update({name: str(threads) for name in _POOLS})
    os.environ.update(MALLOC_MMAP_THRESHOLD_=str(2**30), MALLOC_TRIM_THRESHOLD_=str(2**31 - 1))
    if sys.platform == "linux":
        os.sched_setaffinity(0, _cores()[:threads])


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def difference(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Return the largest difference in any array, as a share of that array's largest magnitude.

    Raises: ValueError for other names or shapes.
    """
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in (found, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"difference expects the same arrays, got {shapes[0]} and {shapes[1]}")
    return max(float(np.abs(found[name] - array).max() / np.abs(array).max()) for name, array in expected.items())


def within_budget_ms(run: Callable[[], object], repeats: int) -> float:
    """Return the median of the repeats, or of as many as `BUDGET_S` allows, at least one, after a run to warm up."""
    run()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    affordable = min(repeats, int(BUDGET_S / seconds))
    return median_ms(run, affordable, warm_up=0) if affordable > 1 else seconds * 1e3
