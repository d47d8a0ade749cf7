"""What a reconstructor is shown: halides, mask and base, made from a crop of film inside the compiled step."""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx
import numpy as np

from ..grain import flat_areas, guided_base, halide_mask
from ..grain.filters import averaged
from ..losses.grain import covariance, deviation, spectrum
from ..models import Reconstructor, ReconstructorConfig

_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


class Examples(NamedTuple):
    """A batch for a reconstructor.

    Shape: all (B, H, W, 3), but weight (B, H, W, 1)
    Range: halides, base and target in [-1, 1] or differences of such; mask is bool; weight is 0 or 1
    """

    halides: mx.array
    mask: mx.array
    base: mx.array
    target: mx.array
    weight: mx.array


def shuffled(crops: mx.array, group: int) -> mx.array:
    """Give every second crop channels of other crops.

    In most scans the channels' grain is nearly one, and a network that has seen nothing else fails on the scanners and
    stocks where it is not: this shows it channels that have nothing to do with one another.

    Args:
        crops: A batch.
        group: Crops that are mixed with one another, an even number; a batch that is not made of such is one group.
            The same groups give the same crops, whatever batch they are in.

    Shape: (B, H, W, 3) -> the same
    """
    if len(crops) % group:
        group = len(crops) // 2 * 2
    if group < 6:  # three channels of three crops
        return crops
    whole = len(crops) // group * group
    pairs = crops[:whole].reshape(-1, group // 2, 2, *crops.shape[1:])
    mixed = mx.stack([mx.roll(pairs[:, :, 0, ..., c], c, 1) for c in range(3)], axis=-1)
    result = mx.stack([mixed, pairs[:, :, 1]], axis=2).reshape(whole, *crops.shape[1:])
    return mx.concatenate([result, crops[whole:]])


def film_base(film: mx.array) -> mx.array:
    """Denoise film so smoothly that all of the grain is left in the residual.

    Shape: (B, H, W, 3) -> the same
    Range: [0, 1]
    """
    return guided_base(film, radius=8, epsilon=0.01)


def varied(crops: mx.array, key: mx.array, share: float) -> mx.array:
    """Give some crops other grain: of more kinds of film than the scans are of.

    In half of them it is made from their own, in half from white noise, which is what developing scatters halides of.
    Either is filtered in each channel, r + a (blur(r) - r) with a in [-0.9, 0.9], drawn towards a random mean of the
    channels by up to 0.95, and brought to 0.6 to 1.6 times the deviation that the crop's grain has on its flat areas.

    Args:
        crops: A batch.
        key: Random key.
        share: Of the crops that are changed, drawn at random.

    Shape: (B, H, W, 3), uint8 -> the same
    """
    keys = mx.random.split(key, 7)

    def draw(index: int, low: float, high: float, channels: int = 3) -> mx.array:
        return mx.random.uniform(low, high, (len(crops), 1, 1, channels), key=keys[index])

    film = crops.astype(mx.float32) / 255
    base = film_base(film)
    flat = flat_areas(film).astype(mx.float32)
    strength = _deviation(film - base, flat) * mx.exp(draw(0, -0.5, 0.5))
    grain = mx.where(draw(1, 0, 1, 1) < 0.5, film - base, mx.random.normal(film.shape, key=keys[2]))
    grain = grain + draw(3, -0.9, 0.9) * (averaged(grain, _BINOMIAL) - grain)
    grain = grain / mx.maximum(_deviation(grain, flat), 1e-6)
    weight = draw(4, 0, 1)
    mean = (grain * weight).sum(-1, keepdims=True) / weight.sum(-1, keepdims=True)
    grain = grain + draw(5, 0, 0.95, 1) * (mean - grain)
    grain = grain * strength / mx.maximum(_deviation(grain, flat), 1e-6)
    other = mx.clip(mx.round((base + grain) * 255), 0, 255).astype(mx.uint8)
    return mx.where(draw(6, 0, 1, 1) < share, other, crops)


def _deviation(grain: mx.array, weight: mx.array) -> mx.array:
    """Return each channel's deviation where it counts; (B, H, W, 3) -> (B, 1, 1, 3)."""
    squares = (grain * grain * weight).sum((1, 2), keepdims=True)
    return mx.sqrt(squares / mx.maximum(weight.sum((1, 2), keepdims=True), 1))


def examples(crops: mx.array, config: ReconstructorConfig) -> Examples:
    """Take the halides of film crops, and in the residual way their denoised base.

    The residual way is to learn grain and nothing else: where a crop has structure, the denoised base lacks some of
    it and the residual has it, and a network that learned from there sharpens the photographs it develops. So only flat
    areas count, over a base that is smooth enough to leave all of the grain in the residual. In the absolute way all
    counts.

    Shape: (B, H, W, 3), uint8
    """
    film = crops.astype(mx.float32) / 255
    mask = halide_mask(crops, config.halides)
    target = 2 * film - 1
    if config.way == "absolute":
        return Examples(mx.where(mask, target, 0), mask, target, target, mx.ones_like(target[..., :1]))
    base = 2 * film_base(film) - 1
    target = target - base
    return Examples(mx.where(mask, target, 0), mask, base, target, flat_areas(film).astype(mx.float32))


def squared_error(prediction: mx.array, batch: Examples) -> mx.array:
    """Return the sum of the squared errors that count, and how many values do."""
    error = (prediction - batch.target) * batch.weight
    squares = (error * error).sum((1, 2, 3)).sum()  # in two stages, for float32's sake
    return mx.stack([squares, batch.weight.sum((1, 2, 3)).sum() * error.shape[-1]])


def rebuilt(network: Reconstructor, batch: Examples, key: mx.array) -> mx.array:
    """Have a network rebuild a batch, from noise that ``key`` decides if it takes any.

    Shape: -> (B, H, W, 3)
    """
    shape = (*batch.mask.shape[:3], 3 * network.config.noise)
    noise = mx.random.normal(shape, key=key) if network.config.noise else None
    return network(batch.halides, batch.mask, batch.base, noise)


def statistics(residual: mx.array, batch: Examples) -> dict[str, mx.array]:
    """Return the losses on grain's statistics of rebuilt residuals, by name."""
    return {
        "spectrum": spectrum(residual, batch.target, batch.weight),
        "deviation": deviation(residual, batch.target, batch.weight, batch.base),
        "covariance": covariance(residual, batch.target, batch.weight),
    }


def as_film(residual: mx.array, base: mx.array) -> mx.array:
    """Round base and residual to 8-bit levels as scans are; the gradient passes that by."""
    levels = (base + residual + 1) * 127.5
    return residual + mx.stop_gradient(mx.clip(mx.round(levels), 0, 255) - levels) / 127.5


def example_pictures(crop: np.ndarray, network: Reconstructor) -> dict[str, np.ndarray]:
    """Show a crop of film, its ``halides`` on grey, and the film ``rebuilt`` from them, with the same noise every time.

    Shape: (H, W, 3), uint8 -> ``halides``, ``rebuilt`` and ``film`` of the same
    """
    batch = examples(mx.array(crop[None]), network.config)
    base = batch.base if network.config.way == "residual" else mx.array(0.0)
    halides = mx.where(batch.mask, batch.halides + base, 0)
    film = rebuilt(network, batch, mx.random.key(0)) + base
    shown = [mx.clip(mx.round((picture[0] + 1) * 127.5), 0, 255).astype(mx.uint8) for picture in (halides, film)]
    return {"halides": np.array(shown[0]), "rebuilt": np.array(shown[1]), "film": crop}
