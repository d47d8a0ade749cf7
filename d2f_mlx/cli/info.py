"""``d2f info``: what MLX runs on here."""

from __future__ import annotations

import argparse

from .. import backend, checkpoint


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("info", help="print device, BLAS and its speed, compiler, versions, memory, weights")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line a fact."""
    facts = backend.info()
    for name, folder in checkpoint.bundled().items():
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
        facts[f"weights: {name}"] = f"{size:.2f} MiB, {checkpoint.from_pretrained(name).config}"
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    return 0
