"""The networks as one writes them in PyTorch: the rivals of `networks.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn.functional import leaky_relu, mse_loss  # pyright: ignore[reportMissingImports]

from contest import Contestant, within_budget_ms
from report import peak_gib


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def activate(x: torch.Tensor) -> torch.Tensor:
    return leaky_relu(x, 0.2)


class UNet(nn.Module):
    """`d2f_mlx.models.UNet`, for heights and widths that are multiples of 16.

    Shape: (B, inputs, H, W) -> (B, outputs, H, W)
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        finer, coarser = widths[:-1], widths[1:]
        self.stem = conv3x3(inputs, widths[0])
        self.encode = nn.ModuleList(conv3x3(w, w) for w in widths)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(finer, coarser, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(finer, coarser, strict=True))
        self.lift = nn.ModuleList(conv3x3(w, w) for w in finer)
        self.decode = nn.ModuleList(conv3x3(2 * w, w) for w in finer)
        self.head = conv3x3(widths[0], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Contract and expand again."""
        skips = [activate(self.encode[0](activate(self.stem(x))))]
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skips.append(activate(encode(activate(down(skips[-1])))))
        x = skips.pop()
        for up, lift, decode, skip in reversed(list(zip(self.up, self.lift, self.decode, skips, strict=True))):
            x = activate(lift(activate(up(x))))
            x = activate(decode(torch.cat([x, skip], dim=1)))
        return self.head(x)


class DIANet(nn.Module):
    """`d2f_mlx.models.DIANet`.

    Shape: (B, inputs, H, W) -> (B, outputs, H, W)
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        coarser, finer = widths[:-1], widths[1:]
        self.stem = conv3x3(inputs, widths[0])
        self.mix = conv3x3(widths[0], widths[0])
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in zip(coarser, finer, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(b, a, 2, stride=2) for a, b in zip(coarser, finer, strict=True))
        self.decode = nn.ModuleList(conv3x3(2 * w, w) for w in coarser)
        self.head = conv3x3(widths[0], outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Expand, contract, and correct by the skips."""
        skips = [activate(self.mix(activate(self.stem(x))))]
        for up in self.up:
            skips.append(activate(up(skips[-1])))
        x = skips.pop()
        for down, decode, skip in reversed(list(zip(self.down, self.decode, skips, strict=True))):
            x = activate(decode(torch.cat([activate(down(x)), skip], dim=1)))
        return self.head(x)


NETWORKS = {"unet": UNet, "dianet": DIANet}


def load(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Copy our weights: a Conv2d's from (O, kh, kw, I) to (O, I, kh, kw), a ConvTranspose2d's likewise from ours."""
    own = dict(network.named_parameters())
    if own.keys() != weights.keys():
        raise ValueError(f"load expects weights {sorted(own)}, got {sorted(weights)}")
    with torch.no_grad():
        for name, array in weights.items():
            own[name].copy_(torch.from_numpy(array.transpose(0, 3, 1, 2) if array.ndim == 4 else array))


def prepare(what: str, kind: str, training: bool, device: str, example: Mapping[str, np.ndarray]) -> Contestant:
    """Set up a network with an example's weights and pictures, to be trained or to be run.

    Args:
        what: PyTorch, PyTorch channels-last or PyTorch torch.compile.
        kind: unet or dianet.
        training: A step of Adam on the mean squared error; else the network's output.
        device: cpu or cuda; there, TF32 as MLX has it by default.
        example: What `mlx_networks.example` made.
    """
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("high")
    layout = torch.channels_last if what == "PyTorch channels-last" else torch.contiguous_format
    x, target = (
        torch.from_numpy(example[name]).permute(0, 3, 1, 2).contiguous(memory_format=layout).to(device)
        for name in ("x", "target")
    )
    network = NETWORKS[kind](x.shape[1], target.shape[1], example["widths"].tolist())
    load(network, {name: array for name, array in example.items() if name not in ("x", "target", "widths")})
    network = network.to(device, memory_format=layout)
    forward = torch.compile(network) if what == "PyTorch torch.compile" else network
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def infer() -> torch.Tensor:
        with torch.inference_mode():
            return forward(x)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = mse_loss(forward(x), target)
        loss.backward()
        optimizer.step()
        return loss

    def run() -> None:
        step() if training else infer()
        if device == "cuda":
            torch.cuda.synchronize()

    def answers() -> dict[str, np.ndarray]:
        if not training:
            return {"output": ours(infer())}
        output = forward(x)
        mse_loss(output, target).backward()
        return {"output": ours(output)} | {name: ours(p.grad) for name, p in network.named_parameters()}

    def peak() -> float:
        if device == "cpu":
            return peak_gib()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() / 2**30

    def measure(repeats: int) -> dict[str, float]:
        return {"ms": within_budget_ms(run, repeats), "peak GiB": peak()}

    return Contestant(answers, measure)


def ours(tensor: torch.Tensor) -> np.ndarray:
    """Bring pictures and weights to our layout."""
    array = tensor.detach().cpu().numpy()
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if array.ndim == 4 else array
