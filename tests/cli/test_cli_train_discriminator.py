import json

from d2f_mlx import checkpoint, images
from d2f_mlx.cli import main, train_discriminator

import numpy as np
import pytest

FLAGS = ["--steps=3", "--evaluate-every=3", "--crop=32", "--batch=8", "--evaluation-crops=1"]


def pictures(folder, sigma, names, side=64):
    rng = np.random.default_rng(len(folder.name))
    folder.mkdir(parents=True)
    for name in names:
        pixels = np.clip(rng.normal(128, sigma, (side, side, 3)), 0, 255).astype(np.uint8)
        images.write(folder / f"{name}.png", pixels)


@pytest.fixture
def both(tmp_path):
    """Film by roll, and a flat folder of digital photographs."""
    for roll in ("roll-1", "roll-2"):
        pictures(tmp_path / "film" / roll, 10, "ab")
    pictures(tmp_path / "digital", 1, ["one", "two", "three"])
    (tmp_path / "film" / "roll-2" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path


@pytest.fixture
def command(both):
    out = both / "judge"
    return [
        *["train", "discriminator", "--film", str(both / "film"), "--digital", str(both / "digital")],
        *["-o", str(out), *FLAGS],
    ]


def test_film_and_digital_become_a_judge(command, both, capsys):
    command = [*command, "--hold-out", "roll-2", "two", "--depth", "20", "--outputs", "2"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "2 film scans to learn from, 2 to examine on (rolls: roll-2)" in printed.out
    assert "2 digital photographs to learn from, 1 to examine on (rolls: two)" in printed.out
    assert "step 3: held-out accuracy " in printed.out + printed.err
    assert "broken.png" in printed.err
    assert "compute efficiency" in printed.out
    last = printed.out.splitlines()[-1]
    assert last.startswith(f"{both / 'judge'}: the best on held-out pictures: accuracy ")
    assert "AUC 0." in last or "AUC 1." in last
    assert checkpoint.judge(both / "judge").config.outputs == 2
    assert main(command) == 1
    assert "or a training already" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_training_is_watched(command, both, capsys):
    pytest.importorskip("tensorboardX")
    command = [*command, "--hold-out", "roll-2", "two", "--evaluate-every", "1"]
    log, board = both / "log.jsonl", both / "board"
    assert main([*command, "--log", str(log), "--tensorboard", str(board)]) == 0
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert any(file.stat().st_size for file in board.glob("*.tfevents.*"))
    best = json.loads((both / "judge" / "summary.json").read_text())["best"]
    balanced = [row["held_out/balanced"] for row in rows]
    assert (best["balanced"], best["step"]) == (max(balanced), 1 + balanced.index(max(balanced)))
    assert f"best held-out balanced {best['balanced']:.3e} at step {best['step']}\n" in capsys.readouterr().out
    assert main([*command, "--log", str(both / "log.txt"), "--resume"]) == 1
    assert ".jsonl or .csv" in capsys.readouterr().err


def test_an_interrupted_trainings_summary_is_kept(command, both, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_discriminator.tqdm, "set_postfix", stop)
    assert main(command) == 130
    assert json.loads((both / "judge" / "summary.json").read_text())["steps"] == 1


def test_where_no_roll_is_named_some_are_drawn(command, capsys):
    assert main([*command, "--hold-out", "roll-1"]) == 0
    printed = capsys.readouterr().out
    assert "(rolls: roll-1)" in printed
    assert "2 digital photographs to learn from, 1 to examine on" in printed


def test_a_scan_that_is_truncated_is_not_examined_on(command, both, capsys):
    path = both / "film" / "roll-2" / "b.png"
    path.write_bytes(path.read_bytes()[:-4000])
    assert main([*command, "--hold-out", "roll-2", "two"]) == 0
    printed = capsys.readouterr()
    assert "b.png: " in printed.err
    assert "2 film scans to learn from, 1 to examine on" in printed.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hold-out", "roll-9"], "names of rolls among those given, got roll-9"),
        (["--hold-out", "roll-1", "roll-2"], "film scans: split_by_roll expects rolls on both sides"),
        (["--outputs", "3"], "1 or 2 outputs, got 3"),
        (["--batch", "4"], "twice crops_per_picture"),
        (["--crop", "16"], "crop >= 32"),
        (["--alter", "2"], "alter"),
        (["--resume"], "no such file"),
    ],
)
def test_bad_flags_are_refused(command, both, capsys, flags, message):
    assert main([*command, *flags]) == 1
    assert message in capsys.readouterr().err
    assert not (both / "judge").exists()


def test_a_picture_is_either_film_or_digital(command, both, capsys):
    assert main([*command, "--digital", str(both / "film" / "roll-1")]) == 1
    assert "a.png: given as film and as digital" in capsys.readouterr().err
