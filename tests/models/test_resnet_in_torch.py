from itertools import pairwise

from d2f_mlx.models import ResNet, ResNetConfig

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")
F = torch.nn.functional

CLOSE = 1e-4  # of values of order one


class TorchBlock(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = torch.nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(outputs)
        self.conv2 = torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = torch.nn.BatchNorm2d(outputs)

    def forward(self, x):
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.stride > 1:
            quarter = out.shape[1] // 4
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, quarter, quarter))
        return F.relu(out + x)


class TorchResNet(torch.nn.Module):
    """Section 4.2 of the paper, in PyTorch."""

    def __init__(self, depth, outputs):
        super().__init__()
        n = (depth - 2) // 6
        self.stem, self.norm = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(16)
        widths = [16] * (n + 1) + [32] * n + [64] * n
        self.blocks = torch.nn.ModuleList(TorchBlock(a, b) for a, b in pairwise(widths))
        self.head = torch.nn.Linear(64, outputs)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def random_network(config, seed=0):
    """A network none of whose parameters and statistics are at their beginnings."""
    mx.random.seed(seed)
    network, rng = ResNet(config), np.random.default_rng(seed)

    def other(name, array):
        noise = mx.array(rng.uniform(0, 0.4, array.shape).astype(np.float32))
        return array + noise if name.endswith(("var", "bias", "mean")) or array.ndim == 1 else array

    network.load_weights([(name, other(name, a)) for name, a in tree_flatten(network.parameters())])
    return network


def in_torch(network):
    twin = TorchResNet(network.config.depth, network.config.outputs)
    state = {}
    for name, array in tree_flatten(network.parameters()):
        array = np.array(array)
        state[name] = torch.from_numpy(array.transpose(0, 3, 1, 2).copy() if array.ndim == 4 else array.copy())
    missing, unknown = twin.load_state_dict(state, strict=False)
    assert not unknown
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return twin


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def both(depth, outputs, side, training):
    """Return the network and its twin, with the same picture for each."""
    network = random_network(ResNetConfig(depth, outputs))
    twin = in_torch(network)
    network.train(training)
    twin.train(training)
    x = pictures(4, side, side + 2, 3)
    return network, twin, mx.array(x), torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


SIZES = pytest.mark.parametrize(("depth", "outputs", "side"), [(20, 1, 37), (32, 2, 32)])
MODES = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


@MODES
@SIZES
def test_outputs_and_running_statistics_are_pytorchs(depth, outputs, side, training):
    network, twin, ours, theirs = both(depth, outputs, side, training)
    expected = twin(theirs).detach().numpy()
    np.testing.assert_allclose(np.array(network(ours)), expected, rtol=0, atol=CLOSE * np.abs(expected).max())
    statistics = dict(tree_flatten(network.parameters()))
    for name, buffer in twin.named_buffers():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(np.array(statistics[name]), buffer.numpy(), rtol=CLOSE, atol=CLOSE, err_msg=name)


@MODES
@SIZES
def test_gradients_are_pytorchs(depth, outputs, side, training, monkeypatch):
    # Rounding takes values to the other side of a kink, and that shows: a smooth activation in both.
    monkeypatch.setattr(nn, "relu", nn.softplus)
    monkeypatch.setattr(F, "relu", F.softplus)
    network, twin, ours, theirs = both(depth, outputs, side, training)
    twin(theirs).square().mean().backward()
    _, gradients = nn.value_and_grad(network, lambda x: mx.square(network(x)).mean())(ours)
    largest = max(np.abs(np.array(gradient)).max() for _, gradient in tree_flatten(gradients))
    expected = {name: parameter.grad.numpy() for name, parameter in twin.named_parameters()}
    for name, gradient in tree_flatten(gradients):
        wanted = expected.pop(name)
        wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted
        np.testing.assert_allclose(np.array(gradient), wanted, rtol=CLOSE, atol=CLOSE * largest, err_msg=name)
    assert not expected
