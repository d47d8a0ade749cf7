"""What happens to pictures on their way, film and digital alike: filters, noise, compression. NumPy and Pillow only.

Crops in, crops out, (B, H, W, 3) uint8. A strength is one number for all crops or one for each, (B,). `ALTERATIONS`
draw theirs at random: what a film scan has gone through, and is a film scan still.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import lru_cache, reduce

import numpy as np
from PIL import Image

Strength = float | np.ndarray
BLOCK = 8
"""Side of the blocks that `denoise` transforms, in pixels."""
_MOST_SIDE = 15  # of a window whose sums fit 32 bits
_THRESHOLD = 3.0
_SHIFTS = (0, 4)
_WIDTHS = (0.1, 100)  # below, a Gaussian moves no level
_SCALES = (0.05, 20)


def wiener(crops: np.ndarray, side: int = 7, noise: float | None = None) -> np.ndarray:
    """Filter with the adaptive Wiener filter: flat areas become their mean, edges stay.

    m + max(v - n, 0) / max(v, n) (x - m), with m and v the mean and variance of a window. As ``scipy.signal.wiener``,
    but mirrored at the border, where zeros would pass for edges and spoil the estimate of a small crop's noise.

    Args:
        crops: pictures.
        side: of the window, odd, up to 15 pixels.
        noise: variance of the noise, in squared levels; by default each crop's and channel's mean of v.

    Shape: (B, H, W, 3) -> the same, uint8
    Reference: Lim 1990, 'Two-dimensional signal and image processing', section 9.2 (equations 9.44 to 9.46)
    """
    _check("wiener", crops)
    if side not in range(1, _MOST_SIDE + 1, 2):
        raise ValueError(f"wiener expects an odd side of 1 to {_MOST_SIDE}, got {side}")
    count = np.uint32(side * side)
    levels = crops.astype(np.uint32)
    sums, squares = _window_sums(levels, side), _window_sums(levels * levels, side)
    mean = sums.astype(np.float32) / np.float32(count)
    variance = (count * squares - sums * sums).astype(np.float32) / np.float32(count) ** 2  # exact up to here
    level = variance.mean((1, 2), keepdims=True) if noise is None else np.float32(noise)
    gain = np.maximum(variance - level, 0) / np.maximum(np.maximum(variance, level), np.float32(1e-6))
    return _rounded(mean + gain * (crops - mean))


def blur(crops: np.ndarray, sigma: Strength) -> np.ndarray:
    """Blur with a Gaussian of ``sigma`` pixels, cut off at three times the largest, mirrored at the border.

    Shape: (B, H, W, 3) -> the same, uint8
    """
    _check("blur", crops)
    return _rounded(_blurred(crops.astype(np.float32), sigma))


def denoise(crops: np.ndarray, sigma: Strength) -> np.ndarray:
    """Denoise by hard thresholds on cosine transforms of overlapping blocks.

    Each 8x8 block, in three decorrelated colours, loses what is below 3 ``sigma``, but for its mean; pixels are the
    mean of four blocks. It keeps regular texture, which `wiener` blurs.

    Args:
        crops: pictures.
        sigma: deviation of the noise that is to go, in levels of 255.

    Shape: (B, H, W, 3) -> the same, uint8
    Reference: Yu and Sapiro 2011, 'DCT image denoising', IPOL 1. doi:10.5201/ipol.2011.ys-dct
    """
    _check("denoise", crops)
    threshold = np.float32(_THRESHOLD) * _each("denoise", sigma, crops)  # (B, 1, 1, 1)
    batch, height, width, _ = crops.shape
    margin = (_SHIFTS[-1], BLOCK + _SHIFTS[-1])
    colours = crops.astype(np.float32) @ _cosines(3).T
    padded = np.pad(colours, [(0, 0), margin, margin, (0, 0)], "symmetric")
    rows, columns = (-(-(length + _SHIFTS[-1]) // BLOCK) for length in (height, width))
    basis = np.kron(_cosines(BLOCK), _cosines(BLOCK))
    total = np.zeros_like(colours)
    for top in _SHIFTS:
        for left in _SHIFTS:
            part = padded[:, top : top + rows * BLOCK, left : left + columns * BLOCK]
            grid = part.reshape(batch, rows, BLOCK, columns, BLOCK, 3).transpose(0, 1, 3, 5, 2, 4)
            values = grid.reshape(batch, rows * columns, 3, BLOCK * BLOCK) @ basis.T
            kept = np.abs(values) >= threshold
            kept[..., 0] = True
            values *= kept
            grid = (values @ basis).reshape(batch, rows, columns, 3, BLOCK, BLOCK).transpose(0, 1, 4, 2, 5, 3)
            down, across = _SHIFTS[-1] - top, _SHIFTS[-1] - left
            whole = grid.reshape(batch, rows * BLOCK, columns * BLOCK, 3)
            total += whole[:, down : down + height, across : across + width]
    return _rounded(total / np.float32(len(_SHIFTS) ** 2) @ _cosines(3))


def noise(crops: np.ndarray, sigma: Strength, rng: np.random.Generator) -> np.ndarray:
    """Add white Gaussian noise of deviation ``sigma`` in levels of 255, independent in the channels.

    Shape: (B, H, W, 3) -> the same, uint8
    """
    _check("noise", crops)
    field = rng.standard_normal(crops.shape, np.float32)
    return _rounded(crops + _each("noise", sigma, crops) * field)


def jpeg(crops: np.ndarray, quality: Strength, subsampling: int = 2) -> np.ndarray:
    """Compress as JPEG and decode.

    Args:
        crops: pictures.
        quality: Pillow's, 1 to 100.
        subsampling: of colour: 0 none (4:4:4), 1 across (4:2:2), 2 both ways (4:2:0).

    Shape: (B, H, W, 3) -> the same, uint8
    """
    _check("jpeg", crops)
    out = np.empty_like(crops)
    for to, crop, each in zip(out, crops, _each("jpeg", quality, crops, 1, 100).ravel(), strict=True):
        with io.BytesIO() as file:
            Image.fromarray(crop).save(file, "JPEG", quality=round(float(each)), subsampling=subsampling)
            to[...] = np.asarray(Image.open(file))
    return out


def resize(crops: np.ndarray, scale: Strength, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    """Resample to ``scale`` times the size and back.

    Shape: (B, H, W, 3) -> the same, uint8
    """
    _check("resize", crops)
    height, width = crops.shape[1:3]
    out = np.empty_like(crops)
    for to, crop, each in zip(out, crops, _each("resize", scale, crops, *_SCALES).ravel().tolist(), strict=True):
        other = (max(1, round(width * each)), max(1, round(height * each)))
        to[...] = Image.fromarray(crop).resize(other, resampling).resize((width, height), resampling)
    return out


def sharpen(crops: np.ndarray, amount: Strength, radius: Strength = 1.0, scale: Strength = 0.8) -> np.ndarray:
    """Sharpen as scanners do: what came from fewer pixels, unsharp-masked: x + ``amount`` (x - blur(x)).

    Args:
        crops: pictures.
        amount: of the mask; 1 doubles what the blur takes away.
        radius: the blur's deviation, in pixels.
        scale: size, as a share, that the pictures are resampled to before, and back.

    Shape: (B, H, W, 3) -> the same, uint8
    """
    _check("sharpen", crops)
    soft = resize(crops, scale).astype(np.float32)
    return _rounded(soft + _each("sharpen", amount, crops) * (soft - _blurred(soft, radius)))


Alteration = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _drawn_resize(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kinds = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    return resize(crops, 2 ** rng.uniform(-1, 1, len(crops)), kinds[rng.integers(len(kinds))])


def _drawn_sharpen(crops: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    amount, radius, scale = (rng.uniform(low, high, len(crops)) for low, high in ((0.3, 2), (0.5, 1.5), (0.6, 1)))
    return sharpen(crops, amount, radius, scale)


ALTERATIONS: dict[str, Alteration] = {
    "wiener": lambda crops, rng: wiener(crops, int(rng.choice((3, 5, 7)))),
    "blur": lambda crops, rng: blur(crops, rng.uniform(0.3, 1.5, len(crops))),
    "denoise": lambda crops, rng: denoise(crops, rng.uniform(2, 16, len(crops))),
    "noise": lambda crops, rng: noise(crops, rng.uniform(1, 14, len(crops)), rng),
    "jpeg": lambda crops, rng: jpeg(crops, rng.integers(40, 98, len(crops)), int(rng.choice((0, 2)))),
    "resize": _drawn_resize,
    "sharpen": _drawn_sharpen,
}
"""Alterations by name, each of a strength drawn for every crop; the Wiener filter's window, a JPEG's subsampling and
the kind of resampling are drawn for the batch."""


def _check(caller: str, crops: np.ndarray) -> None:
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or not crops.size:
        raise ValueError(f"{caller} expects (B, H, W, 3) uint8 crops, got {crops.shape} {crops.dtype}")


def _each(caller: str, strength: Strength, crops: np.ndarray, least: float = 0.0, most: float = math.inf) -> np.ndarray:
    """Return a strength for every crop, (B, 1, 1, 1)."""
    each = np.asarray(strength, np.float32)
    if each.shape not in ((), (len(crops),)):
        raise ValueError(f"{caller} expects one strength, or one for each of {len(crops)} crops, got {each.shape}")
    if not ((each >= least) & (each <= most) & np.isfinite(each)).all():
        raise ValueError(f"{caller} expects strengths of {least:g} to {most:g}, got {each.min()} to {each.max()}")
    return np.broadcast_to(each, len(crops)).reshape(-1, 1, 1, 1)


def _window_sums(values: np.ndarray, side: int) -> np.ndarray:
    """Add up square windows around every pixel, mirrored at the border."""
    height, width = values.shape[1:3]
    reach = (side // 2, side // 2)
    padded = np.pad(values, [(0, 0), reach, reach, (0, 0)], "symmetric")
    across = reduce(np.add, (padded[:, :, i : i + width] for i in range(side)))
    return reduce(np.add, (across[:, i : i + height] for i in range(side)))


def _blurred(values: np.ndarray, sigma: Strength) -> np.ndarray:
    each = _each("blur", sigma, values, *_WIDTHS)
    radius = math.ceil(3 * each.max())
    taps = np.exp(-0.5 * (np.arange(radius + 1, dtype=np.float32) / each) ** 2)  # (B, 1, 1, radius + 1)
    taps /= 2 * taps.sum(-1, keepdims=True) - 1
    reach = (radius, radius)
    places = np.pad(values, [(0, 0), reach, reach, (0, 0)], "symmetric")
    for _ in range(2):  # down, then across
        length = places.shape[1] - 2 * radius
        total = places[:, radius : radius + length] * taps[..., :1]
        for i in range(1, radius + 1):
            before, after = radius - i, radius + i
            total += (places[:, before : before + length] + places[:, after : after + length]) * taps[..., i : i + 1]
        places = total.swapaxes(1, 2)
    return places


@lru_cache
def _cosines(side: int) -> np.ndarray:
    """Return the orthonormal cosine transform of ``side`` values, a row a frequency."""
    frequency, place = np.arange(side)[:, None], np.arange(side) + 0.5
    rows = np.cos(np.pi / side * frequency * place) * np.sqrt(2 / side)
    rows[0] /= np.sqrt(2)
    return rows.astype(np.float32)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
