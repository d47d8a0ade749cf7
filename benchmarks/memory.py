"""Measure the networks' deepest tensors, what trainings take, and the memory and time of developing whole pictures.

    python benchmarks/memory.py --json memory.json

Each picture is developed in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

from d2f_mlx.data import StreamConfig
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.models import DIANet, ReconstructorConfig, UNet
from d2f_mlx.training import TrainConfig, plan_memory

import mlx.core as mx
import numpy as np
from mlx.utils import tree_reduce

from report import add_json, peak_gib, publish

SIZES = ((3024, 3024), (4000, 6000))


def deepest() -> list[dict[str, object]]:
    """Rebuild the notes' table: the deepest tensor of a crop, float32."""
    rows: list[dict[str, object]] = []
    for name, network, crop in (
        ("UNet512", UNet(12, 3, ReconstructorConfig(width=512).widths), 256),
        ("UNet128", UNet(12, 3, ReconstructorConfig().widths), 256),
        ("DIANet", DIANet(12, 3, ReconstructorConfig("dianet").widths), 128),
    ):
        tensor = network.encoded(mx.zeros((1, crop, crop, 12)))[-1]  # lazy: nothing is computed
        _, height, width, channels = tensor.shape
        rows.append(
            {
                "network": name,
                "crop": crop,
                "deepest": f"{channels}x{height}x{width}",
                "MiB": 4 * tensor.size / 2**20,
                "parameters": tree_reduce(lambda total, array: total + array.size, network.parameters(), 0),
            }
        )
    return rows


def trainings(gibibytes: float) -> list[dict[str, object]]:
    """Say what a step takes, and how many crops fit a memory at once."""
    rows: list[dict[str, object]] = []
    for name, model, crop, batch in (
        ("UNet512", ReconstructorConfig(width=512), 256, 4),
        ("UNet512", ReconstructorConfig(width=512), 16, 128),
        ("UNet128", ReconstructorConfig(), 64, 16),
        ("DIANet", ReconstructorConfig("dianet"), 128, 4),
        ("DIANet", ReconstructorConfig("dianet"), 32, 64),
    ):
        plan = plan_memory(model, StreamConfig(crop=crop, batch=batch), TrainConfig(memory_gb=gibibytes))
        rows.append(
            {
                "network": name,
                "crop": crop,
                "batch": batch,
                "GiB a step": plan.needed / 2**30,
                f"crops in {gibibytes:g} GiB": plan.most_crops,
            }
        )
    return rows


def develop(name: str, height: int, width: int) -> dict[str, float]:
    """Develop generated pixels in this process and report its peak memory."""
    tile = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    photo = np.tile(tile, (height // 256 + 1, width // 256 + 1, 1))[:height, :width]
    developer = Developer(DevelopConfig(name, grain="halide", colour="photo"))
    start = time.perf_counter()
    developer(photo)
    seconds = time.perf_counter() - start
    return {"s": seconds, "peak GiB": peak_gib(), "of it MLX": mx.get_peak_memory() / 2**30}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["unet", "dianet"])
    parser.add_argument("--one", nargs=3, metavar=("NETWORK", "HEIGHT", "WIDTH"), help=argparse.SUPPRESS)
    parser.add_argument("--gib", type=float, default=16, help="memory that a training may take (default: %(default)s)")
    add_json(parser)
    arguments = parser.parse_args()
    if arguments.one:
        name, height, width = arguments.one
        print(json.dumps(develop(name, int(height), int(width))))
        return
    publish("Deepest tensors of the notes", deepest(), None)
    found = trainings(arguments.gib)
    publish("Steps of a training, estimated from two small ones", found, None)
    rows: list[dict[str, object]] = []
    for name in arguments.networks:
        for height, width in SIZES:
            command = [sys.executable, __file__, "--one", name, str(height), str(width)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            megapixels = height * width / 1e6
            figures = json.loads(output)
            rows.append(
                {"network": name, "picture": f"{width}x{height}", **figures, "Mpx/s": megapixels / figures["s"]}
            )
    publish("Developing whole pictures", rows, arguments.json, trainings=found)


if __name__ == "__main__":
    main()
