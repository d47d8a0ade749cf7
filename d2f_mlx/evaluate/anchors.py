"""What a realism report holds its figures against: film's own halves, and plain noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np

from .. import images
from ..grain import GrainMeasurement
from ..grain.filters import gaussian_taps
from ..grain.patches import about_plane

Picture = np.ndarray | str | Path
"""A decoded picture, integers (H, W, C), or the file of one."""
NOISES = {
    "white noise, colour": (False, False),
    "white noise, mono": (True, False),
    "blurred noise, colour": (False, True),
    "blurred noise, mono": (True, True),
}
"""Gaussian noise by name: whether all channels share one field, and whether it is low-passed."""
_PATCHES = 64
_PATCH = 96  # pixels
_GREATEST_BLUR = 2.0
_CALIBRATION = 256  # pixels


def pixels_of(picture: Picture) -> np.ndarray:
    """Decode a picture if it is a file."""
    return picture if isinstance(picture, np.ndarray) else images.read(picture).pixels


def halves(film: Sequence[Picture], rolls: Sequence[object] | None = None) -> tuple[list[Picture], list[Picture]]:
    """Part a film into two sides that share no picture: its rolls in turn, else its pictures in turn.

    A single picture is cut into its left and its right half.

    Args:
        film: Pictures.
        rolls: What roll each is from; one roll, or None, is parted by picture.
    """
    names = list(dict.fromkeys(rolls or []))
    side = [names.index(roll) for roll in rolls] if rolls and len(names) > 1 else list(range(len(film)))
    if len(film) == 1:
        pixels = pixels_of(film[0])
        middle = pixels.shape[1] // 2
        return [pixels[:, :middle]], [pixels[:, middle:]]
    first, second = ([p for p, s in zip(film, side, strict=True) if s % 2 == half] for half in (0, 1))
    return first, second


def mean_sigma(film: GrainMeasurement) -> np.ndarray:
    """Return the root of film's mean block variance, levels of 255, (C,): one deviation for all brightnesses."""
    known = np.isfinite(film.sigma)
    weight = film.band_blocks * known
    return np.sqrt((weight * np.where(known, film.sigma, 0) ** 2).sum(0) / weight.sum(0).clip(1))


def matching_blur(lag_1: float, size: int) -> float:
    """Find the Gaussian blur of white noise whose lag-1 autocorrelation, measured on flat blocks, is a given one.

    Measured as `GrainMeasurement` does, about a plane, on synthetic noise, for some 20 widths; between them linear.

    Args:
        lag_1: Of the film, as measured. Below that of noise without blur, that is what comes back.
        size: Side of a block in pixels.

    Shape: -> deviation in pixels, 0 to 2
    """
    noise = np.random.default_rng(0).standard_normal((_CALIBRATION, _CALIBRATION))
    widths = np.linspace(0, _GREATEST_BLUR, 21)
    return float(np.interp(lag_1, [_lag_1(_blurred(noise, width), size) for width in widths], widths))


def _lag_1(field: np.ndarray, size: int) -> float:
    number = len(field) // size
    blocks = field[: number * size, : number * size].reshape(number, size, number, size).swapaxes(1, 2)
    rest = about_plane(blocks.reshape(-1, size, size, 1))[0][..., 0]
    across = (rest[:, 1:] * rest[:, :-1]).mean() + (rest[:, :, 1:] * rest[:, :, :-1]).mean()
    return float(across / 2 / (rest**2).mean())


def _blurred(field: np.ndarray, width: float) -> np.ndarray:
    """Blur a field down and across, and bring white noise back to its variance."""
    if width < 0.1:  # a blur of 1e-22 at the nearest pixel
        return field
    taps = gaussian_taps(width)
    taps = taps / np.sqrt((taps**2).sum())
    for axis in (0, 1):
        shifted = (tap * np.roll(field, shift - len(taps) // 2, axis) for shift, tap in enumerate(taps))
        field = reduce(np.add, shifted)
    return field


def add_noise(
    photos: Iterable[np.ndarray], sigma: np.ndarray, *, mono: bool = False, blur: float = 0.0, seed: int = 0
) -> Iterator[np.ndarray]:
    """Add Gaussian noise of one deviation to pictures and round them to 8 bits.

    Args:
        photos: Integers or floats in levels of 255 (H, W, C).
        sigma: Deviation of each channel, levels of 255. Shape (C,)
        mono: One field for all channels, instead of independent ones.
        blur: Deviation of a Gaussian low-pass in pixels, after which the variance is ``sigma`` squared again.
        seed: Another seed, another noise.

    Shape: -> (H, W, C), uint8
    """
    for index, pixels in enumerate(photos):
        generator = np.random.default_rng([seed, index])
        fields = generator.standard_normal((1 if mono else pixels.shape[2], *pixels.shape[:2]))
        noise = np.stack([_blurred(field, blur) for field in fields], -1)
        levels = pixels * (255 / np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else pixels
        yield np.rint(levels + sigma * noise).clip(0, 255).astype(np.uint8)


def plain_patches(film: GrainMeasurement) -> list[np.ndarray]:
    """Return 64 plain fields whose brightness is spread as the flat blocks of a film's, from dark to light.

    Each channel takes equally spaced quantiles of its own distribution over the bands of brightness.

    Shape: -> (96, 96, C), float levels of 255
    """
    edges = np.linspace(0, 256, len(film.band_blocks) + 1)
    place = (np.arange(_PATCHES) + 0.5) / _PATCHES
    share = np.concatenate([np.zeros_like(film.band_blocks[:1]), film.band_blocks.cumsum(0)]) / film.blocks
    levels = np.stack([np.interp(place, column, edges) for column in share.T], -1)
    return [np.broadcast_to(level, (_PATCH, _PATCH, len(level))) for level in levels.clip(0, 255)]


def noises(film: GrainMeasurement, size: int) -> dict[str, Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]]:
    """Return what adds each of `NOISES` to pictures, with a film's mean variance and, if blurred, its lag-1."""
    sigma, width = mean_sigma(film), matching_blur(float(film.autocorrelation[1].mean()), size)

    def adder(mono: bool, blurred: bool) -> Callable[[Iterable[np.ndarray]], Iterator[np.ndarray]]:
        return lambda photos: add_noise(photos, sigma, mono=mono, blur=width if blurred else 0.0)

    return {name: adder(*kind) for name, kind in NOISES.items()}
