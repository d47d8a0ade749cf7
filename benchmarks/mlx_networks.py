"""The networks of d2f_mlx, and the same made of MLX's own layers: contestants of `networks.py`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from d2f_mlx.models import DIANet, ReconstructorConfig, UNet
from d2f_mlx.models.layers import Conv3x3, Down2, Up2, activate

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map

from contest import Contestant, within_budget_ms
from report import peak_gib

NETWORKS = {"unet": UNet, "dianet": DIANet}
INPUTS, OUTPUTS = 12, 3  # as the residual reconstructor's


class PlainDIANet(DIANet):
    """DIANet with the deepest tensor's pixels in order, as a native layer leaves them."""

    def __call__(self, x: mx.array) -> mx.array:
        """Expand, contract, and correct by the skips."""
        *skips, x = self.encoded(x)
        for level in reversed(range(len(skips))):
            x = mx.concatenate([activate(self.down[level](x)), skips[level]], axis=-1)
            x = activate(self.decode[level](x))
        return self.head(x)


def native(layer: nn.Module) -> nn.Module:
    """Return MLX's own layer with the same weights."""
    if isinstance(layer, Up2):
        inputs, _, _, outputs = layer.weight.shape
        found = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        found.weight = layer.weight.transpose(3, 1, 2, 0)
    elif isinstance(layer, Conv3x3 | Down2):
        outputs, size, _, inputs = layer.weight.shape
        found = nn.Conv2d(inputs, outputs, size, stride=1 if size == 3 else 2, padding=size // 3)
        found.weight = layer.weight
    else:
        raise ValueError(f"native expects one of our layers, got {type(layer).__name__}")
    found.bias = layer.bias
    return found


def example(kind: str, width: int, size: int, batch: int) -> dict[str, np.ndarray]:
    """Draw weights, and random pictures to run and to train on, such that gradients can be compared.

    Where many values pass leaky ReLU, rounding brings some of them to the other side of its kink, and the gradients of
    equal networks differ by 1e-3. So even channels are positive and odd ones negative, everywhere and by far: a weight
    has the sign of the channel it reads times that of the channel it writes.

    Args:
        kind: unet or dianet.
        width: Channels of the deepest tensor.
        size: Height and width.
        batch: How many.
    """
    random = np.random.default_rng(0)
    widths = ReconstructorConfig(kind, width=width).widths  # pyright: ignore[reportArgumentType]
    found = {"widths": np.array(widths)}
    for name, array in dict(tree_flatten(NETWORKS[kind](INPUTS, OUTPUTS, widths).parameters())).items():
        values = random.uniform(0, 2, array.shape) * _signs(array.shape[-1])
        if array.ndim == 4:
            values *= _signs(array.shape[0])[:, None, None, None]
            summed = array.shape[0] if name.startswith("up.") else array[0].size
            values /= 0.6 * summed  # leaky ReLU leaves 0.6 of the magnitudes' mean
        found[name] = values.astype(np.float32)
    shape = (batch, size, size)
    found["x"] = (random.uniform(0, 1, (*shape, INPUTS)) * _signs(INPUTS)).astype(np.float32)
    found["target"] = random.uniform(-1, 1, (*shape, OUTPUTS)).astype(np.float32)
    return found


def _signs(channels: int) -> np.ndarray:
    return 1.0 - 2 * (np.arange(channels) % 2)


def prepare(what: str, kind: str, training: bool, device: str, example: Mapping[str, np.ndarray]) -> Contestant:
    """Set up a network with an example's weights and pictures, to be trained or to be run.

    Args:
        what: d2f, or MLX's own layers.
        kind: unet or dianet.
        training: A step of Adam on the mean squared error; else the network's output.
        device: cpu or cuda.
        example: What `example` made.
    """
    mx.set_default_device(mx.gpu if device == "cuda" else mx.cpu)
    x, target = mx.array(example["x"]), mx.array(example["target"])
    networks = NETWORKS if what == "d2f" else NETWORKS | {"dianet": PlainDIANet}
    network = networks[kind](INPUTS, OUTPUTS, example["widths"].tolist())
    weights = {name: array for name, array in example.items() if name not in ("x", "target", "widths")}
    network.load_weights([(name, mx.array(array)) for name, array in weights.items()])
    if what != "d2f":
        layers = tree_map(native, network.leaf_modules(), is_leaf=lambda node: isinstance(node, nn.Module))
        network.update_modules(layers)
    optimizer = optim.Adam(1e-4, bias_correction=True)
    optimizer.init(network.trainable_parameters())
    state = [network.state, optimizer.state]
    loss_and_grad = nn.value_and_grad(network, lambda x, target: nn.losses.mse_loss(network(x), target))
    forward = mx.compile(network.__call__, inputs=network.state)
    mx.eval(x, target, state)

    @partial(mx.compile, inputs=state, outputs=state)
    def step(x: mx.array, target: mx.array) -> mx.array:
        loss, gradients = loss_and_grad(x, target)
        optimizer.update(network, gradients)
        return loss

    def run() -> None:
        mx.eval(*([step(x, target), state] if training else [forward(x)]))

    def answers() -> dict[str, np.ndarray]:
        found = {"output": forward(x)}
        if training:
            _, gradients = mx.compile(loss_and_grad, inputs=network.state)(x, target)
            found |= {name: ours(name, array) for name, array in dict(tree_flatten(gradients)).items()}
        return {name: np.array(array) for name, array in found.items()}

    def ours(name: str, array: mx.array) -> mx.array:
        turned = what != "d2f" and name.startswith("up.") and array.ndim == 4
        return array.transpose(3, 1, 2, 0) if turned else array

    def peak() -> float:
        if device == "cpu":
            return peak_gib()
        mx.reset_peak_memory()
        run()
        return mx.get_peak_memory() / 2**30

    def measure(repeats: int) -> dict[str, float]:
        return {"ms": within_budget_ms(run, repeats), "peak GiB": peak()}

    return Contestant(answers, measure)
