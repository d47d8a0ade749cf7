import json

from d2f_mlx import checkpoint, images
from d2f_mlx.cli import main
from d2f_mlx.evaluate import judge
from d2f_mlx.models import ResNet, ResNetConfig

import mlx.core as mx
import numpy as np
import pytest


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The folder of a judge that never learned, but to call what is bright film."""
    mx.random.seed(0)
    model = ResNet(ResNetConfig())
    model.eval()
    ends = np.array(model.film_logit(mx.concatenate([mx.full((1, 48, 48, 3), end) for end in (-0.8, 0.8)])))
    scale = 20 / (ends[1] - ends[0])
    model.head.weight = model.head.weight * scale
    model.head.bias = (model.head.bias - ends.mean()) * scale
    folder = tmp_path_factory.mktemp("judge")
    checkpoint.save(folder, model)
    return folder


@pytest.fixture
def folder(tmp_path):
    """A dark picture, a bright one, and one that is half of each."""
    (tmp_path / "pictures").mkdir()
    for name, left, right in (("dark", 20, 20), ("bright", 240, 240), ("half", 20, 240)):
        pixels = np.full((48, 96, 3), left, np.uint8)
        pixels[:, 48:] = right
        images.write(tmp_path / f"pictures/{name}.png", pixels)
    return tmp_path / "pictures"


def run(network, *arguments) -> int:
    return main(["judge", "--judge", str(network), "--patch", "48", *map(str, arguments)])


def test_each_picture_gets_a_line_and_the_caveat_stands_apart(network, folder, capsys):
    assert run(network, folder) == 0
    printed = capsys.readouterr()
    bright, dark, half = printed.out.splitlines()
    assert bright.startswith(f"{folder / 'bright.png'}: 100% of 2 patches film-like, mean logit +")
    assert bright.endswith("looks like film to this judge")
    assert dark.startswith(f"{folder / 'dark.png'}: 0% of 2 patches film-like, mean logit -")
    assert dark.endswith("looks digital to this judge")
    assert half.startswith(f"{folder / 'half.png'}: 50% of 2 patches film-like")
    assert half.endswith("this judge is undecided")
    assert "no proof of where a picture is from" in printed.err


def test_patch_and_stride_are_the_users(network, folder, capsys):
    assert run(network, folder / "half.png", "--patch", "96") == 0
    assert "of 1 patch film-like" in capsys.readouterr().out
    assert run(network, folder / "half.png", "--stride", "12") == 0
    assert "of 5 patches" in capsys.readouterr().out


def test_figures_go_into_json(network, folder, tmp_path):
    assert run(network, folder, "--json", tmp_path / "out.json") == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["judge"] == str(network)
    assert "no proof" in written["caveat"]
    expected = judge(folder / "half.png", checkpoint.judge(network), patch=48)
    assert [picture["film_share"] for picture in written["pictures"]] == [1, 0, 0.5]
    half = written["pictures"][2]
    assert (half["file"], half["verdict"]) == (str(folder / "half.png"), "this judge is undecided")
    np.testing.assert_allclose(half["probability"], expected.probability, rtol=1e-5)


def test_a_map_is_drawn_for_one_picture_or_for_each_in_a_folder(network, folder, tmp_path):
    single, several = tmp_path / "map.png", tmp_path / "new" / "maps"
    assert run(network, folder / "half.png", "--map", single) == 0
    expected = judge(folder / "half.png", checkpoint.judge(network), patch=48).heat_map(folder / "half.png")
    np.testing.assert_array_equal(images.read(single).pixels, expected)
    assert run(network, folder, "--map", several) == 0
    assert sorted(file.name for file in several.iterdir()) == ["bright.png", "dark.png", "half.png"]
    np.testing.assert_array_equal(images.read(several / "half.png").pixels, expected)


def test_bad_pictures_are_named_and_the_rest_is_judged(network, folder, tmp_path, capsys):
    (folder / "cut.png").write_bytes(b"no picture")
    images.write(folder / "tiny.png", np.zeros((8, 8, 3), np.uint8))
    assert run(network, folder, tmp_path / "missing", "--json", tmp_path / "out.json") == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    for name in ("cut.png", "tiny.png: ResNet expects", "missing: no such file"):
        assert name in printed.err
    assert printed.err.count("; skipped") == 3
    assert len(json.loads((tmp_path / "out.json").read_text())["pictures"]) == 3
    assert run(network, folder / "cut.png") == 1
    assert "d2f: no picture could be judged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stride", "49"], "d2f: judge expects a stride from 1 to patch, got stride 49 and patch 48"),
        (["--judge", "nobody"], "nobody: neither a folder"),
        (["--map", "pictures/dark.png"], "is an input; choose another output"),
        (["--json", "pictures/dark.png", "--force"], "is an input; choose another output"),
        (["--map", "there.png"], "there.png: exists (--force writes over it)"),
        (["--json", "there.png"], "there.png: exists (--force writes over it)"),
        (["--map", "map.gif"], "cannot write this kind of file"),
        (["--json", "nowhere/out.json"], "its folder does not exist"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(network, folder, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(folder.parent)
    images.write("there.png", np.zeros((8, 8, 3), np.uint8))
    before = (folder / "dark.png").read_bytes()
    assert run(network, folder / "dark.png", *flags) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert "skipped" not in printed.err
    assert not printed.out
    assert (folder / "dark.png").read_bytes() == before


def test_force_writes_over_a_map(network, folder, tmp_path):
    images.write(tmp_path / "map.png", np.zeros((8, 8, 3), np.uint8))
    assert run(network, folder / "dark.png", "--map", tmp_path / "map.png", "--force") == 0
    assert images.size(tmp_path / "map.png") != (8, 8)
