import json
import sys
from argparse import ArgumentParser

from d2f_mlx import checkpoint, images
from d2f_mlx.cli import main, train, watch
from d2f_mlx.color import DISPLAY_P3, SRGB, convert, profile_of
from d2f_mlx.training import MemoryPlan, Report

import numpy as np
import pytest
from mlx.utils import tree_flatten
from PIL import Image

FLAGS = ["--steps=4", "--evaluate-every=2", "--crop=32", "--batch=4", "--width=32", "--evaluation-crops=1"]


@pytest.fixture(scope="module")
def rolls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    rng = np.random.default_rng(0)
    for roll in ("roll-1", "roll-2"):
        (folder / roll).mkdir()
        images.write(folder / roll / "0.png", rng.normal(120, 6, (160, 144, 3)).astype(np.uint8))
    return folder


@pytest.fixture
def command(rolls, tmp_path):
    def command(out, *flags):
        places = [str(rolls), "-o", str(tmp_path / out), "--hold-out", "roll-2"]
        return ["train", "reconstructor", *places, *FLAGS, *(flag.replace("DIR", str(tmp_path)) for flag in flags)]

    return command


class Stop:
    """End a training after a step, in what the progress bar calls then."""

    def __init__(self, step, error):
        self.step, self.error = step, error

    def __call__(self, **values):
        self.step -= 1
        if not self.step:
            raise self.error


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_watched_training_is_the_same_training_and_goes_on_after_a_crash(command, tmp_path, capsys, monkeypatch):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("skimage")
    assert main(command("plain", "--log", "DIR/plain.jsonl")) == 0
    watched = command("m", "--log", "DIR/log.jsonl", "--tensorboard", "DIR/board", "--animate", "DIR/film.webp")
    with monkeypatch.context() as broken:
        broken.setattr(train.tqdm, "set_postfix", Stop(3, RuntimeError("no power")))
        assert main(watched) == 1
    assert [row["step"] for row in rows(tmp_path / "log.jsonl")] == [1, 2, 3]
    capsys.readouterr()
    assert main([*watched, "--resume"]) == 0  # from the second step
    plain, found = rows(tmp_path / "plain.jsonl"), rows(tmp_path / "log.jsonl")
    assert [row["step"] for row in found] == [1, 2, 3, 4]
    for name in ("loss", "learning_rate", "held_out/mse"):
        values = [[row[name] for row in log if name in row] for log in (found, plain)]
        np.testing.assert_allclose(*values, rtol=1e-5)
    models = [dict(tree_flatten(checkpoint.from_pretrained(tmp_path / out).parameters())) for out in ("m", "plain")]
    for name, array in models[0].items():
        np.testing.assert_allclose(np.array(array), np.array(models[1][name]), atol=1e-4)
    board = events.EventAccumulator(str(tmp_path / "board")).Reload()
    assert [event.step for event in board.Scalars("loss")] == [1, 2, 3, 4]
    assert sorted(board.Tags()["images"]) == ["film", "halides", "rebuilt"]
    assert len(board.Tags()["histograms"]) == len(models[0])
    with Image.open(tmp_path / "film.webp") as film:
        assert film.n_frames == 3  # of the steps 1, 2 and 4
    summary = json.loads((tmp_path / "m" / "summary.json").read_text())
    assert (summary["steps"], summary["best"]["mse"]) == (4, min(row.get("held_out/mse", 1) for row in found))
    assert f"at step {summary['best']['step']}" in capsys.readouterr().out


def test_an_interrupted_trainings_summary_is_kept(command, tmp_path, monkeypatch):
    monkeypatch.setattr(train.tqdm, "set_postfix", Stop(3, KeyboardInterrupt()))
    assert main(command("m")) == 130
    assert json.loads((tmp_path / "m" / "summary.json").read_text())["steps"] == 3


def test_the_best_of_the_summary_is_the_model_that_is_kept(command, tmp_path, capsys, monkeypatch):
    def trained(*_, callbacks, **__):
        for step, (mse, statistics) in enumerate([(1.0, 0.5), (0.5, 0.75)], 1):
            callbacks[0](Report(step, 0.1, {"mse": mse, "statistics": statistics}))

    monkeypatch.setattr(train, "train_reconstructor", trained)
    monkeypatch.setattr(train, "plan_memory", lambda *_: MemoryPlan(0, 1, 32, 4, 1, 2**30))
    assert main(command("m", "--statistics", "1")) == 0
    assert "best held-out statistics 5.000e-01 at step 1" in capsys.readouterr().out
    assert main(command("n")) == 0
    assert "best held-out mse 5.000e-01 at step 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--log", "DIR/log.txt"], ".jsonl or .csv"),
        (["--log", "DIR/log.csv", "--log-every", "0"], "every >= 1"),
        (["--animate", "DIR/film.mp4"], ".gif or .webp"),
        (["--animate", "DIR/film.gif", "--animate-photo", "DIR/none.jpg"], "none.jpg: No such file"),
        (["--tensorboard", "DIR/board"], "pip install 'd2f_mlx[tensorboard]'"),
    ],
)
def test_what_cannot_be_watched_is_refused_before_any_work(command, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setattr(train, "HalideStatistics", None)
    assert main(command("m", *flags)) == 1
    assert message in capsys.readouterr().err
    assert not any(tmp_path.glob("*.*"))


def test_a_training_whose_network_develops_nothing_has_the_other_flags(tmp_path):
    parser = ArgumentParser()
    watch.add_watch(parser, animate=False)
    parser.set_defaults(resume=False)
    (log,) = watch.watchers(parser.parse_args(["--log", str(tmp_path / "log.csv"), "--log-every", "2"]))
    for step in (1, 2):
        log(Report(step, 0.5))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 2
    assert "--animate" not in parser.format_help()


def test_without_a_photograph_a_held_out_scan_is_animated_without_its_grain(command, rolls, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "find_spec", lambda name: None)
    assert main(command("m", "--steps=2", "--animate", "DIR/film.webp")) == 0
    scan = images.read(rolls / "roll-2" / "0.png").pixels
    crop = watch.denoised_crop(scan)
    assert crop.shape == (128, 128, 3)
    assert crop.std() < scan.std() / 4
    shown = images.read(tmp_path / "film.webp.frames" / "000000002.png").pixels
    assert shown.shape == (128, 256, 3)
    film, grain = shown[:, :128].astype(int), shown[:, 128:].astype(int)
    np.testing.assert_array_equal(grain, np.clip(128 + 6 * (film - crop), 0, 255))
    assert film.std() > 2 * crop.std()


@pytest.mark.parametrize(("height", "width", "top", "left"), [(300, 200, 50, 36), (130, 400, 2, 136), (64, 64, 0, 0)])
def test_of_a_photograph_the_upper_middle_is_animated(tmp_path, height, width, top, left):
    photo = np.random.default_rng(0).integers(60, 180, (height, width, 3), np.uint8)
    crop = photo[top : top + 128, left : left + 128]
    for name, space in (("srgb.png", SRGB), ("p3.png", DISPLAY_P3)):
        images.write(tmp_path / name, photo, icc=profile_of(space))
        expected = images.from_float(convert(images.to_float(crop), space, SRGB))
        np.testing.assert_array_equal(watch.photo_crop(str(tmp_path / name)), expected)
