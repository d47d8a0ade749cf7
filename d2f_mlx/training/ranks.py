"""Processes that train together, on one machine or on several."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx.nn.utils import average_gradients
from mlx.utils import tree_map


class PeerLostError(RuntimeError):
    """A process of those that train together is gone."""


class Ranks:
    """The processes that train together: one alone, unless ``mlx.launch`` or MPI started several.

    Args:
        timeout: Seconds to wait for the others before they count as lost.
        rescue: Saves what is there before this process ends because others do not answer. It is called in another
            thread while MLX waits in this one, so it must compute nothing.
    """

    def __init__(self, timeout: float, rescue: Callable[[], None] = lambda: None) -> None:
        self._group = mx.distributed.init()
        self._timeout = timeout
        self.rescue = rescue
        self.rank, self.size = self._group.rank(), self._group.size()

    def mean(self, tree: Any) -> Any:
        """Average arrays over the processes.

        Raises: PeerLostError where one is gone. Where one does not answer, this process ends, with a message.
        """
        return self._together(lambda: average_gradients(tree, self._group)) if self.size > 1 else tree

    def first(self, tree: Any) -> Any:
        """Give all processes what the first one has."""
        if self.size == 1:
            return tree
        own = tree if self.rank == 0 else tree_map(mx.zeros_like, tree)
        return self._together(lambda: tree_map(lambda array: mx.distributed.all_sum(array, group=self._group), own))

    def agree(self, number: int) -> bool:
        """Tell whether all processes have the same number, below 2^31."""
        if self.size == 1:
            return True
        numbers = self._together(lambda: mx.distributed.all_gather(mx.array([number], mx.int32), group=self._group))
        return len(set(numbers.tolist())) == 1

    def _together(self, exchange: Callable[[], Any]) -> Any:
        watch = threading.Timer(self._timeout, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            result = exchange()
            mx.eval(result)
        except RuntimeError as error:
            raise PeerLostError(
                f"process {self.rank} of {self.size} lost another one ({error}); when all machines are there again, "
                "the same command with --resume goes on"
            ) from error
        finally:
            watch.cancel()
        return result

    def _give_up(self) -> None:
        try:
            self.rescue()
        finally:
            print(
                f"d2f: process {self.rank} of {self.size} had no answer from the others for {self._timeout:g} s: a "
                "machine hangs, or is out of reach; when all are there again, the same command with --resume goes on",
                file=sys.stderr,
                flush=True,
            )
            os._exit(1)  # MLX waits on in the main thread, and would for ever
