import shutil
import subprocess

from d2f_mlx.color import Lut3D, read_cube, write_cube

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

# Adobe's own example of a 3-D table: red runs fastest.
ADOBES = """# comment

TITLE "Sample"
LUT_3D_SIZE 2
DOMAIN_MIN 0.0 0.0 0.0
DOMAIN_MAX 2.0 1.0 1.0

0.0 0.0 0.0
1.0 0.0 0.0
0.0 .75 0.0
1.0 .75 0.0
0.0 .25 1.0
1.0 2.5e-1 1.0
0.0 1.0 1.0
# between the rows
1.0 1.0 1.0
"""
ROWS = ADOBES[ADOBES.index("\n0.0") + 1 :]
EIGHT = "0 0 0\n" * 8
DECIMALS = 6e-10
TINY = Lut3D(np.zeros((2, 2, 2, 3)))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "look.cube"


def test_adobes_example(file):
    file.write_text(ADOBES)
    lut = Lut3D.load(file)
    assert (lut.points, lut.title, lut.low.tolist(), lut.high.tolist()) == (2, "Sample", [0, 0, 0], [2, 1, 1])
    assert lut.table[1, 0, 0].tolist() == [1, 0, 0]
    assert lut.table[0, 1, 0].tolist() == [0, 0.75, 0]
    assert lut.table[1, 0, 1].tolist() == [1, 0.25, 1]


@pytest.mark.parametrize(
    "dialect",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: b"\xef\xbb\xbf" + text[text.index("TITLE") :].encode(),
        lambda text: text.replace(" ", "\t").encode(),
        lambda text: text.replace("\n", "  \n \n").encode(),
        lambda text: text.rstrip().encode(),
        lambda text: text.replace("LUT_3D_SIZE", "KEYWORD_OF_SOMEONE 1 2\nLUT_3D_SIZE").encode(),
        lambda text: text.replace('"Sample"', "Sample").encode(),
    ],
    ids=["CRLF", "CR", "BOM", "tabs", "blanks", "no end of line", "unknown keyword", "no quotes"],
)
def test_dialects_mean_the_same(file, dialect):
    file.write_text(ADOBES)
    expected = read_cube(file)
    file.write_bytes(dialect(ADOBES))
    result = read_cube(file)
    np.testing.assert_array_equal(result.table, expected.table)
    assert (result.title, result.high.tolist()) == (expected.title, expected.high.tolist())


def test_resolves_input_range_is_the_domain_of_all_three(file):
    file.write_text("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE -0.5 1.5\n" + EIGHT)
    lut = read_cube(file)
    assert (lut.title, lut.low.tolist(), lut.high.tolist()) == ("", [-0.5] * 3, [1.5] * 3)


def test_a_title_in_another_encoding_is_no_reason_to_refuse_the_table(file):
    file.write_bytes(b'TITLE "Caf\xe9"\nLUT_3D_SIZE 2\n' + EIGHT.encode())
    assert read_cube(file).title.startswith("Caf")


def test_what_is_written_is_what_the_specification_asks(file):
    table = np.zeros((2, 2, 2, 3))
    table[1, 0, 0] = [1e-7, -0.5, 1]
    table[0, 0, 1] = [0, 0, 1234.5]
    write_cube(file, Lut3D(table, low=np.array([0, -0.00001, 0]), title="Größe"))
    lines = file.read_bytes().decode().split("\n")
    assert lines[:5] == [
        'TITLE "Größe"',
        "LUT_3D_SIZE 2",
        "DOMAIN_MIN 0.0 -0.00001 0.0",
        "0.000000000 0.000000000 0.000000000",
        "0.000000100 -0.500000000 1.000000000",
    ]
    assert lines[7] == "0.000000000 0.000000000 1234.500000000"
    assert len(lines) == 12
    assert lines[-1] == ""


@settings(max_examples=40)
@given(
    arrays.arrays(np.float32, (3, 3, 3, 3), elements=st.floats(-100, 100, width=32)),
    st.tuples(*[st.floats(-1e3, 0)] * 3),
    st.tuples(*[st.floats(1e-3, 1e9)] * 3),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters='"'), max_size=50),
)
def test_what_was_saved_is_loaded(tmp_path_factory, table, low, high, title):
    file = tmp_path_factory.mktemp("cube") / "look.cube"
    saved = Lut3D(table, np.array(low), np.array(high), title)
    saved.save(file)
    loaded = Lut3D.load(file)
    np.testing.assert_allclose(loaded.table, saved.table, atol=DECIMALS, rtol=1e-7)
    assert (loaded.title, loaded.low.tolist(), loaded.high.tolist()) == (title, list(low), list(high))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a binary file, not a .cube table"),
        (b"Dear reader,\nthis is a letter.\n", "no LUT_3D_SIZE before its rows: not a 3-D .cube table"),
        (b"LUT_1D_SIZE 2\n0 0 0\n1 1 1\n", "holds a 1-D table, which d2f_mlx does not read"),
        (b"LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n0 0 0\n1 1 1\n" + EIGHT.encode(), "holds a 1-D table"),
        (b"LUT_3D_SIZE 1\n0 0 0\n", "LUT_3D_SIZE expects 2 to 256, got '1'"),
        (b"LUT_3D_SIZE 257\n0 0 0\n", "LUT_3D_SIZE expects 2 to 256, got '257'"),
        (b"LUT_3D_SIZE " + b"9" * 5000, "LUT_3D_SIZE expects 2 to 256, got '9999|Exceeds the limit"),
        (b"LUT_3D_SIZE\n" + EIGHT.encode(), "LUT_3D_SIZE expects 2 to 256, got ''"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 7, "LUT_3D_SIZE 2 needs 8 rows, got 7"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 9, "LUT_3D_SIZE 2 needs 8 rows, got 9"),
        (b"LUT_3D_SIZE 2\n", "LUT_3D_SIZE 2 needs 8 rows, got 0"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 7 + b"0 0\n", "a row expects 3 numbers, got '0 0'"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 7 + b"0 0 0 0\n", "a row expects 3 numbers, got '0 0 0 0'"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 7 + b"0 0,5 0\n", "a row expects 3 numbers, got '0 0,5 0'"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 7 + b"0 1_0 0\n", "a row expects 3 numbers, got '0 1_0 0'"),
        (b"LUT_3D_SIZE 2\nnan 0 0\n" + b"0 0 0\n" * 7, "expects a finite table, got 1 NaN"),
        (b"LUT_3D_SIZE 2\n" + b"0 0 0\n" * 7 + b"0 inf 1e999\n", "expects a finite table, got 2 NaN"),
        (b"LUT_3D_SIZE 2\nDOMAIN_MIN 0 0\n" + EIGHT.encode(), "DOMAIN_MIN expects 3 numbers, got '0 0'"),
        (b"LUT_3D_SIZE 2\nDOMAIN_MAX 1 1 x\n" + EIGHT.encode(), "DOMAIN_MAX expects 3 numbers, got '1 1 x'"),
        (b"LUT_3D_SIZE 2\nDOMAIN_MAX 0 1 1\n" + EIGHT.encode(), "expects low < high, finite"),
        (b"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 1\n" + EIGHT.encode(), "LUT_3D_INPUT_RANGE expects 2 numbers"),
        (b"LUT_3D_SIZE 2\nLUT_IN_VIDEO_RANGE\n" + EIGHT.encode(), "a table for video range"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(file, contents, message):
    file.write_bytes(contents)
    with pytest.raises(ValueError, match=message) as raised:
        read_cube(file)
    assert str(raised.value).startswith("look.cube: ")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"^missing\.cube: No such file or directory$"):
        read_cube(tmp_path / "missing.cube")
    with pytest.raises(ValueError, match=f"^{tmp_path.name}: Is a directory$"):
        read_cube(tmp_path)
    with pytest.raises(ValueError, match=r"^look\.cube: No such file or directory$"):
        write_cube(tmp_path / "folder" / "look.cube", TINY)


def test_a_file_that_could_be_no_table_is_not_read(file):
    with file.open("wb") as out:
        out.truncate((1 << 30) + 1)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"^look\.cube: larger than any table of 256 points"):
        read_cube(file)


@pytest.mark.parametrize("title", ["two\nlines", 'a "quoted" word', "x" * 241])
def test_a_title_that_would_break_the_file_is_refused_and_the_old_file_stays(file, title):
    file.write_text(ADOBES)
    with pytest.raises(ValueError, match=r"^look\.cube: a title is one line of 240 characters at most, no quotes"):
        write_cube(file, Lut3D(TINY.table, title=title))
    assert file.read_text() == ADOBES
    assert list(file.parent.iterdir()) == [file]


FFMPEG = shutil.which("ffmpeg")


@pytest.mark.skipif(FFMPEG is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize(
    ("edge", "high"),
    [(2, 1), (17, 1), (33, 1), (17, np.array([1.25, 1.5, 2]))],  # its domains begin at 0 and reach 1 at least
)
def test_ffmpeg_reads_our_file_and_sees_the_picture_that_we_do(file, edge, high):
    table = np.random.default_rng(edge).uniform(0, 1, (edge, edge, edge, 3))
    lut = Lut3D(table, high=high, title="noise")
    lut.save(file)
    pixels = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), np.uint16)
    pixels[0] = pixels[0, :, :1]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb48le"]
    command = [str(FFMPEG), "-v", "error", *raw, "-s", "64x48", "-i", "pipe:"]
    command += ["-vf", "lut3d=file=look.cube:interp=tetrahedral", *raw, "pipe:"]
    run = subprocess.run(
        command, input=pixels.astype("<u2").tobytes(), capture_output=True, cwd=file.parent, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    theirs = np.frombuffer(run.stdout, "<u2").reshape(pixels.shape) / 65535
    ours = np.array(lut(mx.array(pixels / 65535, mx.float32)))
    # ffmpeg cuts off where we would round, and computes its place in the table in float32.
    np.testing.assert_allclose(ours, theirs, atol=1.5 / 65535 + 4 * edge * np.finfo(np.float32).eps)
