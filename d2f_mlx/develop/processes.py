"""Several processes share a batch of pictures out, each with a developer of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import mlx.core as mx

from ..backend import on_gpu
from .files import DevelopedFile, FileDeveloper

_Pair = tuple[Path, Path]
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
_GRACE_S = 5.0  # for a process to leave no half-written file


@dataclass
class _Worker:
    """A process, and the one picture that it is at."""

    process: SpawnProcess
    pair: _Pair


def share_out(files: FileDeveloper, pairs: Iterator[_Pair], jobs: int) -> Generator[DevelopedFile, None, None]:
    """Develop pictures in so many processes; each is given its next picture when it is done with one.

    A process that ends before its picture is done takes that picture with it and is not replaced: what ended it was
    most likely a want of memory.
    """
    recipe = pickle.dumps(files)
    first = list(islice(pairs, jobs))
    workers: dict[Connection, _Worker] = {}
    processes: list[SpawnProcess] = []
    reason = ""
    try:
        with _inherited(jobs):
            for pair in first:
                connection, process = _started(recipe)
                processes.append(process)
                workers[connection] = _Worker(process, pair)
        for connection, worker in workers.items():
            _hand(connection, worker.pair)
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                worker = workers[connection]
                try:
                    done = connection.recv()
                except (EOFError, OSError):
                    del workers[connection]
                    reason = _end_of(worker.process, time.monotonic() + _GRACE_S)
                    left = f"{len(workers)} go on" if workers else "none is left"
                    yield _unfinished(worker.pair, f"its process ended ({reason}); {left}")
                    continue
                pair = next(pairs, None)
                if pair:
                    worker.pair = pair
                    _hand(connection, pair)
                else:
                    del workers[connection]
                    connection.close()  # which it leaves at
                yield done
    finally:
        for worker in workers.values():
            worker.process.terminate()
        until = time.monotonic() + _GRACE_S
        for process in processes:
            _end_of(process, until)
    for pair in pairs:
        yield _unfinished(pair, f"no process is left to develop it (the last one ended: {reason})")


def _hand(connection: Connection, pair: _Pair) -> None:
    with suppress(OSError):  # that its process has ended is seen when its answer does not come
        connection.send(pair)


def _unfinished(pair: _Pair, why: str) -> DevelopedFile:
    return DevelopedFile(*pair, error=f"{pair[0].name}: unfinished, {why}")


def _started(recipe: bytes) -> tuple[Connection, SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(recipe, on_gpu(), there), daemon=True)
    process.start()
    there.close()  # so that its end is seen here when the process ends, however it does
    return here, process


def _end_of(process: SpawnProcess, until: float) -> str:
    """Wait for a process to end, on the monotonic clock until then; say how it did."""
    process.join(max(0, until - time.monotonic()))
    if process.exitcode is None:
        process.kill()
        process.join()
    code = process.exitcode or 0
    if code == -signal.SIGKILL:
        return "killed, as where memory runs out"
    return f"signal {-code}" if code < 0 else f"exit status {code}"


@contextmanager
def _inherited(jobs: int) -> Iterator[None]:
    """Set what processes that are started now inherit: a share of the cores, and no Ctrl-C until they are set up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = any(name in os.environ for name in _THREADS)
    limits: dict[str, str] = {} if own else dict.fromkeys(_THREADS, str(max(1, cores // jobs)))
    resource_tracker.ensure_running()  # which the first process would start, and that unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(limits)
    try:
        yield
    finally:
        for name in limits:
            del os.environ[name]
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(recipe: bytes, gpu: bool, connection: Connection) -> None:
    """Develop the pictures that come until the other end is closed; in a process of its own."""
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if not interrupted:  # both signals may come, the second when files are being removed
            interrupted = True
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if not gpu:
            mx.set_default_device(mx.cpu)
        files: FileDeveloper = pickle.loads(recipe)
        with suppress(EOFError, ConnectionError):
            while True:
                connection.send(files(*connection.recv()))
