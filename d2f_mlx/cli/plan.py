"""Which photo becomes which file."""

from __future__ import annotations

import argparse
import os
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path

from .. import images


def plan(inputs: list[str], out: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pair every photo with its output and list the inputs that hold none.

    A folder's pictures keep their place below it; what lies in the output's folder is no input.
    A photo that is named twice is one photo.

    Raises: ValueError if an output would be an input, or two photos would have one output.
    """
    if "" in inputs:
        raise ValueError("d2f expects the names of pictures, got an empty one")
    pairs: list[tuple[Path, Path]] = []
    problems: list[str] = []
    single = len(inputs) == 1 and not Path(inputs[0]).is_dir() and not out.is_dir() and out.suffix != ""
    if single and out.suffix.lower() not in images.SUFFIXES:
        raise ValueError(f"{out}: cannot write this kind of file; supported are {' '.join(images.SUFFIXES)}")
    if not single and out.suffix.lower() in images.SUFFIXES and not out.is_dir():
        raise ValueError(f"{out}: d2f expects a folder for several pictures, got a picture's name")

    @cache
    def real(folder: str) -> str:
        return os.path.realpath(folder)

    sources: set[tuple[int, int] | None] = set()
    for name in inputs:
        try:
            found = images.find([name])
        except images.ImageFileError as error:
            problems.append(str(error))
            continue
        folder = Path(name).is_dir()
        root = Path(name) if folder else Path(name).parent
        apart = folder and not _same(out, root)
        for photo in found:
            place, file = _located(photo, real)
            if apart and place.startswith(f"{real(str(out))}{os.sep}"):
                continue
            sources.add(file)
            pairs.append((photo, out if single else out / photo.relative_to(root)))
    taken: dict[str, Path] = {}
    for photo, target in pairs:
        place, file = _located(target, real)
        if file and file in sources:
            raise ValueError(f"{target}: is an input; choose another output")
        other = taken.setdefault(place.casefold(), photo)
        if other != photo:
            raise ValueError(f"{target}: would hold both {other} and {photo}")
    return list(dict.fromkeys(pairs)), problems


def shard_of(text: str) -> tuple[int, int]:
    """Read "I/N", the Ith of N shards, counted from 1."""
    found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    place, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= place <= count:
        raise argparse.ArgumentTypeError(f"expects I/N with I from 1 to N, such as 1/8, got {text!r}")
    return place, count


def shard(pairs: list[tuple[Path, Path]], place: int, count: int) -> list[tuple[Path, Path]]:
    """Take one of so many shards: by the photos' names in order, every so many-th picture, from the place-th on."""
    return sorted(pairs, key=lambda pair: str(pair[0]))[place - 1 :: count]


def _located(path: Path, real: Callable[[str], str]) -> tuple[str, tuple[int, int] | None]:
    """Tell a path's real name, and which file on the disk it is, None where there is none.

    Other spellings and hard links of one file are that file.

    Args:
        path: Of a file, there or not.
        real: Resolves a folder; one that remembers, where a folder holds a million files.
    """
    above, name = os.path.split(path)
    place = os.path.join(real(above), name)  # noqa: PTH118 (a million Paths take a minute)
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            place, status = os.path.realpath(path), path.stat()
    except OSError:
        return place, None
    return place, (status.st_dev, status.st_ino)


def _same(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)
