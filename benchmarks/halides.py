"""Time the halide mask of a 2048 x 3072 RGB uint8 picture against what else one could use.

    python benchmarks/halides.py --json halides.json

Every contestant marks the pixels that equal the maximum of their 3x3 window, channel by channel, and must give the same
mask. Rivals that are not installed are left out: pip install 'd2f_mlx[benchmark]'.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from d2f_mlx import extrema, peaks, valleys

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from report import add_json, median_ms, publish


def opencv(pixels: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    import cv2  # pyright: ignore[reportMissingImports]

    window = np.ones((3, 3), np.uint8)

    def run() -> np.ndarray:
        cv2.setNumThreads(threads)
        return cv2.compare(cv2.dilate(pixels, window), pixels, cv2.CMP_EQ) > 0

    def timed() -> np.ndarray:
        return cv2.compare(cv2.dilate(pixels, window), pixels, cv2.CMP_EQ)

    run()
    timed.mask = run  # type: ignore[attr-defined]
    return timed


def scipy(pixels: np.ndarray) -> Callable[[], np.ndarray]:
    from scipy.ndimage import maximum_filter

    return lambda: maximum_filter(pixels, (3, 3, 1), mode="nearest") == pixels


def torch(pixels: np.ndarray) -> Callable[[], np.ndarray]:
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn.functional import max_pool2d  # pyright: ignore[reportMissingImports]

    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().contiguous()
    return lambda: (max_pool2d(planes, 3, 1, 1) == planes)[0].permute(1, 2, 0).numpy()


def mlx_pool(pixels: np.ndarray) -> Callable[[], mx.array]:
    pool, picture = nn.MaxPool2d(3, 1, 1), mx.array(pixels)[None].astype(mx.float32)

    def run() -> mx.array:
        mask = (pool(picture) == picture)[0]
        mx.eval(mask)
        return mask

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--height", type=int, default=2048)
    parser.add_argument("--width", type=int, default=3072)
    parser.add_argument("--repeats", type=int, default=15)
    add_json(parser)
    arguments = parser.parse_args()
    pixels = np.random.default_rng(0).integers(0, 256, (arguments.height, arguments.width, 3), np.uint8)
    picture = mx.array(pixels)
    expected = np.array(peaks(picture))

    rivals: dict[str, Callable[[], Callable[[], object]]] = {
        "OpenCV dilate + compare, 1 thread": lambda: opencv(pixels, 1),
        "OpenCV dilate + compare, all threads": lambda: opencv(pixels, -1),
        "SciPy maximum_filter": lambda: scipy(pixels),
        "PyTorch max_pool2d + compare": lambda: torch(pixels),
        "mlx.nn.MaxPool2d + compare": lambda: mlx_pool(pixels),
    }
    ours = median_ms(lambda: mx.eval(peaks(picture)), arguments.repeats)
    rows: list[dict[str, object]] = [{"what": "d2f peaks", "ms": ours, "times ours": 1.0}]
    for name, function in (("d2f valleys", valleys), ("d2f extrema", extrema)):
        time_ms = median_ms(lambda function=function: mx.eval(function(picture)), arguments.repeats)
        rows.append({"what": name, "ms": time_ms, "times ours": time_ms / ours})
    for name, prepare in rivals.items():
        try:
            run = prepare()
        except ImportError:
            print(f"{name}: not installed, left out")
            continue
        mask = np.array(getattr(run, "mask", run)())
        if not np.array_equal(mask, expected):
            raise SystemExit(f"{name}: gives another mask")
        time_ms = median_ms(run, arguments.repeats)
        rows.append({"what": name, "ms": time_ms, "times ours": time_ms / ours})
    publish(f"Halide mask, {pixels.shape} {pixels.dtype}", rows, arguments.json)


if __name__ == "__main__":
    main()
