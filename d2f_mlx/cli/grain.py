"""``d2f grain``: a film's texture on photographs, and nothing else."""

from __future__ import annotations

import argparse

from .develop import add_parser


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command's parser."""
    what = "give photographs a film stock's grain"
    description = "Give photographs a film stock's grain; tones and colours stay their own. d2f stocks lists the films."
    add_parser(commands, "grain", what, description, colour="photo", lut="")
