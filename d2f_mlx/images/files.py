"""Photographs from files to arrays and back, with their EXIF and their colour profile.

Every problem with a file is an `ImageFileError` of one line that begins with the file's name.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from . import deep, encode, metadata
from .header import ImageFileError, naming, read_header
from .pixels import check_shape, over_white, upright, with_bits

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
SUFFIXES = tuple(_FORMATS)
MAX_PIXELS = 1_000_000_000


@dataclass(frozen=True)
class Picture:
    """An upright RGB picture as it was decoded, and the metadata that goes with it to the output.

    Shape: pixels (H, W, 3), C-contiguous
    Range: uint8 [0, 255] or uint16 [0, 65535], display-encoded in the space of ``icc`` (sRGB where None)
    """

    pixels: np.ndarray
    exif: bytes | None = None
    icc: bytes | None = None


def read(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a JPEG, PNG, TIFF or WebP file as an upright RGB picture at its own bit depth.

    - EXIF's orientation is applied to the pixels and removed; the thumbnail and tags on how the file stored
      its pixels are left out of the carried EXIF, and EXIF that is damaged is dropped.
    - Grey is replicated to three channels, a palette is looked up, transparency is composited over white.
    - CMYK becomes sRGB through the profile inside the file, and carries sRGB's profile from then on; where
      there is no usable one, Pillow's plain conversion is used. A profile that is not for RGB is dropped.
    - Of an animation or a file with many pages, the first is read.
    - 16-bit colour, and TIFF beyond Pillow's ``MAX_IMAGE_PIXELS``, need OpenImageIO (``d2f_mlx[deep]``).

    Args:
        path: the file; its contents decide the format, its suffix does not.
        max_pixels: a picture whose header says more is refused before it is decoded.

    Raises:
        ImageFileError: where the file is missing, damaged, truncated, too large or not a picture.
    """
    path = Path(path)
    with naming(path), path.open("rb") as file:
        header = read_header(file)
        if header.height * header.width > max_pixels:
            raise ValueError(f"{header.width} x {header.height} pixels; at most {max_pixels} are read")
        image, icc = header.image, header.image.info.get("icc_profile")
        large = header.height * header.width > (Image.MAX_IMAGE_PIXELS or MAX_PIXELS)
        grey = image.mode.startswith("I;16")
        if (header.bits == 16 and not grey) or (isinstance(image, TiffImageFile) and large):
            pixels = over_white(*deep.read_deep(path))
        else:
            image.load()
            if image.mode == "CMYK":
                image, icc = _cmyk_to_rgb(image, icc)
            pixels = _grey16(image) if grey else _rgb8(image)
        # A TIFF that Pillow decoded is upright already, and its orientation is then gone from these tags.
        pixels = upright(pixels, header.tags.get(ExifTags.Base.Orientation, 1))
        if pixels.shape[2] == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        pixels = np.require(pixels, requirements=["C", "W"])
        return Picture(pixels, header.exif, metadata.rgb_profile(icc))


def _grey16(image: Image.Image) -> np.ndarray:
    """Take 16-bit grey from Pillow in native byte order; white is stored as 0 in some TIFFs."""
    pixels = np.asarray(image).astype(np.uint16)[..., None]
    inverted = isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0
    return 65535 - pixels if inverted else pixels


def _rgb8(image: Image.Image) -> np.ndarray:
    """Turn a decoded Pillow picture of any 8-bit mode into RGB."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"))
        return over_white(pixels[..., :3], pixels[..., 3:], False)
    if image.mode not in ("1", "L", "P", "RGB", "RGBX", "YCbCr", "CMYK"):
        raise ValueError(f"Pillow's mode {image.mode} is not supported; convert it to RGB first")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # convert would copy RGB


def _cmyk_to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """Turn CMYK into sRGB by its own profile, or plainly where that is missing or damaged."""
    if icc:
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        try:
            rgb = ImageCms.profileToProfile(image, io.BytesIO(icc), srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            rgb = None
        if rgb is not None:
            return rgb, srgb.tobytes()
    return image.convert("RGB"), None


def write(
    path: str | Path,
    pixels: np.ndarray,
    *,
    exif: bytes | None = None,
    icc: bytes | None = None,
    quality: int = 95,
    bits: int | None = None,
) -> None:
    """Write a picture in the format its suffix names, whole or not at all.

    PNG and TIFF are lossless and hold 8 or 16 bits; JPEG (4:4:4, because grain lives at the pixel) and WebP
    hold 8. Every format carries the ICC profile, and EXIF's descriptive tags with the whole Exif and GPS
    directories (see `metadata.carried_exif`), in 8 and in 16 bits.

    Args:
        path: ends in one of `SUFFIXES`, in either case; its folder exists.
        pixels: from `read` or `from_float`.
        exif: as in `Picture`.
        icc: as in `Picture`.
        quality: 1 to 100, for JPEG and WebP; 100 makes WebP lossless.
        bits: 8 or 16; as many as the pixels have where None. Reduction rounds to nearest.

    Shape: pixels (H, W, 3) uint8 or uint16

    Raises:
        ImageFileError: where the file cannot be written; an older file of that name is then left as it was.
        ValueError: for pixels, quality or bits other than these.
    """
    check_shape("write", pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"write expects uint8 or uint16 pixels, got {pixels.dtype}")
    form = check_target(path, quality=quality, bits=bits)
    size = (pixels.shape[0], pixels.shape[1])
    _replace(Path(path), form, [pixels], size, bits or 8 * pixels.itemsize, exif, icc, quality)


def write_bands(
    path: str | Path,
    bands: Iterable[np.ndarray],
    size: tuple[int, int],
    dtype: type[np.unsignedinteger] | np.dtype,
    *,
    exif: bytes | None = None,
    icc: bytes | None = None,
    bits: int | None = None,
) -> None:
    """Write a PNG or TIFF that comes by bands of rows, whole or not at all, in memory that does not hold it.

    A TIFF becomes a BigTIFF where 4 GiB may not do.

    Args:
        path: as for `write`, but for JPEG and WebP.
        bands: the picture from its top down, (h, W, 3) each; how many rows each has is free, and it is done with before
            the next is asked for.
        size: height and width of the picture.
        dtype: uint8 or uint16, the bands'.
        exif: as for `write`.
        icc: as for `write`.
        bits: as for `write`.

    Raises:
        ImageFileError: as for `write`, and for whatever goes wrong as the bands are made.
        ValueError: for another number of bits, before the first band is asked for.
    """
    path, dtype = Path(path), np.dtype(dtype)
    form = check_target(path, bits=bits)
    if form not in ("PNG", "TIFF"):
        height, width = size
        raise ImageFileError(
            f"{path.name}: {width} x {height} pixels are written by bands of rows, which {form} cannot be; "
            "name a .tif or .png"
        )
    whole = _complete(bands, size, dtype)
    _replace(path, form, whole, size, bits or 8 * dtype.itemsize, exif, icc, quality=100)


def _replace(
    path: Path,
    form: str,
    bands: Iterable[np.ndarray],
    size: tuple[int, int],
    bits: int,
    exif: bytes | None,
    icc: bytes | None,
    quality: int,
) -> None:
    with naming(path):
        if exif is not None:
            exif = metadata.carried_exif(metadata.parse_exif(exif), size)
        with replacing(path) as file:
            _encode(file, form, bands, size, np.dtype(f"uint{bits}"), exif, icc, quality)


def check_target(path: str | Path, *, quality: int = 95, bits: int | None = None) -> str:
    """Return the format that a file would be written in; arguments as for `write`.

    Raises:
        ImageFileError: for a name, or bits with that name, that cannot be written.
        ValueError: for quality or bits other than `write` takes.
    """
    path = Path(path)
    if not 1 <= quality <= 100:
        raise ValueError(f"write expects quality from 1 to 100, got {quality}")
    if bits not in (None, 8, 16):
        raise ValueError(f"write expects 8 or 16 bits, got {bits}")
    with naming(path):
        form = _FORMATS.get(path.suffix.lower())
        if form is None:
            raise ValueError(f"cannot write this kind of file; supported are {' '.join(SUFFIXES)}")
        if bits == 16 and form in ("JPEG", "WEBP"):
            raise ValueError(f"{form} holds 8 bits; write 16 bits to .png or .tif")
        if path.is_dir():
            raise ValueError("is a folder")
        return form


def _complete(bands: Iterable[np.ndarray], size: tuple[int, int], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Hand bands on, making sure that they are the whole picture."""
    height, width = size
    rows = 0
    for band in bands:
        rows += len(band)
        if band.shape[1:] != (width, 3) or band.dtype != dtype or rows > height:
            raise ValueError(
                f"write expects bands of a {height} x {width} picture of {dtype}, got {band.shape} {band.dtype} "
                f"up to row {rows}"
            )
        yield band
    if rows != height:
        raise ValueError(f"write expects bands of {height} rows in all, got {rows}")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file in the same folder that takes the path's place once it is complete.

    An error inside the ``with`` leaves what was there as it was.
    """
    path = path.resolve()  # through a link, replace the file and not the link
    part = path.parent / f".d2f-{secrets.token_hex(6)}.part"
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _encode(
    file: BinaryIO,
    form: str,
    bands: Iterable[np.ndarray],
    size: tuple[int, int],
    dtype: np.dtype,
    exif: bytes | None,
    icc: bytes | None,
    quality: int,
) -> None:
    if form in ("PNG", "TIFF"):
        save = encode.save_png if form == "PNG" else encode.save_tiff
        save(file, bands, size, dtype, exif, icc)
        return
    options: dict[str, object] = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality, "lossless": quality == 100},
    }[form]
    carried = {"exif": exif, "icc_profile": icc}
    options.update({name: value for name, value in carried.items() if value is not None})
    (whole,) = bands
    encoded = io.BytesIO()  # Pillow writes JPEG to the file's descriptor itself, and does not notice a full disk
    Image.fromarray(np.ascontiguousarray(with_bits(whole, 8))).save(encoded, form, **options)
    file.write(encoded.getbuffer())


def find(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """List the pictures that files and folders stand for, each once, in the order given.

    A file is taken as it is. A folder is searched at every depth, sorted, for `SUFFIXES` in either case,
    without hidden files and folders.

    Raises:
        ImageFileError: for a path that is missing, or a folder without a picture.
    """
    found: dict[Path, None] = {}
    for path in [Path(paths)] if isinstance(paths, str | Path) else map(Path, paths):
        if not path.is_dir():
            if not path.is_file():
                if path.exists():
                    raise ImageFileError(f"{path}: not a file")
                raise ImageFileError(f"{path}: no such file or folder")
            found[path] = None
            continue
        inside = sorted(file for file in path.rglob("*") if _is_picture(file, path))
        if not inside:
            raise ImageFileError(f"{path}: no pictures in this folder (looked for {' '.join(SUFFIXES)})")
        found.update(dict.fromkeys(inside))
    return list(found)


def _is_picture(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.suffix.lower() in SUFFIXES and file.is_file()
