"""What every benchmark prints and writes: a table, the machine and versions, JSON where the user wants it."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata, util
from pathlib import Path

_RIVALS = {"torch": "torch", "cv2": "opencv-python-headless", "scipy": "scipy", "skimage": "scikit-image"}


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says where the JSON goes."""
    parser.add_argument("--json", type=Path, help="write the figures here")


def environment() -> dict[str, str]:
    """Describe the machine, and name the versions of the rivals that are installed."""
    from d2f_mlx.backend import info  # not above: a rival's process is to be free of MLX

    rivals = {package: metadata.version(package) for name, package in _RIVALS.items() if util.find_spec(name)}
    return {**info(), **rivals}


def median_ms(run: Callable[[], object], repeats: int, warm_up: int = 2) -> float:
    """Run a few times to warm up, then return the median of the repeats in milliseconds."""
    seconds = []
    for index in range(warm_up + repeats):
        start = time.perf_counter()
        run()
        if index >= warm_up:
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e3


def peak_gib(who: int = resource.RUSAGE_SELF) -> float:
    """Return the most memory that this process (or its children, RUSAGE_CHILDREN) ever held, in GiB."""
    return resource.getrusage(who).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def publish(title: str, rows: Sequence[Mapping[str, object]], json_path: Path | None, **also: object) -> None:
    """Print rows as a table under the machine's description; write both, and what goes with them, as JSON to a path."""
    machine = environment()
    print(f"\n{title}\n" + ", ".join(f"{name} {value}" for name, value in machine.items()) + "\n")
    columns = list(rows[0])
    cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    for row in [columns, *cells]:
        print(
            "  ".join(
                text.ljust(width) if i == 0 else text.rjust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            )
        )
    if json_path is not None:
        write_json(title, rows, json_path, **also)


def write_json(title: str, rows: Sequence[Mapping[str, object]], path: Path, **also: object) -> None:
    """Write a table, the machine and what goes with them."""
    partial = path.with_name(f".{path.name}.partial")
    document = {"title": title, "machine": environment(), "rows": list(rows), **also}
    partial.write_text(json.dumps(document, indent=2) + "\n")
    partial.replace(path)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
