"""Pixels between their forms: integers and floats, bit depths, transparency, orientation."""

from __future__ import annotations

import numpy as np

_BRIGHTEST = 2.0  # floats a little above white are clipped, floats in [0, 255] refused


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Scale decoded integers to float32 [0, 1].

    Raises:
        ValueError: unless pixels are uint8 or uint16.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"to_float expects uint8 or uint16 pixels, got {pixels.dtype}")
    scaled = pixels.astype(np.float32)
    scaled /= np.iinfo(pixels.dtype).max
    return scaled


def from_float(pixels: np.ndarray, dtype: type[np.unsignedinteger] | np.dtype = np.uint8) -> np.ndarray:
    """Round [0, 1] to integers, clipping what lies outside; the inverse of `to_float`.

    Shape: (H, W, 3)
    Range: float, finite -> uint8 [0, 255] or uint16 [0, 65535]

    Raises:
        ValueError: for NaN or infinity, another shape, an empty picture, or another dtype.
    """
    pixels, dtype = np.asarray(pixels), np.dtype(dtype)
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(f"from_float expects dtype uint8 or uint16, got {dtype}")
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"from_float expects floating-point pixels, got {pixels.dtype}")
    check_shape("from_float", pixels)
    if not np.isfinite(pixels).all():
        raise ValueError(f"from_float expects finite pixels, got {np.sum(~np.isfinite(pixels))} NaN or infinite")
    top = np.iinfo(dtype).max
    scaled = np.clip(pixels, 0, 1).astype(np.float32, copy=False) * np.float32(top)
    return np.rint(scaled, out=scaled).astype(dtype)


def check_shape(caller: str, pixels: np.ndarray) -> None:
    """Raise ValueError unless pixels are (H, W, 3) and not empty."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"{caller} expects pixels of shape (H, W, 3), none of them 0, got {pixels.shape}")


def check_values(caller: str, pixels: np.ndarray) -> None:
    """Raise ValueError unless pixels are uint8, uint16, or finite floats of which none is far above 1."""
    if pixels.dtype in (np.uint8, np.uint16):
        return
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"{caller} expects uint8, uint16 or float pixels, got {pixels.dtype}")
    if not np.isfinite(pixels).all():
        raise ValueError(f"{caller} expects finite pixels, got NaN or infinity")
    if pixels.max() > _BRIGHTEST:
        raise ValueError(f"{caller} expects float pixels in [0, 1], got up to {pixels.max():.4g}")


def with_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Change the bit depth; 257 = 65535 / 255, so that 0 and white stay 0 and white."""
    if bits == 8 * pixels.itemsize:
        return pixels
    if bits == 16:
        return pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def over_white(colour: np.ndarray, alpha: np.ndarray | None, associated: bool) -> np.ndarray:
    """Composite over white, rounded to nearest; ``associated`` colour is multiplied by alpha already."""
    white = np.iinfo(colour.dtype).max
    if alpha is None or alpha.min() == white:
        return colour
    clear = white - alpha
    if associated:
        return colour.clip(max=alpha) + clear
    wide = colour.astype(np.uint32) * alpha + np.uint32(white) * clear  # at most 65535 squared: it fits
    return ((wide + white // 2) // white).astype(colour.dtype)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror pixels as EXIF's orientation (1 to 8) asks; any other value leaves them as they are.

    Shape: pixels (H, W, C) -> (H, W, C), or (W, H, C) for orientations 5 to 8; a view
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
