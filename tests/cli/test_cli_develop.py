import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor

import d2f_mlx as d2f
from d2f_mlx import cli, images
from d2f_mlx.cli import main
from d2f_mlx.cli.plan import plan
from d2f_mlx.film import DEFAULT

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(60, 190, (40, 56, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    images.write(path, pixels, exif=exif.tobytes())
    return path


def develop(*arguments):
    """Give the halide engine's grain alone, which a small network is quick at."""
    return main(["develop", *map(str, arguments), "--grain", "halide", "--colour", "photo"])


def test_without_flags_a_photo_gets_the_usual_films_colour_and_grain(photo, tmp_path):
    out, before = tmp_path / "film.png", images.read(photo).pixels
    assert main(["develop", str(photo), "-o", str(out)]) == 0
    key = zlib.crc32(os.fsencode("photo.png"))
    film = images.read(out).pixels
    np.testing.assert_array_equal(film, d2f.develop(before, stock=DEFAULT, grain="gaussian", colour="film", key=key))
    assert (film != d2f.develop(before, colour="photo", key=key)).mean() > 0.5


def test_a_file_is_developed_with_its_metadata(photo, network, tmp_path):
    out = tmp_path / "film.png"
    assert develop(photo, "-o", out, "--reconstructor", network) == 0
    film, before = images.read(out), images.read(photo)
    assert film.pixels.shape == before.pixels.shape
    assert np.any(film.pixels != before.pixels)
    with Image.open(out) as file:
        assert file.getexif()[0x010F] == "Maker"


def test_the_seed_decides_and_each_name_has_its_own_grain(photo, network, tmp_path):
    twin = photo.with_name("twin.png")
    twin.write_bytes(photo.read_bytes())
    results = []
    for index, (path, seed) in enumerate([(photo, 1), (photo, 1), (photo, 2), (twin, 1)]):
        out = tmp_path / f"{index}.png"
        assert develop(path, "-o", out, "--reconstructor", network, "--seed", seed) == 0
        results.append(images.read(out).pixels)
    np.testing.assert_array_equal(results[0], results[1])
    assert np.any(results[0] != results[2])
    assert np.any(results[0] != results[3])


def test_a_folder_keeps_its_shape_and_goes_on_past_a_bad_file(photo, network, tmp_path, capsys):
    (photo.parent / "roll").mkdir()
    (photo.parent / "roll" / "other.png").write_bytes(photo.read_bytes())
    (photo.parent / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    out = tmp_path / "out"
    assert develop(photo.parent, "-o", out, "--reconstructor", network) == 1
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["photo.png", "roll/other.png"]
    assert "broken.jpg" in capsys.readouterr().err


def test_a_missing_input_is_named_and_the_rest_is_done(photo, network, tmp_path, capsys):
    out = tmp_path / "out"
    assert develop(tmp_path / "nowhere.jpg", photo, "-o", out, "--reconstructor", network) == 1
    assert (out / "photo.png").exists()
    assert "nowhere.jpg" in capsys.readouterr().err


def test_what_is_there_is_skipped_unless_forced(photo, network, tmp_path, capsys):
    out = tmp_path / "film.png"
    out.write_bytes(b"mine")
    assert develop(photo, "-o", out, "--reconstructor", network) == 0
    assert out.read_bytes() == b"mine"
    assert "--force" in capsys.readouterr().err
    assert develop(photo, "-o", out, "--reconstructor", network, "--force") == 0
    assert images.size(out) == (40, 56)


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_input_is_never_overwritten(photo, network, capsys, force):
    before = photo.read_bytes()
    assert develop(photo, "-o", photo, "--reconstructor", network, *force) == 1
    assert develop(photo.parent, "-o", photo.parent, "--reconstructor", network, *force) == 1
    assert photo.read_bytes() == before
    assert "is an input" in capsys.readouterr().err


def test_two_photos_cannot_share_an_output(photo, tmp_path):
    other = tmp_path / "elsewhere" / "photo.png"
    other.parent.mkdir()
    other.write_bytes(photo.read_bytes())
    with pytest.raises(ValueError, match="would hold both"):
        plan([str(photo), str(other)], tmp_path / "out")
    with pytest.raises(ValueError, match="expects a folder"):
        plan([str(photo), str(other)], tmp_path / "film.png")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--reconstructor", "nothing"], "neither a folder"),
        (["--strength", "9"], "strength in [0, 4]"),
        (["--density-scale", "0"], "density_scale in (0, 9]"),
        (["--tile", "-1"], "tile"),
        (["--jobs", "0"], "1 job or more"),
    ],
)
def test_bad_flags_are_refused_before_any_work(photo, tmp_path, capsys, flags, message):
    out = tmp_path / "film.png"
    assert develop(photo, "-o", out, *flags) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_batch_can_be_run_again_into_its_own_folder(photo, network, capsys):
    out = photo.parent / "film"
    for _ in range(2):
        assert develop(photo.parent, "-o", out, "--reconstructor", network) == 0
    assert [path.name for path in out.rglob("*.*")] == ["photo.png"]
    assert "skipped" in capsys.readouterr().err


def test_another_name_of_an_input_is_still_an_input(photo, tmp_path):
    link = tmp_path / "other.png"
    link.hardlink_to(photo)
    with pytest.raises(ValueError, match="is an input"):
        plan([str(photo)], link)


@pytest.mark.parametrize(
    ("out", "flags", "message"),
    [
        ("film.heic", [], "cannot write this kind of file"),
        ("film.jpg", ["--bits", "16"], "--bits 16"),
        ("film.jpg", ["--quality", "0"], "quality from 1 to 100"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(photo, network, tmp_path, capsys, out, flags, message):
    assert develop(photo, "-o", tmp_path / out, "--reconstructor", network, *flags) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / out).exists()


@pytest.fixture
def roll(photo):
    for name in ("2.png", "3.png", "4.png"):
        photo.with_name(name).write_bytes(photo.read_bytes())
    return photo.rename(photo.with_name("1.png")).parent


def test_shards_develop_each_picture_once(roll, network, tmp_path, capsys):
    out = tmp_path / "out"
    for shard, names in (("2/3", ["2.png"]), ("1/3", ["1.png", "2.png", "4.png"])):
        assert develop(roll, "-o", out, "--reconstructor", network, "--shard", shard) == 0
        assert sorted(path.name for path in out.iterdir()) == names
    assert "skipped" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        develop(roll, "-o", out, "--shard", "4/3")
    assert "expects I/N with I from 1 to N, such as 1/8, got '4/3'" in capsys.readouterr().err


def test_a_shard_is_checked_against_the_others(roll, network, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "4.png").symlink_to(roll / "4.png")
    assert develop(roll, "-o", out, "--reconstructor", network, "--shard", "1/4") == 1
    assert "is an input" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["4.png"]


def test_a_batch_is_summed_up(roll, network, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.png").touch()
    (roll / "2.png").write_bytes(b"not a picture")
    assert develop(roll, tmp_path / "nowhere", "-o", out, "--reconstructor", network) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    counts = r"d2f: 2 developed, 1 skipped \(already there; --force develops them again\), 2 failed; "
    found = re.fullmatch(counts + r"([\d.]+) s, ([\d.]+) pictures/s, ([\d.]+) megapixels/s", last)
    assert found


def test_jobs_reach_the_batch(roll, network, tmp_path, monkeypatch):
    asked = []

    def batch(_developer, pairs, **options):
        asked.append((len(list(pairs)), options["jobs"], options["seed"], options["quality"], options["bits"]))
        yield from ()

    monkeypatch.setattr(cli.develop, "develop_files", batch)
    flags = ["--jobs", 3, "--seed", 4, "--quality", 90, "--bits", 16]
    assert develop(roll, "-o", tmp_path / "out", "--reconstructor", network, *flags) == 0
    assert asked == [(4, 3, 4, 90, 16)]


def test_harmless_damage_is_passed_over(network, tmp_path):
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (40, 30), "grey").save(photo, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01")
    with pytest.warns(UserWarning, match="Corrupt EXIF"), ThreadPoolExecutor(1) as pool:
        pool.submit(images.read, photo).result()
    assert develop(photo, "-o", tmp_path / "film.jpg", "--reconstructor", network) == 0


@pytest.mark.parametrize(
    "command",
    [[], ["develop"], ["grain"], ["contact"], ["lut"], ["train"], ["train", "reconstructor"], ["demo"], ["info"]],
)
def test_help_is_printed(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    assert "usage: d2f" in capsys.readouterr().out


def test_wrong_usage_exits_with_2(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["develop"])
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "usage" in capsys.readouterr().err
