"""Where stocks are kept: names to files, one JSON file a stock, and what a record checks of its fields."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..images import replacing

Record = TypeVar("Record")


def listed(folder: Path) -> dict[str, Path]:
    """Return the names and files of a folder's stocks, without reading them."""
    return {path.stem: path for path in sorted(folder.glob("*.json"), key=lambda path: path.stem)}


def find(name: str | Path, known: dict[str, Path], expects: str, lister: str = "d2f stocks lists them") -> Path:
    """Find the file of a name, or take it for a file's.

    Raises: ValueError that begins with ``expects`` and ends with similar names.
    """
    slug = "-".join(str(name).lower().replace("_", " ").replace("-", " ").split())
    if slug in known:
        return known[slug]
    for path in (Path(name).expanduser(), Path(f"{name}.json").expanduser()):
        if path.suffix.lower() == ".json" and (path.is_file() or str(path) == str(Path(name).expanduser())):
            return path
    near = sorted((other for other in known if slug and slug in other), key=len)
    near += [other for other in difflib.get_close_matches(slug, known, n=4, cutoff=0.5) if other not in near]
    hint = f"did you mean {', '.join(near[:6])}?" if near else lister
    raise ValueError(f"{expects} or a .json file, got {str(name)!r}: {hint}")


def load(path: Path, build: Callable[[dict[str, Any]], Record], what: str) -> Record:
    """Read a file's values and build what they stand for.

    Raises: ValueError that names the file, ``what`` it should hold, and what is wrong with it.
    """
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: cannot be read as a {what} ({error})") from None


def save(path: str | Path, values: dict[str, Any]) -> None:
    """Write values to a JSON file, a line each, whole or not at all."""
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in values.items())
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    with replacing(Path(path)) as file:
        file.write(text.encode())


def plain(value: Any) -> Any:
    """Turn NumPy's values into JSON's."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def check(record: object, holds: bool, expected: str, got: object) -> None:
    """Raise ValueError, beginning with the record's class, unless something holds."""
    if not holds:
        raise ValueError(f"{type(record).__name__} expects {expected}, got {got}")


def freeze(record: object, shapes: dict[str, tuple[int, ...]]) -> None:
    """Copy a frozen dataclass's arrays as read-only float64, and check that they are of these shapes and finite."""
    for name, shape in shapes.items():
        array = np.array(getattr(record, name), np.float64)
        check(record, array.shape == shape, f"{name} of shape {shape}", array.shape)
        check(record, bool(np.isfinite(array).all()), f"{name} to be finite", array[~np.isfinite(array)][:1])
        array.flags.writeable = False
        object.__setattr__(record, name, array)
