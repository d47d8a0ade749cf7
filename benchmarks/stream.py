"""Time one epoch of random crops from large JPEG scans: d2f_mlx.data, a PyTorch DataLoader, a plain loop.

    python benchmarks/stream.py --count 16                      # a minute
    python benchmarks/stream.py --json stream.json              # 375 scans of 3089 x 2048, as in the notes

All decode with Pillow and cut the very same crops, which a checksum confirms. Each contestant runs in a
process of its own, so that its peak memory is its own, and takes turns with the others; the scans are in the
page cache for all of them. Threads and worker processes start inside the time, and no decoded scan is kept,
except for the two epochs of d2f_mlx.data: there, as many as its cache holds.

On Linux ratios hang on glibc: left alone, it gives a main thread's large blocks back to the system after each
picture, and PyTorch's worker processes decode in theirs. Importing d2f_mlx keeps it from that for every contestant.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import util
from pathlib import Path

from d2f_mlx.data import Meter, StreamConfig, crop_batches, random_crops
from d2f_mlx.data.streams import picture_keys, picture_rng

import numpy as np
from PIL import Image

from report import environment

HEIGHT, WIDTH = 2048, 3089
DISTINCT = 3


def scan(seed: int) -> bytes:
    """Encode a synthetic scan at quality 92: soft structure, edges, and grain of its own in each channel.

    Its 6.4 bits a pixel are near what real scans take (median of 74 JPEG scans of film: 6.7).
    """
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(30, 220, (24, 36, 3), dtype=np.uint8))
    soft = np.asarray(small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(0, 14, (HEIGHT, WIDTH, 3)).astype(np.float32)
    grain[:, 1:] = 0.6 * (grain[:, 1:] + grain[:, :-1])
    pixels = np.clip(np.where(soft > 128, soft + 12, soft) + grain, 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=92, subsampling=0)
    return encoded.getvalue()


def make_scans(folder: Path, count: int) -> list[Path]:
    """Write the scans that are not there yet; a few distinct pictures, each scan a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scan{number:04}.jpg" for number in range(count)]
    encoded: dict[int, bytes] = {}
    for number, path in enumerate(paths):
        if not path.exists():
            kind = number % DISTINCT
            encoded[kind] = encoded.get(kind) or scan(kind)
            path.write_bytes(encoded[kind])
    return paths


def cut(path: Path, key: tuple[int, int, int], config: StreamConfig) -> np.ndarray:
    """Decode one scan with Pillow and cut the crops that d2f_mlx.data cuts."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    return random_crops(pixels, config.crop, config.crops_per_picture, picture_rng(*key), config.flip)


def ours(paths: list[Path], config: StreamConfig, steps: int, workers: int) -> Iterator[np.ndarray]:
    return crop_batches(paths, replace(config, threads=workers), steps=steps)


def plain(paths: list[Path], config: StreamConfig, steps: int, workers: int) -> Iterator[np.ndarray]:
    keys = list(picture_keys(0, steps * config.pictures_per_batch, len(paths), config.seed))
    for start in range(0, len(keys), config.pictures_per_batch):
        chosen = keys[start : start + config.pictures_per_batch]
        yield np.concatenate([cut(paths[key[2]], key, config) for key in chosen])


def torch_loader(paths: list[Path], config: StreamConfig, steps: int, workers: int) -> Iterator[np.ndarray]:
    import torch  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader, Dataset  # pyright: ignore[reportMissingImports]

    keys = list(picture_keys(0, steps * config.pictures_per_batch, len(paths), config.seed))

    class Scans(Dataset):
        def __len__(self) -> int:
            return len(keys)

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(cut(paths[keys[index][2]], keys[index], config))

    loader = DataLoader(
        Scans(),
        batch_size=config.pictures_per_batch,
        num_workers=workers,
        prefetch_factor=config.prefetch if workers else None,
        collate_fn=torch.cat,
    )
    for batch in loader:
        yield batch.numpy()


Contestant = Callable[[list[Path], StreamConfig, int, int], Iterator[np.ndarray]]
CONTESTANTS: dict[str, Contestant] = {
    "d2f_mlx.data": ours,
    "d2f_mlx.data, 2 epochs": ours,
    "torch DataLoader": torch_loader,
    "plain loop": plain,
}


def training_step(kind: str, milliseconds: float) -> Callable[[np.ndarray], None]:
    """Make the work done on a batch: none, a pause (a GPU at work), or a real small compiled MLX step."""
    if kind == "none":
        return lambda batch: None
    if kind == "sleep":
        return lambda batch: time.sleep(milliseconds / 1000)
    import mlx.core as mx
    import mlx.optimizers as optimizers
    from mlx import nn
    from mlx.nn.losses import mse_loss
    from mlx.nn.utils import value_and_grad

    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 3, padding=1))
    optimizer = optimizers.Adam(1e-3)
    state = [model.state, optimizer.state]

    def loss(pixels: mx.array) -> mx.array:
        return mse_loss(model(pixels), pixels)

    gradient = value_and_grad(model, loss)

    @partial(mx.compile, inputs=state, outputs=state)
    def update(pixels: mx.array) -> mx.array:
        value, gradients = gradient(pixels.astype(mx.float32) / 127.5 - 1)
        optimizer.update(model, gradients)
        return value

    def step(batch: np.ndarray) -> None:
        mx.eval(state, update(mx.array(batch)))

    return step


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the children that have ended."""
    return sum(os.times()[:4])


def peak_mib() -> float:
    """Return this process's peak memory, and its largest child's, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(one).ru_maxrss for one in who) / unit


def measure(name: str, paths: list[Path], args: argparse.Namespace) -> dict[str, float]:
    """Time a contestant's epochs, after one batch to warm up; the times are means of an epoch."""
    epochs = 2 if name.endswith("2 epochs") else 1
    cache_mb = args.cache_mb if epochs > 1 else 0
    config = StreamConfig(args.crop, 3, args.batch, prefetch=args.prefetch, cache_mb=cache_mb)
    steps = len(paths) // config.pictures_per_batch
    step = training_step(args.step, args.step_ms)
    for batch in CONTESTANTS[name](paths, config, 1, args.workers):
        step(batch)
    batches = CONTESTANTS[name](paths, config, steps * epochs, args.workers)
    meter, checksum = Meter(), 0
    start, busy = time.perf_counter(), cpu_seconds()
    for number, batch in enumerate(meter.prepare(batches)):
        with meter.process():
            step(batch)
        if number < steps:
            checksum = zlib.crc32(batch.data, checksum)
    return {
        "epoch_s": (time.perf_counter() - start) / epochs,
        "cpu_s": (cpu_seconds() - busy) / epochs,
        "compute_efficiency": meter.summary()["compute_efficiency"],
        "peak_mib": peak_mib(),
        "samples": steps * args.batch,
        "checksum": checksum,
    }


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    result = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {**result, "samples_per_s": result["samples"] / result["epoch_s"]}


def report(results: dict[str, dict[str, float]], args: argparse.Namespace) -> dict[str, object]:
    where = environment()
    first = next(iter(results.values()))
    print(f"{args.count} JPEG scans of {WIDTH}x{HEIGHT}, {first['samples']:.0f} crops of {args.crop} (uint8)")
    print(f"batches of {args.batch}, {args.workers} workers, step: {args.step}, median of {args.repeats}")
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    print(f"\n{'':24}{'epoch s':>9}{'CPU s':>8}{'samples/s':>11}{'ratio':>7}{'efficiency':>12}{'peak MiB':>10}")
    for name, result in results.items():
        ratio = result["samples_per_s"] / first["samples_per_s"]
        print(
            f"{name:24}{result['epoch_s']:9.2f}{result['cpu_s']:8.2f}"
            f"{result['samples_per_s']:11.1f}{ratio:7.2f}{result['compute_efficiency']:12.3f}{result['peak_mib']:10.0f}"
        )
    settings = {key: value for key, value in vars(args).items() if key not in ("json", "only", "data")}
    return {"environment": where, "settings": settings, "results": results}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=375, help="scans in an epoch (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder to keep the scans in; a temporary one by default")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=12, help="crops in a batch, 3 of each scan")
    parser.add_argument("--workers", type=int, default=2, help="our threads, and PyTorch's processes")
    parser.add_argument("--prefetch", type=int, default=4, help="batches ahead")
    parser.add_argument("--step", choices=("none", "sleep", "mlx"), default="sleep")
    parser.add_argument("--step-ms", type=float, default=50, help="length of the simulated step")
    parser.add_argument("--cache-mb", type=int, default=StreamConfig.cache_mb, help="for our two epochs")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--only", choices=tuple(CONTESTANTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.count * 3 < args.batch:
        parser.error(f"--count {args.count} scans do not fill a batch of {args.batch} crops")
    return args


def compare(folder: Path, args: argparse.Namespace) -> None:
    paths = make_scans(folder, args.count)
    mebibytes = sum(path.stat().st_size for path in paths) / args.count / 2**20
    print(f"scans in {folder}: {mebibytes:.1f} MiB each", flush=True)
    names = [name for name in CONTESTANTS if not name.startswith("torch") or util.find_spec("torch")]
    if len(names) < len(CONTESTANTS):
        print("torch DataLoader: skipped, PyTorch is not installed")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(args.repeats):
        for name in names:
            command = [sys.executable, *sys.argv, "--data", str(folder), "--only", name]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            runs[name].append(json.loads(output.splitlines()[-1]))
    if len({run["checksum"] for each in runs.values() for run in each}) != 1:
        raise SystemExit("the contestants did not yield the same crops")
    results = {name: medians(each) for name, each in runs.items()}
    document = report(results, args)
    if args.json:
        args.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    args = parse()
    if args.only:
        print(json.dumps(measure(args.only, make_scans(args.data, args.count), args)))
    elif args.data:
        compare(args.data, args)
    else:
        with tempfile.TemporaryDirectory(prefix="d2f-stream-") as folder:
            compare(Path(folder), args)


if __name__ == "__main__":
    main()
