"""A training in TensorBoard: curves, pictures, and how the weights are spread."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from .config import Report
from .log import figures_of

Pictures = Callable[[Any], Mapping[str, np.ndarray]]

_BINS = 64


class TensorBoard:
    """Write TensorBoard's event files.

    Every so many steps the figures; at every evaluation pictures, and a histogram of each of the network's arrays. All
    is on the disk when the call returns; no thread writes it later.

    Args:
        folder: Where to; made. TensorBoard is started with it, or with the folder above to compare trainings.
        every: Steps between figures.
        pictures: Shows what the report's network does. Shape: each (H, W, 3), uint8
        resume: Go on in a folder that has events: those from the first step reported on are hidden by TensorBoard.

    Raises: ValueError where tensorboardX is missing, or for a folder that has events where nothing is resumed; OSError
        where the folder cannot be made.
    """

    def __init__(
        self, folder: str | Path, every: int = 1, *, pictures: Pictures | None = None, resume: bool = False
    ) -> None:
        try:
            from tensorboardX import event_file_writer, summary
            from tensorboardX.proto import event_pb2
        except ImportError:
            raise ValueError("TensorBoard's events need tensorboardX: pip install 'd2f_mlx[tensorboard]'") from None
        self._files, self._summary, self._events = event_file_writer, summary, event_pb2
        self._folder, self._every, self._pictures = Path(folder), every, pictures
        if every < 1:
            raise ValueError(f"TensorBoard expects every >= 1, got {every}")
        if not resume and any(self._folder.glob("*.tfevents.*")):
            raise ValueError(f"{folder}: holds a training's events; resume it or choose another folder")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer: Any = None

    def __call__(self, report: Report) -> None:
        """Write what is due after a step."""
        if self._writer is None:
            self._writer = self._opened(report.step)
        if report.step % self._every and not report.evaluation:
            return
        for name, value in figures_of(report).items():
            self._add(report.step, self._summary.scalar(name, value))
        if report.evaluation and report.network is not None:
            for name, array in tree_flatten(report.network.parameters()):
                values = np.array(array.astype(mx.float32))  # type: ignore[union-attr]
                self._add(report.step, self._summary.histogram(name.replace(".", "/"), values, _BINS))
            for name, picture in (self._pictures(report.network) if self._pictures else {}).items():
                self._add(report.step, self._summary.image(name, picture, dataformats="HWC"))
        self._writer.flush()

    def _opened(self, step: int) -> Any:
        # The step makes names differ within a second; padded, they sort as they were written, and are read so.
        writer = self._files.EventsWriter(str(self._folder / "events"), f".{step:09d}")
        weakref.finalize(self, writer.close)
        session = self._events.SessionLog(status=self._events.SessionLog.START)
        writer.write_event(self._events.Event(wall_time=time.time(), step=step, session_log=session))
        return writer

    def _add(self, step: int, summary: Any) -> None:
        self._writer.write_event(self._events.Event(wall_time=time.time(), step=step, summary=summary))
