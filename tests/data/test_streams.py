import hashlib
import subprocess
import sys
from itertools import islice
from pathlib import Path

from d2f_mlx.data import StreamConfig, crop_batches, streams, usable

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 40, 60
CONFIG = StreamConfig(crop=8, crops_per_picture=2, batch=6, seed=7, threads=3)


def coordinates(number, height=HEIGHT, width=WIDTH):
    """A picture whose pixels say (file, row, column)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, number), rows, columns], -1).astype(np.uint8)


def write(folder, count):
    paths = [folder / f"{number:02}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(coordinates(number)).save(path)
    return paths


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write(tmp_path_factory.mktemp("scans"), 7)


def take(paths, config, **kwargs):
    return np.stack(list(crop_batches(paths, config, **kwargs)))


def run(code, *args):
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def files_of(batches):
    """The file number of each picture, in the order of the stream."""
    first = batches.reshape(-1, CONFIG.crops_per_picture, CONFIG.crop, CONFIG.crop, 3)
    return first[:, 0, 0, 0, 0].tolist()


def test_crops_are_windows_of_one_file_mirrored_half_the_time(scans):
    batches = take(scans, CONFIG, steps=60)
    assert batches.shape == (60, 6, 8, 8, 3)
    assert batches.dtype == np.uint8
    crops = batches.reshape(-1, 8, 8, 3).astype(int)
    assert np.ptp(crops[..., 0], axis=(1, 2)).max() == 0
    np.testing.assert_array_equal(np.diff(crops[..., 1], axis=1), 1)
    steps = np.diff(crops[..., 2], axis=2)
    assert np.ptp(steps, axis=(1, 2)).max() == 0
    mirrored = (steps[:, 0, 0] == -1).mean()
    # 360 draws: 4 standard deviations are 0.105
    assert abs(mirrored - 0.5) < 0.105
    # Crops come from anywhere: both corners are reached
    assert crops[..., 1].min() == 0
    assert crops[..., 1].max() == HEIGHT - 1
    assert crops[..., 2].min() == 0
    assert crops[..., 2].max() == WIDTH - 1


def test_each_epoch_meets_every_file_once_in_a_new_order(scans):
    files = files_of(take(scans, CONFIG, steps=7))  # 21 pictures: 3 epochs of 7 files
    epochs = [files[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("start", [0, 1, 4, 11])
def test_resumed_stream_equals_the_uninterrupted_one_bit_for_bit(scans, start):
    whole = take(scans, CONFIG, steps=12)
    np.testing.assert_array_equal(take(scans, CONFIG, start_step=start, steps=12 - start), whole[start:])


@pytest.mark.parametrize("change", [{"threads": 1}, {"prefetch": 1}, {"cache_mb": 0}, {"threads": 8}, {"prefetch": 99}])
def test_threads_prefetch_and_cache_do_not_change_the_stream(scans, change):
    config = StreamConfig(**{**vars(CONFIG), **change})
    np.testing.assert_array_equal(take(scans, config, steps=9), take(scans, CONFIG, steps=9))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 5])
def test_parts_of_all_ranks_are_the_batches_of_one_process(scans, monkeypatch, size, start):
    monkeypatch.setattr(streams, "_PICTURES_PER_BUFFER", 20)
    config = StreamConfig(**{**vars(CONFIG), "batch": 16})
    whole = take(scans, config, start_step=start, steps=9)
    parts = [take(scans, config, start_step=start, steps=9, share=(rank, size)) for rank in range(size)]
    assert {part.shape[1] for part in parts} == {16 // size}
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_part_decodes_its_own_pictures_alone(scans, monkeypatch):
    config = StreamConfig(crop=8, crops_per_picture=1, batch=7 * 2, threads=1, cache_mb=0)
    decoded = decode_counter(monkeypatch)
    take(scans, config, steps=3, share=(1, 2))
    assert len(decoded) == 3 * 7


@pytest.mark.parametrize("share", [(2, 2), (-1, 2), (0, 0)])
def test_share_that_does_not_exist_is_refused(scans, share):
    with pytest.raises(ValueError, match=r"a share \(rank, size\) with 0 <= rank < size, got \("):
        crop_batches(scans, CONFIG, share=share)


def test_share_that_does_not_divide_a_batch_is_refused(scans):
    with pytest.raises(ValueError, match=r"a batch's pictures .* to be a multiple of the share's size, got 3 and 2"):
        crop_batches(scans, CONFIG, share=(0, 2))


@pytest.mark.parametrize("cache_mb", [0, 512])
@pytest.mark.parametrize("kept", [0, 3, 7])
def test_cache_on_disk_does_not_change_the_stream(scans, tmp_path, cache_mb, kept):
    room = kept * (HEIGHT * WIDTH * 3 + 300) / 2**30 + 1e-9
    caches = {"cache_mb": cache_mb, "cache_dir": str(tmp_path / "cache"), "cache_gb": room}
    config = StreamConfig(**{**vars(CONFIG), **caches})
    expected = take(scans, CONFIG, steps=9)
    for _ in range(2):
        np.testing.assert_array_equal(take(scans, config, steps=9), expected)
    assert len(list((tmp_path / "cache").iterdir())) == kept


def test_cache_on_disk_spares_later_runs_the_decoding(scans, tmp_path, monkeypatch):
    decoded = decode_counter(monkeypatch)
    config = StreamConfig(**{**vars(CONFIG), "cache_mb": 0, "cache_dir": str(tmp_path / "cache")})
    take(scans, config, steps=7)  # three epochs
    assert set(decoded) == {path.name for path in scans}
    decoded.clear()
    take(scans, config, steps=7)
    assert decoded == []


def test_seed_changes_the_stream(scans):
    other = StreamConfig(**{**vars(CONFIG), "seed": 8})
    assert (take(scans, other, steps=3) != take(scans, CONFIG, steps=3)).mean() > 0.5


def test_stream_is_seamless_from_buffer_to_buffer(scans, monkeypatch):
    whole = take(scans, CONFIG, steps=9)
    monkeypatch.setattr(streams, "_PICTURES_PER_BUFFER", 7)
    np.testing.assert_array_equal(take(scans, CONFIG, steps=9), whole)
    np.testing.assert_array_equal(np.stack(list(islice(crop_batches(scans, CONFIG), 9))), whole)
    monkeypatch.setattr(streams, "_PICTURES_PER_BUFFER", 1)
    np.testing.assert_array_equal(take(scans, CONFIG, steps=9), whole)


def test_no_flip_and_always_flip_are_mirror_images(scans):
    never, always = (StreamConfig(**{**vars(CONFIG), "flip": flip}) for flip in (0.0, 1.0))
    np.testing.assert_array_equal(take(scans, never, steps=3)[..., ::-1, :], take(scans, always, steps=3))


def test_sixteen_bit_scans_are_rounded_to_eight(monkeypatch, tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (12, 12, 3), dtype=np.uint16)

    class Picture:
        pixels = deep

    monkeypatch.setattr(streams, "read", lambda path: Picture)
    config = StreamConfig(crop=12, crops_per_picture=1, batch=1, flip=0)
    (batch,) = crop_batches([tmp_path / "deep.tif"], config, steps=1)
    np.testing.assert_array_equal(batch[0], np.rint(deep.astype(np.float64) * 255 / 65535))


def decode_counter(monkeypatch):
    real, decoded = streams.read, []

    def counted(path):
        decoded.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(streams, "read", counted)
    return decoded


def test_cache_decodes_each_file_once_and_no_cache_each_time(scans, monkeypatch):
    config = StreamConfig(crop=8, crops_per_picture=2, batch=14, threads=1)  # a batch is an epoch
    decoded = decode_counter(monkeypatch)
    take(scans, config, steps=3)
    assert sorted(decoded) == [path.name for path in scans]
    decoded.clear()
    take(scans, StreamConfig(**{**vars(config), "cache_mb": 0}), steps=3)
    assert len(decoded) == 3 * len(scans)


def test_cache_stays_within_its_bytes(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number, path in enumerate(paths):
        Image.fromarray(coordinates(number, 250, 250).repeat(2, 0)).save(path)  # 375 kB each
    pictures = streams._Pictures(paths, StreamConfig(cache_mb=1))
    for index in (*range(5), *range(5)):
        pictures.pixels(index)
    assert list(pictures._kept) == [0, 1]


def truncate(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def noisy(folder, count):
    """Files large enough that half of one has a good header."""
    paths = write(folder, count)
    rng = np.random.default_rng(0)
    for number, path in enumerate(paths):
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        pixels[..., 0] = number
        Image.fromarray(pixels).save(path)
    return paths


def test_truncated_file_is_replaced_by_the_next_and_reported_once(tmp_path):
    paths = noisy(tmp_path, 7)
    before = take(paths, CONFIG, steps=14)
    for broken in (2, 6):
        truncate(paths[broken])
    assert usable(paths, CONFIG.crop) == (paths, [])  # their headers are good
    problems = []
    after = take(paths, CONFIG, steps=14, on_problem=problems.append)
    stand_in = {2: 3, 6: 0}
    assert files_of(after) == [stand_in.get(file, file) for file in files_of(before)]
    assert sorted(line[:8] for line in problems) == ["02.png: ", "06.png: "]
    resumed = take(paths, CONFIG, start_step=5, steps=9, on_problem=problems.append)
    np.testing.assert_array_equal(resumed, after[5:])


def test_replaced_file_is_logged_by_default(tmp_path, caplog):
    paths = noisy(tmp_path, 3)
    truncate(paths[1])
    take(paths, CONFIG, steps=4)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.name == "d2f_mlx.data.streams"
    assert record.getMessage().startswith("01.png: ")


def test_file_smaller_than_a_crop_is_replaced(tmp_path):
    paths = write(tmp_path, 3)
    Image.fromarray(coordinates(1, 7, 60)).save(paths[1])
    problems = []
    files = files_of(take(paths, CONFIG, steps=2, on_problem=problems.append))
    assert sorted(files) == [0, 0, 2, 2, 2, 2]
    assert problems == ["01.png: 60x7 pixels, smaller than a crop of 8x8"]


def test_no_usable_file_raises(tmp_path):
    paths = noisy(tmp_path, 2)
    for path in paths:
        truncate(path)
    with pytest.raises(ValueError, match=r"a readable picture of 8x8 or more, got none in 2: 0[01]\.png: "):
        take(paths, CONFIG, steps=1)


def test_usable_reports_unreadable_and_small_files(tmp_path):
    paths = write(tmp_path, 3)
    paths[0].write_text("not a picture")
    Image.fromarray(coordinates(1, 40, 7)).save(paths[1])
    good, problems = usable([*map(str, paths), tmp_path / "absent.png"], 8)
    assert good == [paths[2]]
    assert len(problems) == 3
    assert problems[0].startswith("00.png: ")
    assert problems[1] == "01.png: 7x40 pixels, smaller than a crop of 8x8"
    assert "absent.png" in problems[2]
    with pytest.raises(ValueError, match=r"usable expects a picture of 64x64 or more, got none: .*00\.png"):
        usable(paths, 64)
    with pytest.raises(ValueError, match="got none: no files"):
        usable([], 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 16, "crops_per_picture": 3}, "batch to be a multiple of crops_per_picture, got 16 and 3"),
        ({"crop": 0}, "crop >= 1, got 0"),
        ({"threads": 0}, "threads >= 1, got 0"),
        ({"seed": -1}, r"0 <= seed < 2\*\*63, got -1"),
        ({"flip": 1.5}, "0 <= flip <= 1, got 1.5"),
        ({"cache_mb": -1}, "cache_mb >= 0, got -1"),
        ({"cache_gb": 0}, "cache_gb > 0, got 0"),
        ({"cache_gb": float("nan")}, "cache_gb > 0, got nan"),
    ],
)
def test_config_errors(change, message):
    with pytest.raises(ValueError, match=f"StreamConfig expects {message}"):
        StreamConfig(**change)


def test_bad_calls_raise_before_the_first_batch(scans):
    with pytest.raises(ValueError, match="at least one file, got none"):
        crop_batches([], CONFIG)
    with pytest.raises(ValueError, match="steps >= 0, got start_step -1 and steps None"):
        crop_batches(scans, CONFIG, start_step=-1)


def test_zero_steps_yield_nothing(scans):
    assert list(crop_batches(scans, CONFIG, start_step=3, steps=0)) == []


def test_import_leaves_mlx_data_alone():
    code = "import sys, d2f_mlx, d2f_mlx.data; sys.exit('mlx.data' in sys.modules)"
    assert run(code).returncode == 0


DIGEST = """
import sys, hashlib
from d2f_mlx.data import StreamConfig, crop_batches
config = StreamConfig(crop=8, crops_per_picture=2, batch=6, seed=7, threads=2)
digest = hashlib.sha256()
for batch in crop_batches(sys.argv[1:], config, steps=8):
    digest.update(batch.tobytes())
print(digest.hexdigest())
"""


def test_another_process_gets_the_same_stream(scans):
    digest = hashlib.sha256(take(scans, CONFIG, steps=8).tobytes()).hexdigest()
    assert run(DIGEST, *scans).stdout.strip() == digest


# Decoding is slowed down without letting go of the GIL for long: threads are at work when the process ends.
SLOW = """
import sys, time
import numpy as np
from d2f_mlx.data import StreamConfig, crop_batches, streams
class Picture:
    pixels = np.zeros((64, 64, 3), np.uint8)
def slow(path):
    start = time.perf_counter()
    while time.perf_counter() - start < 0.05:
        np.random.default_rng(0).random(1000)
    return Picture
streams.read = slow
config = StreamConfig(crop=8, crops_per_picture=2, batch=4, prefetch=4, threads=3, cache_mb=0)
"""

HELD = "held = crop_batches(sys.argv[1:], config)\n"
CYCLE = """
import gc
gc.disable()
held = [crop_batches(sys.argv[1:], config)]
held.append(held)
next(held[0])
"""
INTERRUPT = """
import os, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
held = crop_batches(sys.argv[1:], config)
try:
    for batch in held:
        pass
except KeyboardInterrupt as error:
    kept = error
    sys.exit(5)
"""
ENDINGS = {
    "break": (HELD + "for batch in held:\n    break", 0),
    "held": (HELD + "next(held)", 0),
    "held in a cycle": (CYCLE, 0),
    "exit": (HELD + "for batch in held:\n    sys.exit(3)", 3),
    "exception": (HELD + "for batch in held:\n    raise RuntimeError('stop')", 1),
    "interrupt while waiting": (INTERRUPT, 5),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_stopping_early_does_not_crash_the_process(scans, ending):
    code, status = ENDINGS[ending]
    result = run(SLOW + code, *scans)
    assert result.returncode == status, result.stderr
    assert "Fatal" not in result.stderr


def test_closing_does_not_decode_what_is_still_queued(scans, monkeypatch):
    decoded = decode_counter(monkeypatch)
    config = StreamConfig(crop=8, crops_per_picture=1, batch=1, prefetch=500, threads=1, cache_mb=0)
    stream = crop_batches(scans, config)
    next(stream)
    stream.close()
    assert len(decoded) < 450
