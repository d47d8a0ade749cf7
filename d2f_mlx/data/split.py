"""Training and held-out scans, split by roll: crops of one roll share their grain, so they stay together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path


def roll_names(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Name the roll of every file: its parent folder; in a flat folder, the file's own stem.

    Folders of one name are one roll. Two files of one stem (``a.jpg``, ``a.tif``) are one frame, so one roll.
    """
    files = [Path(path).absolute() for path in paths]
    flat = len({file.parent for file in files}) <= 1
    return [file.stem if flat else file.parent.name for file in files]


def _lot(roll: str, seed: int) -> float:
    """Draw a roll's number in [0, 1) from its name alone."""
    digest = hashlib.sha256(f"{seed}/{roll}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _draw(rolls: set[str], fraction: float, seed: int) -> set[str]:
    if not 0 < fraction < 1:
        raise ValueError(f"split_by_roll expects a held-out fraction between 0 and 1, got {fraction}")
    ranked = sorted(rolls, key=lambda roll: (_lot(roll, seed), roll))
    count = sum(_lot(roll, seed) < fraction for roll in ranked)
    return set(ranked[: min(max(count, 1), max(len(ranked) - 1, 1))])


def split_by_roll(
    paths: Sequence[str | os.PathLike[str]], held_out: Sequence[str] | float, seed: int = 0
) -> tuple[list[Path], list[Path]]:
    """Split scans into training and held-out files, whole rolls at a time.

    A roll's side follows from its name and the seed, so it neither depends on the order of the files nor
    changes as the collection grows; only where that would leave one side empty does the nearest roll change
    sides. `roll_names` says what a roll is.

    Args:
        paths: the scans; both results keep their order.
        held_out: names of the rolls to hold out, or the share of the rolls to draw.
        seed: chooses another draw.

    Raises: ValueError if a named roll is not there, or if one side would be empty.

    """
    files = [Path(path) for path in paths]
    names = roll_names(files)
    rolls = set(names)
    if isinstance(held_out, str):
        raise ValueError(f"split_by_roll expects a list of roll names or a fraction, got {held_out!r}")
    chosen = _draw(rolls, held_out, seed) if isinstance(held_out, float | int) else set(held_out)
    if unknown := sorted(chosen - rolls):
        known = ", ".join(sorted(rolls)[:10])
        raise ValueError(f"split_by_roll expects names among the {len(rolls)} rolls ({known}), got {unknown}")
    if not chosen or chosen == rolls:
        raise ValueError(f"split_by_roll expects rolls on both sides, got {len(chosen)} of {len(rolls)} rolls held out")
    train = [file for file, roll in zip(files, names, strict=True) if roll not in chosen]
    return train, [file for file, roll in zip(files, names, strict=True) if roll in chosen]
