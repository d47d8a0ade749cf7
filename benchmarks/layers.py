"""Time single layers, forward alone and with their gradients, against MLX's own and PyTorch's.

    python benchmarks/layers.py --json layers.json

Outputs and gradients must equal ours before anything is timed. Everyone runs in a process of its own with the same
number of threads, MLX compiled. "forward + backward" gives the gradients of input and weight. "times ours" is the time
over ours: above 1 ours is faster. Up2 and Down2 add a bias, the others' too.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from d2f_mlx.models.convolution import conv, conv_transpose, depthwise, upsample2
from d2f_mlx.models.layers import Down2, Up2

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from contest import Contestant, Task, contest, parse, serve, within_budget_ms
from report import publish

Runs = tuple[Callable[[], object], Callable[[], Sequence[Any]], Callable[[Any], np.ndarray]]
"""Forward, forward and backward, and what brings an array of the latter to NumPy in our layout."""


class Layer(NamedTuple):
    """A layer three times.

    Args:
        ours: Of a picture, NHWC, and weights, if it has any.
        native: The same in MLX's own functions.
        torch: The same of ``torch.nn.functional``, the picture in NCHW, and the weights with their last axis second.
        picture: Its shape, NHWC.
        weight: Its shape, as ours takes it; None for a layer without.
    """

    ours: Callable[..., mx.array]
    native: Callable[..., mx.array]
    torch: Callable[..., Any] | None
    picture: tuple[int, ...]
    weight: tuple[int, ...] | None


Kind = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]
"""Ours, MLX's own, and PyTorch's."""


def up2(x: mx.array, weight: mx.array) -> mx.array:
    layer = Up2(weight.shape[0], weight.shape[-1])
    layer.weight = weight
    return layer(x)


def down2(x: mx.array, weight: mx.array) -> mx.array:
    layer = Down2(weight.shape[-1], weight.shape[0])
    layer.weight = weight
    return layer(x)


def convolution(stride: int) -> Kind:
    """Convolve a 3x3 kernel."""
    return (
        lambda x, w: conv(x, w, stride, 1),
        lambda x, w: mx.conv2d(x, w, stride=stride, padding=1),
        lambda F, x, w: F.conv2d(x, w, stride=stride, padding=1),
    )


def native_up2(x: mx.array, weight: mx.array) -> mx.array:
    return mx.conv_transpose2d(x, weight.transpose(3, 1, 2, 0), stride=2) + mx.zeros(weight.shape[-1])


def native_down2(x: mx.array, weight: mx.array) -> mx.array:
    return mx.conv2d(x, weight, stride=2) + mx.zeros(weight.shape[0])


def torch_up2(F: Any, x: Any, weight: Any) -> Any:
    return F.conv_transpose2d(x, weight, weight.new_zeros(weight.shape[1]), stride=2)


def torch_down2(F: Any, x: Any, weight: Any) -> Any:
    return F.conv2d(x, weight, weight.new_zeros(weight.shape[0]), stride=2)


CONV: Kind = convolution(1)
TRANSPOSED: Kind = (
    lambda x, w: conv_transpose(x, w, 2, 1),
    lambda x, w: mx.conv_transpose2d(x, w, stride=2, padding=1),
    lambda F, x, w: F.conv_transpose2d(x, w.transpose(0, 1), stride=2, padding=1),
)
DEPTHWISE: Kind = (
    lambda x, w: depthwise(x, w, 1),
    lambda x, w: mx.conv2d(x, w, padding=1, groups=x.shape[-1]),
    lambda F, x, w: F.conv2d(x, w, padding=1, groups=x.shape[1]),
)
UPSAMPLE: Kind = (upsample2, nn.Upsample(2, "linear"), lambda F, x: F.interpolate(x, scale_factor=2, mode="bilinear"))
MAX_POOL: Kind = (nn.MaxPool2d(2, 2), nn.MaxPool2d(2, 2), lambda F, x: F.max_pool2d(x, 2))
AVERAGE_POOL: Kind = (nn.AvgPool2d(2, 2), nn.AvgPool2d(2, 2), lambda F, x: F.avg_pool2d(x, 2))
NEAREST: Kind = (nn.Upsample(2), nn.Upsample(2), lambda F, x: F.interpolate(x, scale_factor=2))
UP2: Kind = (up2, native_up2, torch_up2)
DOWN2: Kind = (down2, native_down2, torch_down2)
LAYERS = {
    "conv3x3-64-128": Layer(*CONV, (1, 128, 128, 64), (64, 3, 3, 64)),
    "conv3x3-16-512": Layer(*CONV, (1, 512, 512, 16), (16, 3, 3, 16)),
    "conv3x3-512-16": Layer(*CONV, (4, 16, 16, 512), (512, 3, 3, 512)),
    "up2-64-128": Layer(*UP2, (1, 128, 128, 64), (64, 2, 2, 64)),
    "down2-64-128": Layer(*DOWN2, (1, 128, 128, 64), (64, 2, 2, 64)),
    "conv3x3-512-4": Layer(*CONV, (128, 4, 4, 512), (512, 3, 3, 512)),
    "strided3x3-64-128": Layer(*convolution(2), (1, 128, 128, 64), (64, 3, 3, 64)),
    "transposed4x4-64-64": Layer(*TRANSPOSED, (1, 64, 64, 64), (64, 4, 4, 64)),
    "depthwise3x3-64-128": Layer(*DEPTHWISE, (1, 128, 128, 64), (64, 3, 3, 1)),
    "bilinear2-64-128": Layer(*UPSAMPLE, (1, 128, 128, 64), None),
    # For these MLX's own are reshapes already, and are what we use.
    "nearest2-64-128": Layer(*NEAREST, (1, 128, 128, 64), None),
    "max-pool2-64-128": Layer(*MAX_POOL, (1, 128, 128, 64), None),
    "average-pool2-64-128": Layer(*AVERAGE_POOL, (1, 128, 128, 64), None),
}
CONTESTANTS = ("d2f", "MLX's own", "PyTorch", "PyTorch channels-last")
COLUMNS = {"forward ms": "times ours", "forward + backward ms": "times ours, both"}


def prepare(task: Task) -> Contestant:
    """Set up a contestant on random numbers."""
    layer, random = LAYERS[task.case], np.random.default_rng(0)
    arrays = [random.standard_normal(layer.picture, np.float32)]
    if layer.weight is not None:
        deviation = 1 / math.sqrt(math.prod(layer.weight[1:]))
        arrays.append(deviation * random.standard_normal(layer.weight, np.float32))
    if task.what.startswith("PyTorch"):
        forward, both, array = in_torch(layer, arrays, task.device, task.what == "PyTorch channels-last")
    else:
        forward, both, array = in_mlx(layer.ours if task.what == "d2f" else layer.native, arrays, task.device)

    def answers() -> dict[str, np.ndarray]:
        return dict(zip(("output", "picture", "weight"), map(array, both()), strict=False))

    def measure(repeats: int) -> dict[str, float]:
        return {name: within_budget_ms(run, repeats) for name, run in zip(COLUMNS, (forward, both), strict=True)}

    return Contestant(answers, measure)


def random_like(shape: Sequence[int]) -> np.ndarray:
    """Return what the output's gradient is to be: the same for everyone."""
    return np.random.default_rng(1).standard_normal(tuple(shape), np.float32)


def in_mlx(function: Callable[..., mx.array], arrays: Sequence[np.ndarray], device: str) -> Runs:
    """Compile a function and its gradients."""
    mx.set_default_device(mx.gpu if device == "cuda" else mx.cpu)
    given = [mx.array(array) for array in arrays]
    cotangent = mx.array(random_like(function(*given).shape))
    mx.eval(given, cotangent)
    output = mx.compile(function)
    gradients = mx.compile(lambda given, cotangent: mx.vjp(function, given, [cotangent]))

    def forward() -> None:
        mx.eval(output(*given))

    def both() -> list[mx.array]:
        (found,), by = gradients(given, cotangent)
        mx.eval(found, by)
        return [found, *by]

    return forward, both, np.array


def in_torch(layer: Layer, arrays: Sequence[np.ndarray], device: str, channels_last: bool) -> Runs:
    """Give a function to PyTorch, eager."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    if layer.torch is None:
        raise ValueError("PyTorch has no such layer")
    function = partial(layer.torch, functional)
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    layout = torch.channels_last if channels_last else torch.contiguous_format

    def planes(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).permute(0, 3, 1, 2).to(device).contiguous(memory_format=layout)

    given = [planes(array).requires_grad_() for array in arrays]
    cotangent = planes(random_like(function(*given).permute(0, 2, 3, 1).shape))

    def forward() -> None:
        with torch.inference_mode():
            function(*given)
        wait()

    def both() -> list[Any]:
        found = function(*given)
        by = torch.autograd.grad(found, given, cotangent)
        wait()
        return [found, *by]

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    return forward, both, lambda tensor: tensor.detach().permute(0, 2, 3, 1).cpu().numpy()


def main() -> None:
    arguments = parse(argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]), LAYERS)
    if arguments.one:
        serve(arguments.one, prepare)
        return
    rows = contest(__file__, arguments, CONTESTANTS, COLUMNS)
    device, threads = arguments.device, arguments.threads
    title = f"Layers, float32, {device}, {threads} threads each (times ours: above 1 ours is faster)"
    publish(title, rows, arguments.json, device=device, threads=threads)


if __name__ == "__main__":
    main()
