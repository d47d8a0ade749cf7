"""Tone and the colour of neutrals, one curve a channel as film's layers have them, from pictures that are no pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..color import SRGB, from_lab, to_lab
from .transport import transport_1d

NODES = 33
_TOP = 100.0  # of L*
_BLACK, _WHITE = (0.0, 0.12), (0.88, 1.0)  # that black and white may become, in parts of L*'s range
_SLOPES = (0.4, 2.5)
_FURTHEST = 10.0  # L* that scenes may move a tone by
_STIFFNESS = 0.01  # of the tone curve
_LITTLE = 1e-3  # weight that pulls a tone towards itself
_BLUR = (1, 8, 28, 56, 70, 56, 28, 8, 1)  # of slopes, binomial
_BINS = np.linspace(0, _TOP, 9)
_BIN_SPREAD, _CAST_SPREAD = 10.0, 15.0  # L*
_NEAR_GREY, _NEAR_MODE = 12.0, 6.0  # chroma
_SOME = 0.01  # share of a picture's pixels that says something of a neutral
_MUCH = 0.05  # and beyond which more says no more
_LEAST_PICTURES = 3
_SURE = 2.0  # squared errors that a cast is shrunk by


def lab_of(colours: np.ndarray) -> np.ndarray:
    """Turn encoded sRGB, clipped to its gamut, into L*a*b* under D65.

    Shape: (..., 3) -> (..., 3)
    """
    return to_lab(SRGB.decode(np.clip(colours, 0, 1)) @ SRGB.to_xyz.T, SRGB.white_xyz)


def rgb_of(lab: np.ndarray) -> np.ndarray:
    """Turn L*a*b* into encoded sRGB; what lies outside its gamut is not clipped.

    Shape: (..., 3) -> (..., 3)
    """
    return SRGB.encode(from_lab(lab, SRGB.white_xyz) @ SRGB.from_xyz.T)


def straight() -> np.ndarray:
    """Return curves that change nothing. Shape: (NODES, 3)."""
    return np.repeat(np.linspace(0, 1, NODES)[:, None], 3, 1)


def through(curves: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Send each channel through its curve, given at NODES points of [0, 1].

    Shape: (NODES, 3), (N, 3) -> (N, 3)
    """
    axis = np.linspace(0, 1, len(curves))
    return np.stack([np.interp(colours[:, c], axis, curves[:, c]) for c in range(3)], -1)


def film_curves(tone: np.ndarray, cast: np.ndarray) -> np.ndarray:
    """Turn a tone curve and a cast into a curve a channel.

    Each rises everywhere, by 0.25 to 3 times what goes in, within [0, 1].

    Args:
        tone: L* that NODES even values of L* become. Shape (NODES,)
        cast: a* and b* of neutrals at the bins of L*. Shape (9, 2)

    Shape: -> (NODES, 3)
    """
    value = straight()
    light = np.interp(lab_of(value)[:, 0], np.linspace(0, _TOP, NODES), tone)
    a, b = (np.interp(light, _BINS, cast[:, i]) for i in range(2))
    curves = rgb_of(np.stack([light, a, b], -1)).clip(0, 1)
    return np.stack([rising(curves[:, c], (0, 0.3), (0.7, 1), (0.25, 3.0)) for c in range(3)], -1)


def tone_curve(photo: np.ndarray, film: np.ndarray, photo_weight: np.ndarray, film_weight: np.ndarray) -> np.ndarray:
    """Match lightness to lightness, smoothly: slopes from 0.4 to 2.5, no tone moved by more than 10.

    Least squares for the optimal transport's shifts on linear elements, second differences penalised.

    Shape: L* (N,), (M,) and their weights -> L* (NODES,) that NODES even values of L* become
    """
    shift = transport_1d(photo, film, photo_weight, film_weight) - photo
    found = _smooth_line(photo / _TOP, shift, photo_weight, _STIFFNESS)
    moved = np.linspace(0, _TOP, NODES) + _FURTHEST * np.tanh(found / _FURTHEST)
    return _TOP * rising(moved / _TOP, _BLACK, _WHITE, _SLOPES)


def paired_curves(photo: np.ndarray, film: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fit each channel of aligned pictures' film colours as a rising curve of the photo's.

    Shape: (N, 3), (N, 3), (N,) -> (NODES, 3)
    """
    axis = np.linspace(0, 1, NODES)
    lines = [axis + _smooth_line(photo[:, c], film[:, c] - photo[:, c], weight, _STIFFNESS / 10) for c in range(3)]
    return np.stack([rising(line, (0, 0.4), (0.6, 1), (0.1, 5.0)) for line in lines], -1)


def _smooth_line(place: np.ndarray, value: np.ndarray, weight: np.ndarray, stiffness: float) -> np.ndarray:
    """Fit a piecewise linear function on [0, 1] to values, smooth, and 0 where nothing is known. Shape: (NODES,)."""
    scaled = place * (NODES - 1)
    low = np.minimum(scaled.astype(int), NODES - 2)
    hats = np.zeros((len(place), NODES))
    rows = np.arange(len(place))
    hats[rows, low], hats[rows, low + 1] = 1 - scaled + low, scaled - low
    weighted = (hats * (weight / weight.sum())[:, None]).T
    bends = np.diff(np.eye(NODES), 2, axis=0) * (NODES - 1) ** 2 / _TOP
    matrix = weighted @ hats + (stiffness**2 * bends.T @ bends + _LITTLE * np.eye(NODES)) / NODES
    return np.linalg.solve(matrix, weighted @ value)


def rising(
    curve: np.ndarray, first: tuple[float, float], last: tuple[float, float], slopes: tuple[float, float]
) -> np.ndarray:
    """Bring a curve over [0, 1] to ends and slopes within bounds, and smooth the slopes.

    Shape: (N,) -> (N,)
    """
    start, end = np.clip(curve[0], *first), np.clip(curve[-1], *last)
    slope = np.diff(curve) * (len(curve) - 1)
    reach = len(_BLUR) // 2
    for _ in range(50):
        slope = np.clip(slope + (end - start) - slope.mean(), *slopes)
    slope = np.convolve(np.pad(slope, reach, "edge"), np.divide(_BLUR, sum(_BLUR)), "valid")
    slope = np.clip(slope + (end - start) - slope.mean(), *slopes)
    return (start + np.concatenate([[0], np.cumsum(slope) / len(slope)])).clip(0, 1)


def neutral_cast(film: Sequence[np.ndarray], photos: Sequence[np.ndarray]) -> np.ndarray:
    """Estimate what colour film gives neutrals, as far as its pictures agree on it.

    In each picture and bin of L* the mode of a*, b* near grey is found by mean shift; the pictures' means differ by
    the cast, which is shrunk by how much they scatter (James and Stein's factor): 0 where pictures contradict each
    other, or fewer than 3 have anything near grey.

    Args:
        film: L*a*b* of each scan. Shape (N_i, 3)
        photos: L*a*b* of each photograph.

    Shape: -> (9, 2)
    Reference: Comaniciu & Meer 2002, eq. 20, doi:10.1109/34.1000236; Efron & Morris 1973,
        doi:10.1080/01621459.1973.10481350
    """
    (mean, error, known), (photo_mean, photo_error, _) = _modes(film), _modes(photos)
    cast = mean - photo_mean
    size = np.maximum((cast**2).sum(1), 1e-9)
    sure = known * np.maximum(0, 1 - _SURE * (1 + error + photo_error) / size)
    near = np.exp(-(((_BINS[:, None] - _BINS) / _CAST_SPREAD) ** 2) / 2) * (known + _MUCH)
    return near @ (cast * sure[:, None]) / near.sum(1, keepdims=True)


def _modes(pictures: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean colour near grey, its squared error, and how far enough pictures have one.

    Shape: (9, 2), (9,), (9,)
    """
    found, share = zip(*(_mode(lab) for lab in pictures), strict=True)
    modes, weight = np.array(found), np.minimum(share, _MUCH) + 1e-6
    total = weight.sum(0)
    mean = (weight[..., None] * modes).sum(0) / total[:, None]
    scatter = (weight * ((modes - mean) ** 2).sum(-1)).sum(0) / total
    pictures_worth = total**2 / (weight**2).sum(0)
    return mean, scatter / np.maximum(pictures_worth - 1, 0.5), np.minimum(1, total / (_SOME * _LEAST_PICTURES))


def _mode(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the commonest a*, b* near grey in each bin of L*, and the share of pixels that it rests on."""
    light = np.exp(-(((lab[:, :1] - _BINS) / _BIN_SPREAD) ** 2) / 2)
    light *= np.exp(-(lab[:, 1:] ** 2).sum(-1) / 2 / _NEAR_GREY**2)[:, None]
    mode, total = np.zeros((len(_BINS), 2)), np.zeros(len(_BINS))
    for _ in range(10):
        near = light * np.exp(-((lab[:, None, 1:] - mode) ** 2).sum(-1) / 2 / _NEAR_MODE**2)
        total = near.sum(0)
        mode = near.T @ lab[:, 1:] / (total + _SOME * len(lab))[:, None]
    return mode, total / len(lab)
