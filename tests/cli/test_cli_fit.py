import importlib
import io
import json
from contextlib import redirect_stdout

from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.film import FilmStock

import numpy as np
import pytest

SIGMA = 0.1  # relative; of small scans


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Three scans of four plain areas each, 9 um a pixel, and a file that is none."""
    folder = tmp_path_factory.mktemp("roll")
    frame = {"stock": "kodak-portra-400", "enlargement": 36000 / 320 / 9}
    engine = Developer(DevelopConfig(grain="gaussian", colour="photo", **frame))
    for index in range(3):
        shades = (np.array([[4.5, 6.5], [8.5, 10.5]]) / 16 + index / 16)[..., None]
        photo = np.kron(shades, np.ones((128, 160, 3))).astype(np.float32)
        images.write(folder / f"{index}.png", np.rint(255 * engine(photo, key=index)).astype(np.uint8))
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def run(scans, tmp_path_factory):
    """The stock's file, and what was printed."""
    out, module, printed = tmp_path_factory.mktemp("stock") / "new" / "my film", _module(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(module, "_PLAIN_COLUMNS", 2**10)  # to be quick
        patch.setattr(module, "_LEAST_COLUMNS", 128)
        assert main(["fit", str(scans), "-o", str(out), "--film-format", "6x7"]) == 0
    return out.with_suffix(".json"), printed.getvalue()


def _module():
    return importlib.import_module("d2f_mlx.film.fit")


@pytest.fixture
def fitted(run):
    return run[0]


def test_scans_become_a_stock(fitted):
    stock = FilmStock.load(fitted)
    assert (stock.name, stock.kind, stock.pitch_um) == ("my film", "scan", 69500 / 320)
    assert stock.report["pictures"] == 3
    assert stock.report["skipped"][0].startswith("torn.png: ")


def test_the_stock_is_described(run):
    out, printed = run
    stock, lines = FilmStock.load(out), printed.splitlines()
    assert lines[0] == f"my film: 3 scans, {stock.report['blocks']} flat blocks, 217.2 um a pixel"
    red_green, red_blue, green_blue = (f"{stock.correlation[i, j]:.2f}" for i, j in ((0, 1), (0, 2), (1, 2)))
    assert lines[1] == f"correlation of the channels' grain: R-G {red_green}, R-B {red_blue}, G-B {green_blue}"
    sigma, low, high = (stock.report[name][6] for name in ("sigma", "sigma low", "sigma high"))
    (band,) = (line for line in lines if line.startswith(" 96 to 111 "))
    assert band.split()[3] == str(min(stock.report["blocks by brightness"][6]))
    for s, a, b in zip(sigma, low, high, strict=True):
        assert f"{s:.2f} ({a:.2f} to {b:.2f})" in band
    assert not any(line.startswith("  0 to ") for line in lines)
    assert any(line.startswith("left out: torn.png: ") for line in lines)
    assert lines[-1] == f"{out}: use it with d2f grain PHOTO -o FILM --stock {out}"


def test_a_name_of_ones_own_is_taken(scans, tmp_path, monkeypatch):
    named = []

    def refuse(paths, *, name, **_):
        named.append(name)
        raise ValueError("enough")

    monkeypatch.setattr("d2f_mlx.cli.fit.fit", refuse)
    assert main(["fit", str(scans), "-o", str(tmp_path / "mine"), "--name", "Roll 12"]) == 1
    assert named == ["Roll 12"]


def test_the_stock_gives_its_grain_to_a_photo(fitted, tmp_path):
    photo, out = tmp_path / "photo.png", tmp_path / "film.png"
    images.write(photo, np.full((160, 160, 3), 104, np.uint8))
    assert main(["grain", str(photo), "-o", str(out), "--stock", str(fitted)]) == 0
    measured = FilmStock.load(fitted).report["sigma"][6]
    np.testing.assert_allclose(images.read(out).pixels.std((0, 1)), measured, rtol=SIGMA)


def test_the_stock_is_listed_like_any_other(fitted, capsys):
    assert main(["stocks", str(fitted)]) == 0
    assert "a pixel of 217.188 um" in capsys.readouterr().out


def test_a_file_is_written_over_only_if_forced(scans, fitted, tmp_path, capsys, monkeypatch):
    out = tmp_path / "mine.json"
    out.write_text("mine")
    made = FilmStock.load(fitted)
    monkeypatch.setattr("d2f_mlx.cli.fit.fit", lambda *_, **__: made)
    assert main(["fit", str(scans), "-o", str(out.with_suffix(""))]) == 1
    assert "mine.json: exists (--force writes over it)" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(["fit", str(scans), "-o", str(out), "--force"]) == 0
    assert json.loads(out.read_text())["name"] == "my film"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ROLL", "-o", ""], "expects the name of an output, got"),
        (["ROLL/torn.png", "-o", "OUT/mine"], "expects scans with flat areas, got none"),
        (["ROLL/0.png", "-o", "OUT/mine", "--name", "x"], "from 1 scan(s): add scans with sky"),
        (["ROLL/nothing.png", "-o", "OUT/mine"], "nothing.png"),
        (["ROLL", "-o", "OUT/folder.json", "--force"], "folder.json: is a folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(scans, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(_module(), "FEWEST_BLOCKS", 10**6)
    (tmp_path / "folder.json").mkdir()
    arguments = [text.replace("ROLL", str(scans)).replace("OUT", str(tmp_path)) for text in arguments]
    assert main(["fit", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]


def test_an_unknown_format_is_wrong_usage(scans, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", str(scans), "-o", "x", "--film-format", "8x10"])
    assert "half-frame" in capsys.readouterr().err
