import os
import zlib
from functools import partial

import d2f_mlx as d2f
from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.film import Scanner

import numpy as np
import pytest
from PIL import Image

STOCK = "kodak-vision3-500t"
ALIKE = 0.99  # correlation of channels with one field


@pytest.fixture
def photo(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    images.write(path, np.full((64, 96, 3), 128, np.uint8), exif=exif.tobytes())
    return path


def grain(*arguments):
    return main(["grain", *map(str, arguments)])


def shown_help(capsys, *command):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_a_photo_gets_the_stocks_grain_and_keeps_its_metadata(photo, tmp_path):
    out = tmp_path / "film.png"
    assert grain(photo, "-o", out, "--stock", STOCK, "--film-format", "super8", "--enlargement", 4, "--seed", 3) == 0
    key = 3 + zlib.crc32(os.fsencode("photo.png"))
    frame = {"film_format": "super8", "enlargement": 4}
    expected = d2f.develop(photo, grain="gaussian", colour="photo", stock=STOCK, **frame, key=key)
    np.testing.assert_array_equal(images.read(out).pixels, expected)
    assert (expected != 128).mean() > 0.5
    with Image.open(out) as file:
        assert file.getexif()[0x010F] == "Maker"


def test_grain_is_develop_with_another_default(photo, tmp_path):
    names = [tmp_path / name for name in ("grain.png", "develop.png", "boolean.png")]
    assert grain(photo, "-o", names[0], "--stock", STOCK) == 0
    assert main(["develop", str(photo), "-o", str(names[1]), "--stock", STOCK, "--colour", "photo"]) == 0
    assert grain(photo, "-o", names[2], "--stock", STOCK, "--grain", "boolean", "--film-format", "super8") == 0
    one, same, other = (images.read(name).pixels for name in names)
    np.testing.assert_array_equal(one, same)
    assert (other != one).any()


def test_the_scanners_flags_reach_the_film(photo, tmp_path):
    out = tmp_path / "film.png"
    flags = ["--crosstalk", "1", "--blur", "0.5", "--contrast", "2", "--grey", "0.9"]
    assert grain(photo, "-o", out, "--stock", STOCK, *flags) == 0
    film = images.read(out).pixels
    scanner = Scanner(contrast=2, grey=0.9, blur=0.5, crosstalk=1)
    key = zlib.crc32(os.fsencode("photo.png"))
    develop = partial(d2f.develop, grain="gaussian", colour="photo", stock=STOCK, scanner=scanner)
    np.testing.assert_array_equal(film, develop(photo, key=key))
    exact = develop(np.full((64, 96, 3), 0.5, np.float32))
    assert np.corrcoef(exact.reshape(-1, 3).T).min() > ALIKE


def test_what_is_there_is_skipped_unless_forced(photo, tmp_path, capsys):
    out = tmp_path / "film.png"
    out.write_bytes(b"mine")
    assert grain(photo, "-o", out) == 0
    assert out.read_bytes() == b"mine"
    assert "--force" in capsys.readouterr().err
    assert grain(photo, "-o", out, "--force") == 0
    assert images.size(out) == (64, 96)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stock", "portra"], "did you mean"),
        (["--stock", "mine.json"], "mine.json"),
        (["--contrast", "0"], "contrast in [0.1, 10], got 0.0"),
        (["--crosstalk", "2"], "crosstalk in [0, 1]"),
        (["--film-format", "8x10"], "film_format of 135"),
        (["--enlargement", "0"], "enlargement in [0.01, 100]"),
        (["--strength", "9"], "strength in [0, 4]"),
    ],
)
def test_bad_flags_are_refused_before_any_work(photo, tmp_path, capsys, flags, message):
    assert grain(photo, "-o", tmp_path / "out" / "film.png", *flags) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_help_says_what_the_defaults_are(capsys):
    text = shown_help(capsys, "grain")
    assert "Give photographs a film stock's grain; tones and colours stay their own." in text
    assert "model's grains. (default: gaussian)" in text
    assert "--colour" not in text
    assert "--lut" not in text
    assert "becomes mid grey, 18 % of white." in text
    assert "(default: )" not in text
    text = shown_help(capsys, "develop")
    assert "Turn digital photographs into film pictures: the film's colours, and its grain." in text
    assert "model's grains. (default: gaussian)" in text
    assert "gets grain alone. (default: film)" in text
    assert f"(default: {Scanner().crosstalk})" in text.rpartition("--crosstalk CROSSTALK")[2]


def test_an_abbreviation_is_no_flag(tmp_path, capsys):
    """--exposure would be --exposure-index, which is another thing."""
    with pytest.raises(SystemExit) as stopped:
        main(["grain", "photo.png", "-o", str(tmp_path / "film.png"), "--exposure", "1"])
    assert stopped.value.code == 2
    assert "unrecognized arguments: --exposure 1" in capsys.readouterr().err
