"""One of several processes that train together; run by test_ranks.py."""

import json
import os
import signal
import sys
from pathlib import Path

from d2f_mlx.data import StreamConfig
from d2f_mlx.models import ReconstructorConfig
from d2f_mlx.training import TrainConfig, evaluation, reconstruct, train_reconstructor

import mlx.core as mx

evaluation.EVALUATION_CROP = 32
STREAM = StreamConfig(crop=16, crops_per_picture=4, batch=16, seed=3, prefetch=1, threads=1)
MODEL = ReconstructorConfig(width=32)
CONFIG = TrainConfig(steps=20, warmup=2, evaluate_every=20, evaluation_crops=1)


def run(scans, folder, end="", timeout=30.0, seed=3):
    """Train, and return the losses and the evaluations; a process other than the first ends itself after 8 steps."""
    batches = reconstruct.crop_batches

    def until_the_end(*arguments, **options):
        for number, batch in enumerate(batches(*arguments, **options)):
            if number == 8 and end and mx.distributed.init().rank():
                os.kill(os.getpid(), getattr(signal, end))
            yield batch

    class Closable:
        def __init__(self, *arguments, **options):
            self._inner = until_the_end(*arguments, **options)
            self.close = self._inner.close

        def __iter__(self):
            return self._inner

    if end:
        reconstruct.crop_batches = Closable
    reports = []
    config = TrainConfig(**{**vars(CONFIG), "timeout": timeout})
    stream = StreamConfig(**{**vars(STREAM), "seed": seed + (mx.distributed.init().rank() if seed != 3 else 0)})
    paths = sorted(Path(scans).glob("*.png"))
    train_reconstructor(
        paths[:4], paths[4:], folder, model=MODEL, stream=stream, config=config, callbacks=[reports.append]
    )
    return [r.loss for r in reports], [r.evaluation["mse"] for r in reports if r.evaluation]


if __name__ == "__main__":
    scans, folder, end, timeout, seed = sys.argv[1:]
    found = run(scans, folder, end, float(timeout), int(seed))
    if mx.distributed.init().rank() == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
