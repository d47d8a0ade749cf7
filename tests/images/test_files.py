from __future__ import annotations

import errno
import io
import os
import struct
import sys
import zlib
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

from d2f_mlx import images
from d2f_mlx.images import ImageFileError, files, find, from_float, read, size, to_float, write

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

ORIENTATION, MAKE, DATE, EXIF, GPS = 0x0112, 0x010F, 0x0132, 0x8769, 0x8825
EXPOSURE, ISO, WIDTH, HEIGHT = 0x829A, 0x8827, 0xA002, 0xA003
LOSSLESS8 = [".png", ".tif", ".TIFF"]
DEPTHS = [(".jpg", 8), (".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".webp", 8)]
JPEG_ERROR = 12  # largest error of quality 95 on a smooth picture, of 255
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(dtype=np.uint8, height=13, width=19, channels=3):
    top = np.iinfo(dtype).max
    return np.random.default_rng(1).integers(0, top + 1, (height, width, channels)).astype(dtype)


def smooth(height=16, width=24):
    rows, cols = np.mgrid[:height, :width]
    return np.stack([rows * 8, cols * 8, 255 - rows * 4 - cols * 4], axis=-1).astype(np.uint8)


def camera_exif(orientation=None):
    exif = Image.Exif()
    exif[MAKE], exif[DATE] = "Leica", "2024:05:06 07:08:09"
    exif[EXIF] = {EXPOSURE: IFDRational(1, 125), ISO: 400, WIDTH: 9999, HEIGHT: 1}
    exif[GPS] = {1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(37, 3))}
    if orientation is not None:
        exif[ORIENTATION] = orientation
    return exif.tobytes()


def deep_file(path, pixels, **attributes):
    """Write 16 bits through OpenImageIO, independently of this package's encoders."""
    oiio = pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], "uint16")
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(pixels), out.geterror()
    out.close()
    return path


def only_line(error, name):
    message = str(error.value)
    assert message.startswith(f"{name}: "), message
    assert "\n" not in message
    return message


# Round trips


@pytest.mark.parametrize("suffix", LOSSLESS8)
@pytest.mark.parametrize("shape", [(13, 19), (1, 1), (1, 7), (400, 3)])
def test_8_bit_survives_lossless_formats(tmp_path, suffix, shape):
    pixels = noise(np.uint8, *shape)
    write(tmp_path / f"a{suffix}", pixels)
    back = read(tmp_path / f"a{suffix}").pixels
    assert back.dtype == np.uint8
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back, pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", [(13, 19), (1, 1), (1, 7), (700, 400)])
def test_16_bit_survives_exactly(tmp_path, suffix, shape):
    pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    pixels = noise(np.uint16, *shape)
    write(tmp_path / f"a{suffix}", pixels)
    back = read(tmp_path / f"a{suffix}").pixels
    assert back.dtype == np.uint16
    np.testing.assert_array_equal(back, pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_of_another_writer_is_read(tmp_path, suffix):
    pixels = noise(np.uint16)
    np.testing.assert_array_equal(read(deep_file(tmp_path / f"a{suffix}", pixels)).pixels, pixels)


def test_written_tiff_is_read_by_pillows_libtiff(tmp_path):
    pixels = noise(np.uint8, 900, 700)  # several strips
    write(tmp_path / "a.tif", pixels, exif=camera_exif(), icc=SRGB)
    with Image.open(tmp_path / "a.tif") as image:
        assert image.info["compression"] == "tiff_adobe_deflate"
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_jpeg_is_close_and_keeps_colour_at_every_pixel(tmp_path):
    write(tmp_path / "a.JPG", smooth())
    assert np.abs(read(tmp_path / "a.JPG").pixels.astype(int) - smooth()).max() <= JPEG_ERROR
    with Image.open(tmp_path / "a.JPG") as image:
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_webp_is_lossless_at_quality_100_only(tmp_path):
    write(tmp_path / "a.webp", noise(), quality=100)
    write(tmp_path / "b.webp", noise())
    np.testing.assert_array_equal(read(tmp_path / "a.webp").pixels, noise())
    assert np.any(read(tmp_path / "b.webp").pixels != noise())


def test_bits_change_with_rounding(tmp_path):
    pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    deep = noise(np.uint16, 64, 64)
    write(tmp_path / "a.png", deep, bits=8)
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, np.rint(deep / 257).astype(np.uint8))
    write(tmp_path / "b.tif", noise(), bits=16)
    np.testing.assert_array_equal(read(tmp_path / "b.tif").pixels, noise().astype(int) * 257)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_16_bit_pixels_go_into_8_bit_formats(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", smooth().astype(np.uint16) * 257, quality=100)
    back = read(tmp_path / f"a{suffix}").pixels
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - smooth()).max() <= JPEG_ERROR


# Metadata


@pytest.mark.parametrize(("suffix", "bits"), DEPTHS)
def test_exif_and_profile_are_carried(tmp_path, suffix, bits):
    if bits == 16:
        pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    path = tmp_path / f"a{suffix}"
    write(path, noise(), exif=camera_exif(orientation=6), icc=SRGB, bits=bits)
    picture = read(path)
    assert picture.icc == SRGB
    exif = Image.Exif()
    exif.load(picture.exif)
    assert (exif[MAKE], exif[DATE]) == ("Leica", "2024:05:06 07:08:09")
    inner = exif.get_ifd(EXIF)
    assert (inner[EXPOSURE].numerator, inner[EXPOSURE].denominator, inner[ISO]) == (1, 125, 400)
    assert (inner[HEIGHT], inner[WIDTH]) == (13, 19)
    assert exif.get_ifd(GPS)[2] == (48, 8, IFDRational(37, 3))
    assert ORIENTATION not in exif
    np.testing.assert_equal(picture.pixels.shape, (13, 19, 3))


def test_other_readers_see_the_exif_of_16_bit_files(tmp_path):
    oiio = pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    for suffix in (".png", ".tif"):
        write(tmp_path / f"a{suffix}", noise(np.uint16), exif=camera_exif(), icc=SRGB)
        spec = oiio.ImageInput.open(str(tmp_path / f"a{suffix}")).spec()
        assert spec.get_string_attribute("Make") == "Leica"
        assert spec.get_float_attribute("ExposureTime") == pytest.approx(1 / 125)
        assert bytes(spec.getattribute("ICCProfile")) == SRGB


def test_how_the_source_stored_its_pixels_is_not_carried(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.tif", tiffinfo={MAKE: "Leica"})
    exif = Image.Exif()
    exif.load(read(tmp_path / "a.tif").exif)
    assert dict(exif) == {MAKE: "Leica"}
    stale = Image.Exif()
    stale[256], stale[257], stale[MAKE] = 5000, 4000, "Leica"
    write(tmp_path / "b.tif", noise(), exif=stale.tobytes())
    np.testing.assert_array_equal(read(tmp_path / "b.tif").pixels, noise())


def test_no_metadata_stays_none(tmp_path):
    write(tmp_path / "a.png", noise())
    picture = read(tmp_path / "a.png")
    assert (picture.exif, picture.icc) == (None, None)


def test_damaged_exif_is_dropped_and_the_picture_is_read(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\1\0\2")
    picture = read(tmp_path / "a.jpg")
    assert picture.exif is None
    assert picture.pixels.shape == smooth().shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_is_applied_as_pillow_does(tmp_path, suffix, orientation):
    path = tmp_path / f"a{suffix}"
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 95}}.get(suffix, {})
    Image.fromarray(noise()).save(path, exif=camera_exif(orientation), **options)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.flags.c_contiguous
    assert size(path) == expected.shape[:2] == ((13, 19) if orientation < 5 else (19, 13))
    write(tmp_path / "b.png", picture.pixels, exif=picture.exif)
    np.testing.assert_array_equal(read(tmp_path / "b.png").pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_orientation_is_applied_in_16_bits(tmp_path, suffix, orientation):
    pixels = noise(np.uint16)
    path = deep_file(tmp_path / f"a{suffix}", pixels, Orientation=orientation, Make="Leica")
    # An 8-bit PNG of Pillow's, turned by Pillow, says where each pixel goes.
    places = np.dstack([np.arange(13 * 19).reshape(13, 19).astype(np.uint8)] * 3)
    turned = Image.fromarray(places)
    turned.getexif()[ORIENTATION] = orientation
    index = np.asarray(ImageOps.exif_transpose(turned))[..., 0]
    picture = read(path)
    np.testing.assert_array_equal(picture.pixels, pixels.reshape(-1, 3)[index])
    assert size(path) == index.shape


def test_orientation_of_16_bit_grey_tiff_is_applied_once(tmp_path):
    pixels = noise(np.uint16)[..., 0]
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={ORIENTATION: 6})
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels[..., 1], np.rot90(pixels, -1))


def test_orientation_in_a_png_chunk_behind_the_pixels_counts(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, "PNG")
    exif = b"eXIf" + camera_exif(6)[6:]
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    (tmp_path / "a.png").write_bytes(buffer.getvalue()[:-12] + chunk + buffer.getvalue()[-12:])
    assert size(tmp_path / "a.png") == (19, 13)
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, np.rot90(noise(), -1))


# Colour modes


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_grey_is_replicated_and_its_profile_dropped(tmp_path, suffix):
    grey = smooth()[..., 0]
    profile = bytearray(SRGB)
    profile[16:20] = b"GRAY"
    Image.fromarray(grey).save(tmp_path / f"a{suffix}", icc_profile=bytes(profile))
    picture = read(tmp_path / f"a{suffix}")
    assert picture.icc is None
    np.testing.assert_allclose(picture.pixels, np.dstack([grey] * 3), atol=JPEG_ERROR * (suffix == ".jpg"))
    np.testing.assert_array_equal(np.ptp(picture.pixels, axis=2), 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_replicated_without_the_extra(tmp_path, suffix, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    grey = noise(np.uint16)[..., 0]
    Image.fromarray(grey).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels, np.dstack([grey] * 3))


def test_16_bit_grey_tiff_with_white_as_zero_is_inverted(tmp_path):
    tags = ImageFileDirectory_v2()
    values = {256: 2, 257: 1, 258: 16, 259: 1, 262: 0, 273: 0, 277: 1, 278: 1, 279: 4}
    for tag, value in values.items():
        tags[tag] = value
    tags.tagtype[273] = 4
    buffer = io.BytesIO()
    tags.save(buffer)
    (tmp_path / "a.tif").write_bytes(buffer.getvalue() + struct.pack("<2H", 0, 65000))
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels[0, :, 0], [65535, 535])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_is_composited_over_white(tmp_path, suffix):
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 50, 0, 51]]], np.uint8)
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **options)
    expected = [[[10, 20, 30], [255, 255, 255], [224, 214, 204]]]  # 0.2 * colour + 0.8 * 255
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_compositing_is_rounded_to_nearest(tmp_path, suffix, dtype):
    path, pixels = tmp_path / f"a{suffix}", noise(dtype, 20, 30, 4)
    if dtype == np.uint16:
        deep_file(path, pixels, oiio__UnassociatedAlpha=1)
    else:
        Image.fromarray(pixels).save(path)
    white = np.iinfo(dtype).max
    alpha = pixels[..., 3:] / white
    expected = np.rint(pixels[..., :3] * alpha + white * (1 - alpha))
    np.testing.assert_array_equal(read(path).pixels, expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_alpha_is_composited_over_white(tmp_path, suffix):
    pixels = np.array([[[1000, 2, 65535, 65535], [10, 20, 30, 0], [10000, 50, 0, 13107]]], np.uint16)
    path = deep_file(tmp_path / f"a{suffix}", pixels, oiio__UnassociatedAlpha=1)
    expected = [[[1000, 2, 65535], [65535] * 3, [54428, 52438, 52428]]]
    np.testing.assert_array_equal(read(path).pixels, expected)


def test_16_bit_associated_alpha_is_composited_over_white(tmp_path):
    pixels = np.array([[[2000, 10, 0, 13107]]], np.uint16)
    np.testing.assert_array_equal(read(deep_file(tmp_path / "a.tif", pixels)).pixels, [[[54428, 52438, 52428]]])


def test_16_bit_grey_with_alpha_png_is_composited(tmp_path):
    path = deep_file(tmp_path / "a.png", np.array([[[10000, 13107]]], np.uint16), oiio__UnassociatedAlpha=1)
    np.testing.assert_array_equal(read(path).pixels, [[[54428] * 3]])


def test_grey_with_alpha_and_transparent_palette_are_composited(tmp_path):
    Image.fromarray(np.array([[[100, 51], [7, 255]]], np.uint8), "LA").save(tmp_path / "la.png")
    np.testing.assert_array_equal(read(tmp_path / "la.png").pixels, [[[224] * 3, [7] * 3]])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([1, 2, 3, 200, 100, 50])
    palette.save(tmp_path / "opaque.png")
    palette.save(tmp_path / "clear.png", transparency=bytes([0, 255]))
    np.testing.assert_array_equal(read(tmp_path / "opaque.png").pixels, [[[1, 2, 3], [200, 100, 50]]])
    np.testing.assert_array_equal(read(tmp_path / "clear.png").pixels, [[[255] * 3, [200, 100, 50]]])


def test_1_bit_is_black_and_white(tmp_path):
    for suffix in (".png", ".tif"):
        Image.fromarray(np.array([[True, False]])).save(tmp_path / f"a{suffix}")
        np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels, [[[255] * 3, [0] * 3]])


def test_cmyk_without_a_profile_is_converted_plainly(tmp_path):
    Image.new("CMYK", (1, 1), (255, 0, 128, 0)).save(tmp_path / "a.tif")
    picture = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(picture.pixels, [[[0, 255, 127]]])
    assert picture.icc is None


def cmyk_profile():
    """Make a press whose paper is Lab (100, 0, 0), whose full magenta is (50.2, 0, 0), the rest black."""
    nodes = bytearray(16 * 3)
    for node, lightness in ((0, 255), (4, 128)):
        nodes[3 * node : 3 * node + 3] = [lightness, 128, 128]
    for node in set(range(16)) - {0, 4}:
        nodes[3 * node : 3 * node + 3] = [0, 128, 128]
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + identity + bytes(range(256)) * 4 + nodes
    table += bytes(range(256)) * 3
    d50 = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    head = struct.pack(">I4s4B4s4s4s", 144 + len(table), b"lcms", 2, 64, 0, 0, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + d50
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_goes_through_its_profile(tmp_path, suffix):
    ink = Image.new("CMYK", (16, 16), (0, 255, 0, 0))
    ink.paste((0, 0, 0, 0), (8, 0, 16, 16))
    ink.save(tmp_path / f"a{suffix}", icc_profile=cmyk_profile())
    picture = read(tmp_path / f"a{suffix}")
    # CIE 1976: L* = 50.2 is Y = 0.1855, which sRGB's curve encodes as 119; plainly it would be (255, 0, 255).
    np.testing.assert_allclose(picture.pixels[8, 2], [119, 119, 119], atol=2)
    np.testing.assert_allclose(picture.pixels[8, 13], [255, 255, 255], atol=2)
    assert ImageCms.ImageCmsProfile(io.BytesIO(picture.icc)).profile.xcolor_space == "RGB "


def test_cmyk_with_a_broken_profile_is_converted_plainly(tmp_path):
    Image.new("CMYK", (1, 1), (255, 0, 128, 0)).save(tmp_path / "a.jpg", icc_profile=b"broken")
    picture = read(tmp_path / "a.jpg")
    np.testing.assert_allclose(picture.pixels, [[[0, 255, 127]]], atol=JPEG_ERROR)
    assert picture.icc is None


def test_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (3, 2), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    options = {".webp": {"lossless": True}, ".png": {}, ".tif": {}}
    for suffix, option in options.items():
        frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **option)
        np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels[0, 0], [255, 0, 0])


# Bad input


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.jpg", None, "No such file"),
        ("empty.png", b"", "empty"),
        ("text.jpg", b"hello, this is no picture at all\n" * 9, "not a JPEG, PNG, TIFF or WebP picture"),
        ("wave.webp", b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40, "not a JPEG"),
        ("head.png", b"\x89PNG\r\n\x1a\n", ""),
        ("head.tif", b"II*\0", ""),
        ("head.jpg", b"\xff\xd8\xff\xe0", ""),
    ],
)
@pytest.mark.parametrize("function", [read, size])
def test_what_is_not_a_picture_is_named(tmp_path, function, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageFileError) as error:
        function(tmp_path / name)
    assert reason in only_line(error, name)


def test_a_folder_is_no_picture(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "folder.jpg")
    assert "directory" in only_line(error, "folder.jpg")


@pytest.mark.parametrize(("suffix", "bits"), DEPTHS)
def test_truncated_files_are_refused(tmp_path, suffix, bits):
    if bits == 16:
        pytest.importorskip("OpenImageIO", reason="16-bit colour needs the extra `deep`")
    path = tmp_path / f"cut{suffix}"
    write(path, noise(height=80, width=90), bits=bits)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ImageFileError) as error:
        read(path)
    assert len(only_line(error, path.name)) > len(path.name) + 2


def test_too_many_pixels_are_refused_from_the_header(tmp_path):
    write(tmp_path / "a.png", noise())
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "a.png", max_pixels=13 * 19 - 1)
    assert "19 x 13 pixels; at most 246" in only_line(error, "a.png")
    assert read(tmp_path / "a.png", max_pixels=13 * 19).pixels.shape == (13, 19, 3)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 1000)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data)]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "bomb.png")
    assert "60000 x 60000 pixels; at most 1000000000" in only_line(error, "bomb.png")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_pillows_own_limit_neither_warns_nor_changes(tmp_path, suffix, monkeypatch):
    pytest.importorskip("OpenImageIO", reason="TIFF beyond Pillow's limit needs the extra `deep`")
    limit = 13 * 19 - 1 if suffix != ".webp" else 13 * 19 // 2 + 1  # Pillow warns, and refuses at twice that
    write(tmp_path / f"a{suffix}", noise(), quality=100)
    expected = read(tmp_path / f"a{suffix}").pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    np.testing.assert_array_equal(read(tmp_path / f"a{suffix}").pixels, expected)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_floating_point_and_32_bit_tiff_are_refused(tmp_path):
    Image.fromarray(np.zeros((3, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "f.tif")
    assert "32-bit floating-point samples" in only_line(error, "f.tif")
    Image.fromarray(np.zeros((3, 4), np.int32)).save(tmp_path / "i.tif")
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "i.tif")
    assert "32-bit signed samples" in only_line(error, "i.tif")


def test_lab_is_refused(tmp_path):
    Image.new("LAB", (2, 2)).save(tmp_path / "lab.tif")
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "lab.tif")
    assert "mode LAB is not supported" in only_line(error, "lab.tif")


def test_16_bit_colour_without_the_extra_says_what_to_install(tmp_path, monkeypatch):
    write(tmp_path / "a.png", noise(np.uint16))
    monkeypatch.setitem(sys.modules, "OpenImageIO", None)
    with pytest.raises(ImageFileError) as error:
        read(tmp_path / "a.png")
    assert "pip install 'd2f_mlx[deep]'" in only_line(error, "a.png")


# Writing


@pytest.mark.parametrize("existing", [b"older bytes", None])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_failing_write_changes_nothing(tmp_path, monkeypatch, suffix, existing):
    path = tmp_path / f"a{suffix}"
    if existing is not None:
        path.write_bytes(existing)

    def fail_midway(file, *_):
        file.write(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_encode", fail_midway)
    with pytest.raises(ImageFileError) as error:
        write(path, noise())
    assert "No space left on device" in only_line(error, path.name)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [existing] * (existing is not None)


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_encode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a.png", noise())
    assert list(tmp_path.iterdir()) == []


def test_writing_replaces_and_leaves_one_file(tmp_path):
    write(tmp_path / "a.png", smooth())
    write(tmp_path / "a.png", noise())
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, noise())


def test_writing_through_a_link_keeps_the_link(tmp_path):
    write(tmp_path / "a.png", smooth())
    (tmp_path / "link.png").symlink_to("a.png")
    write(tmp_path / "link.png", noise())
    assert (tmp_path / "link.png").is_symlink()
    np.testing.assert_array_equal(read(tmp_path / "a.png").pixels, noise())


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("a.bmp", {}, "supported are .jpg .jpeg .png .tif .tiff .webp"),
        ("a", {}, "supported are"),
        ("none/a.png", {}, "No such file or directory"),
        ("a.jpg", {"bits": 16}, "JPEG holds 8 bits"),
        ("a.png", {"exif": b"nonsense"}, "EXIF"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, name, options, reason):
    with pytest.raises(ImageFileError) as error:
        write(tmp_path / name, noise(), **options)
    assert reason in only_line(error, name.rpartition("/")[2])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_overwritten(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageFileError, match=r"^a\.png: is a folder$"):
        write(tmp_path / "a.png", noise())


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (noise().astype(np.float32), {}, "uint8 or uint16 pixels, got float32"),
        (noise()[..., 0], {}, r"\(H, W, 3\).*got \(13, 19\)"),
        (noise()[:0], {}, r"got \(0, 19, 3\)"),
        (noise(), {"quality": 0}, "quality from 1 to 100, got 0"),
        (noise(), {"bits": 12}, "8 or 16 bits, got 12"),
    ],
)
def test_wrong_pixels_are_refused(tmp_path, pixels, options, message):
    with pytest.raises(ValueError, match=f"write expects .*{message}"):
        write(tmp_path / "a.png", pixels, **options)


# Floats


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_integer_survives_the_way_through_float(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    pixels = np.stack([values] * 3, axis=-1)[None]
    scaled = to_float(pixels)
    assert (scaled.dtype, scaled.min(), scaled.max()) == (np.float32, 0, 1)
    np.testing.assert_array_equal(from_float(scaled, dtype), pixels)


def test_from_float_rounds_and_clips():
    pixels = np.array([[[-0.5, 0.4 / 255, 0.6 / 255], [254.6 / 255, 1, 7.0]]])
    np.testing.assert_array_equal(from_float(pixels), [[[0, 0, 1], [255, 255, 255]]])


@pytest.mark.parametrize(
    ("pixels", "dtype", "message"),
    [
        (np.full((2, 2, 3), np.nan), np.uint8, "finite pixels, got 12 NaN or infinite"),
        (np.full((1, 1, 3), np.inf), np.uint8, "got 3 NaN or infinite"),
        (np.zeros((2, 3)), np.uint8, r"got \(2, 3\)"),
        (np.zeros((2, 3, 4)), np.uint8, r"got \(2, 3, 4\)"),
        (np.zeros((0, 3, 3)), np.uint8, r"got \(0, 3, 3\)"),
        (np.zeros((1, 1, 3)), np.int32, "dtype uint8 or uint16, got int32"),
        (np.zeros((1, 1, 3), np.uint8), np.uint8, "floating-point pixels, got uint8"),
    ],
)
def test_from_float_refuses(pixels, dtype, message):
    with pytest.raises(ValueError, match=f"from_float expects .*{message}"):
        from_float(pixels, dtype)


def test_to_float_refuses_floats():
    with pytest.raises(ValueError, match="uint8 or uint16 pixels, got float64"):
        to_float(np.zeros((1, 1, 3)))


# Finding


def test_find_expands_folders_sorted_and_once(tmp_path):
    names = ["b.JPG", "a.png", "sub/c.Tiff", ".hidden.png", ".git/d.png", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = find([tmp_path / "notes.txt", tmp_path, tmp_path / "a.png"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "notes.txt",
        "a.png",
        "b.JPG",
        "sub/c.Tiff",
    ]
    assert find(str(tmp_path / "a.png")) == [tmp_path / "a.png"]


def test_find_refuses_missing_paths_and_empty_folders(tmp_path):
    with pytest.raises(ImageFileError, match="missing: no such file or folder"):
        find([tmp_path / "missing"])
    with pytest.raises(ImageFileError, match="no pictures in this folder"):
        find([tmp_path])


def test_public_names_exist():
    assert [name for name in images.__all__ if not hasattr(images, name)] == []


@pytest.mark.parametrize("suffix", images.SUFFIXES)
def test_text_beyond_ascii_keeps_its_bytes(tmp_path, suffix):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "José Ñandú".encode()
    source, out = tmp_path / "in.jpg", tmp_path / f"out{suffix}"
    Image.new("RGB", (8, 8)).save(source, exif=exif)
    picture = read(source)
    for pixels in (picture.pixels, picture.pixels.astype(np.uint16) * np.uint16(257)):
        write(out, pixels, exif=picture.exif)
        with Image.open(out) as file:
            assert file.getexif()[ExifTags.Base.Artist].encode("latin-1").decode() == "José Ñandú"


def test_a_full_disk_leaves_no_half_jpeg(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "film.jpg"
    write(target, np.zeros((8, 8, 3), np.uint8))
    before = target.read_bytes()
    real = files.replacing

    @contextmanager
    def limited(path):
        with real(path) as file:
            yield SimpleNamespace(write=partial(full, file))

    monkeypatch.setattr(files, "replacing", limited)
    with pytest.raises(ImageFileError, match=r"film\.jpg: No space left"):
        write(target, np.ones((8, 8, 3), np.uint8))
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_pipe_is_no_picture(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageFileError, match="not a file"):
        find(tmp_path / "pipe.jpg")
