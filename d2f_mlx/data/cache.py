"""Decoded pictures on disk, for trainings to share: mapped into memory, so that a crop reads only its own rows.

A file holds a line (the picture's size; its scan's path, bytes and time of change) and then the pixels, raw. It is
named after the path, so a scan that changed is decoded anew and takes its old picture's place. Files are written
whole or not at all, and what they say and how long they are is checked before they are used: processes that share a
folder may be killed at any moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..images import replacing

_SUFFIX = ".pixels"
_HEADER = re.compile(rb'd2f_mlx pixels (\d{1,9})x(\d{1,9}) (\[".*", \d+, -?\d+\])\n')
_LONGEST_HEADER = 2**16
_LEFT_OVER_S = 3600.0  # no picture takes this long to write


class _NoRoom(Exception):
    """The file begun is one too many."""


def _stamp(path: Path) -> bytes | None:
    """Say which state of which scan pixels are decoded from; None where there is no such file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return json.dumps([str(path.resolve()), status.st_size, status.st_mtime_ns]).encode()


class DiskCache:
    """Keep decoded pictures in a folder, up to a limit.

    Nothing is evicted for another picture (`streams` says why); when room is first lacking, pictures whose scans are
    gone or have changed are removed, and when that is not enough nothing more is written. A disk that fails or fills
    up ends the writing too, with one line to ``report``.

    Args:
        folder: created if it is not there; anything else in it is left alone.
        limit: bytes that the files in the folder may take, whoever wrote them.
        report: gets the line.

    Raises: ValueError for a folder that cannot be written to.

    """

    def __init__(self, folder: Path, limit: float, report: Callable[[str], None]):
        self._folder, self._limit, self._report = folder, limit, report
        self._writing = True
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            self._remove_left_overs()
        except OSError as error:
            raise ValueError(f"StreamConfig expects a cache_dir to write to, got {folder}: {error.strerror}") from error

    def pixels(self, path: Path, decode: Callable[[Path], np.ndarray]) -> np.ndarray:
        """Return a scan's picture: a read-only ``np.memmap`` if it is kept, else as it was decoded just now."""
        stamp = _stamp(path)
        if stamp is None:
            return decode(path)  # it can say best what is wrong
        mapped = self._mapped(path, stamp)
        if mapped is not None:
            return mapped
        pixels = decode(path)
        if self._writing:
            self._write(path, stamp, pixels)
            mapped = self._mapped(path, stamp)
        return pixels if mapped is None else mapped

    def _file(self, path: Path) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]}{_SUFFIX}"

    def _mapped(self, path: Path, stamp: bytes) -> np.ndarray | None:
        with suppress(OSError), self._file(path).open("rb") as file:
            header = _HEADER.fullmatch(file.readline(_LONGEST_HEADER))
            if header is not None and header[3] == stamp:
                shape, begin = (int(header[1]), int(header[2]), 3), header.end()
                if os.fstat(file.fileno()).st_size == begin + shape[0] * shape[1] * 3:
                    return np.memmap(file, np.uint8, "r", begin, shape)
        return None

    def _write(self, path: Path, stamp: bytes, pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        header = b"d2f_mlx pixels %dx%d %b\n" % (height, width, stamp)
        try:
            with replacing(self._file(path)) as file:
                # At its full length before counting: of two at once, both may give up, but not both go on.
                file.truncate(len(header) + pixels.nbytes)
                if self._bytes() > self._limit:
                    self._remove_stale()
                    if self._bytes() > self._limit:
                        raise _NoRoom
                file.write(header)
                file.write(pixels.data)
        except _NoRoom:
            self._writing = False
        except OSError as error:
            with self._lock:
                if self._writing:
                    self._writing = False
                    self._report(f"{self._folder}: {error.strerror}; no more decoded pictures are kept there")

    def _bytes(self) -> int:
        """Count the folder's pictures, and those that are being written."""
        total = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith((_SUFFIX, ".part")):
                    with suppress(FileNotFoundError):  # another process's, complete by now
                        total += entry.stat().st_size
        return total

    def _remove_stale(self) -> None:
        for file in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError, ValueError), file.open("rb") as opened:
                header = _HEADER.fullmatch(opened.readline(_LONGEST_HEADER))
                if header is not None and _stamp(Path(json.loads(header[3])[0])) != header[3]:
                    file.unlink()

    def _remove_left_overs(self) -> None:
        for part in self._folder.glob(".d2f-*.part"):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _LEFT_OVER_S:
                    part.unlink()
