import argparse
import os
from pathlib import Path

from d2f_mlx.cli.plan import plan, shard, shard_of

import pytest


def photos(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return [folder / name for name in names]


def test_a_photo_that_is_named_twice_is_planned_once(tmp_path):
    one, two = photos(tmp_path / "in", "1.png", "2.png")
    pairs, problems = plan([str(two), str(one.parent), str(one)], tmp_path / "out")
    assert pairs == [(two, tmp_path / "out" / "2.png"), (one, tmp_path / "out" / "1.png")]
    assert problems == []


def test_folders_that_are_one_folder_hold_each_other_s_outputs(tmp_path):
    photos(tmp_path / "in", "a/photo.png", "b/photo.png")
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "b").symlink_to("a")
    with pytest.raises(ValueError, match="would hold both"):
        plan([str(tmp_path / "in")], tmp_path / "out")


def test_a_link_to_an_input_is_an_input_and_a_link_to_nothing_is_not(tmp_path):
    (photo,) = photos(tmp_path / "in", "photo.png")
    out = tmp_path / "out" / "photo.png"
    out.parent.mkdir()
    out.symlink_to(tmp_path / "nothing")
    assert plan([str(photo.parent)], out.parent) == ([(photo, out)], [])
    out.unlink()
    out.symlink_to(photo)
    with pytest.raises(ValueError, match="is an input"):
        plan([str(photo.parent)], out.parent)


def test_what_lies_in_the_outputs_folder_is_no_input_by_whatever_name(tmp_path):
    photo, *_ = photos(tmp_path / "in", "photo.png", "film/before.png", "filmed/other.png")
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "in" / "film" / "before.png")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "in" / "film")
    pairs, _ = plan([str(tmp_path / "in")], tmp_path / "elsewhere")
    assert [found for found, _ in pairs] == [tmp_path / "in" / "filmed" / "other.png", photo]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 13])
def test_shards_are_the_whole_and_share_nothing(count):
    pairs = [(Path(f"in/{i:02d}.png"), Path(f"out/{i:02d}.png")) for i in range(11)]
    shards = [shard(pairs, place, count) for place in range(1, count + 1)]
    assert sorted(pair for found in shards for pair in found) == pairs
    assert {len(found) for found in shards} <= {11 // count, -(-11 // count)}
    assert shards == [shard(pairs[::-1], place, count) for place in range(1, count + 1)]
    assert shards[0] == pairs[::count]


def test_a_shard_is_read():
    assert shard_of("1/1") == (1, 1)
    assert shard_of("3/1000000") == (3, 1_000_000)


@pytest.mark.parametrize("text", ["0/8", "9/8", "1/0", "-1/3", "1", "1/2/3", "a/b", "1.5/2", "", " 1/2"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"I from 1 to N, such as 1/8, got"):
        shard_of(text)


def test_folders_are_resolved_once(tmp_path, monkeypatch):
    """Resolving asks for every folder above a file: of a million files, many millions of times."""
    photos(tmp_path / "in", *(f"{i}.png" for i in range(50)))
    resolved, realpath = [], os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path, **_: resolved.append(path) or realpath(path))
    plan([str(tmp_path / "in")], tmp_path / "out")
    assert 0 < len(resolved) < 10
