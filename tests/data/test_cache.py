import errno
import os
import subprocess
import sys

from d2f_mlx.data import cache, streams
from d2f_mlx.data.cache import DiskCache
from d2f_mlx.images import ImageFileError, read

import numpy as np
import pytest
from PIL import Image

SIDE = 50
BYTES = SIDE * SIDE * 3
ROOM = 2**20


@pytest.fixture
def scans(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)
    return paths


class Decoder:
    """Decodes, and remembers what."""

    def __init__(self):
        self.names = []

    def __call__(self, path):
        self.names.append(path.name)
        return read(path).pixels


def fetch(folder, paths, limit=ROOM, report=None):
    """Return the names of those that had to be decoded; pixels are compared on the way."""
    decoder = Decoder()
    disk = DiskCache(folder, limit, report or pytest.fail)
    for path in paths:
        np.testing.assert_array_equal(disk.pixels(path, decoder), read(path).pixels)
    return decoder.names


def kept(folder):
    return sorted(folder.glob("*.pixels"))


def test_pictures_are_decoded_once_for_all_runs_and_mapped_read_only(scans, tmp_path):
    folder = tmp_path / "deep" / "cache"
    assert fetch(folder, scans) == [path.name for path in scans]
    assert fetch(folder, scans) == []
    assert len(kept(folder)) == 4
    mapped = DiskCache(folder, ROOM, pytest.fail).pixels(scans[0], Decoder())
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


def test_same_scan_by_another_path_is_the_same_picture(scans, tmp_path, monkeypatch):
    os.utime(scans[0], ns=(0, -1))  # before 1970
    fetch(tmp_path / "cache", scans[:1])
    link = tmp_path / "link.png"
    link.symlink_to(scans[0])
    monkeypatch.chdir(tmp_path)
    assert fetch(tmp_path / "cache", [link, scans[0].relative_to(tmp_path)]) == []


@pytest.mark.parametrize("same_length", [True, False])
def test_changed_scan_is_decoded_anew_and_takes_its_old_pictures_place(scans, tmp_path, same_length):
    folder, scan = tmp_path / "cache", scans[0]
    fetch(folder, scans)
    before = scan.stat()
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(scan)
    if same_length:
        scan.write_bytes(scan.read_bytes().ljust(before.st_size, b"\0"))
        os.utime(scan, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    else:
        os.utime(scan, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert fetch(folder, scans) == [scan.name]
    assert fetch(folder, scans) == []
    assert len(kept(folder)) == 4


def damaged(kind, data, other):
    header, pixels = data.split(b"\n", 1)
    return {
        "truncated": data[:-1],
        "too long": data + b"\0",
        "cut in its header": data[:20],
        "empty": b"",
        "another picture's": other,
        "another shape": header.replace(b"50x50", b"50x49") + b"\n" + pixels,
        "foreign": bytes(len(data)),
        "without an end of line": b"x" * len(data),
    }[kind]


KINDS = (
    *("truncated", "too long", "cut in its header", "empty"),
    *("another picture's", "another shape", "foreign", "without an end of line"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_or_foreign_file_is_never_used_but_replaced(scans, tmp_path, kind):
    folder = tmp_path / "cache"
    fetch(folder, scans[:1])
    (file,) = kept(folder)
    fetch(folder, scans[1:2])
    (other,) = set(kept(folder)) - {file}
    whole = file.read_bytes()
    file.write_bytes(damaged(kind, whole, other.read_bytes()))
    assert fetch(folder, scans[:1]) == [scans[0].name]
    assert file.read_bytes() == whole


def test_folder_never_takes_more_than_its_limit(scans, tmp_path):
    limit = int(2.5 * BYTES)
    assert len(fetch(tmp_path / "cache", scans * 2, limit)) == 6  # two are kept
    assert len(kept(tmp_path / "cache")) == 2
    assert sum(file.stat().st_size for file in (tmp_path / "cache").iterdir()) <= limit


def test_nothing_is_written_once_a_picture_did_not_fit(scans, tmp_path):
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(scans[3])
    fetch(tmp_path / "cache", scans, int(2.5 * BYTES))
    assert len(kept(tmp_path / "cache")) == 2


def test_what_another_process_is_writing_counts(scans, tmp_path):
    (tmp_path / "cache").mkdir()
    with (tmp_path / "cache" / ".d2f-0123.part").open("wb") as part:
        part.truncate(2 * BYTES)
    fetch(tmp_path / "cache", scans, 3.5 * BYTES)
    assert len(kept(tmp_path / "cache")) == 1


def test_lack_of_room_removes_pictures_of_scans_that_are_gone_or_changed(scans, tmp_path):
    folder, limit = tmp_path / "cache", int(2.5 * BYTES)
    foreign = folder / "notes.pixels"
    folder.mkdir()
    foreign.write_text('d2f_mlx pixels 1x1 ["broken, 1, 1]\n')
    fetch(folder, scans[:2], limit)
    scans[0].unlink()
    os.utime(scans[1], (1, 1))
    fetch(folder, scans[2:], ROOM)  # there is room: nothing is removed
    assert len(kept(folder)) == 5
    fetch(folder, scans[1:3], 3.5 * BYTES)
    assert len(kept(folder)) == 4
    assert foreign.exists()
    assert fetch(folder, scans[1:]) == []


def test_left_over_temporaries_are_removed_and_live_ones_are_not(tmp_path):
    old, live, foreign = (tmp_path / name for name in (".d2f-0a.part", ".d2f-0b.part", "other.part"))
    for file in (old, live, foreign):
        file.touch()
    for file in (old, foreign):
        os.utime(file, (1, 1))
    DiskCache(tmp_path, ROOM, pytest.fail)
    assert [file.exists() for file in (old, live, foreign)] == [False, True, True]


def test_folder_that_cannot_be_written_to_is_refused_before_any_work(scans, tmp_path):
    config = streams.StreamConfig(crop=8, cache_dir=str(scans[0] / "cache"))
    with pytest.raises(ValueError, match=r"a cache_dir to write to, got .*0\.png/cache: Not a directory"):
        streams.crop_batches(scans, config)


def test_full_disk_ends_the_writing_with_one_line(scans, tmp_path, monkeypatch):
    problems = []

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    fetch(tmp_path / "cache", scans[:1])
    monkeypatch.setattr(cache, "replacing", full)
    assert fetch(tmp_path / "cache", scans * 2, report=problems.append) == [path.name for path in scans[1:] * 2]
    assert problems == [f"{tmp_path / 'cache'}: No space left on device; no more decoded pictures are kept there"]


def test_unreadable_scan_is_reported_as_without_a_cache(scans, tmp_path):
    scans[0].write_bytes(b"not a picture")
    disk = DiskCache(tmp_path / "cache", ROOM, pytest.fail)
    for path in (scans[0], tmp_path / "absent.png"):
        with pytest.raises(ImageFileError, match=path.name):
            disk.pixels(path, lambda path: read(path).pixels)
    assert kept(tmp_path / "cache") == []


# Writes one picture after another until it is killed.
ENDLESS = """
import sys
from pathlib import Path
import numpy as np
from d2f_mlx.data.cache import DiskCache
folder, scans = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
print("ready", flush=True)
while True:
    disk = DiskCache(folder, 2**20, print)
    for scan in scans:
        disk.pixels(scan, lambda path: np.full((50, 50, 3), int(path.stem), np.uint8))
    for file in folder.glob("*.pixels"):
        file.unlink(missing_ok=True)
"""


def test_two_processes_share_a_folder_and_are_killed_at_any_moment(scans, tmp_path):
    folder = tmp_path / "cache"
    command = [sys.executable, "-c", ENDLESS, str(folder), *map(str, scans)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    disk = DiskCache(folder, ROOM, pytest.fail)
    for round_ in range(200):
        scan = scans[round_ % 4]
        pixels = disk.pixels(scan, lambda path: np.full((SIDE, SIDE, 3), int(path.stem), np.uint8))
        np.testing.assert_array_equal(pixels, int(scan.stem))
    for run in runs:
        run.kill()
        output, _ = run.communicate()
        assert output == ""
    for scan in scans:
        pixels = disk.pixels(scan, lambda path: np.full((SIDE, SIDE, 3), int(path.stem), np.uint8))
        np.testing.assert_array_equal(pixels, int(scan.stem))
