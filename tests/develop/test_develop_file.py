"""Files developed by bands of rows: the very files that developing whole pictures gives."""

from d2f_mlx import images
from d2f_mlx.color import DISPLAY_P3, profile_of
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.images import encode

import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

oiio = pytest.importorskip("OpenImageIO", reason="rows by rows need the extra `deep`")

MAKE = 0x010F
HEIGHT, WIDTH = 157, 91


@pytest.fixture(scope="module")
def developers():
    """Tiles so small that there are many, larger than the picture, and of the engine's choice."""
    return {tile: Developer(DevelopConfig(tile=tile)) for tile in (0, 32, 50)}


def pixels(dtype):
    rows, columns = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    ramp = np.stack([0.1 + 0.8 * columns, 0.2 + 0.6 * rows, 0.5 + 0.4 * rows * columns], -1)
    ramp[20:24, 30:40] = 1  # a light that halates
    return np.rint(ramp * np.iinfo(dtype).max).astype(dtype)


def unusual_profile():
    """Make a profile that is none of the known spaces', so that its pixels are converted."""
    imagecodecs = pytest.importorskip("imagecodecs", reason="comes with the extra `icc`")
    narrow = [0.60, 0.34, 1, 0.31, 0.57, 1, 0.16, 0.08, 1]
    return imagecodecs.cms_profile("rgb", whitepoint=[0.3127, 0.3290, 1.0], primaries=narrow, gamma=1.7)


def stored(path, values, tile=0, **attributes):
    spec = oiio.ImageSpec(values.shape[1], values.shape[0], 3, values.dtype.name)
    spec.tile_width = spec.tile_height = tile
    spec.attribute("Make", "Leica")
    for name, value in attributes.items():
        spec.attribute(name.replace("__", ":"), value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(values), out.geterror()
    out.close()
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("way", "tile"),
    [
        ({"tiff__RowsPerStrip": 5}, 32),
        ({"tiff__RowsPerStrip": 157}, 0),
        ({"tile": 16}, 50),
        ({"tile": 64, "tiff__bigtiff": 1}, 32),
    ],
)
def test_by_bands_is_the_whole_pictures_file(tmp_path, developers, monkeypatch, way, dtype, tile):
    monkeypatch.setattr(images.tiles, "_STEP", 10)
    monkeypatch.setattr(encode, "_STRIP_BYTES", 2000)
    photo = stored(tmp_path / "photo.tif", pixels(dtype), **way)
    film = developers[0](images.read(photo), key=5)
    for suffix in (".tif", ".png"):
        whole, banded = tmp_path / f"whole{suffix}", tmp_path / f"banded{suffix}"
        images.write(whole, film.pixels, exif=film.exif, icc=film.icc)
        developers[tile].file(photo, banded, key=5, large=HEIGHT * WIDTH - 1)
        assert banded.read_bytes() == whole.read_bytes()
    assert np.any(film.pixels != pixels(dtype))


def test_a_picture_that_is_not_large_is_developed_as_a_whole(tmp_path, developers, monkeypatch):
    photo = stored(tmp_path / "photo.tif", pixels(np.uint16), Orientation=6)  # which rows by rows cannot be
    film = developers[0](images.read(photo), key=mx.random.key(7))
    calls = []
    for name, options in (("film.tif", {}), ("film.jpg", {"quality": 80}), ("film.png", {"bits": 8})):
        images.write(tmp_path / f"expected-{name}", film.pixels, exif=film.exif, icc=film.icc, **options)
        developers[0].file(
            photo, tmp_path / name, key=mx.random.key(7), progress=lambda *call: calls.append(call), **options
        )
        assert (tmp_path / name).read_bytes() == (tmp_path / f"expected-{name}").read_bytes()
    assert calls == [(1, 1)] * 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("profile", ["known", "converted"])
def test_profiles_are_managed_band_by_band(tmp_path, developers, profile, dtype):
    icc = profile_of(DISPLAY_P3) if profile == "known" else unusual_profile()
    images.write(tmp_path / "photo.tif", pixels(dtype), icc=icc)
    film = developers[0](images.read(tmp_path / "photo.tif"), key=1)
    calls = []
    developers[32].file(
        tmp_path / "photo.tif", tmp_path / "film.tif", key=1, large=1, progress=lambda *call: calls.append(call)
    )
    found = images.read(tmp_path / "film.tif")
    np.testing.assert_array_equal(found.pixels, film.pixels)
    assert found.icc == film.icc
    assert (found.icc == icc) == (profile == "known")
    assert calls == [(done, 15) for done in range(1, 16)]


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 16), (np.uint16, 8)])
def test_bits_may_change(tmp_path, developers, dtype, bits):
    photo = stored(tmp_path / "photo.tif", pixels(dtype))
    film = developers[0](images.read(photo))
    images.write(tmp_path / "whole.png", film.pixels, exif=film.exif, icc=film.icc, bits=bits)
    developers[50].file(photo, tmp_path / "film.png", bits=bits, large=1)
    assert (tmp_path / "film.png").read_bytes() == (tmp_path / "whole.png").read_bytes()


def test_an_engine_whose_tiles_are_aligned_goes_by_bands_too(tmp_path):
    photo = stored(tmp_path / "photo.tif", pixels(np.uint8)[:70, :40])
    developer = Developer(DevelopConfig(grain="halide", colour="photo", tile=32))
    developer.file(photo, tmp_path / "film.tif", key=2, large=1)
    whole = developer(images.read(photo), key=2)
    np.testing.assert_array_equal(images.read(tmp_path / "film.tif").pixels, whole.pixels)


@pytest.mark.parametrize("existing", [b"older", None])
def test_damage_further_down_names_the_photo_and_leaves_what_was_there(tmp_path, developers, monkeypatch, existing):
    monkeypatch.setattr(images.tiles, "_STEP", 10)
    photo = stored(tmp_path / "photo.tif", pixels(np.uint8), tiff__RowsPerStrip=5, compression="none")
    photo.write_bytes(photo.read_bytes()[: HEIGHT * WIDTH * 2])
    out = tmp_path / "film.tif"
    if existing is not None:
        out.write_bytes(existing)
    calls = []
    with pytest.raises(images.ImageFileError, match=r"^photo\.tif: "):
        developers[32].file(photo, out, large=1, progress=lambda *call: calls.append(call))
    assert calls  # it was on its way
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path != photo}
    assert left == ({} if existing is None else {"film.tif": existing})


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("film.jpg", {"large": 1}, r"^film\.jpg: 91 x 157 pixels are written by bands.*name a \.tif or \.png$"),
        ("film.bmp", {}, r"^film\.bmp: cannot write"),
        ("film.tif", {"quality": 0}, "quality from 1 to 100, got 0"),
        ("film.jpg", {"bits": 16}, "JPEG holds 8 bits"),
        ("none/film.tif", {"large": 1}, r"^film\.tif: No such file or directory$"),
        ("film.tif", {"large": 1, "key": mx.zeros((3,), mx.uint32)}, "random key of two words"),
    ],
)
def test_what_cannot_be_done_is_told_before_any_work(tmp_path, developers, out, options, message):
    photo = stored(tmp_path / "photo.tif", pixels(np.uint8))

    def progress(done, total):
        raise AssertionError("it began")

    with pytest.raises(ValueError, match=message):
        developers[32].file(photo, tmp_path / out, progress=progress, **options)
    assert list(tmp_path.iterdir()) == [photo]


def test_a_large_photo_that_rows_cannot_give_is_refused(tmp_path, developers):
    exif = Image.Exif()
    exif[0x0112], exif[MAKE] = 6, "Leica"
    Image.fromarray(pixels(np.uint8)).save(tmp_path / "photo.tif", exif=exif)
    with pytest.raises(images.ImageFileError, match=r"^photo\.tif: orientation 6 cannot be read by rows"):
        developers[32].file(tmp_path / "photo.tif", tmp_path / "film.tif", large=1)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.tif"]


def test_a_profile_that_cannot_be_used_is_told_of_the_photo(tmp_path, developers):
    profile = bytearray(profile_of(DISPLAY_P3))[:200]
    images.write(tmp_path / "photo.tif", pixels(np.uint8), icc=bytes(profile))
    for large in (1, images.LARGE):
        with pytest.raises(images.ImageFileError, match=r"^photo\.tif: the photo's colour profile cannot be used"):
            developers[32].file(tmp_path / "photo.tif", tmp_path / "film.tif", large=large)
