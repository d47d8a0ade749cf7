"""A training's log: a line a step, in JSON or CSV, without anything to install."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import images
from .config import Report

SUFFIXES = (".jsonl", ".csv")


def figures_of(report: Report) -> dict[str, float]:
    """Name a report's figures, those that are finite: the loss, each loss, what was held out, the rate, the times.

    Several of a kind are named like a folder's files: ``losses/gan``, ``held_out/mse``.
    """
    named: dict[str, float | None] = {"loss": report.loss, "learning_rate": report.learning_rate}
    named |= {f"losses/{name}": value for name, value in report.losses.items()}
    named |= {f"held_out/{name}": value for name, value in (report.evaluation or {}).items()}
    named |= {name: value for name, value in report.meter.items() if name != "steps"}
    return {name: float(value) for name, value in named.items() if value is not None and math.isfinite(value)}


class Log:
    """A file with a line for every so many steps, and for every evaluation.

    A line has the step, the figures of `figures_of`, ``wall_s`` (seconds since the first, over all sessions) and
    ``time`` (UTC). It is written whole and at once. In a CSV, columns are added as their figures come.

    Args:
        file: A name ending in .jsonl or .csv; its folder is made.
        every: Steps between lines.
        resume: Go on with a log that is there: its lines from the first step reported on are dropped, so that each
            step is there once.
        clock: Seconds that only grow.

    Raises: ValueError for another suffix, a log that is there where nothing is resumed, or one that cannot be read;
        OSError where it cannot be written.
    """

    def __init__(
        self, file: str | Path, every: int = 1, *, resume: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file, self._every, self._clock = Path(file), every, clock
        self._csv = self._file.suffix.lower() == ".csv"
        if self._file.suffix.lower() not in SUFFIXES or every < 1:
            raise ValueError(
                f"Log expects a file ending in {' or '.join(SUFFIXES)} and every >= 1, got {file}, {every}"
            )
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as there:
            empty = there.tell() == 0
        if not (empty or resume):
            raise ValueError(f"{file}: exists; resume its training or choose another file")
        self._start: float | None = None
        self._columns: list[str] = []
        self._wall_s = 0.0
        self._rows()  # what is no log is refused now

    def __call__(self, report: Report) -> None:
        """Write a step's line."""
        if self._start is None:
            self._start = self._clock()
            self._continue(report.step)
        if report.step % self._every and not report.evaluation:
            return
        row = {"step": report.step, **figures_of(report)}
        row["wall_s"] = round(self._wall_s + self._clock() - self._start, 3)
        row["time"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        new = [name for name in row if name not in self._columns]
        if self._csv and new:
            rows, self._columns = self._rows(), self._columns + new
            self._write([*rows, row])
            return
        with self._file.open("ab") as file:
            file.write(self._line(row))

    def _continue(self, step: int) -> None:
        """Drop what a resumed training does again."""
        kept = [row for row in self._rows() if int(row["step"]) < step]
        self._columns = list(kept[-1]) if kept else []
        self._wall_s = float(kept[-1]["wall_s"]) if kept else 0.0
        self._write(kept)

    def _rows(self) -> list[dict[str, Any]]:
        """Read the lines that are whole."""
        text = self._file.read_bytes().decode(errors="replace")
        text = text[: text.rfind("\n") + 1]
        try:
            if self._csv:
                # A line with too many cells has no step then.
                rows = list(table := csv.DictReader(io.StringIO(text), restkey="step"))
                if text and not {"step", "wall_s"} <= set(table.fieldnames or ()):
                    raise ValueError("has other columns")
            else:
                rows = [json.loads(line) for line in text.splitlines()]
            [(int(row["step"]), float(row["wall_s"])) for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._file}: is not the log of a training") from error
        return rows

    def _write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the log anew, whole or not at all."""
        with images.replacing(self._file) as file:
            if self._csv and self._columns:
                file.write(_joined(self._columns))
            file.writelines(self._line(row) for row in rows)

    def _line(self, row: Mapping[str, Any]) -> bytes:
        if self._csv:
            return _joined(row.get(name, "") for name in self._columns)
        return json.dumps(row, allow_nan=False).encode() + b"\n"


def _joined(cells: Iterable[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode()
