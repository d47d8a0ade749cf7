import threading

from d2f_mlx import images
from d2f_mlx.develop import DevelopConfig, DevelopedFile, Developer, develop_files
from d2f_mlx.develop.files import FileDeveloper
from d2f_mlx.images import files

import numpy as np
import pytest

LATE_S = 20.0  # only ever waited for where the code is wrong


@pytest.fixture
def pairs(tmp_path):
    """Six photos, each of one grey, 10 * (i + 1), and where they go."""
    (tmp_path / "in").mkdir()
    for i in range(6):
        images.write(tmp_path / "in" / f"{i}.png", np.full((3, 4, 3), 10 * (i + 1), np.uint8))
    return [(tmp_path / "in" / f"{i}.png", tmp_path / "out" / f"{i}.png") for i in range(6)]


def inverted(picture, *, key, progress):
    if progress:
        progress(1, 1)
    return images.Picture(255 - picture.pixels, picture.exif, picture.icc)


def there(pairs):
    """The outputs that are there, and nothing but outputs."""
    found = sorted(pairs[0][1].parent.iterdir())
    assert set(found) <= {out for _, out in pairs}
    return [path.stem for path in found]


def test_pictures_are_developed_from_file_to_file(pairs):
    told = []
    done = list(
        develop_files(inverted, [(str(photo), str(out)) for photo, out in pairs], progress=lambda *t: told.append(t))
    )
    assert done == [DevelopedFile(photo, out, (3, 4)) for photo, out in pairs]
    for i, (_, out) in enumerate(pairs):
        np.testing.assert_array_equal(images.read(out).pixels, np.full((3, 4, 3), 255 - 10 * (i + 1)))
    assert told == [(photo, 1, 1) for photo, _ in pairs]


def test_reading_and_writing_go_on_beside_developing(pairs, monkeypatch):
    """Each picture is developed only once the next is read, and written only once the next is being developed."""
    names = [photo.name for photo, _ in pairs]
    was_read, begun = ({name: threading.Event() for name in names} for _ in range(2))
    threads = set()
    read, write = images.read, images.write

    def reading(path):
        picture = read(path)
        was_read[path.name].set()
        return picture

    def writing(path, *pixels, **rest):
        following = names[names.index(path.name) + 1 :][:1]
        assert all(begun[name].wait(LATE_S) for name in following)
        write(path, *pixels, **rest)

    def developing(picture, **rest):
        threads.add(threading.get_ident())
        i = int(picture.pixels[0, 0, 0]) // 10 - 1
        begun[names[i]].set()
        assert all(was_read[name].wait(LATE_S) for name in names[i + 1 : i + 2])
        return inverted(picture, **rest)

    monkeypatch.setattr(images, "read", reading)
    monkeypatch.setattr(images, "write", writing)
    assert [done.error for done in develop_files(developing, pairs)] == [""] * 6
    assert threads == {threading.get_ident()}
    assert there(pairs) == ["0", "1", "2", "3", "4", "5"]


def test_pictures_are_taken_as_they_are_needed(pairs):
    taken = []
    results = develop_files(inverted, (taken.append(pair) or pair for pair in pairs))
    assert taken == []
    for done in range(1, 7):
        next(results)
        assert len(taken) <= done + 2


def test_what_fails_is_told_of_and_the_rest_goes_on(pairs):
    pairs[0][0].write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    pairs[1][0].unlink()
    pairs[5] = pairs[5][0], pairs[5][0].with_name("5.png") / "film.png"
    failures = {30: ValueError("no good"), 40: MemoryError(), 50: RuntimeError("[malloc] Unable to allocate")}

    def failing(picture, **rest):
        value = int(picture.pixels[0, 0, 0])
        if value in failures:
            raise failures[value]
        return inverted(picture, **rest)

    done = {result.photo.name: result for result in develop_files(failing, pairs)}
    errors = [done[f"{i}.png"].error for i in range(6)]
    assert errors[0].startswith("0.png: ")
    assert errors[1:5] == [
        "1.png: No such file or directory",
        "2.png: no good",
        "3.png: out of memory",
        "4.png: [malloc] Unable to allocate",
    ]
    assert errors[5].startswith("5.png: ")
    assert not pairs[0][1].parent.exists()
    assert {result.size for result in done.values()} == {(0, 0)}


def test_what_cannot_be_written_whole_is_not_there(pairs, monkeypatch):
    def full_disk(file, _form, bands, *_):
        pixels = next(iter(bands))
        file.write(pixels.tobytes())
        if pixels[0, 0, 0] == 255 - 20:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_encode", full_disk)
    done = list(develop_files(inverted, pairs[:3]))
    assert [result.error for result in done] == ["", "1.png: No space left on device", ""]
    assert there(pairs) == ["0", "2"]


@pytest.mark.parametrize("closed", [False, True])
def test_ending_early_finishes_what_is_being_written(pairs, closed, monkeypatch):
    ended, write = threading.Event(), images.write

    def slowly(*pixels, **rest):
        assert ended.wait(LATE_S)
        write(*pixels, **rest)

    def interrupted(picture, **rest):
        if picture.pixels[0, 0, 0] == 30:
            ended.set()
            raise KeyboardInterrupt
        if picture.pixels[0, 0, 0] == 20:
            ended.set()
        return inverted(picture, **rest)

    monkeypatch.setattr(images, "write", slowly)
    results = develop_files(interrupted, pairs)
    assert next(results).out == pairs[0][1]
    if closed:
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            next(results)
    assert there(pairs) == ["0", "1"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("d2f")]
    assert list(results) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quality": 0}, "quality from 1 to 100, got 0"),
        ({"bits": 12}, "8 or 16 bits, got 12"),
        ({"jobs": 0}, "1 job or more, got 0"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(arguments, message):
    never = (pytest.fail("work was begun") for _ in range(1))
    with pytest.raises(ValueError, match=message):
        develop_files(inverted, never, **arguments)


@pytest.mark.parametrize("jobs", [0, 1], ids=["alone", "pipelined"])
def test_large_pictures_go_by_bands_between_others_to_the_same_pixels(tmp_path, monkeypatch, jobs):
    pytest.importorskip("OpenImageIO")
    rng = np.random.default_rng(0)
    pairs = []
    for number, side in enumerate((40, 90, 40)):
        photo = tmp_path / f"{number}.png"
        images.write(photo, rng.integers(0, 256, (side, 60, 3), np.uint8))
        pairs.append((photo, tmp_path / "film" / f"{number}.png"))
    developer = Developer(DevelopConfig(colour="photo", tile=32))
    assert [done.error for done in develop_files(developer, pairs)] == [""] * 3
    whole = [out.read_bytes() for _, out in pairs]
    opened = []
    rows_of = images.open_rows
    monkeypatch.setattr(images, "LARGE", 60 * 60)
    monkeypatch.setattr(images, "open_rows", lambda path: opened.append(path.name) or rows_of(path))
    again = develop_files(developer, pairs) if jobs else [FileDeveloper(developer)(*pair) for pair in pairs]
    assert [(done.error, done.size) for done in again] == [("", (40, 60)), ("", (90, 60)), ("", (40, 60))]
    assert [out.read_bytes() for _, out in pairs] == whole
    assert opened == ["1.png"]
