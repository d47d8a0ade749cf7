"""What this machine can do at most, measured through MLX, and how near to that a stage comes."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from d2f_mlx.backend import gflops

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from PIL import Image

from report import median_ms

SKINNY = ((65536, 128, 64), (262144, 32, 32), (262144, 16, 16))
"""Matrix products (pixels, inputs, outputs) as a network's convolutions are made of."""
_TERMS = 32  # of the polynomial that stands for arithmetic


class Stage(NamedTuple):
    """One line of a table: what runs, on what.

    Bytes are those of the inputs' and the result's arrays, each moved once: the least there can be.

    Args:
        name: What it is called; what begins with two blanks is a part of the stage above.
        run: Computes it, lazily or not.
        inputs: Its arguments.
        flop: Operations, counted from shapes, a function such as log2 as one; None where they depend on the values.
        products: Whether it is made of matrix products, which take all cores; else it runs on one.
    """

    name: str
    run: Callable[..., object]
    inputs: Sequence[Any] = ()
    flop: float | None = None
    products: bool = False


@dataclass(frozen=True)
class Limits:
    """The most there is, in 10^9 a second: operations and bytes, for matrix products and for one stream."""

    products: float
    products_bytes: float
    stream: float
    stream_bytes: float

    def least_ms(self, flop: float, moved: float, products: bool) -> tuple[float, str]:
        """Return the least time that so much work can take, and what bounds it."""
        flops, rate = (self.products, self.products_bytes) if products else (self.stream, self.stream_bytes)
        bounds = {"arithmetic": flop / flops / 1e6, "memory": moved / rate / 1e6}
        bound = max(bounds, key=lambda name: bounds[name])
        return bounds[bound], bound


def measure_limits(quick: bool) -> tuple[Limits, list[dict[str, object]]]:
    """Measure the machine's limits: the best of a few sizes."""
    rows: list[dict[str, object]] = []
    for size in (512, 1024) if quick else (256, 512, 1024, 2048, 4096):
        rows.append({"what": f"matrix product {size}^3", "GFLOP/s": gflops(size, 3), "GB/s": ""})
    best = max(float(str(row["GFLOP/s"])) for row in rows)
    for m, k, n in SKINNY:
        a, b = mx.random.normal((m, k)), mx.random.normal((k, n))
        ms = _best_ms(lambda a=a, b=b: [a @ b], a, b)
        moved = 4 * (m * k + k * n + m * n)
        row = {"what": f"matrix product ({m}, {k}) ({k}, {n})", "GFLOP/s": 2 * m * k * n / ms / 1e6}
        rows.append({**row, "GB/s": moved / ms / 1e6})

    streams = [mx.new_stream(mx.default_device()) for _ in range(os.cpu_count() or 1)]
    many, few = 2**24 if quick else 2**26, 2**16
    arrays = [mx.random.normal((many // len(streams),)) for _ in streams]
    small = [mx.random.normal((few,)) for _ in streams]
    work: dict[int, dict[str, float]] = {}
    for count in sorted({1, len(streams)}):
        name = f"{count} stream" + "s" * (count > 1)
        each = list(zip(streams, arrays, small, strict=True))[:count]
        ms = _best_ms(lambda each=each: [_polynomial(x, stream=s) for s, _, x in each], *arrays, *small)
        flops = count * few * 2 * _TERMS / ms / 1e6
        ms = _best_ms(lambda each=each: [mx.negative(x, stream=s) for s, x, _ in each])
        work[count] = {"GFLOP/s": flops, "GB/s": count * 2 * arrays[0].nbytes / ms / 1e6}
        rows.append({"what": f"elementwise, compiled, {name}", "GFLOP/s": flops, "GB/s": ""})
        rows.append({"what": f"elementwise, negation, {name}", "GFLOP/s": "", "GB/s": work[count]["GB/s"]})
    source = np.array(arrays[0])
    target = np.empty_like(source)
    ms = median_ms(lambda: np.copyto(target, source), 3)
    rows.append({"what": "NumPy copy", "GFLOP/s": "", "GB/s": 2 * source.nbytes / ms / 1e6})
    rows.append({"what": "JPEG decoding, MB of pixels", "GFLOP/s": "", "GB/s": _jpeg_rate(1024 if quick else 2048)})
    one, several = work[1], work[len(streams)]
    return Limits(best, max(one["GB/s"], several["GB/s"]), one["GFLOP/s"], one["GB/s"]), rows


def _polynomial(x: mx.array, stream: mx.Stream) -> mx.array:
    with mx.stream(stream):
        return _horner(x)


@mx.compile
def _horner(x: mx.array) -> mx.array:
    total = x
    for term in range(_TERMS):
        total = total * x + 0.1 * term
    return total


def _best_ms(run: Callable[[], list[mx.array]], *inputs: mx.array) -> float:
    """Time the best of a few runs."""
    mx.eval(*inputs)
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        mx.eval(run())
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def _jpeg_rate(side: int) -> float:
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(30, 220, (16, 16, 3), dtype=np.uint8)).resize((side, side))
    pixels = np.clip(np.asarray(soft) + rng.normal(0, 5, (side, side, 3)), 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=92)
    return pixels.nbytes / median_ms(lambda: np.asarray(Image.open(encoded)), 3) / 1e6


@dataclass(frozen=True)
class Found:
    """What a stage, or several together, took.

    Args:
        name: As in `Stage`.
        ms: Milliseconds, the median.
        flop: Operations, if they are counted.
        moved: Bytes.
        least: The least milliseconds that the limits allow.
        bound: Which of them.
        peak: Bytes that MLX held at most, without the inputs.
        cores: CPU time against time: how many cores it kept busy, below 1 where others had the machine too.
    """

    name: str
    ms: float
    flop: float | None
    moved: float
    least: float
    bound: str
    peak: int
    cores: float

    def row(self, whole_ms: float, per: float = 1.0) -> dict[str, Any]:
        """Make a table's line, with the share of a whole; times, operations and bytes go by ``per``."""
        flop = None if self.flop is None else self.flop / 1e9
        return {
            "stage": self.name,
            "ms": self.ms * per,
            "share": f"{self.ms / whole_ms:.1%}",
            "cores": f"{self.cores:.2f}",
            "GFLOP": "" if flop is None else flop * per,
            "MB": self.moved / 1e6 * per,
            "GFLOP/s": "" if flop is None else 1e3 * flop / self.ms,
            "GB/s": self.moved / 1e6 / self.ms,
            "bound by": self.bound,
            "of limit": f"{self.least / self.ms:.1%}",
            "peak MiB": self.peak / 2**20,
        }


def measure(stage: Stage, limits: Limits, repeats: int) -> Found:
    """Time a stage after a run to compile it, and count what it moves and holds."""
    mx.eval(_arrays(stage.inputs))
    mx.eval(_arrays(stage.run(*stage.inputs)))
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    result = stage.run(*stage.inputs)
    mx.eval(_arrays(result))
    peak, moved = mx.get_peak_memory() - before, _nbytes(stage.inputs) + _nbytes(result)
    del result
    start, busy = time.perf_counter(), time.process_time()
    ms = median_ms(lambda: mx.eval(_arrays(stage.run(*stage.inputs))), repeats, 0)
    cores = (time.process_time() - busy) / (time.perf_counter() - start)
    least, bound = limits.least_ms(stage.flop or 0, moved, stage.products)
    return Found(stage.name, ms, stage.flop, moved, least, bound, peak, cores)


def together(name: str, parts: Sequence[Found]) -> Found:
    """Add stages up that run one after the other."""
    flop = sum(part.flop or 0 for part in parts) or None
    longest = max(parts, key=lambda part: part.least)
    ms, moved, least = (sum(values) for values in zip(*((p.ms, p.moved, p.least) for p in parts), strict=True))
    cores = sum(part.ms * part.cores for part in parts) / ms
    return Found(name, ms, flop, moved, least, longest.bound, max(part.peak for part in parts), cores)


def _arrays(tree: object) -> list[mx.array]:
    return [leaf for _, leaf in tree_flatten([tree]) if isinstance(leaf, mx.array)]


def _nbytes(tree: object) -> int:
    return sum(leaf.nbytes for _, leaf in tree_flatten([tree]) if isinstance(leaf, mx.array | np.ndarray))
