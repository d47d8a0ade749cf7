from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.color import DISPLAY_P3, profile_of
from d2f_mlx.develop import colour, contact_sheet
from d2f_mlx.film import Darkroom, Scanner

import numpy as np
import pytest
from skimage import data

PORTRA, VELVIA = "kodak-portra-400", "fuji-velvia-50"


@pytest.fixture(autouse=True)
def two_points(monkeypatch):
    """A table of two points, to be quick."""
    monkeypatch.setattr(colour, "POINTS", 2)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    images.write(path, np.ascontiguousarray(data.coffee()[::4, ::4]), icc=profile_of(DISPLAY_P3))
    return path


def contact(photo, out, *flags):
    return main(["contact", str(photo), "-o", str(out), *map(str, flags)])


def test_the_file_holds_the_sheet_that_flags_ask_for(photo, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    flags = ["--stocks", PORTRA, VELVIA, "--width", "100", "--columns", "3", "--seed", "5"]
    assert contact(photo, out, *flags, "--print", "scan", "--exposure", "1", "--contrast", "2") == 0
    darkroom, scanner = Darkroom(print="scan", exposure=1), Scanner(contrast=2)
    made = {"darkroom": darkroom, "scanner": scanner, "width": 100, "columns": 3, "key": 5}
    expected = contact_sheet(photo, [PORTRA, VELVIA], **made)
    sheet = images.read(out)
    np.testing.assert_array_equal(sheet.pixels, expected)
    assert sheet.icc is None  # sRGB, whatever the photo's
    said = capsys.readouterr()
    assert said.out == f"{out}: {3 * 108 + 8} x {expected.shape[0]} pixels\n"
    assert said.err == ""


def test_a_file_is_written_over_only_if_forced(photo, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    out.write_text("mine")
    assert contact(photo, out, "--stocks", VELVIA) == 1
    assert capsys.readouterr().err == f"d2f: {out}: exists (--force writes over it)\n"
    assert out.read_text() == "mine"
    assert contact(photo, out, "--stocks", VELVIA, "--width", "64", "--force") == 0
    assert images.size(out)[1] == 2 * 72 + 8


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_the_photo_is_never_written_over(photo, tmp_path, capsys, force):
    link, before = tmp_path / "link.png", photo.read_bytes()
    link.hardlink_to(photo)
    for out in (photo, tmp_path / "." / "photo.png", link):
        assert contact(photo, out, "--stocks", VELVIA, *force) == 1
        assert capsys.readouterr().err == f"d2f: {out}: is an input; choose another output\n"
    assert photo.read_bytes() == link.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "flags", "message"),
    [
        ("sheet.gif", [], "sheet.gif: cannot write this kind of file; supported are .jpg"),
        ("sheet", [], "sheet: cannot write this kind of file"),
        ("nowhere/sheet.png", [], "nowhere/sheet.png: cannot be written, its folder does not exist"),
        ("photo.png/sheet.png", [], "photo.png is not a folder"),
        ("folder.png", ["--force"], "folder.png: is a folder"),
        ("sheet.png", ["--stocks", VELVIA, "fuji-velvia"], "got 'fuji-velvia': did you mean fuji-velvia-50"),
        ("sheet.png", ["--stocks", VELVIA, "--print", "kodak-2838"], "did you mean kodak-2383"),
        ("sheet.png", ["--stocks", VELVIA, "--width", "10"], "a width from 64 to 4096"),
        ("sheet.png", ["--stocks", VELVIA, "--exposure", "99"], "exposure in [-10, 10], got 99"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_nothing_written(photo, tmp_path, capsys, out, flags, message):
    (tmp_path / "folder.png").mkdir()
    assert contact(photo, tmp_path / out, *flags) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("d2f: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "photo.png"]


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("nowhere.jpg", None, "nowhere.jpg: No such file or directory"),
        ("torn.png", b"\x89PNG\r\n\x1a\n", "torn.png: "),
        ("letter.jpg", b"Dear reader", "letter.jpg: not a JPEG, PNG, TIFF or WebP picture"),
    ],
)
def test_a_photo_that_cannot_be_read_is_named(tmp_path, capsys, name, contents, message):
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    before = list(tmp_path.iterdir())
    assert contact(tmp_path / name, tmp_path / "sheet.png", "--stocks", VELVIA) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"d2f: {message}")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == before


def test_wrong_usage_exits_with_2(photo, tmp_path, capsys):
    for arguments in (["contact", str(photo)], ["contact", "-o", "x.png"], ["contact", str(photo), "--tone", "soft"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert "usage: d2f contact" in capsys.readouterr().err
