"""Pictures written by bands of rows: what other readers find in them."""

import io
from itertools import pairwise

from d2f_mlx.images import ImageFileError, encode, read, write, write_bands

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

MAKE, EXIF, EXPOSURE, GPS = 0x010F, 0x8769, 0x829A, 0x8825
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CUTS = [[0, 301], [0, 1, 2, 299, 301], [0, 128, 256, 301], [0, 0, 7, 301]]


def noise(dtype, height=301, width=211):
    top = np.iinfo(dtype).max
    return np.random.default_rng(3).integers(0, top + 1, (height, width, 3)).astype(dtype)


def cut(pixels, places):
    return (pixels[top:bottom] for top, bottom in pairwise(places))


def exif():
    tags = Image.Exif()
    tags[MAKE] = "Leica"
    tags[EXIF] = {EXPOSURE: IFDRational(1, 125)}
    tags[GPS] = {1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(37, 3))}
    return tags.tobytes()


@pytest.fixture
def small_strips(monkeypatch):
    monkeypatch.setattr(encode, "_STRIP_BYTES", 8000)
    monkeypatch.setattr(encode, "_BACKLOG", 3)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_of_any_heights_make_one_file(tmp_path, suffix, dtype):
    pixels = noise(dtype)
    write(tmp_path / f"whole{suffix}", pixels, exif=exif(), icc=SRGB)
    for places in CUTS:
        write_bands(tmp_path / f"a{suffix}", cut(pixels, places), (301, 211), dtype, exif=exif(), icc=SRGB)
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 16), (np.uint16, 8)])
def test_bits_change_band_by_band(tmp_path, suffix, dtype, bits):
    pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    pixels = noise(dtype)
    write_bands(tmp_path / f"a{suffix}", cut(pixels, CUTS[1]), (301, 211), dtype, bits=bits)
    expected = pixels.astype(int) * 257 if bits == 16 else np.rint(pixels / 257)
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels, expected)


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_another_reader_finds_the_pixels(tmp_path, suffix, dtype):
    oiio = pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    write(tmp_path / f"a{suffix}", noise(dtype))
    found = oiio.ImageInput.open(str(tmp_path / f"a{suffix}")).read_image(np.dtype(dtype).name)
    np.testing.assert_array_equal(found, noise(dtype))


def test_an_8_bit_png_is_what_pillow_reads(tmp_path):
    write(tmp_path / "a.png", noise(np.uint8), exif=exif(), icc=SRGB)
    with Image.open(tmp_path / "a.png") as image:
        assert (image.mode, image.info["icc_profile"], image.getexif()[MAKE]) == ("RGB", SRGB, "Leica")
        np.testing.assert_array_equal(np.asarray(image), noise(np.uint8))


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("shape", [(301, 211), (1, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("big", [True, False])
def test_bigtiff_holds_what_tiff_holds(tmp_path, dtype, shape, big):
    oiio = pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    pixels, file = noise(dtype, *shape), io.BytesIO()
    encode.save_tiff(file, [pixels], shape, pixels.dtype, exif(), SRGB, big=big)
    (tmp_path / "a.tif").write_bytes(file.getvalue())
    assert file.getvalue()[:4] == (b"II\x2b\0" if big else b"II\x2a\0")
    picture = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.icc == SRGB
    found = Image.Exif()
    found.load(picture.exif)
    assert (found[MAKE], found.get_ifd(EXIF)[EXPOSURE], found.get_ifd(GPS)[2][2]) == ("Leica", 1 / 125, 37 / 3)
    source = oiio.ImageInput.open(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(source.read_image(np.dtype(dtype).name), pixels)
    assert source.spec().get_float_attribute("ExposureTime") == pytest.approx(1 / 125)
    assert bytes(source.spec().getattribute("ICCProfile")) == SRGB
    assert not source.seek_subimage(1, 0)  # the directory ends


def test_what_may_not_fit_into_tiff_becomes_bigtiff(monkeypatch):
    for limit, magic in ((301 * 211 * 3, 42), (301 * 211 * 3 - 1, 43)):
        monkeypatch.setattr(encode, "_CLASSIC_BYTES", limit)
        file = io.BytesIO()
        encode.save_tiff(file, [noise(np.uint8)], (301, 211), np.dtype(np.uint8), None, None)
        assert file.getvalue()[2] == magic


def test_noise_that_deflate_makes_larger_fits_below_the_limit():
    row = np.random.default_rng(0).integers(0, 256, (1, 349525, 3)).astype(np.uint8)
    packed = len(encode._deflate(row))
    strips = 2**32 / row.nbytes
    assert encode._CLASSIC_BYTES * packed / row.nbytes + 2**20 + 8 * strips < 2**32


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ([noise(np.uint8)[:300]], "301 rows in all, got 300"),
        ([noise(np.uint8), noise(np.uint8)[:1]], "up to row 302"),
        ([noise(np.uint8)[:, 1:]], r"got \(301, 210, 3\) uint8"),
        ([noise(np.uint16)], r"of uint8, got \(301, 211, 3\) uint16"),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_bands_that_are_not_the_picture_leave_nothing(tmp_path, suffix, bands, message):
    with pytest.raises(ImageFileError, match=message):
        write_bands(tmp_path / f"a{suffix}", bands, (301, 211), np.uint8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_bands_that_fail_leave_the_older_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"older")

    def failing():
        yield noise(np.uint8)[:200]
        raise ImageFileError("photo.tif: damaged")

    with pytest.raises(ImageFileError, match=r"^photo\.tif: damaged$"):
        write_bands(path, failing(), (301, 211), np.uint8)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"older"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.jpg", {}, "a.jpg: 211 x 301 pixels are written by bands of rows, which JPEG cannot be; name a .tif"),
        ("a.webp", {}, "which WEBP cannot be"),
        ("a.bmp", {}, "a.bmp: cannot write this kind of file"),
        ("a.tif", {"bits": 12}, "8 or 16 bits, got 12"),
    ],
)
def test_what_cannot_be_written_is_told_before_the_first_band(tmp_path, name, options, message):
    def bands():
        raise AssertionError("asked for a band")
        yield

    with pytest.raises(ValueError, match=message):
        write_bands(tmp_path / name, bands(), (301, 211), np.uint8, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_strips")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_band_is_done_with_when_the_next_is_asked_for(tmp_path, suffix):
    pixels, shared = noise(np.uint8), np.empty((64, 211, 3), np.uint8)

    def bands():
        for top in range(0, 301, 64):
            taken = pixels[top : top + 64]
            shared[: len(taken)] = taken
            yield shared[: len(taken)]
            shared[:] = 0

    write_bands(tmp_path / f"a{suffix}", bands(), (301, 211), np.uint8)
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels, pixels)


def test_few_strips_wait_at_a_time(monkeypatch):
    monkeypatch.setattr(encode, "_BACKLOG", 3)
    cut_so_far = []

    def strips():
        for top in range(0, 300, 10):
            cut_so_far.append(top)
            yield noise(np.uint8)[top : top + 10]

    for written, _ in enumerate(encode._deflated(strips())):
        assert len(cut_so_far) - written <= 3 + 1
    assert written == 29
