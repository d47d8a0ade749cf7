"""What trainings' commands share: the flags for watching one, and what they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import mlx.core as mx
import numpy as np

from .. import images
from ..color import SRGB, convert, managed
from ..develop import DevelopConfig, Developer
from ..grain import HalideStatistics
from ..models import Reconstructor
from ..training import Animation, Callback, Log, TensorBoard
from ..training.examples import film_base
from ..training.tensorboard import Pictures
from .demo import PHOTOS, sample
from .flags import add_flags, from_flags

_SIDE = 128  # of the animated crop
_GAIN = 6  # of the grain that is shown alone: what a training changes is a level or two


@dataclass(frozen=True)
class Watch:
    """What a training is watched by.

    Args:
        log: File for a line of figures a step, .jsonl or .csv.
        log_every: Steps between lines, and between points in TensorBoard.
        tensorboard: Folder for TensorBoard's curves, pictures and histograms of the weights.
        animate: File, .gif or .webp, in which a photograph and its grain are developed at step after step.
        animate_every: Steps between its frames; 0 for one at each evaluation.
        animate_photo: The photograph; without it one of scikit-image's, or else the first held-out scan, denoised.
    """

    log: str = ""
    log_every: int = 1
    tensorboard: str = ""
    animate: str = ""
    animate_every: int = 0
    animate_photo: str = ""


def add_watch(parser: argparse.ArgumentParser, animate: bool = True) -> None:
    """Add the flags; those of the animation for a network that develops pictures."""
    add_flags(parser, Watch, () if animate else ("animate", "animate_every", "animate_photo"))


def watchers(
    arguments: argparse.Namespace,
    *,
    pictures: Pictures | None = None,
    picture: Callable[[Any], np.ndarray] | None = None,
) -> list[Callback]:
    """Make the callbacks that the flags ask for; all that can be refused is refused now.

    Args:
        arguments: With those of `add_watch`, and ``resume``.
        pictures: What TensorBoard shows of the network that is trained.
        picture: What is animated.

    Raises: ValueError or OSError as `Log`, `TensorBoard` and `Animation` do.
    """
    watch, resume = from_flags(arguments, Watch), arguments.resume
    callbacks: list[Callback] = []
    if watch.log:
        callbacks.append(Log(watch.log, watch.log_every, resume=resume))
    if watch.tensorboard:
        callbacks.append(TensorBoard(watch.tensorboard, watch.log_every, pictures=pictures, resume=resume))
    if watch.animate and picture:
        callbacks.append(Animation(watch.animate, picture, watch.animate_every, resume=resume))
    return callbacks


def photo_crop(name: str) -> np.ndarray | None:
    """Cut what is animated from a photograph's upper middle, where faces are; None where there is none.

    Args:
        name: Its file; "" for one of scikit-image's, if that is there.

    Shape: -> (128, 128, 3), or less of a smaller photograph; uint8, sRGB
    Raises: `images.ImageFileError` for a file that cannot be read.
    """
    if not name:
        return _cut(sample(PHOTOS[0])) if find_spec("skimage") else None
    picture = images.read(name)
    pixels, space, _ = managed(_cut(picture.pixels), picture.icc)
    return images.from_float(convert(images.to_float(pixels), space, SRGB))


def denoised_crop(scan: np.ndarray) -> np.ndarray:
    """Cut what is animated from a film scan and take its grain away; see `photo_crop`."""
    film = mx.array(images.to_float(_cut(scan)))
    return images.from_float(np.array(film_base(film[None])[0]))


def developed(crop: np.ndarray, network: Reconstructor, statistics: HalideStatistics) -> np.ndarray:
    """Develop a crop with a network in training, and show its grain alone beside it, on grey and six times as strong.

    The grain is the film's, the colours are the photo's, the halides the same every time.

    Shape: (H, W, 3), uint8 -> (H, 2 W, 3)
    """
    film = Developer(DevelopConfig(grain="halide", colour="photo"), network=network, statistics=statistics)(crop)
    grain = np.clip(128 + _GAIN * (film.astype(int) - crop), 0, 255).astype(np.uint8)
    return np.concatenate([film, grain], axis=1)


def _cut(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    top, left = max(0, min(height // 6, height - _SIDE)), max(0, (width - _SIDE) // 2)
    return np.ascontiguousarray(pixels[top : top + _SIDE, left : left + _SIDE])
