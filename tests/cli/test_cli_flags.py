import argparse
from dataclasses import dataclass
from typing import Literal

from d2f_mlx.cli.flags import add_flags, from_flags
from d2f_mlx.develop import DevelopConfig

import pytest


@dataclass(frozen=True)
class Config:
    """An example.

    Args:
        side: How many pixels;
            over two lines.
        kind: Which one.
    """

    side: int = 3
    kind: Literal["a", "b"] = "a"
    long_name: float = 0.5
    depth: Literal[20, 32] = 20


def parser(config=Config):
    made = argparse.ArgumentParser()
    add_flags(made, config)
    return made


def test_defaults_are_the_dataclass_own():
    assert from_flags(parser().parse_args([]), Config) == Config()
    assert from_flags(parser(DevelopConfig).parse_args([]), DevelopConfig) == DevelopConfig()


def test_flags_have_the_fields_types_and_choices(capsys):
    parsed = parser().parse_args(["--side", "7", "--kind", "b", "--long-name", "1.5", "--depth", "32"])
    assert from_flags(parsed, Config) == Config(7, "b", 1.5, 32)
    with pytest.raises(SystemExit, match="2"):
        parser().parse_args(["--kind", "c"])
    assert "invalid choice" in capsys.readouterr().err


def test_help_comes_from_the_docstring():
    text = " ".join(parser().format_help().split())
    assert "How many pixels; over two lines. (default: 3)" in text
    assert "Which one. (default: a)" in text
