from d2f_mlx import checkpoint, images
from d2f_mlx.cli import main, train

import numpy as np
import pytest

FLAGS = ["--steps=4", "--evaluate-every=2", "--crop=32", "--batch=4", "--width=32", "--evaluation-crops=1"]


@pytest.fixture
def rolls(tmp_path):
    rng = np.random.default_rng(0)
    for roll in ("roll-1", "roll-2", "roll-3"):
        (tmp_path / "scans" / roll).mkdir(parents=True)
        for index in range(2):
            ramp = np.linspace(40, 200, 160)[None, :, None] + np.zeros((144, 1, 3))
            pixels = np.clip(ramp + rng.normal(0, 6, ramp.shape), 0, 255).astype(np.uint8)
            images.write(tmp_path / "scans" / roll / f"{index}.png", pixels)
    (tmp_path / "scans" / "roll-1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return tmp_path / "scans"


def test_scans_become_a_network_that_develops(rolls, tmp_path, capsys):
    out = tmp_path / "my-film"
    command = ["train", "reconstructor", str(rolls), "-o", str(out), "--hold-out", "roll-2", *FLAGS]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "4 scans to learn from, 2 to judge by (rolls: roll-2)" in printed.out
    assert "normalised convolution" in printed.out + printed.err
    assert "broken.png" in printed.err
    assert checkpoint.from_pretrained(out).config.width == 32
    assert checkpoint.statistics_of(out).pictures == 4
    photo = rolls / "roll-1" / "0.png"
    flags = ["--grain", "halide", "--colour", "photo", "--reconstructor", str(out)]
    assert main(["develop", str(photo), "-o", str(tmp_path / "film.png"), *flags]) == 0


def test_truncated_scans_are_reported_and_skipped(rolls, tmp_path, capsys):
    for roll in ("roll-1", "roll-2"):
        path = rolls / roll / "1.png"
        path.write_bytes(path.read_bytes()[:-4000])
    command = ["train", "reconstructor", str(rolls), "-o", str(tmp_path / "o"), "--hold-out", "roll-2", *FLAGS]
    assert main(command) == 0
    assert capsys.readouterr().err.count("1.png: ") == 2
    assert checkpoint.statistics_of(tmp_path / "o").pictures == 3


def test_a_training_is_not_begun_over_another(rolls, tmp_path, capsys):
    out = tmp_path / "my-film"
    command = ["train", "reconstructor", str(rolls), "-o", str(out), "--hold-out", "roll-2", *FLAGS]
    assert main(command) == 0
    assert main(command) == 1
    assert "or a training already" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hold-out", "roll-9"], "roll-9"),
        (["--network", "unet", "--width", "5"], "width"),
        (["--batch", "5"], "crops_per_picture"),
        (["--resume"], "no such file"),
        (["--noise", "1", "--pool", "7"], "a pool of 0, or of 8 crops at least"),
        (["--noise", "1", "--way", "absolute"], "residual way, got absolute"),
        (["--start", "nobody"], "nobody: neither a folder"),
        (["--start", "unet"], "cannot start from"),
    ],
)
def test_bad_flags_are_refused_before_any_work(rolls, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.setattr(train, "HalideStatistics", None)
    assert main(["train", "reconstructor", str(rolls), "-o", str(tmp_path / "o"), *FLAGS, *flags]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_without_scans_is_refused(tmp_path, capsys):
    assert main(["train", "reconstructor", str(tmp_path), "-o", str(tmp_path / "o")]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_what_a_step_takes_is_told_and_what_does_not_fit_refused_before_any_work(rolls, tmp_path, capsys):
    command = ["train", "reconstructor", str(rolls), "-o", str(tmp_path / "o"), *FLAGS]
    assert main([*command, "--memory-gb", "0.0001"]) == 1
    printed = capsys.readouterr()
    assert "of 0.00 GiB" in printed.err
    assert "would" in printed.err
    assert not (tmp_path / "o").exists()
    assert main([*command, "--memory-gb", "4"]) == 0
    assert "of 4.00 GiB; up to" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_to_is_refused_before_any_work(rolls, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["train", "reconstructor", str(rolls), "-o", str(tmp_path / "o"), *FLAGS]
    assert main([*command, "--cache-dir", str(tmp_path / "file" / "cache")]) == 1
    assert "cache" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
