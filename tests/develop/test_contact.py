"""Contact sheets, against each picture developed alone and labels drawn alone."""

from dataclasses import replace

from d2f_mlx import images
from d2f_mlx.color import DISPLAY_P3, SRGB, convert, profile_of
from d2f_mlx.develop import colour, contact, contact_sheet, develop
from d2f_mlx.film import Darkroom, FilmStock, Scanner, stocks

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

GAP, LABEL = 8, 36
WIDTH, HEIGHT = 128, 96
PORTRA, VELVIA, TRI_X = "kodak-portra-400", "fuji-velvia-50", "kodak-tri-x-400"
ROUNDING = 1.5  # levels of a colour told in another space and back, in 8 bits each time


@pytest.fixture(autouse=True)
def two_points(monkeypatch):
    """A table of two points, to be quick: what colours films have is not asked here."""
    monkeypatch.setattr(colour, "POINTS", 2)


@pytest.fixture
def photo():
    return np.ascontiguousarray(data.coffee()[:HEIGHT, 200 : 200 + WIDTH])


def fitted():
    axis = np.linspace(0, 1, 5)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    film = replace(FilmStock.load(PORTRA), kind="scan", spectra=None, name="roll", title="My roll", pitch_um=12.0)
    return replace(film, palette=cube ** np.array([0.6, 1.0, 1.4]))


def frame(sheet, index, columns, shape=(HEIGHT, WIDTH)):
    top, left = place(index, columns, shape)
    return sheet[top : top + shape[0], left : left + shape[1]]


def place(index, columns, shape=(HEIGHT, WIDTH)):
    return GAP + index // columns * (shape[0] + LABEL + GAP), GAP + index % columns * (shape[1] + GAP)


def label(sheet, index, columns):
    """What stands below a picture, and beside that, up to the next one."""
    top, left = place(index, columns)
    return sheet[top + HEIGHT : top + HEIGHT + LABEL, left : left + WIDTH + GAP]


def written(first, second=""):
    strip = Image.new("RGB", (WIDTH + GAP, LABEL), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(13)
    draw.text((0, 2), first, fill="black", font=font)
    draw.text((0, 18), second, fill="grey", font=font)
    return np.asarray(strip)


def test_the_photograph_and_each_film_stand_in_their_places(photo):
    films = [PORTRA, TRI_X, VELVIA]
    sheet = contact_sheet(photo, films, columns=3, key=7)
    assert (sheet.dtype, sheet.shape) == (np.uint8, (2 * (HEIGHT + LABEL + GAP) + GAP, 3 * (WIDTH + GAP) + GAP, 3))
    np.testing.assert_array_equal(frame(sheet, 0, 3), photo)
    for index, film in enumerate(films, 1):
        np.testing.assert_array_equal(frame(sheet, index, 3), develop(photo, stock=film, key=7), err_msg=film)
    assert (sheet[:GAP] == 255).all()
    assert (sheet[place(3, 3)[0] :, place(1, 3)[1] :] == 255).all()  # four pictures, six places
    assert (contact_sheet(photo, films, columns=3, key=8) != sheet).any()


def test_each_picture_is_labelled_with_its_film_and_print(photo):
    sheet = contact_sheet(photo, [TRI_X, VELVIA], columns=2)
    np.testing.assert_array_equal(label(sheet, 0, 2), written("the photo"))
    np.testing.assert_array_equal(label(sheet, 2, 2), written("Fujichrome Velvia 50", "as it is"))
    tri_x = label(sheet, 1, 2)
    np.testing.assert_array_equal(tri_x[:18], written("Kodak Tri-X 400")[:18])
    assert (tri_x[18:] < 255).any()


def test_a_label_that_is_too_long_is_cut_at_its_pictures_edge(photo):
    film = replace(FilmStock.load(VELVIA), title="A film whose name is far longer than a picture is wide")
    strip = label(contact_sheet(photo, [film], columns=2), 1, 2)
    assert (strip[:, WIDTH:] == 255).all()
    assert (strip[:18, WIDTH - 12 : WIDTH] < 255).any()  # and no shorter than needed


def test_a_print_is_for_negatives(photo):
    darkroom = Darkroom(print="scan", exposure=0.5)
    sheet = contact_sheet(photo, [VELVIA, PORTRA], darkroom=darkroom, scanner=Scanner(contrast=2.5), columns=3)
    reversal = develop(photo, stock=VELVIA, darkroom=Darkroom(exposure=0.5), scanner=Scanner(contrast=2.5))
    np.testing.assert_array_equal(frame(sheet, 1, 3), reversal)
    np.testing.assert_array_equal(label(sheet, 1, 3), written("Fujichrome Velvia 50", "as it is"))
    scan = develop(photo, stock=PORTRA, darkroom=darkroom, scanner=Scanner(contrast=2.5))
    np.testing.assert_array_equal(frame(sheet, 2, 3), scan)
    np.testing.assert_array_equal(label(sheet, 2, 3)[18:], written("", "scan")[18:])


def test_a_fitted_stock_has_its_own_look_and_a_frames_grain(photo):
    """Neither darkroom nor scanner are for it, and its grain is as fine as the others' beside it."""
    film, darkroom = fitted(), Darkroom(exposure=1, print="scan")
    sheet = contact_sheet(photo, [film, PORTRA], darkroom=darkroom, scanner=Scanner(contrast=2.5), columns=3)
    np.testing.assert_array_equal(frame(sheet, 1, 3), develop(photo, stock=film, film_format="135"))
    np.testing.assert_array_equal(label(sheet, 1, 3), written("My roll"))
    assert (frame(sheet, 1, 3) != photo).mean() > 0.5


def test_large_photos_are_made_smaller_and_small_ones_stay(photo):
    sheet = contact_sheet(np.repeat(np.repeat(photo, 3, 0), 3, 1), [VELVIA], columns=2, width=WIDTH)
    assert sheet.shape == (HEIGHT + LABEL + 2 * GAP, 2 * (WIDTH + GAP) + GAP, 3)
    off = frame(sheet, 0, 2).astype(int) - photo
    assert np.abs(off.mean((0, 1))).max() < 0.5
    assert off.std() < 3
    assert contact_sheet(photo, [VELVIA], columns=2, width=4096).shape == sheet.shape


def test_files_16_bits_and_display_p3_are_shown_in_srgb(photo, tmp_path):
    p3 = np.array(convert(photo.astype(np.float32) / 255, SRGB, DISPLAY_P3))
    picture = images.Picture(np.rint(p3 * 65535).astype(np.uint16), icc=profile_of(DISPLAY_P3))
    shown = frame(contact_sheet(picture, [VELVIA], columns=2), 0, 2)
    assert np.abs(shown.astype(int) - photo).max() < ROUNDING
    assert np.abs(p3 * 255 - photo).max() > 10
    images.write(tmp_path / "photo.png", photo)
    found = contact_sheet(tmp_path / "photo.png", [VELVIA], columns=2)
    np.testing.assert_array_equal(found, contact_sheet(images.Picture(photo), [VELVIA], columns=2))
    np.testing.assert_array_equal(frame(found, 0, 2), photo)


def test_all_bundled_films_are_drawn_unless_told_which(photo, monkeypatch):
    some = {name: stocks()[name] for name in (VELVIA, TRI_X, "kodak-kodachrome-64", "fuji-provia-100f")}
    monkeypatch.setattr(contact, "stocks", lambda: some)
    done = []
    sheet = contact_sheet(photo, progress=lambda *count: done.append(count))
    np.testing.assert_array_equal(sheet, contact_sheet(photo, list(some), columns=2))  # squarest with its labels
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 63}, "a width from 64 to 4096 and columns of 0 or more, got 63, 0"),
        ({"width": 4097}, "got 4097, 0"),
        ({"columns": -1}, "got 420, -1"),
        ({"films": [VELVIA, "fuji-velvia"]}, r"got 'fuji-velvia': did you mean fuji-velvia-50"),
        ({"films": [VELVIA, PORTRA], "darkroom": Darkroom(print="kodak-2838")}, "did you mean .*kodak-2383"),
        ({"photo": np.zeros((8, 8), np.uint8)}, r"\(H, W, 3\)"),
        ({"photo": "nowhere.jpg"}, "nowhere.jpg"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_any_work(photo, monkeypatch, arguments, message):
    monkeypatch.setattr(contact, "Developer", lambda *_, **__: pytest.fail("it had begun"))
    with pytest.raises(ValueError, match=message):
        contact_sheet(**{"photo": photo, "films": [VELVIA], **arguments})
