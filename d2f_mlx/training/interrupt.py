"""Trainings that are told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .ranks import PeerLostError


@contextmanager
def terminable() -> Iterator[None]:
    """Have SIGTERM, which schedulers send, and ``mlx.launch`` where a process died, interrupt like Ctrl-C, once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except PeerLostError:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it will come while what was learned is saved
        raise
    finally:
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, before)
