"""Show where time and memory go in developing, training and the stream, against what the machine can do at most.

    python benchmarks/roofline.py --only develop --json roofline.json     # --quick for small sizes, a minute or two

Limits are measured in the same run: matrix products (all cores), compiled arithmetic and negation of a large array (one
stream, which on a CPU is one core). "of limit" is the least time that a stage's operations or its bytes would take at
these, whichever is longer, against the time it takes; above 100 % its bytes were in a cache, or it computes in bytes,
of which a vector holds more than of floats. Operations are counted from shapes and the code, bytes are those of the
stage's inputs and result. "cores" is CPU time by time: on a busy machine, time by cores says more than time.

Developing is measured on one tile as it is cut from the picture, its overlap included, and scaled to the picture by the
number of tiles. Stages run one after the other here; the whole, with as many tiles at once as the engine takes, stands
below. Where it is slow it is measured on a part of the picture. Indented stages are parts of the one above.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from d2f_mlx.data import StreamConfig, crop_batches, random_crops
from d2f_mlx.images import read
from d2f_mlx.models import DIANet, Reconstructor, ReconstructorConfig, UNet
from d2f_mlx.training import Examples, TrainConfig, examples
from d2f_mlx.training.examples import squared_error
from d2f_mlx.training.step import Step

import mlx.core as mx
import numpy as np

from limits import Limits, Stage, measure, measure_limits
from network_layers import heaviest, step_flop
from report import add_json, median_ms, publish, write_json
from stages import ENGINES, develop_table, file_table
from stream import make_scans

Tables = dict[str, list[dict[str, Any]]]


class Training(NamedTuple):
    """A network and its batches."""

    model: ReconstructorConfig
    crop: int
    batch: int


TRAININGS = {
    "UNet128": Training(ReconstructorConfig(), 64, 16),
    "UNet512": Training(ReconstructorConfig(width=512), 256, 4),
    "UNet512, small crops": Training(ReconstructorConfig(width=512), 16, 128),
    "DIANet": Training(ReconstructorConfig("dianet"), 32, 64),
}


def develop(limits: Limits, quick: bool) -> Tables:
    """Tables of developing: each engine at two sizes, and the files."""
    repeats, sizes = (1, ((1000, 1500),)) if quick else (5, ((2000, 3000), (4000, 6000)))
    tables: Tables = {}
    for name in ENGINES:
        for size in sizes:
            title, rows = develop_table(name, size, limits, repeats)
            tables[title] = rows
            publish(title, rows, None)
    title = f"Files of {sizes[0][1]} x {sizes[0][0]}"
    tables[title] = file_table(sizes[0], limits, min(repeats, 3))
    publish(title, tables[title], None)
    return tables


def train(limits: Limits, quick: bool) -> Tables:
    """Tables of training: a step and its parts, and the heaviest layers."""
    steps, heavy = [], []
    for name, training in TRAININGS.items():
        crop, batch = training.crop, max(training.batch // 4, 1) if quick else training.batch
        repeats = 1 if quick else 3
        network = Reconstructor(training.model)
        inner = network.network
        assert isinstance(inner, UNet | DIANet)
        steps += [
            {"network": f"{name}, {batch} x {crop}^2", **row}
            for row in step_rows(network, crop, batch, limits, repeats)
        ]
        for layer in heaviest(inner, batch, crop):
            for kind, stage in (("forward", layer.forward()), ("and backward", layer.through())):
                found = measure(stage, limits, repeats)
                heavy.append({"network": name, "way": kind, **found.row(found.ms)})
                del heavy[-1]["share"]
    tables = {"A step of training": steps, "The heaviest layers": heavy}
    for title, rows in tables.items():
        publish(title, rows, None)
    return tables


def step_rows(network: Reconstructor, crop: int, batch: int, limits: Limits, repeats: int) -> list[dict[str, Any]]:
    """Time a step as training compiles it, and by difference what it is made of."""
    config, inner = network.config, network.network
    assert isinstance(inner, UNet | DIANet)
    forward_flop, backward_flop = step_flop(inner, batch, crop)
    crops = np.random.default_rng(0).integers(0, 256, (batch, crop, crop, 3), np.uint8)
    step = Step(network, TrainConfig(), group=8)
    prepare = mx.compile(lambda crops: examples(crops, config))
    prepared = Examples(*prepare(mx.array(crops)))
    forward = mx.compile(lambda made: squared_error(network(*made[:3]), Examples(*made)), inputs=network.state)
    stages = [
        Stage("making examples", prepare, [mx.array(crops)]),
        Stage("forward", forward, [prepared], forward_flop, True),
        Stage("gradients", lambda: step.sums(crops, 1), [], forward_flop + backward_flop, True),
        Stage("step", lambda: mx.array(step(crops)), [], forward_flop + backward_flop, True),
    ]
    making, ahead, through, whole = (measure(stage, limits, repeats) for stage in stages)
    back = through.ms - making.ms - ahead.ms
    rows = [found.row(whole.ms) for found in (making, ahead, through, whole)]
    least, bound = limits.least_ms(backward_flop, 0, True)
    rows[2] = {
        **rows[2],
        "stage": "backward, by difference",
        "ms": back,
        "share": f"{back / whole.ms:.1%}",
        "cores": "",
        "GFLOP": backward_flop / 1e9,
        "GFLOP/s": backward_flop / back / 1e6,
        "bound by": bound,
        "of limit": f"{least / back:.1%}",
    }
    update = whole.ms - through.ms
    rows.insert(3, {"stage": "update, by difference", "ms": update, "share": f"{update / whole.ms:.1%}"})
    for row in rows:
        row.pop("MB", None)
        row.pop("GB/s", None)
    return rows


def stream(limits: Limits, quick: bool) -> Tables:
    """Table of the stream: what a batch takes, against a step."""
    config, count = StreamConfig(cache_mb=0), 4 if quick else 16
    batch, crop, pictures = config.batch, config.crop, config.pictures_per_batch
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="d2f-roofline-") as folder:
        paths = make_scans(Path(folder), count)
        pixels = read(paths[0]).pixels
        cut = random_crops(pixels, crop, config.crops_per_picture, rng)
        times = {
            "decode": pictures * median_ms(lambda: read(paths[0]), 3, 1),
            "cut crops": pictures * median_ms(lambda: random_crops(pixels, crop, config.crops_per_picture, rng), 20, 2),
            "assemble": median_ms(lambda: np.concatenate([cut] * pictures), 20, 2),
            "to MLX": median_ms(lambda: mx.eval(mx.array(np.concatenate([cut] * pictures))), 20, 2),
        }
        steps = count // pictures * 2
        list(crop_batches(paths, config, steps=1))
        start = time.perf_counter()
        list(crop_batches(paths, config, steps=steps))
        times[f"the stream, {config.threads} threads"] = (time.perf_counter() - start) / steps * 1e3
    network = Reconstructor(ReconstructorConfig())
    taken = next(row["ms"] for row in step_rows(network, crop, batch, limits, 3) if row["stage"] == "step")
    times["step of UNet128"] = taken
    rows = [
        {"stage": name, "ms a batch": ms, "against the step": f"{ms / taken:.1%}", "MB/s of scans": ""}
        for name, ms in times.items()
    ]
    for row in rows:
        if row["stage"] == "decode" or "threads" in row["stage"]:
            row["MB/s of scans"] = pictures * pixels.nbytes / row["ms a batch"] / 1e3
    height, width, _ = pixels.shape
    title = f"The stream: {batch} crops of {crop} from {pictures} JPEG scans of {width} x {height}, none cached"
    publish(title, rows, None)
    return {title: rows}


PARTS = {"develop": develop, "train": train, "stream": stream}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=("limits", *PARTS), help="these parts; limits are always measured")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    add_json(parser)
    arguments = parser.parse_args()
    limits, rows = measure_limits(arguments.quick)
    publish("What the machine can do at most", rows, None)
    tables: Tables = {}
    for name, part in PARTS.items():
        if not arguments.only or name in arguments.only:
            tables.update(part(limits, arguments.quick))
    if arguments.json:
        write_json("The machine's limits", rows, arguments.json, tables=tables)


if __name__ == "__main__":
    main()
