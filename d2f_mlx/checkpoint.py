"""Models on disk: ``config.json`` and ``model.safetensors`` beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten

from .grain import HalideStatistics
from .models import Reconstructor, ReconstructorConfig

BUNDLED = Path(__file__).parent / "weights"
"""The folder of the weights that come with the package; each folder in it is a name for `from_pretrained`."""
_FILM = "film.safetensors"


def bundled() -> dict[str, Path]:
    """Return the names and folders of the bundled reconstructors."""
    return {folder.parent.name: folder.parent for folder in sorted(BUNDLED.glob("*/config.json"))}


def from_pretrained(name: str | Path) -> Reconstructor:
    """Load a reconstructor.

    Args:
        name: A bundled one's name (`bundled`), or a folder with config.json and model.safetensors (or model.npz).

    Raises: ValueError that says what is missing, unknown or misshapen.
    """
    folder = _folder(name)
    model = Reconstructor(_read_config(folder / "config.json"))
    file, other = folder / "model.safetensors", folder / "model.npz"
    load_weights(model, other if other.exists() and not file.exists() else file)
    return model


def statistics_of(name: str | Path | None) -> HalideStatistics:
    """Load the halide statistics that belong to a reconstructor: its own, else (or for None) the bundled film's."""
    own = BUNDLED / _FILM if name is None else _folder(name) / _FILM
    return HalideStatistics.load(own if own.exists() else BUNDLED / _FILM)


def save(folder: str | Path, model: Reconstructor, statistics: HalideStatistics | None = None) -> None:
    """Write a reconstructor for `from_pretrained`; every file is written whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / "model.safetensors", dict(tree_flatten(model.parameters())))
    write_text(folder / "config.json", json.dumps({"kind": "reconstructor", **asdict(model.config)}, indent=2) + "\n")
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
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: cannot be read as weights ({reason})") from None


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load weights by their exact names and shapes.

    Raises: ValueError that lists what is missing, unknown and misshapen.
    """
    found, _ = load_arrays(path)
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


def _folder(name: str | Path) -> Path:
    known = bundled()
    if str(name) in known:
        return known[str(name)]
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{name}: neither a folder with a config.json nor a bundled reconstructor ({', '.join(known) or 'none'})"
        )
    return folder


def _read_config(path: Path) -> ReconstructorConfig:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = values.pop("kind")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise ValueError(f"{path}: not the configuration of a model") from None
    if kind != "reconstructor":
        raise ValueError(f"{path}: describes a {kind}, not a reconstructor")
    known = {field.name for field in fields(ReconstructorConfig)}
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{path}: unknown settings {unknown}")
    try:
        return ReconstructorConfig(**values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
