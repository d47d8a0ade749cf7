"""Where stocks are kept: names to files, and one JSON file a stock."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import numpy as np

from ..images import replacing


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
