"""Endless batches of random crops from film scans: reproducible, resumable, decoded in the background.

Every picture of a run has a position; position -> (epoch, file) -> crops is a pure function of the file list
and the seed. So loader threads may work in any order, and a run resumes by starting at a later position.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from ..images import ImageFileError, read, size
from ..images.pixels import with_bits
from .cache import DiskCache
from .crops import random_crops

_LOG = logging.getLogger(__name__)

# mlx.data wants to know a buffer's entries beforehand: an endless run is a chain of buffers this long.
_PICTURES_PER_BUFFER = 8192

# Linux lets a process map some 65 thousand files.
_MOST_KEPT_MAPPED = 2**15


@dataclass(frozen=True)
class StreamConfig:
    """How scans become batches.

    Args:
        crop: side of a crop, in pixels.
        crops_per_picture: crops cut from a picture each time it is decoded; divides ``batch``.
        batch: crops in a batch.
        seed: chooses the order of the files, the places of the crops and the flips.
        flip: probability that a crop is mirrored left to right.
        prefetch: batches prepared ahead.
        threads: decoders working in the background.
        cache_mb: memory for decoded pictures, in MiB; 0 keeps none there.
        cache_dir: folder to keep decoded pictures in, for later epochs and trainings too; none where empty.
        cache_gb: disk space for them, in GiB.

    """

    crop: int = 64
    crops_per_picture: int = 4
    batch: int = 16
    seed: int = 0
    flip: float = 0.5
    prefetch: int = 4
    threads: int = 2
    cache_mb: int = 512
    cache_dir: str = ""
    cache_gb: float = 32.0

    def __post_init__(self) -> None:
        for name in ("crop", "crops_per_picture", "batch", "prefetch", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"StreamConfig expects {name} >= 1, got {getattr(self, name)}")
        if self.batch % self.crops_per_picture:
            raise ValueError(
                "StreamConfig expects batch to be a multiple of crops_per_picture, "
                f"got {self.batch} and {self.crops_per_picture}"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"StreamConfig expects 0 <= seed < 2**63, got {self.seed}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"StreamConfig expects 0 <= flip <= 1, got {self.flip}")
        if self.cache_mb < 0:
            raise ValueError(f"StreamConfig expects cache_mb >= 0, got {self.cache_mb}")
        if not self.cache_gb > 0:
            raise ValueError(f"StreamConfig expects cache_gb > 0, got {self.cache_gb}")

    @property
    def pictures_per_batch(self) -> int:
        """How many pictures a batch is cut from."""
        return self.batch // self.crops_per_picture


def _too_small(path: Path, height: int, width: int, crop: int) -> str:
    return f"{path.name}: {width}x{height} pixels, smaller than a crop of {crop}x{crop}"


def usable(paths: Sequence[str | os.PathLike[str]], crop: int) -> tuple[list[Path], list[str]]:
    """Sort out the files that crops can be cut from, by their headers alone.

    Returns the good files in their order, and a line for each of the others: unreadable, or too small.

    Raises: ValueError if no file is good.
    """
    good: list[Path] = []
    problems: list[str] = []
    for path in map(Path, paths):
        try:
            height, width = size(path)
        except (ImageFileError, OSError) as error:
            problems.append(str(error))
            continue
        if min(height, width) < crop:
            problems.append(_too_small(path, height, width, crop))
        else:
            good.append(path)
    if not good:
        reason = problems[0] if problems else "no files"
        raise ValueError(f"usable expects a picture of {crop}x{crop} or more, got none: {reason}")
    return good, problems


def _decoded(path: Path) -> np.ndarray:
    return with_bits(read(path).pixels, 8)


class _Pictures:
    """Decode pictures by index, keep those that fit, and stand in the next one for those that fail.

    Those that a cache on disk keeps take no memory of ours.
    """

    def __init__(self, paths: Sequence[Path], config: StreamConfig):
        self._paths, self._crop = paths, config.crop
        self._room = config.cache_mb * 2**20
        self._kept: dict[int, np.ndarray] = {}
        self._mapped = 0
        self._problems: dict[int, str] = {}
        self._unreported: list[str] = []
        self._lock = threading.Lock()
        self._disk = None
        if config.cache_dir:
            self._disk = DiskCache(Path(config.cache_dir).expanduser(), config.cache_gb * 2**30, self._report)

    def pixels(self, index: int) -> np.ndarray:
        """Return picture ``index``, or the next one in the list (then from its start) that can be used."""
        for candidate in chain(range(index, len(self._paths)), range(index)):
            pixels = self._kept.get(candidate)
            if pixels is None and candidate not in self._problems:
                pixels = self._decode(candidate)
            if pixels is not None:
                return pixels
        raise ValueError(
            f"crop_batches expects a readable picture of {self._crop}x{self._crop} or more, "
            f"got none in {len(self._paths)}: {self._problems[index]}"
        )

    def _decode(self, index: int) -> np.ndarray | None:
        path = self._paths[index]
        try:
            pixels = _decoded(path) if self._disk is None else self._disk.pixels(path, _decoded)
        except (ImageFileError, OSError) as error:
            return self._leave_out(index, str(error))
        height, width = pixels.shape[:2]
        if min(height, width) < self._crop:
            return self._leave_out(index, _too_small(path, height, width, self._crop))
        mapped = isinstance(pixels, np.memmap)
        with self._lock:
            # Nothing is evicted. An epoch meets every file once, so what was used last comes back last: an
            # LRU would hardly ever hit, while any m of n pictures kept for good hit m / n of the time.
            if index in self._kept:
                return pixels
            if mapped and self._mapped < _MOST_KEPT_MAPPED:
                self._kept[index] = pixels
                self._mapped += 1
            elif not mapped and pixels.nbytes <= self._room:
                self._kept[index] = pixels
                self._room -= pixels.nbytes
        return pixels

    def _leave_out(self, index: int, problem: str) -> None:
        with self._lock:
            if index in self._problems:
                return
            self._problems[index] = problem
        self._report(problem)

    def _report(self, problem: str) -> None:
        with self._lock:
            self._unreported.append(problem)

    def new_problems(self) -> list[str]:
        """Return the problems found since the last call."""
        with self._lock:
            problems, self._unreported = self._unreported, []
        return problems


def picture_keys(start: int, stop: int, files: int, seed: int) -> Iterator[tuple[int, int, int]]:
    """Yield (seed, epoch, file) of the pictures at the positions from ``start`` to ``stop``."""
    for epoch in range(start // files, -(-stop // files)):
        order = np.random.default_rng([seed, epoch]).permutation(files)
        first = epoch * files
        for file in order[max(start - first, 0) : stop - first]:
            yield seed, epoch, int(file)


def picture_rng(seed: int, epoch: int, file: int) -> np.random.Generator:
    """Return the generator that places a picture's crops in one epoch."""
    # 1 + file, because NumPy cannot tell [seed, epoch, 0] from [seed, epoch], the epoch's permutation.
    return np.random.default_rng([seed, epoch, 1 + file])


# A transform that is still running when the interpreter goes down crashes the process.
_open_streams: weakref.WeakSet[Generator[np.ndarray, None, None]] = weakref.WeakSet()


@atexit.register
def _close_streams() -> None:
    for stream in list(_open_streams):
        with suppress(ValueError):  # it is running in another thread
            stream.close()


def _generate(
    pictures: _Pictures,
    files: int,
    config: StreamConfig,
    start: int,
    stop: int | None,
    share: tuple[int, int],
    on_problem: Callable[[str], None],
) -> Generator[np.ndarray, None, None]:
    import mlx.data as dx

    rank, size = share
    whole, count = config.pictures_per_batch, config.crops_per_picture
    mine = whole // size
    closing = threading.Event()
    ready: dict[int, np.ndarray] = {}  # the batches that are being filled, by their number in the buffer

    def cut(entry: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seed, epoch, file, place = entry["key"].tolist()
        number, slot = divmod(place, mine)
        if not closing.is_set():
            pixels = pictures.pixels(file)
            batch = ready.get(number)
            if batch is None:
                batch = ready.setdefault(number, np.empty((mine * count, config.crop, config.crop, 3), np.uint8))
            out = batch[slot * count : (slot + 1) * count]
            random_crops(pixels, config.crop, count, picture_rng(seed, epoch, file), config.flip, out)
        return {"number": np.array(number, np.int64)}  # the crops themselves would be copied, twice

    length = max(_PICTURES_PER_BUFFER // whole, 1) * whole
    try:
        while stop is None or start < stop:
            end = start + length if stop is None else min(start + length, stop)
            chosen = (
                key
                for place, key in enumerate(picture_keys(start, end, files, config.seed))
                if place % whole // mine == rank
            )
            keys = [{"key": np.array((*key, place), np.int64)} for place, key in enumerate(chosen)]
            stream = (
                dx.buffer_from_vector(keys)  # pyright: ignore[reportAttributeAccessIssue]  (C++, without stubs)
                .sample_transform(cut)
                # More than there are entries, and mlx-data 0.1 fetches entries again and again.
                .ordered_prefetch(min(config.prefetch * mine, len(keys)), config.threads)
                .batch(mine)
            )
            for sample in stream:
                for problem in pictures.new_problems():
                    on_problem(problem)
                yield ready.pop(int(sample["number"][0]))
            start = end
    finally:
        # Ends the threads, here rather than whenever a traceback lets go of this frame.
        closing.set()
        stream = None


def crop_batches(
    paths: Sequence[str | os.PathLike[str]],
    config: StreamConfig,
    *,
    start_step: int = 0,
    steps: int | None = None,
    share: tuple[int, int] = (0, 1),
    on_problem: Callable[[str], None] = _LOG.warning,
) -> Generator[np.ndarray, None, None]:
    """Yield batches of random crops of the scans, epoch after epoch, each epoch in a new order.

    The same files in the same order with the same config give the same batches, bit for bit, whatever the
    number of threads, the prefetch and the cache. Starting at step k yields what an uninterrupted run yields
    from step k on. A batch may end one epoch and begin the next; every file is met once in each.

    A file that cannot be decoded, or is smaller than a crop, is replaced by the next one in the list that can
    be used (after the last comes the first), with crops drawn for the file it replaces, and is reported once.
    `usable` finds most such files beforehand.

    Args:
        paths: the scans.
        config: how they become batches.
        start_step: the first batch to yield, counted from the start of training.
        steps: how many batches to yield; None never ends.
        share: (rank, size): yield this process's part of every batch alone, and decode no more than that. The parts
            of ranks 0 to size - 1, one after the other, are the batch.
        on_problem: gets a line about each file replaced, in the consumer's thread; by default, the log.

    Shape: (batch / size, crop, crop, 3)
    Range: uint8, display-encoded RGB; 16-bit scans are rounded to 8 bits
    Raises: ValueError without paths, with negative steps, for a share that does not divide a batch's pictures and for
        a ``cache_dir`` that cannot be written to; and while iterating when no file can be used.

    """
    files = [Path(path) for path in paths]
    if not files:
        raise ValueError("crop_batches expects at least one file, got none")
    if start_step < 0 or (steps is not None and steps < 0):
        raise ValueError(f"crop_batches expects steps >= 0, got start_step {start_step} and steps {steps}")
    rank, size = share
    if not 0 <= rank < size:
        raise ValueError(f"crop_batches expects a share (rank, size) with 0 <= rank < size, got {share}")
    if config.pictures_per_batch % size:
        raise ValueError(
            "crop_batches expects a batch's pictures (batch / crops_per_picture) to be a multiple of the share's size, "
            f"got {config.pictures_per_batch} and {size}"
        )
    start = start_step * config.pictures_per_batch
    stop = None if steps is None else start + steps * config.pictures_per_batch
    stream = _generate(_Pictures(files, config), len(files), config, start, stop, share, on_problem)
    _open_streams.add(stream)
    return stream
