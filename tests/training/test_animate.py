from d2f_mlx.training import Animation, Report, animate

import mlx.nn as nn
import numpy as np
import pytest
from PIL import Image, ImageSequence

HELD_OUT = {"mse": 0.1}


class Painter(nn.Module):
    """What it paints tells its step."""

    step = 0

    def picture(self):
        picture = np.random.default_rng(1).integers(0, 200, (24, 32, 1), np.uint8).repeat(3, 2)
        return picture + np.uint8(self.step)


def run(animation, steps, evaluate_every=2):
    network = Painter()
    for step in steps:
        network.step = step
        animation(Report(step, 0.1, None if step % evaluate_every else HELD_OUT, network=network))


def frames(file):
    with Image.open(file) as shown:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(shown)]


def painted(step):
    network = Painter()
    network.step = step
    return network.picture()


@pytest.fixture(params=[".gif", ".webp"])
def file(request, tmp_path):
    return tmp_path / "out" / f"film{request.param}"


def test_each_frame_is_the_picture_of_its_step_enlarged_by_whole_pixels(file):
    run(Animation(file, Painter.picture), range(1, 7))
    shown = frames(file)
    scale = animate._SIDE // 32
    assert len(shown) == 4
    for frame, step in zip(shown, [1, 2, 4, 6], strict=True):
        enlarged = painted(step).repeat(scale, 0).repeat(scale, 1)
        tolerance = 0 if file.suffix == ".webp" else 8  # a GIF has 256 colours
        found = frame[: 24 * scale]
        assert np.abs(found.astype(int) - enlarged).max() <= tolerance
        assert frame[24 * scale :].max() > 150  # the label
    assert not np.array_equal(shown[1][24 * scale :], shown[2][24 * scale :])


def test_frames_come_every_so_many_steps_if_that_is_asked_for(file):
    run(Animation(file, Painter.picture, 3), range(1, 8))
    assert [frame.name for frame in sorted((file.parent / f"{file.name}.frames").iterdir())] == [
        "000000001.png",
        "000000003.png",
        "000000006.png",
    ]


def test_a_resumed_animation_is_that_of_an_uninterrupted_training(file, tmp_path):
    whole = tmp_path / f"whole{file.suffix}"
    run(Animation(whole, Painter.picture), range(1, 9))
    run(Animation(file, lambda network: 200 - network.picture() // 2, 3), range(1, 8))
    with pytest.raises(ValueError, match="exists; resume"):
        Animation(file, Painter.picture)
    run(Animation(file, Painter.picture, resume=True), range(1, 9))
    assert all(np.array_equal(a, b) for a, b in zip(frames(file), frames(whole), strict=True))
    run(Animation(whole, Painter.picture, resume=True), range(5, 7))
    assert len(frames(whole)) == 4


def test_of_many_frames_evenly_chosen_ones_are_shown(file, monkeypatch):
    monkeypatch.setattr(animate, "_MOST", 3)
    run(Animation(file, Painter.picture), range(1, 10), evaluate_every=1)
    every = len(list((file.parent / f"{file.name}.frames").iterdir()))
    assert (len(frames(file)), every) == (3, 9)
    shown = [int(frame[0, 0, 0]) - int(painted(0)[0, 0, 0]) for frame in frames(file)]
    assert file.suffix == ".gif" or shown == [1, 5, 9]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.gif or \.webp"):
        Animation(tmp_path / "film.mp4", Painter.picture)
    assert not list(tmp_path.iterdir())
