"""Time epochs of random crops from large JPEG scans: d2f_mlx.data, a PyTorch DataLoader, a plain loop.

    python benchmarks/stream.py --count 16                      # a minute
    python benchmarks/stream.py --json stream.json              # 375 scans of 3089 x 2048
    python benchmarks/stream.py --patches                       # crops of 8 to 512 pixels from pictures in memory

All decode with Pillow and cut the very same crops, which a checksum of the first epoch confirms. Each contestant runs
in a process of its own, so that its peak memory is its own, and takes turns with the others; the scans are in the page
cache for all of them. Threads and worker processes start inside the time of a first epoch. Later epochs, which only
differ where decoded scans are kept, are timed apart, after the first: three of them.

The DataLoader decodes a scan for each 3 crops, as d2f_mlx.data does, or for each crop, as data sets are mostly written.

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
from dataclasses import dataclass, replace
from functools import partial
from importlib import util
from pathlib import Path

from d2f_mlx.data import Meter, StreamConfig, crop_batches, random_crops
from d2f_mlx.data.streams import picture_keys, picture_rng
from d2f_mlx.images import read

import numpy as np
from PIL import Image

from report import add_json, peak_gib, publish

HEIGHT, WIDTH = 2048, 3089
DISTINCT = 3
LATER_EPOCHS = 3

# Crop, crops of a picture, batch.
PATCHES = ((8, 256, 4096), (8, 4, 64), (16, 256, 4096), (64, 64, 1024), (64, 4, 64), (256, 3, 12), (512, 1, 4))


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


def torch_loader(
    get: Callable[[int], np.ndarray], length: int, batch: int, prefetch: int, workers: int
) -> Iterator[np.ndarray]:
    """Batch what ``get`` returns, (crops, crop, crop, 3), with a DataLoader's worker processes."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader, Dataset  # pyright: ignore[reportMissingImports]

    class Crops(Dataset):
        def __len__(self) -> int:
            return length

        def __getitem__(self, index: int) -> torch.Tensor:
            return torch.from_numpy(get(index))

    loader = DataLoader(
        Crops(),
        batch_size=batch,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        collate_fn=torch.cat,
    )
    for crops in loader:
        yield crops.numpy()


def torch_scans(paths: list[Path], config: StreamConfig, steps: int, workers: int) -> Iterator[np.ndarray]:
    keys = list(picture_keys(0, steps * config.pictures_per_batch, len(paths), config.seed))

    def get(index: int) -> np.ndarray:
        return cut(paths[keys[index][2]], keys[index], config)

    return torch_loader(get, len(keys), config.pictures_per_batch, config.prefetch, workers)


def torch_crops(paths: list[Path], config: StreamConfig, steps: int, workers: int) -> Iterator[np.ndarray]:
    keys = list(picture_keys(0, steps * config.pictures_per_batch, len(paths), config.seed))
    each = config.crops_per_picture

    def get(index: int) -> np.ndarray:
        key = keys[index // each]
        return cut(paths[key[2]], key, config)[index % each, None]

    return torch_loader(get, len(keys) * each, config.batch, config.prefetch, workers)


@dataclass(frozen=True)
class Contestant:
    """Who makes the batches, which cache it is given, and which epochs are timed."""

    batches: Callable[[list[Path], StreamConfig, int, int], Iterator[np.ndarray]]
    cache: str = ""
    later: bool = False


CONTESTANTS = {
    "d2f_mlx.data, first epoch": Contestant(ours),
    "d2f_mlx.data, first epoch, writing to disk": Contestant(ours, "disk"),
    "d2f_mlx.data, later epochs, from memory": Contestant(ours, "memory", later=True),
    "d2f_mlx.data, later epochs, from disk": Contestant(ours, "disk", later=True),
    "torch DataLoader, 3 crops an item": Contestant(torch_scans),
    "torch DataLoader, 1 crop an item": Contestant(torch_crops),
    "plain loop": Contestant(plain),
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


def measure(name: str, paths: list[Path], args: argparse.Namespace) -> dict[str, float]:
    """Time a contestant's first epoch, after one batch to warm up, or the mean of its later ones."""
    contestant = CONTESTANTS[name]
    with tempfile.TemporaryDirectory(prefix="d2f-pixels-", dir=args.cache_dir or None) as folder:
        config = StreamConfig(args.crop, 3, args.batch, prefetch=args.prefetch, cache_mb=0)
        step = training_step(args.step, args.step_ms)
        for batch in contestant.batches(paths, config, 1, args.workers):
            step(batch)
        cache = {"memory": {"cache_mb": args.cache_mb}, "disk": {"cache_dir": folder}}.get(contestant.cache, {})
        steps = len(paths) // config.pictures_per_batch
        epochs = 1 + LATER_EPOCHS if contestant.later else 1
        batches = contestant.batches(paths, replace(config, **cache), steps * epochs, args.workers)
        meter, checksum = Meter(warmup=steps if contestant.later else 0), 0
        start, busy = time.perf_counter(), cpu_seconds()
        for number, batch in enumerate(meter.prepare(batches)):
            if number == steps:
                start, busy = time.perf_counter(), cpu_seconds()
            with meter.process():
                step(batch)
            if number < steps:
                checksum = zlib.crc32(batch.data, checksum)
    timed = epochs - contestant.later
    seconds = (time.perf_counter() - start) / timed
    return {
        "epoch s": seconds,
        "CPU s": (cpu_seconds() - busy) / timed,
        "samples/s": steps * args.batch / seconds,
        "efficiency": meter.summary()["compute_efficiency"],
        "peak GiB": peak_gib() + peak_gib(resource.RUSAGE_CHILDREN),
        "checksum": checksum,
    }


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
    parser.add_argument("--cache-mb", type=int, default=8192, help="our memory for decoded scans, where any is used")
    parser.add_argument("--cache-dir", type=Path, help="where our decoded scans are kept for the time of the run")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--patches", action="store_true", help="time crops of many sizes from decoded scans instead")
    parser.add_argument("--only", choices=tuple(CONTESTANTS), help=argparse.SUPPRESS)
    add_json(parser)
    args = parser.parse_args()
    if args.count * 3 < args.batch:
        parser.error(f"--count {args.count} scans do not fill a batch of {args.batch} crops")
    return args


def compare(folder: Path, args: argparse.Namespace) -> None:
    paths = make_scans(folder, args.count)
    names = [name for name in CONTESTANTS if not name.startswith("torch") or util.find_spec("torch")]
    if len(names) < len(CONTESTANTS):
        print("torch DataLoader: skipped, PyTorch is not installed")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(args.repeats):
        for name in names:
            command = [sys.executable, *sys.argv, "--data", str(folder), "--only", name]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            runs[name].append(json.loads(output.splitlines()[-1]))
    if len({run.pop("checksum") for each in runs.values() for run in each}) != 1:
        raise SystemExit("the contestants did not yield the same crops")
    rows = {name: {key: statistics.median(run[key] for run in each) for key in each[0]} for name, each in runs.items()}
    mebibytes = sum(path.stat().st_size for path in paths) / args.count / 2**20
    publish(
        f"{args.count} JPEG scans of {WIDTH}x{HEIGHT}, {mebibytes:.1f} MiB each, 3 crops of {args.crop} from each, "
        f"batches of {args.batch}, {args.workers} workers, step: {args.step}, median of {args.repeats}",
        [{"": name, **row} for name, row in rows.items()],
        args.json,
        settings={key: value for key, value in vars(args).items() if key not in ("json", "only", "data", "cache_dir")},
    )
    report_trainings({name: row["epoch s"] for name, row in rows.items()})


def report_trainings(epoch: dict[str, float]) -> None:
    """Add epochs up to trainings, and say how many times as fast as the DataLoaders ours are."""
    first, written, memory, disk = (epoch[name] for name in list(CONTESTANTS)[:4])
    for name in filter(lambda name: name.startswith("torch"), epoch):
        print(f"\nTimes as fast as {name}:")
        for epochs in (1, 2, 10, 100):
            mine = {"no cache": first * epochs, "memory": first + memory * (epochs - 1)}
            mine |= {"disk": written + disk * (epochs - 1), "disk, written before": disk * epochs}
            ratios = ", ".join(f"{cache} {epoch[name] * epochs / seconds:.2f}" for cache, seconds in mine.items())
            print(f"  {epochs:3} epochs: {ratios}")


def crops_per_second(batches: Iterator[np.ndarray], first: int, seconds: float = 1.0) -> tuple[float, int]:
    """Time batches once ``first`` of them have gone by; also return the first batch's checksum."""
    batch = next(batches)
    checksum = zlib.crc32(batch.data)
    for _ in range(first):
        batch = next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += len(next(batches))
    return count / (time.perf_counter() - start), checksum


def patches(folder: Path, args: argparse.Namespace) -> None:
    """Time crops of all sizes from decoded scans, ours beside a DataLoader whose items are a scan's crops."""
    paths = make_scans(folder, 2 * DISTINCT)
    decoded = [read(path).pixels for path in paths]
    rows = []
    for crop, each, batch in PATCHES:
        config = StreamConfig(crop, each, batch, threads=args.workers, prefetch=args.prefetch, cache_mb=args.cache_mb)
        keys = list(picture_keys(0, 2**16, len(paths), config.seed))

        def get(index: int, keys: list[tuple[int, int, int]] = keys, config: StreamConfig = config) -> np.ndarray:
            rng = picture_rng(*keys[index])
            return random_crops(decoded[keys[index][2]], config.crop, config.crops_per_picture, rng, config.flip)

        stream = crop_batches(paths, config)
        mine, checksum = crops_per_second(stream, len(paths) + args.prefetch)
        stream.close()
        row = {"crop": f"{crop}x{crop}", "of a scan": each, "batch": batch, "crops/s": mine}
        row["MB/s"] = mine * crop * crop * 3 / 1e6
        if util.find_spec("torch"):
            loader = torch_loader(get, len(keys), config.pictures_per_batch, args.prefetch, args.workers)
            theirs, same = crops_per_second(loader, len(paths) + args.prefetch)
            if same != checksum:
                raise SystemExit("the contestants did not yield the same crops")
            row |= {"DataLoader crops/s": theirs, "ratio": mine / theirs}
        rows.append(row)
    publish(f"Crops of {len(paths)} decoded scans of {WIDTH}x{HEIGHT}, {args.workers} workers", rows, args.json)


def main() -> None:
    args = parse()
    if args.only:
        print(json.dumps(measure(args.only, make_scans(args.data, args.count), args)))
        return
    run = patches if args.patches else compare
    with tempfile.TemporaryDirectory(prefix="d2f-stream-") as folder:
        run(args.data or Path(folder), args)


if __name__ == "__main__":
    main()
