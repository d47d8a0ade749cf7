"""Models on disk: ``config.json`` and ``model.safetensors`` beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from .grain import HalideStatistics
from .models import VGG, Reconstructor, ReconstructorConfig, ResNet, ResNetConfig
from .models.vgg import Depth

BUNDLED = Path(__file__).parent / "weights"
"""The folder of the weights that come with the package; each folder in it is a name, of a model of some `Kind`."""
_FILM = "film.safetensors"
_CLASSIFIER = "classifier."
_SAFE_TORCH = (2, 6)  # earlier ones' weights-only reading can be made to run code (CVE-2025-32434)

Kind = Literal["reconstructor", "discriminator"]
_MODELS: dict[str, tuple[type, type]] = {
    "reconstructor": (ReconstructorConfig, Reconstructor),
    "discriminator": (ResNetConfig, ResNet),
}


def bundled(kind: Kind = "reconstructor") -> dict[str, Path]:
    """Return the names and folders of the bundled models of a kind."""
    files = sorted(BUNDLED.glob("*/config.json"))
    return {file.parent.name: file.parent for file in files if _read_settings(file)[0] == kind}


def from_pretrained(name: str | Path) -> Reconstructor:
    """Load a reconstructor.

    Args:
        name: A bundled one's name (`bundled`), or a folder with config.json and model.safetensors (or model.npz).

    Raises: ValueError that says what is missing, unknown or misshapen, or that it is another kind of model.
    """
    return _load(name, "reconstructor")


def judge(name: str | Path = "judge") -> ResNet:
    """Load a discriminator, which tells film from digital pictures, ready to judge (``eval`` mode).

    Args:
        name: A bundled one's name (``bundled("discriminator")``), or a folder with config.json and model.safetensors
            (or model.npz).

    Raises: ValueError that says what is missing, unknown or misshapen, or that it is another kind of model.
    """
    network = _load(name, "discriminator")
    network.eval()
    return network


def _load(name: str | Path, kind: Kind) -> Any:
    folder = _folder(name, kind)
    model = _MODELS[kind][1](_read_config(folder / "config.json", kind))
    file, other = folder / "model.safetensors", folder / "model.npz"
    load_weights(model, other if other.exists() and not file.exists() else file)
    return model


def statistics_of(name: str | Path | None) -> HalideStatistics:
    """Load the halide statistics that belong to a reconstructor: its own, else (or for None) the bundled film's."""
    own = BUNDLED / _FILM if name is None else _folder(name, "reconstructor") / _FILM
    return HalideStatistics.load(own if own.exists() else BUNDLED / _FILM)


def save(folder: str | Path, model: Reconstructor | ResNet, statistics: HalideStatistics | None = None) -> None:
    """Write a model for `from_pretrained` or `judge`; every file is written whole or not at all.

    Its running statistics (`mlx.nn.BatchNorm`'s) are among its weights.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / "model.safetensors", dict(tree_flatten(model.parameters())))
    kind = next(kind for kind, (_, network) in _MODELS.items() if isinstance(model, network))
    write_text(folder / "config.json", json.dumps({"kind": kind, **asdict(model.config)}, indent=2) + "\n")
    if statistics is not None:
        statistics.save(folder / _FILM)


def save_arrays(path: str | Path, arrays: Mapping[str, mx.array], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays to a .safetensors or .npz file, whole or not at all.

    Raises: ValueError for another suffix, or for metadata or bfloat16 in .npz, which NumPy cannot hold.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        if path.suffix == ".safetensors":
            mx.save_safetensors(str(partial), dict(arrays), dict(metadata or {}))
        elif path.suffix == ".npz":
            if metadata or any(a.dtype == mx.bfloat16 for a in arrays.values()):
                raise ValueError(f"{path}: .npz holds neither metadata nor bfloat16; use .safetensors")
            mx.savez(str(partial), **dict(arrays))
        else:
            raise ValueError(f"{path}: weights are .safetensors or .npz, not {path.suffix!r}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_arrays(path: str | Path) -> tuple[dict[str, mx.array], dict[str, str]]:
    """Read a .safetensors or .npz file; nothing is ever unpickled.

    Raises: ValueError naming the file if it is missing or unreadable.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: mx.array(file[name]) for name in file.files}, {}
        arrays, metadata = mx.load(str(path), format="safetensors", return_metadata=True)  # type: ignore[misc]
        return dict(arrays), dict(metadata)  # type: ignore[arg-type]
    except Exception as error:  # MLX, zipfile and NumPy each raise their own kinds for a damaged file
        raise _unreadable(path, error) from None


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load weights by their exact names and shapes.

    Raises: ValueError that lists what is missing, unknown and misshapen.
    """
    _fit(model, load_arrays(path)[0], path)


def pretrained_vgg(path: str | Path, depth: Depth = 19) -> VGG:
    """Load the feature part of torchvision's VGG16 or VGG19, without batch normalisation; the classifier is ignored.

    Args:
        path: torchvision's own file (.pth or .pt, which need PyTorch), or its tensors as .safetensors.
        depth: Which of the two it is: 16 or 19.

    Raises: ValueError that says what is missing, unknown or misshapen.
    """
    model, found = VGG(depth), _torchvision(Path(path))
    # From (O, I, H, W) to (O, H, W, I).
    _fit(model, {name: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for name, a in found.items()}, path)
    return model


def lpips_heads() -> dict[str, mx.array]:
    """Load what `losses.lpips` weighs VGG16's layers with: version 0.1's, by Zhang et al. 2018 (BSD-2-Clause)."""
    return load_arrays(BUNDLED / "lpips" / "heads.safetensors")[0]


def _torchvision(path: Path) -> dict[str, mx.array]:
    """Read a network's tensors but the classifier's, from .safetensors or by PyTorch's reader of weights alone."""
    if path.suffix not in (".pth", ".pt"):
        return {name: array for name, array in load_arrays(path)[0].items() if not name.startswith(_CLASSIFIER)}
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    least = ".".join(map(str, _SAFE_TORCH))
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        needed = f"a {path.suffix} file needs PyTorch {least} or newer (pip install 'd2f_mlx[torch]')"
        raise ValueError(f"{path}: {needed}; .safetensors does not") from None
    if tuple(map(int, torch.__version__.split(".")[:2])) < _SAFE_TORCH:
        raise ValueError(f"{path}: expects PyTorch {least} or newer, which reads it safely, got {torch.__version__}")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
            raise UnpicklingError
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(_CLASSIFIER)}
        return {name: mx.array(tensor.float().numpy()) for name, tensor in kept.items()}
    except UnpicklingError:  # PyTorch's own words advise to load it unsafely
        raise ValueError(f"{path}: not weights: it is damaged, or holds something other than tensors by name") from None
    except Exception as error:  # of many kinds, for damaged files
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ValueError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ValueError(f"{path}: cannot be read as weights ({reason})")


def _fit(model: nn.Module, found: Mapping[str, mx.array], path: str | Path) -> None:
    wanted = dict(tree_flatten(model.parameters()))
    problems = [f"missing {name}" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"unknown {name}" for name in sorted(found.keys() - wanted.keys())]
    for name in sorted(found.keys() & wanted.keys()):
        if found[name].shape != wanted[name].shape:
            problems.append(f"{name} is {found[name].shape}, expected {wanted[name].shape}")
    if problems:
        shown = "; ".join(problems[:6]) + (f"; and {len(problems) - 6} more" if len(problems) > 6 else "")
        raise ValueError(f"{path}: the weights do not fit the model: {shown}")
    model.load_weights([(name, array.astype(mx.float32)) for name, array in found.items()])
    mx.eval(model.parameters())  # what is not computed yet belongs to this thread


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _folder(name: str | Path, kind: Kind) -> Path:
    known = bundled(kind)
    if str(name) in known:
        return known[str(name)]
    # A bundled model of another kind, by its name, is refused for its kind, like a folder.
    folder = next((f for f in (Path(name), BUNDLED / name) if (f / "config.json").is_file()), None)
    if folder is None:
        raise ValueError(
            f"{name}: neither a folder with a config.json nor a bundled {kind} ({', '.join(known) or 'none'})"
        )
    return folder


def _read_settings(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return values.pop("kind"), values
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"{path}: not the configuration of a model") from None


def _read_config(path: Path, kind: Kind) -> Any:
    found, values = _read_settings(path)
    if found != kind:
        raise ValueError(f"{path}: describes a {found}, not a {kind}")
    config = _MODELS[kind][0]
    if unknown := sorted(values.keys() - {field.name for field in fields(config)}):
        raise ValueError(f"{path}: unknown settings {unknown}")
    try:
        return config(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
