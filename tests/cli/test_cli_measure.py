import json

from d2f_mlx import images
from d2f_mlx.cli import main, pictures
from d2f_mlx.evaluate import sheet
from d2f_mlx.film import pitch_of
from d2f_mlx.grain import FlatBlocks, GrainMeasurement

import numpy as np
import pytest
from PIL import Image


def scan(seed: int, shape: tuple[int, int] = (128, 256)) -> np.ndarray:
    levels = np.linspace(40, 210, shape[1])[:, None]
    return np.rint(levels + 5 * np.random.default_rng(seed).standard_normal((*shape, 3))).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "roll"
    place.mkdir()
    for index in range(2):
        images.write(place / f"{index}.png", scan(index))
    return place


def measure(*arguments) -> int:
    return main(["measure", *map(str, arguments)])


def test_a_folder_is_measured_as_one_film(folder, capsys):
    assert measure(folder) == 0
    expected = GrainMeasurement.of([scan(0), scan(1)])
    assert capsys.readouterr().out == sheet.text(expected) + "\n"


@pytest.mark.parametrize(
    ("flags", "pitch_um"),
    [(["--format", "135"], pitch_of((128, 256), "135")), (["--pitch", "7.5"], 7.5), ([], 0.0)],
)
def test_the_pitch_comes_from_flags(folder, tmp_path, flags, pitch_um):
    out = tmp_path / "grain.json"
    assert measure(folder, "--json", out, *flags) == 0
    found = json.loads(out.read_text())
    assert found["pitch_um"] == pitch_um
    assert ("rms_granularity" in found) == (pitch_um > 0)
    assert found["scans"] == [str(folder / "0.png"), str(folder / "1.png")]


def test_scans_of_unlike_pitch_are_pointed_out(folder, capsys):
    images.write(folder / "2.png", scan(2, (128, 320)))
    assert measure(folder, "--format", "645") == 0
    said = capsys.readouterr()
    assert "pixels differ, from 175.0 to 218.8 um" in said.err
    assert "218.75 um a pixel" in said.out


def test_the_rule_comes_from_flags(folder, capsys):
    assert measure(folder, "--size", "32", "--stride", "16", "--max-structure", "0.4") == 0
    expected = GrainMeasurement.of([scan(0), scan(1)], rule=FlatBlocks(size=32, stride=16, max_structure=0.4))
    assert f"{expected.blocks} flat blocks" in capsys.readouterr().out


def test_bad_files_are_named_and_skipped(folder, capsys):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    assert measure(folder, folder / "nowhere.png") == 1
    said = capsys.readouterr()
    assert "broken.jpg" in said.err
    assert "nowhere.png: no such file or folder; skipped" in said.err
    assert "2 picture(s)" in said.out


def test_subsampled_colour_is_pointed_out(tmp_path, capsys):
    for subsampling in (0, 2):
        Image.fromarray(scan(0)).save(tmp_path / f"{subsampling}.jpg", quality=95, subsampling=subsampling)
    assert measure(tmp_path) == 0
    assert "1 of 2 scans are JPEG with subsampled colour" in capsys.readouterr().err
    assert measure(tmp_path / "0.jpg") == 0
    assert not capsys.readouterr().err


def test_nothing_readable_is_an_error(tmp_path, capsys):
    assert measure(tmp_path / "nowhere.png") == 1
    assert "no scans could be read" in capsys.readouterr().err


def test_too_few_flat_blocks_are_an_error(tmp_path, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    images.write(tmp_path / "noise.png", noise)
    out = tmp_path / "grain.json"
    assert measure(tmp_path / "noise.png", "--json", out) == 1
    assert "at least 10 flat blocks" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pitch", "0"], "--pitch expects micrometres above 0"),
        (["--size", "10"], "multiple of 4"),
        (["--json", "nowhere/grain.json"], "cannot be written"),
        (["--plot", "grain.txt"], "a plot's name ends in one of .png .pdf .svg"),
    ],
)
def test_bad_flags_are_refused(folder, capsys, flags, message):
    assert measure(folder, *flags) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert not said.out


def test_a_plot_without_matplotlib_is_refused_before_any_work(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda name: None)
    assert measure(folder, "--plot", tmp_path / "grain.png") == 1
    assert "pip install 'd2f_mlx[plot]'" in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_plot_is_written(folder, tmp_path, suffix, magic):
    pytest.importorskip("matplotlib", reason="plots need the extra 'plot'")
    out = tmp_path / f"grain.{suffix}"
    assert measure(folder, "--plot", out) == 0
    assert out.read_bytes().startswith(magic)
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "roll"]


def test_json_is_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / "old.json"
    out.write_text("mine")
    with pytest.raises(ValueError, match="not JSON compliant"):
        pictures.write_json(out, {"first": 1, "second": float("nan")})
    assert out.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
