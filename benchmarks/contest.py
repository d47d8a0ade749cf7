"""Contestants in processes of their own, on the same cores: who answers as we do is timed."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from report import median_ms

TOLERANCE = 1e-4  # of float32 answers, of the largest magnitude in each array

BUDGET_S = 20.0  # for the repeats of one contestant
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Contestant(NamedTuple):
    """One way to do the work.

    Args:
        run: Do it once, to the end.
        answers: Return what is to equal ours, in our layout.
        peak_gib: Return the most memory that it held.
    """

    run: Callable[[], object]
    answers: Callable[[], dict[str, np.ndarray]]
    peak_gib: Callable[[], float]


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says how many cores every contestant has: all that this process may use by default."""
    parser.add_argument("--threads", type=int, default=len(_cores()), help="cores of each contestant (default: all)")


def share_cores(threads: int) -> None:
    """Give every process started from now on so many threads, and on Linux so many cores.

    Under Linux all have glibc keep freed blocks, as importing d2f_mlx does: it makes the rivals faster too.

    Raises: ValueError for fewer than one, or more than there are.
    """
    cores = _cores()
    if not 1 <= threads <= len(cores):
        raise ValueError(f"share_cores expects 1 to {len(cores)} threads, got {threads}")
    os.environ.update({name: str(threads) for name in _POOLS})
    os.environ.update(MALLOC_MMAP_THRESHOLD_=str(2**30), MALLOC_TRIM_THRESHOLD_=str(2**31 - 1))
    if sys.platform == "linux":
        os.sched_setaffinity(0, cores[:threads])


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def in_its_own_process(script: str, task: Mapping[str, object], **variables: str) -> dict[str, object]:
    """Run a script with ``--one TASK``; return what it prints as JSON on its last line, or ``{"failed": why}``.

    Args:
        script: Which.
        task: What it is told, as JSON.
        variables: Of its environment, beside ours.
    """
    command = [sys.executable, script, "--one", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    why = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
    return {"failed": why[:160] or f"exit status {done.returncode}"}


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
