"""EXIF, orientation and colour profiles: what of a file's metadata goes with its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, JpegImagePlugin
from PIL.PngImagePlugin import PngImageFile

# The tags of the main IFD that describe the photograph; the others describe the file it came in.
_KEPT = (
    *(ExifTags.Base.DocumentName, ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model),
    *(ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit),
    *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist, ExifTags.Base.HostComputer),
    *(ExifTags.Base.Copyright, ExifTags.Base.Rating, ExifTags.Base.RatingPercent),
    *(ExifTags.Base.XPTitle, ExifTags.Base.XPComment, ExifTags.Base.XPAuthor),
    *(ExifTags.Base.XPKeywords, ExifTags.Base.XPSubject),
)
_INTEROP = int(ExifTags.IFD.Interop)


def _png_chunk(file: BinaryIO, name: bytes) -> bytes | None:
    """Find a PNG's chunk wherever it lies (eXIf may follow the pixels), leaving the file where it was."""
    place = file.tell()
    file.seek(8)
    try:
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if head[4:] == name:
                return file.read(length)
            file.seek(length + 4, 1)
        return None
    finally:
        file.seek(place)


def read_exif(image: Image.Image, file: BinaryIO) -> Image.Exif:
    """Return an opened picture's EXIF without decoding its pixels; empty if missing or damaged."""
    try:
        if isinstance(image, PngImageFile):
            chunk = None if "exif" in image.info else _png_chunk(file, b"eXIf")
            if chunk is not None:
                image.info["exif"] = b"Exif\0\0" + chunk
            return Image.Image.getexif(image)  # PngImageFile's own decodes all pixels to look behind them
        return image.getexif()
    except Exception:  # damaged EXIF raises a dozen kinds of error; the photograph is worth more than it
        return Image.Exif()


def carried_exif(exif: Image.Exif, size: tuple[int, int] | None = None) -> bytes | None:
    """Serialise the part of EXIF that still holds for new pixels.

    Kept: what describes the photograph in the main IFD (camera, author, dates, resolution, ...), the Exif IFD
    and the GPS IFD. Left out: orientation (the pixels are upright), the thumbnail, the interoperability IFD,
    and tags on how the old file stored its pixels. Damaged EXIF is dropped as a whole.

    Args:
        exif: as Pillow read it.
        size: the upright picture's (height, width), written over the pixel dimensions where EXIF states them.
    """
    kept = Image.Exif()
    try:
        for tag in _KEPT:
            if tag in exif:
                kept[tag] = raw(exif[tag])
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            tags = {tag: raw(value) for tag, value in exif.get_ifd(ifd).items() if tag != _INTEROP}
            for place, tag in enumerate((ExifTags.Base.ExifImageHeight, ExifTags.Base.ExifImageWidth)):
                if ifd == ExifTags.IFD.Exif and size is not None and tag in tags:
                    tags[tag] = size[place]
            if tags:
                kept[ifd] = tags
        return kept.tobytes() if len(kept) else None
    except Exception:  # see read_exif
        return None


def raw(value: object) -> object:
    """Give text beyond ASCII back its bytes: Pillow reads them as Latin-1 and would write question marks."""
    return value.encode("latin-1") if isinstance(value, str) and not value.isascii() else value


def parse_exif(exif: bytes) -> Image.Exif:
    """Parse serialised EXIF, with or without its ``Exif`` prefix.

    Raises:
        ValueError: where it is not EXIF.
    """
    parsed = Image.Exif()
    try:
        parsed.load(exif if exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif)
    except Exception as error:  # see read_exif
        raise ValueError(f"EXIF expects a TIFF structure, got {exif[:12]!r}") from error
    return parsed


def rgb_profile(icc: bytes | None) -> bytes | None:
    """Return an ICC profile if it is one for RGB pixels (not grey, not CMYK), else None."""
    return icc if icc is not None and icc[16:20] == b"RGB " else None


def subsampled(path: str | Path) -> bool:
    """Tell whether a file is a JPEG that stores colour at less than the full resolution (4:2:0, 4:2:2)."""
    with Image.open(path) as image:
        return isinstance(image, JpegImagePlugin.JpegImageFile) and JpegImagePlugin.get_sampling(image) > 0
