"""The ``d2f`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from .. import __version__
from . import contact, demo, develop, evaluate, fit, grain, info, judge, lut, measure, stocks, train


class _Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations: --exposure would be --exposure-index where that is the only one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0; 1 after a failure, 2 for wrong arguments, 130 for Ctrl-C."""
    parser = _Parser(prog="d2f", description="Digital photographs become film.")
    parser.add_argument("--version", action="version", version=f"d2f_mlx {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (develop, grain, contact, lut, stocks, fit, measure, evaluate, judge, train, demo, info):
        command.add(commands)
    parsed = parser.parse_args(arguments)
    try:
        return parsed.run(parsed)
    except KeyboardInterrupt:
        print("d2f: interrupted", file=sys.stderr)
        return 130
    except (ValueError, FloatingPointError, OSError, RuntimeError, MemoryError) as error:
        print(f"d2f: {error or 'out of memory'}", file=sys.stderr)
        return 1
