"""Command-line flags made from the fields of configuration dataclasses, so that a default exists once."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Collection
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

Config = TypeVar("Config")


def add_flags(parser: argparse.ArgumentParser, config: type, leave_out: Collection[str] = ()) -> None:
    """Add a flag for every field of a dataclass: its type, default and help, the last from the docstring's Args."""
    kinds, helps = get_type_hints(config), _helps(config)
    group = parser.add_argument_group(config.__name__)
    for field in fields(config):
        if field.name in leave_out:
            continue
        kind: Any = kinds[field.name]
        options: dict[str, Any] = {"type": kind}
        if get_origin(kind) is Literal:
            options = {"choices": get_args(kind), "type": type(get_args(kind)[0])}
        default = None if field.default is MISSING else field.default
        text = helps.get(field.name, "").replace("%", "%%")
        if default != "":
            text = f"{text} (default: %(default)s)".strip()  # argparse's own, so that set_defaults shows
        group.add_argument(f"--{field.name.replace('_', '-')}", default=default, help=text, **options)


def from_flags(arguments: argparse.Namespace, config: type[Config]) -> Config:
    """Build the dataclass from parsed flags; fields without a flag keep their default."""
    names = [field.name for field in fields(config)]  # type: ignore[arg-type]
    return config(**{name: getattr(arguments, name) for name in names if hasattr(arguments, name)})


def _helps(config: type) -> dict[str, str]:
    """Read `name: text` out of the Args section of a docstring."""
    doc = inspect.getdoc(config) or ""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)*)", doc, re.MULTILINE)
    if section is None:
        return {}
    joined = re.sub(r"\n {8,}", " ", section.group(1))
    return dict(re.findall(r"^    (\w+): (.+)$", joined, re.MULTILINE))
