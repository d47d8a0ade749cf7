"""The networks' layers one by one, with the operations that their shapes ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from d2f_mlx.models import DIANet, UNet
from d2f_mlx.models.layers import Conv3x3, Down2, Up2, activate

import mlx.core as mx

from limits import Found, Limits, Stage, measure, together

Layer = Conv3x3 | Down2 | Up2


class Placed(NamedTuple):
    """A layer where it stands in its network, with its activation.

    Args:
        kind: What its time is added up under.
        layer: Its weights.
        shape: Of what it is given.
        call: How it is called: the layer itself, or a method of it.
    """

    kind: str
    layer: Layer
    shape: tuple[int, int, int, int]
    call: Callable[[mx.array], mx.array]

    @property
    def flop(self) -> float:
        """Operations forward: two for each weight and place that it is laid on."""
        batch, height, width, _ = self.shape
        places = batch * height * width / (4 if self.call is self.layer and isinstance(self.layer, Down2) else 1)
        return places * 2 * self.layer.weight.size

    @property
    def name(self) -> str:
        """Its kind, weights and input."""
        weights, shape = ("x".join(map(str, sizes)) for sizes in (self.layer.weight.shape, self.shape))
        return f"{type(self.layer).__name__} {weights} on {shape}"

    def forward(self) -> Stage:
        """Run it."""
        run = mx.compile(lambda x: activate(self.call(x)))
        return Stage(self.name, run, [mx.random.normal(self.shape)], self.flop, True)

    def through(self) -> Stage:
        """Run it and its gradients by input and weights: three matrix products where forward there is one."""
        layer, call, x = self.layer, self.call, mx.random.normal(self.shape)
        weight, bias, cotangent = layer.weight, layer.bias, mx.random.normal(call(x).shape)

        def both(*arrays: mx.array) -> list[mx.array]:
            def run(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
                layer.update({"weight": weight, "bias": bias})
                return activate(call(x))

            outputs, gradients = mx.vjp(run, list(arrays[:3]), [arrays[3]])
            layer.update({"weight": arrays[1], "bias": arrays[2]})
            return [*outputs, *gradients]

        compiled = mx.compile(both)

        def run(*arrays: mx.array) -> list[mx.array]:
            found = compiled(*arrays)
            layer.update({"weight": weight, "bias": bias})  # not the trace's placeholders
            return found

        return Stage(self.name, run, [x, weight, bias, cotangent], 3 * self.flop, True)


def layers(network: UNet | DIANet, batch: int, side: int) -> Iterator[Placed]:
    """List a network's layers on a batch of squares."""

    def placed(kind: str, layer: Layer, scale: float) -> Placed:
        size = int(side * scale)
        outputs_last = isinstance(layer, Up2)
        inputs = layer.weight.shape[0 if outputs_last else 3]
        name = f"{kind} at {'1/' if scale < 1 else ''}{int(max(scale, 1 / scale))}"
        return Placed(name, layer, (batch, size, size, inputs), layer)

    if isinstance(network, UNet):
        yield placed("3x3", network.stem, 1)
        for level, conv in enumerate(network.encode):
            yield placed("3x3", conv, 2.0**-level)
        for level, (lift, decode) in enumerate(zip(network.lift, network.decode, strict=True)):
            yield placed("3x3", lift, 2.0**-level)
            yield placed("3x3", decode, 2.0**-level)
        scales = [2.0**-level for level in range(len(network.down))]
        yield from (placed("Down2", down, scale) for down, scale in zip(network.down, scales, strict=True))
        yield from (placed("Up2", up, scale / 2) for up, scale in zip(network.up, scales, strict=True))
    else:
        yield placed("3x3", network.stem, 1)
        yield placed("3x3", network.mix, 1)
        for level, decode in enumerate(network.decode):
            yield placed("3x3", decode, 2.0**level)
        scales = [2.0**level for level in range(len(network.up))]
        ups = [placed("Up2", up, scale) for up, scale in zip(network.up, scales, strict=True)]
        downs = [placed("Down2", down, 2 * scale) for down, scale in zip(network.down, scales, strict=True)]
        # Between the last expansion and the first contraction pixels stay in blocks.
        size, channels = ups[-1].shape[1], 4 * downs[-1].shape[3]
        ups[-1] = ups[-1]._replace(call=network.up[-1].blocks)
        downs[-1] = downs[-1]._replace(call=network.down[-1].from_blocks, shape=(batch, size, size, channels))
        yield from ups
        yield from downs
    yield placed("3x3", network.head, 1)


def by_kind(network: UNet | DIANet, batch: int, side: int, limits: Limits, repeats: int) -> list[Found]:
    """Time a network's layers forward and add them up by kind."""
    found: dict[str, list[Found]] = {}
    for layer in layers(network, batch, side):
        found.setdefault(layer.kind, []).append(measure(layer.forward(), limits, repeats))
    return [together(f"  {kind} ({len(parts)})", parts) for kind, parts in found.items()]


def step_flop(network: UNet | DIANet, batch: int, side: int) -> tuple[float, float]:
    """Count a network's operations forward and backward: the first layer's input needs no gradient."""
    first, *others = [layer.flop for layer in layers(network, batch, side)]
    return first + sum(others), first + 2 * sum(others)


def heaviest(network: UNet | DIANet, batch: int, side: int, count: int = 3) -> list[Placed]:
    """Return the layers with the most operations."""
    return sorted(layers(network, batch, side), key=lambda layer: -layer.flop)[:count]
