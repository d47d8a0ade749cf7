import importlib
import io
import json
from contextlib import redirect_stdout
from dataclasses import replace

from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.cli.fit import paired
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.evaluate import plot_palette
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
    assert lines[-1] == f"{out}: use it with d2f develop PHOTO -o FILM --stock {out}"


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


@pytest.fixture
def asked(monkeypatch, fitted):
    """What the command asks of `fit`; it gets the stock that is there, its look, if one is asked for, red for blue."""
    given = {}

    def answer(scans, **options):
        given.update(options, scans=scans)
        stock = FilmStock.load(fitted)
        stock = replace(stock, palette=None, report={**stock.report, "look": None})
        if not options["look"]:
            return stock
        report = {"pairs": 2, "CIEDE2000 before": 9.04, "CIEDE2000 after": 2.96}
        if not options["pairs"]:
            report = {"scans": 3, "photographs": 17, "strength": 0.61, "distance before": 8.04, "distance after": 6.96}
        swapped = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1)[..., ::-1]
        return replace(stock, palette=swapped, report={**stock.report, "look": report})

    monkeypatch.setattr("d2f_mlx.cli.fit.fit", answer)
    return given


@pytest.fixture
def photos(tmp_path):
    """Photographs of the names of two of the three scans, and of none."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("0.JPG", "more/2.png", "other.png"):
        images.write(folder / name, np.full((64, 96, 3), 60, np.uint8))
    return folder


def test_photographs_are_paired_with_scans_by_name(scans, photos, tmp_path, asked, capsys):
    assert main(["fit", str(scans), "-o", str(tmp_path / "mine"), "--pairs", str(photos)]) == 0
    assert asked["pairs"] == [(photos / "0.JPG", scans / "0.png"), (photos / "more/2.png", scans / "2.png")]
    assert (asked["photos"], asked["look"], asked["look_strength"]) == ([], True, None)
    said = capsys.readouterr()
    assert said.err == f"d2f: 2 scans have no photograph in {photos}: 1.png, torn.png\n"
    assert "look, from 2 pairs: held-out scans are 9.0 CIEDE2000 off, 3.0 with it\n" in said.out


def test_case_and_suffix_do_not_count_in_pairing(tmp_path):
    for folder, name in (("film", "IMG_01.TIF"), ("digital", "Img_01.jpeg")):
        (tmp_path / folder).mkdir()
        images.write(tmp_path / folder / name, np.zeros((16, 16, 3), np.uint8))
    scan, photo = tmp_path / "film" / "IMG_01.TIF", tmp_path / "digital" / "Img_01.jpeg"
    assert paired(tmp_path / "digital", [scan]) == [(photo, scan)]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("ROLL", "ROLL: holds no photograph of the same name as a scan, such as 0"),  # a scan is no photograph
        ("PHOTOS/more/2.png", None),
        ("PHOTOS/other.png", "PHOTOS/other.png: holds no photograph of the same name as a scan, such as 0"),
        ("nowhere", "nowhere: no such file or folder"),
        ("TWICE", "--pairs goes by names, and two are the same: TWICE/1.jpg and TWICE/1.png"),
    ],
)
def test_what_cannot_be_paired_is_told(scans, photos, tmp_path, asked, capsys, pairs, message):
    (tmp_path / "twice").mkdir()
    for name in ("1.jpg", "1.png"):
        images.write(tmp_path / "twice" / name, np.zeros((16, 16, 3), np.uint8))

    def named(text):
        for word, folder in (("ROLL", scans), ("PHOTOS", photos), ("TWICE", tmp_path / "twice")):
            text = text.replace(word, str(folder))
        return text

    status = main(["fit", str(scans), "-o", str(tmp_path / "mine"), "--pairs", named(pairs)])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    if message is None:
        assert status == 0
        assert asked["pairs"] == [(photos / "more/2.png", scans / "2.png")]
    else:
        assert status == 1
        assert said == f"d2f: {named(message)}\n"
        assert not asked
        assert not (tmp_path / "mine.json").exists()


def test_two_scans_of_one_name_cannot_share_a_photograph(scans, photos, tmp_path, asked, capsys):
    second = tmp_path / "second"
    second.mkdir()
    (second / "0.png").write_bytes((scans / "0.png").read_bytes())
    assert main(["fit", str(scans), str(second), "-o", str(tmp_path / "mine"), "--pairs", str(photos)]) == 1
    assert f"two are the same: {scans / '0.png'} and {second / '0.png'}" in capsys.readouterr().err
    (photos / "0.JPG").unlink()  # as neither has one, they may have one name
    assert main(["fit", str(scans), str(second), "-o", str(tmp_path / "mine"), "--pairs", str(photos)]) == 0
    assert asked["pairs"] == [(photos / "more/2.png", scans / "2.png")]


def test_photos_of_ones_own_and_a_strength_are_passed_on(scans, photos, tmp_path, asked, capsys):
    flags = ["--photos", str(photos), str(photos / "other.png"), "--look-strength", "0.25"]
    assert main(["fit", str(scans), "-o", str(tmp_path / "mine"), *flags]) == 0
    assert sorted(asked["photos"]) == [photos / "0.JPG", photos / "more/2.png", photos / "other.png"]
    assert (asked["pairs"], asked["look"], asked["look_strength"]) == ([], True, 0.25)
    assert (
        "look, of 3 scans against 17 photographs, 61% kept: held-out scans' colours are 8.0 from photographs', 7.0"
        in (capsys.readouterr().out)
    )


def test_grain_only_leaves_the_look_out(scans, tmp_path, asked, capsys):
    assert main(["fit", str(scans), "-o", str(tmp_path / "mine"), "--grain-only"]) == 0
    assert (asked["look"], asked["photos"], asked["pairs"]) == (False, [], [])
    assert "look" not in capsys.readouterr().out


def test_the_look_is_applied_to_a_photo_unless_grain_alone_is_asked_for(scans, tmp_path, asked):
    photo, out, stock = tmp_path / "photo.png", tmp_path / "film.png", tmp_path / "mine.json"
    images.write(photo, np.full((40, 60, 3), [200, 120, 60], np.uint8))
    assert main(["fit", str(scans), "-o", str(stock)]) == 0
    flags = ["-o", str(out), "--stock", str(stock), "--strength", "0", "--force"]
    assert main(["develop", str(photo), *flags]) == 0
    np.testing.assert_array_equal(images.read(out).pixels, np.full((40, 60, 3), [60, 120, 200]))
    assert main(["grain", str(photo), *flags]) == 0
    np.testing.assert_array_equal(images.read(out).pixels, images.read(photo).pixels)


def test_a_developed_photo_takes_no_darkroom_from_a_fitted_stock(fitted, tmp_path, capsys):
    photo, out = tmp_path / "photo.png", tmp_path / "film.png"
    images.write(photo, np.full((40, 60, 3), 99, np.uint8))
    assert main(["develop", str(photo), "-o", str(out), "--stock", str(fitted), "--exposure", "1"]) == 1
    assert capsys.readouterr().err.endswith("was fitted to scans, which hold its colours: it takes no darkroom\n")
    assert not out.exists()


def test_the_look_is_drawn_with_the_scans_that_can_be_read(scans, photos, tmp_path, asked, monkeypatch):
    pytest.importorskip("matplotlib", reason="plots need the extra 'plot'")
    drawn = []

    def draw(palette, photo, pictures, title):
        drawn.append((palette, photo, pictures, title))
        return plot_palette(palette, photo, pictures, title)

    monkeypatch.setattr("d2f_mlx.cli.fit.plot_palette", draw)
    roll = [str(scans / name) for name in ("torn.png", "0.png", "1.png")]
    out = tmp_path / "look.png"
    for index, (flags, shown) in enumerate(
        [
            ([], scans / "0.png"),
            (["--pairs", str(photos)], photos / "0.JPG"),
            (["--photos", str(photos)], photos / "0.JPG"),
        ]
    ):
        out = tmp_path / f"{index}.png"
        assert main(["fit", *roll, "-o", str(tmp_path / str(index)), "--plot", str(out), *flags]) == 0
        palette, photo, pictures, title = drawn[-1]
        np.testing.assert_array_equal(photo, images.read(shown).pixels)
        assert [picture.shape for picture in pictures] == [images.read(scans / "0.png").pixels.shape] * 2
        assert (title, palette.table.shape) == ("my film", (2, 2, 2, 3))
        assert out.read_bytes().startswith(b"\x89PNG")


def test_a_look_that_there_is_not_is_not_drawn(scans, fitted, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="plots need the extra 'plot'")
    made = FilmStock.load(fitted)
    monkeypatch.setattr("d2f_mlx.cli.fit.fit", lambda *_, **__: replace(made, palette=None))
    out = tmp_path / "look.png"
    assert main(["fit", str(scans), "-o", str(tmp_path / "mine"), "--plot", str(out)]) == 0
    assert capsys.readouterr().err == f"d2f: {out}: not drawn, there is no look\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--plot", "OUT/look.txt"], "look.txt: a plot's name ends in one of .png .pdf .svg"),
        (["--plot", "OUT/nowhere/look.png"], "look.png: cannot be written, its folder does not exist"),
        (["--plot", "OUT/photos/0.png"], "0.png: exists (--force writes over it)"),
        (["--plot", "OUT/photos/0.png", "--force", "--pairs", "OUT/photos"], "0.png: is an input; choose another"),
        (["--plot", "OUT/photos/0.png", "--force", "--photos", "OUT/photos"], "0.png: is an input; choose another"),
        (["--plot", "ROLL/0.png", "--force"], "0.png: is an input; choose another output"),
        (["--plot", "OUT/look.png", "--grain-only"], "--plot draws the look, which --grain-only leaves out"),
        (["--look-strength", "0.5", "--grain-only"], "a look_strength from 0 to 1, and a look without pairs, got 0.5"),
        (["--look-strength", "1.5"], "a look_strength from 0 to 1, and a look without pairs, got 1.5"),
        (["--photos", "OUT/nowhere"], "nowhere: no such file or folder"),
        (["-o", "OUT/photos/0.png/mine"], "0.png is not a folder"),
    ],
)
def test_a_look_that_cannot_be_had_is_told_and_nothing_written(scans, tmp_path, capsys, monkeypatch, flags, message):
    pytest.importorskip("matplotlib", reason="plots need the extra 'plot'")
    monkeypatch.setattr(_module(), "survey", lambda *_, **__: pytest.fail("it had begun"))
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "0.png"
    images.write(photo, np.zeros((16, 16, 3), np.uint8))
    before = photo.read_bytes(), (scans / "0.png").read_bytes()
    flags = [text.replace("ROLL", str(scans)).replace("OUT", str(tmp_path)) for text in flags]
    assert main(["fit", str(scans), "-o", str(tmp_path / "mine"), *flags]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.splitlines()[-1].startswith("d2f: ")
    assert (photo.read_bytes(), (scans / "0.png").read_bytes()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("flags", [["--photos", "x", "--pairs", "y"], ["--grain-only", "--pairs", "y"]])
def test_sources_of_a_look_exclude_each_other(scans, capsys, flags):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", str(scans), "-o", "mine", *flags])
    assert "not allowed with argument" in capsys.readouterr().err


def test_an_unknown_format_is_wrong_usage(scans, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", str(scans), "-o", "x", "--film-format", "8x10"])
    assert "half-frame" in capsys.readouterr().err
