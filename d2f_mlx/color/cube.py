"""Colour tables as ``.cube`` files, which Resolve, Photoshop, FFmpeg and most editors read.

Reference: Adobe, Cube LUT Specification 1.0, 2013; Blackmagic Design, DaVinci Resolve (LUT_3D_INPUT_RANGE)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..images import replacing
from .lut import MAX_POINTS, Lut3D

_MAX_BYTES = 1 << 30  # 256 points an axis at 64 bytes a line
_MAX_TITLE = 240


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into one line that begins with its name."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ValueError(f"{path.name or path}: {reason}") from error


def write_cube(path: str | Path, lut: Lut3D) -> None:
    """Write a ``.cube`` file, whole or not at all; numbers have nine decimals and no exponents.

    Raises:
        ValueError: one line that begins with the file's name, where it or the title cannot be written.
    """
    path, edge, title = Path(path), lut.points, lut.title
    with _naming(path):
        if not title.isprintable() or '"' in title or len(title) > _MAX_TITLE:
            raise ValueError(f"a title is one line of {_MAX_TITLE} characters at most, no quotes, got {title[:60]!r}")
        head = [f'TITLE "{title}"'] if title else []
        head.append(f"LUT_3D_SIZE {edge}")
        for name, corner, usual in (("DOMAIN_MIN", lut.low, 0), ("DOMAIN_MAX", lut.high, 1)):
            if (corner != usual).any():
                head.append(" ".join([name, *(np.format_float_positional(value, trim="0") for value in corner)]))
        form = "%.9f %.9f %.9f\n" * edge**2
        with replacing(path) as file:
            file.write(("\n".join(head) + "\n").encode())
            for blue in range(edge):
                plane = lut.table[:, :, blue].swapaxes(0, 1)  # red runs fastest, then green
                file.write((form % tuple(plane.reshape(-1).tolist())).encode())


def read_cube(path: str | Path) -> Lut3D:
    """Read a 3-D table from a ``.cube`` file.

    Besides the specification's keywords it takes ``LUT_3D_INPUT_RANGE``, and passes over those it does not know; tabs,
    any line ending and a byte order mark are no matter.

    Raises:
        ValueError: one line that begins with the file's name, for what is not one whole 3-D table of full range.
    """
    path = Path(path)
    with _naming(path):
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than any table of {MAX_POINTS} points an axis")
        data = path.read_bytes()
        if not data.strip():
            raise ValueError("the file is empty")
        if b"\0" in data:
            raise ValueError("a binary file, not a .cube table")
        lines = data.decode("utf-8-sig", errors="replace").splitlines()
        lines = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
        begin = next((place for place, line in enumerate(lines) if _is_number(line.split()[0])), len(lines))
        head = _Head()
        for line in lines[:begin]:
            head.take(*line.split(maxsplit=1))
        table = _table(lines[begin:], head.checked_size())
        return Lut3D(table, np.array(head.low), np.array(head.high), head.title)


@dataclass
class _Head:
    """What stands before the rows."""

    title: str = ""
    size: int = 0
    low: list[float] = field(default_factory=lambda: [0.0] * 3)
    high: list[float] = field(default_factory=lambda: [1.0] * 3)
    one_dimensional: bool = False

    def take(self, keyword: str, rest: str = "") -> None:
        """Take one keyword and what follows it."""
        if keyword == "TITLE":
            self.title = rest.strip('"')
        elif keyword == "LUT_1D_SIZE":
            self.one_dimensional = True
        elif keyword == "LUT_3D_SIZE":
            if not rest.isdecimal() or not 2 <= int(rest) <= MAX_POINTS:
                raise ValueError(f"LUT_3D_SIZE expects 2 to {MAX_POINTS}, got {rest[:40]!r}")
            self.size = int(rest)
        elif keyword == "DOMAIN_MIN":
            self.low = _numbers(keyword, rest, 3)
        elif keyword == "DOMAIN_MAX":
            self.high = _numbers(keyword, rest, 3)
        elif keyword == "LUT_3D_INPUT_RANGE":
            low, high = _numbers(keyword, rest, 2)
            self.low, self.high = [low] * 3, [high] * 3
        elif keyword in ("LUT_IN_VIDEO_RANGE", "LUT_OUT_VIDEO_RANGE"):
            raise ValueError("a table for video range; export it for full range (data levels)")

    def checked_size(self) -> int:
        """Return the size, if there is one and it says all there is."""
        if self.one_dimensional:
            raise ValueError("holds a 1-D table, which d2f_mlx does not read; export it as a 3-D table alone")
        if not self.size:
            raise ValueError("no LUT_3D_SIZE before its rows: not a 3-D .cube table")
        return self.size


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return word.isascii() and "_" not in word  # Python's float takes more than files may hold


def _numbers(keyword: str, rest: str, count: int) -> list[float]:
    words = rest.split()
    if len(words) != count or not all(map(_is_number, words)):
        raise ValueError(f"{keyword} expects {count} numbers, got {rest[:40]!r}")
    return [float(word) for word in words]


def _table(rows: list[str], size: int) -> np.ndarray:
    """Turn the rows into a table indexed [red, green, blue]; in the file red runs fastest.

    Shape: -> (size, size, size, 3)
    """
    if len(rows) != size**3:
        raise ValueError(f"LUT_3D_SIZE {size} needs {size**3} rows, got {len(rows)}")
    wrong = next((row for row in rows if len(row.split()) != 3), None)
    if wrong is not None:
        raise ValueError(f"a row expects 3 numbers, got {wrong[:40]!r}")
    try:
        values = np.loadtxt(rows, np.float64, comments=None)
    except ValueError:
        wrong = next((row for row in rows if not all(map(_is_number, row.split()))), "")
        raise ValueError(f"a row expects 3 numbers, got {wrong[:40]!r}") from None
    return values.reshape(size, size, size, 3).transpose(2, 1, 0, 3)
