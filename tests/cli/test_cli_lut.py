"""``.cube`` files that the command wrote: what d2f, d2f develop --lut and FFmpeg make of a photograph with them."""

import shutil
import subprocess

from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.color import DISPLAY_P3, Lut3D, profile_of
from d2f_mlx.develop import film_look
from d2f_mlx.film import Darkroom, FilmStock, Scanner

import mlx.core as mx
import numpy as np
import pytest
from skimage import data

LEVELS, ONE = 2, 0.995  # levels of 8 bits that no value is farther off; share that is within one
HALVES = 1e-4  # of values may lie so near to half a level that either may be right
DECIMALS = 6e-10  # of the file
KNOWN = [
    ("kodak-vision3-250d", []),
    ("kodak-portra-400", ["--print", "scan", "--points", "65"]),
    ("fuji-velvia-50", []),
]
EACH = pytest.mark.parametrize(("stock", "flags"), KNOWN, ids=[name for name, _ in KNOWN])
FFMPEG = shutil.which("ffmpeg")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    images.write(path, np.ascontiguousarray(data.astronaut()[::3, ::3]))
    return path


def lut(out, *arguments):
    return main(["lut", "-o", str(out), *map(str, arguments)])


def colours_of(photo, stock, *flags):
    """Develop the film's colours alone, by the command."""
    out = photo.parent.parent / "colours.png"
    alone = ["--strength", "0", "--mtf", "off", "--halation", "off", "--force"]
    assert main(["develop", str(photo), "-o", str(out), "--stock", stock, *alone, *flags]) == 0
    return images.read(out).pixels


def assert_same_picture(found, expected):
    off = np.abs(np.asarray(found, np.float64) - expected)
    assert (off <= 1).mean() > ONE
    assert off.max() <= LEVELS


@EACH
def test_the_files_table_gives_a_photograph_the_films_colours(photo, tmp_path, stock, flags, capsys):
    out = tmp_path / "look.cube"
    assert lut(out, "--stock", stock, *flags) == 0
    table, pixels = Lut3D.load(out), images.read(photo).pixels
    said = f"{out}: {FilmStock.load(stock).title} (whole), {table.points} points along an axis\n"
    assert capsys.readouterr().out == said
    developed = colours_of(photo, stock, *flags[:2])
    ours = np.rint(255 * np.array(table(mx.array(pixels / 255, mx.float32))))
    assert_same_picture(ours, developed)
    assert np.abs(developed.astype(int) - pixels).mean() > 2 * LEVELS  # there is something to be seen
    other = tmp_path / "other.png"
    assert main(["develop", str(photo), "-o", str(other), "--lut", str(out), "--strength", "0"]) == 0
    through = images.read(other).pixels
    assert_same_picture(through, developed)
    assert (through != ours).mean() < HALVES
    if FFMPEG is None:
        pytest.skip("ffmpeg is not installed")
    assert_same_picture(seen_by_ffmpeg(pixels, tmp_path), developed)


def seen_by_ffmpeg(pixels, folder):
    """Apply look.cube in 16 bits, as in 8 ffmpeg cuts off where we round."""
    height, width = pixels.shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb48le"]
    command = [str(FFMPEG), "-v", "error", *raw, "-s", f"{width}x{height}", "-i", "pipe:"]
    command += ["-vf", "lut3d=file=look.cube:interp=tetrahedral", *raw, "pipe:"]
    sixteen = (pixels.astype("<u2") * 257).tobytes()
    run = subprocess.run(command, input=sixteen, capture_output=True, cwd=folder, timeout=60, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return np.rint(np.frombuffer(run.stdout, "<u2").reshape(pixels.shape) / 257)


def test_the_table_for_another_space_takes_pictures_of_that_space(photo, tmp_path):
    wide, out = tmp_path / "in" / "wide.png", tmp_path / "look.cube"
    pixels = images.read(photo).pixels
    images.write(wide, pixels, icc=profile_of(DISPLAY_P3))
    assert lut(out, "--space", "display-p3", "--exposure", "0.5", "--points", "65") == 0
    assert_same_picture(
        np.rint(255 * np.array(Lut3D.load(out)(mx.array(pixels / 255, mx.float32)))),
        colours_of(wide, "kodak-vision3-250d", "--exposure", "0.5"),
    )


@pytest.mark.parametrize("part", ["negative", "print"])
def test_flags_say_which_film_how_it_is_made_and_what_part(tmp_path, part):
    out = tmp_path / "look.CUBE"
    flags = ["--stock", "kodak-portra-400", "--print", "scan", "--contrast", "2", "--exposure", "1", "--points", "17"]
    assert lut(out, *flags, "--part", part) == 0
    darkroom, scanner = Darkroom(print="scan", exposure=1), Scanner(contrast=2)
    expected = film_look("kodak-portra-400", darkroom=darkroom, scanner=scanner, part=part, points=17)
    np.testing.assert_allclose(Lut3D.load(out).table, expected.table, atol=DECIMALS)


def test_a_file_is_written_over_only_if_forced(tmp_path, capsys):
    out = tmp_path / "look.cube"
    out.write_text("mine")
    assert lut(out, "--points", "17") == 1
    assert capsys.readouterr().err == f"d2f: {out}: exists (--force writes over it)\n"
    assert out.read_text() == "mine"
    assert lut(out, "--points", "17", "--force") == 0
    assert Lut3D.load(out).points == 17


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "OUT/look.txt"], "look.txt: a table's name ends in .cube"),
        (["-o", ""], "a table's name ends in .cube"),
        (["-o", "OUT/nowhere/look.cube"], "nowhere/look.cube: cannot be written, its folder does not exist"),
        (["-o", "OUT/folder.cube", "--force"], "folder.cube: is a folder"),
        (["-o", "OUT/look.cube", "--stock", "kodak-portra"], "got 'kodak-portra': did you mean kodak-portra-160"),
        (["-o", "OUT/look.cube", "--stock", "nowhere.json"], "nowhere.json: cannot be read as a film stock"),
        (["-o", "OUT/look.cube", "--print", "kodak-2838"], "did you mean kodak-2383"),
        (["-o", "OUT/look.cube", "--stock", "fuji-velvia-50", "--print", "scan"], "it is not printed"),
        (["-o", "OUT/look.cube", "--exposure", "nan"], "exposure in [-10, 10], got nan"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_nothing_written(tmp_path, capsys, arguments, message):
    (tmp_path / "folder.cube").mkdir()
    assert main(["lut", *(text.replace("OUT", str(tmp_path)) for text in arguments)]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("d2f: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["folder.cube"]


@pytest.mark.parametrize("flags", [["--points", "18"], ["--part", "half"], ["--space", "cmyk"], ["--points", "x"]])
def test_wrong_usage_exits_with_2(tmp_path, capsys, flags):
    with pytest.raises(SystemExit, match="2"):
        lut(tmp_path / "look.cube", *flags)
    assert f"argument {flags[0]}: invalid" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


ZEROS = "0 0 0\n" * 8


@pytest.mark.parametrize(
    ("contents", "flags", "message"),
    [
        (None, [], "look.cube: No such file or directory"),
        (b"\x89PNG\r\n\x1a\n\0\0", [], "look.cube: a binary file, not a .cube table"),
        (b"Dear reader\n", [], "look.cube: no LUT_3D_SIZE before its rows"),
        (f"LUT_3D_SIZE 3\n{ZEROS}".encode(), [], "look.cube: LUT_3D_SIZE 3 needs 27 rows, got 8"),
        (f"LUT_3D_SIZE 2\nnan{ZEROS[1:]}".encode(), [], "look.cube: Lut3D expects a finite table, got 1 NaN"),
        (f"LUT_3D_SIZE 2\n{ZEROS}".encode(), ["--exposure", "1"], "a lut takes the place of the film's colours"),
        (f"LUT_3D_SIZE 2\n{ZEROS}".encode(), ["--colour", "photo"], "expects colour='film' for a lut"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_before_any_work(photo, tmp_path, capsys, contents, flags, message):
    table, out = tmp_path / "look.cube", tmp_path / "film.png"
    if contents is not None:
        table.write_bytes(contents)
    assert main(["develop", str(photo), "-o", str(out), "--lut", str(table), *flags]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("d2f: ")
    assert said.count("\n") == 1
    assert not out.exists()
