"""Pictures read by rows: the very pixels that reading the whole file gives."""

import sys
import zlib

from d2f_mlx.images import ImageFileError, open_rows, read

import numpy as np
import pytest
from PIL import Image

oiio = pytest.importorskip("OpenImageIO", reason="rows by rows need the extra `deep`")

ORIENTATION = 0x0112
HEIGHT, WIDTH = 75, 53
STORED = {
    "strips": {"tiff__RowsPerStrip": 4, "compression": "none"},
    "one strip": {"tiff__RowsPerStrip": HEIGHT, "compression": "none"},
    "one compressed strip": {"tiff__RowsPerStrip": HEIGHT, "compression": "lzw"},
    "deflate": {"tiff__RowsPerStrip": 7, "compression": "zip", "tiff__Predictor": 2},
    "planes": {"tiff__RowsPerStrip": 7, "planarconfig": "separate"},
    "BigTIFF": {"tiff__RowsPerStrip": 7, "tiff__bigtiff": 1},
    "tiles": {"tile": 16, "compression": "zip"},
    "BigTIFF's tiles": {"tile": 32, "tiff__bigtiff": 1, "compression": "none"},
}


def noise(dtype=np.uint8, channels=3):
    top = np.iinfo(dtype).max
    return np.random.default_rng(2).integers(0, top + 1, (HEIGHT, WIDTH, channels)).astype(dtype)


def stored(path, pixels, tile=0, **attributes):
    """Write through OpenImageIO, independently of this package's encoders."""
    spec = oiio.ImageSpec(WIDTH, HEIGHT, pixels.shape[2], pixels.dtype.name)
    spec.tile_width = spec.tile_height = tile
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(pixels), out.geterror()
    out.close()
    return path


def by_rows(path, step):
    with open_rows(path) as rows:
        bands = [rows.read(top, min(top + step, rows.height)) for top in range(0, rows.height, step)]
        return np.concatenate(bands), (rows.height, rows.width, rows.dtype, rows.exif, rows.icc)


def assert_same(path, steps=(1, 16, 31, 1000)):
    whole = read(path)
    for step in steps:
        pixels, told = by_rows(path, step)
        np.testing.assert_array_equal(pixels, whole.pixels)
        assert told == (*whole.pixels.shape[:2], whole.pixels.dtype, whole.exif, whole.icc)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("way", STORED)
def test_rows_of_a_tiff_are_the_whole_pictures(tmp_path, way, dtype):
    path = stored(tmp_path / "a.tif", noise(dtype), **STORED[way], Make="Leica")
    assert path.read_bytes()[2] == (43 if "BigTIFF" in way else 42)
    np.testing.assert_array_equal(by_rows(path, 10)[0], noise(dtype))
    assert_same(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("suffix", "channels"), [(".png", 1), (".png", 2), (".png", 3), (".png", 4), (".tif", 1), (".tif", 4)]
)
def test_grey_and_transparency_are_as_in_the_whole_picture(tmp_path, suffix, channels, dtype):
    assert_same(stored(tmp_path / f"a{suffix}", noise(dtype, channels), oiio__UnassociatedAlpha=1), steps=(9,))


def test_rows_of_a_tiff_of_jpeg_tiles_are_the_whole_pictures(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="comes with the extra `demo`")
    tifffile.imwrite(tmp_path / "a.tif", noise(), tile=(16, 16), photometric="ycbcr", compression="jpeg")
    assert_same(tmp_path / "a.tif", steps=(20,))


@pytest.mark.parametrize("options", [{"subsampling": "4:2:0"}, {"subsampling": "4:4:4"}])
def test_rows_of_a_jpeg_are_the_whole_pictures(tmp_path, options):
    Image.fromarray(noise()).save(tmp_path / "a.jpg", quality=90, **options)
    assert_same(tmp_path / "a.jpg", steps=(9, 1000))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_profile_and_exif_come_along(tmp_path, suffix):
    profile = bytearray(np.arange(200, dtype=np.uint8))
    profile[16:20] = b"RGB "
    exif = Image.Exif()
    exif[0x010F] = "Leica"
    Image.fromarray(noise()).save(tmp_path / f"a{suffix}", exif=exif, icc_profile=bytes(profile))
    assert by_rows(tmp_path / f"a{suffix}", 50)[1][4] == profile
    assert_same(tmp_path / f"a{suffix}", steps=(50,))


@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_mirrored_tiffs_come_upright(tmp_path, orientation, tile):
    assert_same(stored(tmp_path / "a.tif", noise(np.uint16), tile=tile, Orientation=orientation), steps=(1, 20))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_mirrored_columns_come_upright(tmp_path, suffix):
    exif = Image.Exif()
    exif[ORIENTATION] = 2
    Image.fromarray(noise()).save(tmp_path / f"a{suffix}", exif=exif)
    assert_same(tmp_path / f"a{suffix}", steps=(20,))


def test_rows_are_given_again_and_in_any_order(tmp_path):
    for name in ("a.tif", "a.png"):
        with open_rows(stored(tmp_path / name, noise())) as rows:
            for top, bottom in ((40, 50), (0, 3), (45, 75), (0, 75)):
                np.testing.assert_array_equal(rows.read(top, bottom), noise()[top:bottom])


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return {"exif": exif}


def interlaced(path):
    """A 1 x 1 PNG is the same with and without interlacing but for its header's byte."""
    Image.new("RGB", (1, 1)).save(path)
    data = bytearray(path.read_bytes())
    data[28] = 1
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "mode", "options", "reason"),
    [
        ("a.tif", "RGB", turned(6), "orientation 6"),
        ("a.png", "RGB", turned(3), "orientation 3"),
        ("a.jpg", "RGB", turned(8), "orientation 8"),
        ("a.jpg", "RGB", {"progressive": True}, "a progressive JPEG"),
        ("a.jpg", "CMYK", {}, "CMYK"),
        ("a.tif", "CMYK", {}, "its kind of colour"),
        ("a.tif", "P", {}, "its kind of colour"),
        ("a.tif", "1", {}, "its kind of colour"),
        ("a.tif", "YCbCr", {"compression": "jpeg"}, "its kind of colour"),
        ("a.webp", "RGB", {}, "WebP"),
    ],
)
def test_what_needs_the_whole_picture_is_refused(tmp_path, name, mode, options, reason):
    Image.fromarray(noise()).convert(mode).save(tmp_path / name, **options)
    with pytest.raises(ImageFileError) as error, open_rows(tmp_path / name):
        pass
    said = f"{name}: {reason} cannot be read by rows; save the picture as an upright RGB TIFF first"
    assert str(error.value) == said


def test_an_interlaced_png_is_refused(tmp_path):
    interlaced(tmp_path / "a.png")
    assert read(tmp_path / "a.png").pixels.shape == (1, 1, 3)
    with pytest.raises(ImageFileError, match=r"^a\.png: an interlaced PNG cannot"), open_rows(tmp_path / "a.png"):
        pass


def test_a_large_compressed_strip_is_refused_and_an_uncompressed_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("d2f_mlx.images.bands._MAX_STRIP", 1000)
    packed = stored(tmp_path / "a.tif", noise(), **STORED["one compressed strip"])
    with pytest.raises(ImageFileError, match=r"^a\.tif: so large a compressed strip"), open_rows(packed):
        pass
    assert_same(stored(tmp_path / "b.tif", noise(), **STORED["one strip"]), steps=(20,))
    assert_same(stored(tmp_path / "c.tif", noise(), tiff__RowsPerStrip=4, compression="zip"), steps=(20,))


def test_damage_further_down_is_told_when_it_is_met(tmp_path):
    path = stored(tmp_path / "a.tif", noise(np.uint16), tiff__RowsPerStrip=4)
    path.write_bytes(path.read_bytes()[: HEIGHT * WIDTH * 4])  # OpenImageIO writes the directory first
    with open_rows(path) as rows:
        np.testing.assert_array_equal(rows.read(0, 20), noise(np.uint16)[:20])
        with pytest.raises(ImageFileError, match=r"^a\.tif: \S.*") as error:
            rows.read(60, 75)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("top", "bottom"), [(-1, 4), (4, 4), (70, 76)])
def test_rows_beyond_the_picture_are_refused(tmp_path, top, bottom):
    with open_rows(stored(tmp_path / "a.tif", noise())) as rows, pytest.raises(ValueError, match="rows within 0 to 75"):
        rows.read(top, bottom)


def test_what_a_header_may_say_has_an_end(tmp_path):
    path = stored(tmp_path / "a.tif", noise())
    with pytest.raises(ImageFileError, match="53 x 75 pixels; at most 3974"), open_rows(path, max_pixels=3974):
        pass


def test_the_machines_memory_is_no_limit_and_stays_as_it_was(tmp_path):
    path = stored(tmp_path / "a.tif", np.repeat(noise(), 1, 0))
    before = oiio.get_int_attribute("limits:imagesize_MB")
    try:
        oiio.attribute("limits:imagesize_MB", 1)
        wide = tmp_path / "wide.tif"
        spec = oiio.ImageSpec(3000, 200, 3, "uint8")
        out = oiio.ImageOutput.create(str(wide))
        out.open(str(wide), spec)
        out.write_image(np.zeros((200, 3000, 3), np.uint8))
        out.close()
        assert oiio.ImageInput.open(str(wide)) is None
        oiio.geterror()
        with open_rows(wide) as rows:
            assert rows.read(199, 200).shape == (1, 3000, 3)
        assert oiio.get_int_attribute("limits:imagesize_MB") == 1
    finally:
        oiio.attribute("limits:imagesize_MB", before)
    assert_same(path, steps=(50,))


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.tif", noise())
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    with pytest.raises(ImageFileError, match=r"^a\.tif: .*pip install 'd2f_mlx\[deep\]'"), open_rows(path):
        pass
