"""A picture through a training: one fixed crop, as the network makes it at one step after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import images
from .config import Report

SUFFIXES = (".gif", ".webp")

_SIDE = 768  # that a small crop is enlarged to, or a little less: grain is to be seen pixel by pixel
_FRAME_MS, _LAST_MS = 300, 2000
_MOST = 120  # frames in the file, which is written anew each time


class Animation:
    """Write an animated GIF or WebP, with a frame more after each evaluation.

    The frames lie as PNG files, pixel for pixel and without a label, in the folder FILE.frames, so that a resumed
    training goes on with them. The first step has one in any case. Of more than 120, evenly chosen ones are shown.

    Args:
        file: A name ending in .gif or .webp; its folder is made.
        picture: What the report's network makes of a fixed picture. Shape (H, W, 3), uint8
        every: Steps between frames; 0 for one at each evaluation.
        resume: Go on with the frames that are there; those from the first step reported on are made anew.

    Raises: ValueError for another suffix, or an animation that is there where nothing is resumed; OSError where it
        cannot be written.
    """

    def __init__(
        self, file: str | Path, picture: Callable[[Any], np.ndarray], every: int = 0, *, resume: bool = False
    ) -> None:
        self._file, self._picture, self._every = Path(file), picture, every
        if self._file.suffix.lower() not in SUFFIXES or every < 0:
            raise ValueError(
                f"Animation expects a file ending in {' or '.join(SUFFIXES)} and every >= 0, got {file}, {every}"
            )
        self._frames = self._file.with_name(self._file.name + ".frames")
        if not resume and (self._file.exists() or any(self._frames.glob("*.png"))):
            raise ValueError(f"{file}: it or {self._frames.name} exists; resume its training or choose another file")
        self._frames.mkdir(parents=True, exist_ok=True)
        self._begun = False

    def __call__(self, report: Report) -> None:
        """Add a frame if one is due."""
        if not self._begun:
            self._begun = True
            for frame in self._there():
                if int(frame.stem) >= report.step:
                    frame.unlink()
        due = report.step % self._every == 0 if self._every else bool(report.evaluation)
        if report.network is None or not (due or report.step == 1):
            return
        images.write(self._frames / f"{report.step:09d}.png", self._picture(report.network))
        self._write()

    def _there(self) -> list[Path]:
        return sorted(frame for frame in self._frames.glob("*.png") if frame.stem.isdigit())

    def _write(self) -> None:
        """Write the whole animation, whole or not at all."""
        frames = self._there()
        if len(frames) > _MOST:
            frames = [frames[i] for i in np.linspace(0, len(frames) - 1, _MOST).round().astype(int)]
        shown = [_labelled(images.read(frame).pixels, f"step {int(frame.stem)}") for frame in frames]
        options: dict[str, Any] = {"lossless": True}
        if self._file.suffix.lower() == ".gif":
            # One palette, the last frame's: colours that change are the network's doing then. Far quicker, too.
            palette = shown[-1].quantize(256)
            shown = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in shown]
            options = {}
        durations = [_FRAME_MS] * (len(shown) - 1) + [_LAST_MS]
        form = self._file.suffix[1:].upper()
        with images.replacing(self._file) as file:
            shown[0].save(file, form, save_all=True, append_images=shown[1:], duration=durations, loop=0, **options)


def _labelled(pixels: np.ndarray, label: str) -> Image.Image:
    """Enlarge a picture by whole pixels and write below it which step it is from."""
    height, width = pixels.shape[:2]
    scale = max(1, _SIDE // max(height, width))
    size = max(12, scale * width // 40)
    frame = Image.new("RGB", (scale * width, scale * height + 2 * size), "black")
    frame.paste(Image.fromarray(pixels).resize((scale * width, scale * height), Image.Resampling.NEAREST))
    place = (size // 2, scale * height + size // 2)
    ImageDraw.Draw(frame).text(place, label, fill="white", font=ImageFont.load_default(size))
    return frame
