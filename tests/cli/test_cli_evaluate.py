import json
from functools import partial
from pathlib import Path

from d2f_mlx import evaluate as reports
from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.grain import FlatBlocks

import numpy as np
import pytest

realism = partial(reports.realism, rule=FlatBlocks())  # the pictures here are small
SMALL = ["--size", "16", "--stride", "8", "--max-structure", "0.65", "--edge", "4"]


def picture(seed: int, sigma: float = 5.0) -> np.ndarray:
    levels = np.linspace(40, 210, 256)[:, None]
    noise = np.random.default_rng(seed).standard_normal((96, 256, 1))
    return np.rint(levels + sigma * np.repeat(noise, 3, 2)).astype(np.uint8)


@pytest.fixture
def sides(tmp_path) -> dict[str, Path]:
    """Folders of developed pictures, scans of two rolls, and photos."""
    for name, seeds, sigma in (
        ("developed", (1, 2), 5.0),
        ("scans/a", (3, 4), 5.0),
        ("scans/b", (5, 6), 7.0),
        ("photos", (7,), 1.0),
    ):
        (tmp_path / name).mkdir(parents=True)
        for seed in seeds:
            images.write(tmp_path / name / f"{seed}.png", picture(seed, sigma))
    return {name: tmp_path / name for name in ("developed", "scans", "photos")}


def evaluate(sides, *arguments) -> int:
    flags = [*SMALL, *map(str, arguments)]
    return main(["evaluate", str(sides["developed"]), "--against", str(sides["scans"]), *flags])


def test_folders_are_compared(sides, capsys):
    assert evaluate(sides, "--photos", sides["photos"]) == 0
    scans = [picture(3), picture(4), picture(5, 7.0), picture(6, 7.0)]
    expected = realism([picture(1), picture(2)], scans, [picture(7, 1.0)], rolls=["a", "a", "b", "b"])
    assert capsys.readouterr().out == expected.table() + "\n"


def test_folders_are_rolls(sides, tmp_path):
    out = tmp_path / "report.json"
    assert evaluate(sides, "--photos", sides["photos"], "--json", out) == 0
    report = json.loads(out.read_text())
    floor = report["rows"]["film (floor)"]["summary"]
    assert floor["sigma_bias"] == pytest.approx(np.log(5 / 7), abs=0.05)
    assert report["indistinguishable"] is False
    assert report["film"]["pictures"] == 4


def test_bad_files_are_named_and_skipped(sides, capsys):
    (sides["scans"] / "a" / "broken.png").write_bytes(b"\x89PNG not a picture")
    arguments = ["--photos", sides["photos"], sides["photos"] / "nowhere.png"]
    assert evaluate(sides, *arguments) == 1
    said = capsys.readouterr()
    assert "broken.png" in said.err
    assert "nowhere.png: no such file or folder; skipped" in said.err
    assert "film (floor)" in said.out


def test_too_few_flat_blocks_name_the_side(sides, tmp_path, capsys):
    out = tmp_path / "report.json"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for file in sides["developed"].iterdir():
        images.write(file, noise)
    assert evaluate(sides, "--json", out) == 1
    assert "d2f: developed: GrainMeasurement expects at least 10 flat blocks" in capsys.readouterr().err
    assert not out.exists()


def test_sides_that_cannot_be_compared_fairly_are_pointed_out(sides, capsys):
    images.write(sides["developed"] / "large.png", np.repeat(picture(8), 2, axis=1))
    for name in ("1.png", "2.png"):
        (sides["developed"] / name).unlink()
    assert evaluate(sides, "--photos", sides["photos"]) == 0
    assert "developed pictures are 512 pixels long and scans 256" in capsys.readouterr().err
    assert (
        main(
            [
                "evaluate",
                str(sides["scans"]),
                "--against",
                str(sides["scans"]),
                "--photos",
                str(sides["photos"]),
                *SMALL,
            ]
        )
        == 0
    )
    assert "4 picture(s) are on both sides" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "7"], "multiple of 4"),
        (["--plot", "report.jpg"], "a plot's name ends in one of"),
        (["--json", "nowhere/report.json"], "cannot be written"),
        (["--photos", "nowhere"], "no photos could be read"),
        (["--pitch", "-1"], "--pitch expects"),
    ],
)
def test_bad_flags_are_refused(sides, capsys, flags, message):
    assert evaluate(sides, *flags) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert not said.out


def test_the_film_must_be_given(sides):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", str(sides["developed"])])


def test_a_plot_is_written(sides, tmp_path):
    pytest.importorskip("matplotlib", reason="plots need the extra 'plot'")
    out = tmp_path / "report.png"
    assert evaluate(sides, "--photos", sides["photos"], "--format", "135", "--plot", out) == 0
    assert images.size(out) == (1150, 1300)
