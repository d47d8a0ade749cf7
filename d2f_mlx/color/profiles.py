"""Which RGB space a photograph's colour profile stands for; conversion where it is none of the known ones."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from .icc import profile_of
from .spaces import DISPLAY_P3, PROPHOTO, SPACES, SRGB, RGBSpace, between, transform

_LEVELS = np.linspace(0, 255, 18).astype(np.uint8)  # steps of 15
_PROBE = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(1, -1, 3)
_TOLERANCE = 1
"""Levels of 8 bits by which a profile may differ from the space it is taken for, rounding included."""
_MARGIN = 0.02
"""Light by which a profile's colours may lie outside the space they are converted to."""


def managed(pixels: np.ndarray, icc: bytes | None) -> tuple[np.ndarray, RGBSpace, bytes | None]:
    """Tell the space of a photograph's pixels, or convert them into a known one.

    A profile that is a known space in all but its name, within one level of 8 bits, stays, and so do the pixels. Others
    are converted, relative colorimetric with black point compensation, to the smallest of `SPACES` that holds their
    colours; 8-bit pixels never to ProPhoto, whose steps would show: to Display P3, clipped.

    Args:
        pixels: As they were decoded; 16 bits under a profile that must be converted need imagecodecs (extra ``icc``).
        icc: The profile they came with; None stands for sRGB.

    Returns:
        The pixels, their space, and the profile to write with them.

    Shape: (H, W, 3) -> (H, W, 3)
    Range: uint8 or uint16, kept

    Raises:
        ValueError: for other pixels, a profile that cannot be used, or imagecodecs missing where it is needed.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"managed expects (H, W, 3) uint8 or uint16 pixels, got {pixels.shape} {pixels.dtype}")
    if icc is None:
        return pixels, SRGB, None
    space, known = _recognised(icc, pixels.itemsize)
    if known:
        return pixels, space, icc
    target = profile_of(space)
    return (_converted8 if pixels.dtype == np.uint8 else _converted16)(pixels, icc, target), space, target


@lru_cache(maxsize=16)
def _recognised(icc: bytes, itemsize: int) -> tuple[RGBSpace, bool]:
    """Return the space that a profile is, or else the one to convert its pixels to, and which of the two it is."""
    exact = ImageCms.Flags.NOOPTIMIZE
    for space in SPACES.values():
        if np.abs(_converted8(_PROBE, icc, profile_of(space), exact).astype(int) - _PROBE).max() <= _TOLERANCE:
            return space, True
    seen = PROPHOTO.decode(_converted8(_PROBE, icc, profile_of(PROPHOTO), exact) / 255)
    for space in SPACES.values():
        light = transform(between(PROPHOTO, space), seen)
        if space != PROPHOTO and light.min() >= -_MARGIN and light.max() <= 1 + _MARGIN:
            return space, False
    return (DISPLAY_P3 if itemsize == 1 else PROPHOTO), False


def _converted8(
    pixels: np.ndarray, icc: bytes, target: bytes, flags: ImageCms.Flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
) -> np.ndarray:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        kind = icc[16:20].decode("latin-1").strip()
        if kind != "RGB":
            raise ValueError(f"it is for {kind} pixels, not RGB")
        relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
        to = ImageCms.ImageCmsProfile(io.BytesIO(target))
        change = ImageCms.buildTransform(source, to, "RGB", "RGB", relative, flags)
        return np.asarray(change.apply(Image.fromarray(np.ascontiguousarray(pixels))))
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise _unusable(error) from error


def _converted16(pixels: np.ndarray, icc: bytes, target: bytes) -> np.ndarray:
    try:
        import imagecodecs
    except ImportError as error:
        raise ValueError(
            "16-bit pictures with this colour profile need imagecodecs: pip install 'd2f_mlx[icc]'"
        ) from error
    cms = imagecodecs.CMS
    try:
        return imagecodecs.cms_transform(
            np.ascontiguousarray(pixels),
            icc,
            target,
            colorspace="rgb",
            outcolorspace="rgb",
            intent=cms.INTENT.RELATIVE_COLORIMETRIC,
            flags=cms.FLAGS.BLACKPOINTCOMPENSATION | cms.FLAGS.NOOPTIMIZE,  # optimised, it is right to 8 bits only
        )
    except (RuntimeError, ValueError) as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> ValueError:
    return ValueError(f"the photo's colour profile cannot be used ({' '.join(str(error).split())})")
