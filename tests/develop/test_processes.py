import multiprocessing
import os
import pickle
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from d2f_mlx import images
from d2f_mlx.develop import DevelopConfig, Developer, develop_files
from d2f_mlx.film import Darkroom, FilmStock, Scanner

import numpy as np
import pytest

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for i in range(6):
        pixels = rng.integers(40, 200, (40, 50, 3), np.uint8)
        pixels[0, 0] = i
        images.write(tmp_path / "in" / f"{i}.png", pixels)
    return sorted((tmp_path / "in").iterdir())


def into(folder, photos):
    return [(photo, folder / photo.name) for photo in photos]


def test_jobs_share_pictures_out_and_give_the_same_ones(photos, tmp_path):
    photos[3].write_bytes(b"not a picture")
    developer = Developer(DevelopConfig(grain="gaussian"), darkroom=Darkroom(exposure=1))
    for jobs in (1, 2):
        done = list(develop_files(developer, into(tmp_path / str(jobs), photos), jobs=jobs, seed=5))
        assert sorted((result.photo, result.error) for result in done) == [
            (photo, "3.png: not a JPEG, PNG, TIFF or WebP picture" if photo == photos[3] else "") for photo in photos
        ]
        assert {result.size for result in done if not result.error} == {(40, 50)}
    names = [photo.name for photo in photos if photo != photos[3]]
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == names
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert multiprocessing.active_children() == []


@dataclass(frozen=True)
class Odd:
    """A developer that is killed, waits or tells what it was given, as a picture's first pixel says."""

    folder: Path
    killed: tuple[int, ...] = ()
    waiting: int = -1

    def __call__(self, picture, **_):
        first = int(picture.pixels[0, 0, 0])
        if first in self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if first == self.waiting:
            (self.folder / "begun").touch()
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                (self.folder / "left").touch()
                raise
        while self.waiting >= 0 and not (self.folder / "begun").exists():
            time.sleep(0.01)
        (self.folder / "threads").write_text(
            " ".join(os.environ.get(f"{n}_NUM_THREADS", "") for n in ("OMP", "OPENBLAS"))
        )
        return picture


def test_a_process_that_is_killed_takes_one_picture_with_it(photos, tmp_path):
    done = {
        result.photo.name: result.error
        for result in develop_files(Odd(tmp_path, killed=(1, 4)), into(tmp_path / "out", photos), jobs=2)
    }
    killed = "unfinished, its process ended (killed, as where memory runs out)"
    assert {done.pop("1.png"), done.pop("4.png")} in (  # whichever is the first
        {f"1.png: {killed}; 1 go on", f"4.png: {killed}; none is left"},
        {f"4.png: {killed}; 1 go on", f"1.png: {killed}; none is left"},
    )
    assert done.pop("5.png").startswith(
        "5.png: unfinished, no process is left to develop it (the last one ended: killed"
    )
    assert done == {"0.png": "", "2.png": "", "3.png": ""}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png", "3.png"]


def test_ending_early_interrupts_the_processes(photos, tmp_path, monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(7), raising=False)
    results = develop_files(Odd(tmp_path, waiting=1), into(tmp_path / "out", photos[:2]), jobs=3)
    assert next(results).photo == photos[0]
    results.close()
    assert (tmp_path / "left").exists()
    assert multiprocessing.active_children() == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0.png"]
    assert (tmp_path / "threads").read_text() == "2 2"
    assert not set(THREADS) & set(os.environ)


def test_a_developer_is_pickled_as_what_it_was_made_of(photos):
    stock = FilmStock.load("kodak-portra-400")
    made = Developer(DevelopConfig(strength=2), stock=stock, darkroom=Darkroom(print="scan"), scanner=Scanner(blur=1))
    again = pickle.loads(pickle.dumps(made))
    photo = images.read(photos[0])
    np.testing.assert_array_equal(again(photo, key=1).pixels, made(photo, key=1).pixels)
