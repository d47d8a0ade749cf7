"""One picture, from file to file."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import images
from .developer import Developer

FAILURES = (ValueError, OSError, RuntimeError, MemoryError)
"""What may be wrong with one picture, and does not keep others from being developed."""


@dataclass(frozen=True)
class DevelopedFile:
    """What became of a photo.

    Attributes:
        photo: Its file.
        out: The film picture's file, or what it would have been.
        size: The picture's height and width; (0, 0) if it could not be developed.
        error: Why it could not, in one line with the photo's name; "" if it was.
    """

    photo: Path
    out: Path
    size: tuple[int, int] = (0, 0)
    error: str = ""


@dataclass(frozen=True)
class FileDeveloper:
    """Develop pictures from file to file: read, develop, write, each a function of its own so that they can overlap.

    Args:
        developer: For all of them.
        seed: Each picture's grain follows from it and the photo's file name.
        quality: As of `images.write`.
        bits: As of `images.write`.
    """

    developer: Developer
    seed: int = 0
    quality: int = 95
    bits: int | None = None

    def __call__(self, photo: Path, out: Path) -> DevelopedFile:
        """Develop one picture."""
        try:
            picture = self.read(photo)
            if picture is None:
                return self.by_bands(photo, out)
            film = self.developed(photo, picture)
            self.write(out, film)
        except FAILURES as error:
            return failed(photo, out, error)
        return DevelopedFile(photo, out, film.pixels.shape[:2])

    def read(self, photo: Path) -> images.Picture | None:
        """Read a photo; None if it is so large that it goes `by_bands`."""
        return None if math.prod(images.size(photo)) > images.LARGE else images.read(photo)

    def by_bands(self, photo: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> DevelopedFile:
        """Develop a picture that is never held whole, from file to file; progress as of `develop`."""
        out.parent.mkdir(parents=True, exist_ok=True)
        self.developer.file(
            photo,
            out,
            key=self._key(photo),
            quality=self.quality,
            bits=self.bits,
            progress=progress,
            large=images.LARGE,
        )
        return DevelopedFile(photo, out, images.size(photo))

    def developed(
        self, photo: Path, picture: images.Picture, progress: Callable[[int, int], None] | None = None
    ) -> images.Picture:
        """Develop a picture that was read from a file; progress as of `develop`."""
        return self.developer(picture, key=self._key(photo), progress=progress)

    def _key(self, photo: Path) -> int:
        return (self.seed + zlib.crc32(os.fsencode(photo.name))) % 2**63

    def write(self, out: Path, film: images.Picture) -> None:
        """Write a developed picture, into a folder that is made if it is missing."""
        out.parent.mkdir(parents=True, exist_ok=True)
        images.write(out, film.pixels, exif=film.exif, icc=film.icc, quality=self.quality, bits=self.bits)


def failed(photo: Path, out: Path, error: BaseException) -> DevelopedFile:
    """Say in one line what went wrong with a photo."""
    named = isinstance(error, images.ImageFileError)  # it begins with the file's name
    reason = str(error) or ("out of memory" if isinstance(error, MemoryError) else type(error).__name__)
    return DevelopedFile(photo, out, error=reason if named else f"{photo.name}: {reason}")
