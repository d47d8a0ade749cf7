"""Synthetic film: ramps with a Gaussian field of known deviation by brightness, spectrum and channel correlation."""

from collections.abc import Callable

from d2f_mlx.grain import GrainMeasurement

import numpy as np
import pytest
import scipy.ndimage as ndi

CORRELATION = np.array([[1, 0.85, 0.7], [0.85, 1, 0.75], [0.7, 0.75, 1]])
TAPS = np.array([0.3, 1.0, 0.3])  # lag-1: 2 * 0.3 / (1 + 2 * 0.09) = 0.508
SHAPE = (192, 512)


def ramp() -> np.ndarray:
    return np.broadcast_to(np.linspace(28, 226, SHAPE[1])[:, None], (*SHAPE, 1))


def draw(seed: int, pictures: int = 4, gain: float = 1.0) -> list[np.ndarray]:
    """Draw pictures (192, 512, 3), uint8; sigma is 3 + 3 sin(pi level / 255) levels, times the gain."""
    levels = ramp()
    sigma = gain * (3 + 3 * np.sin(np.pi * levels / 255))
    kernel = np.outer(TAPS, TAPS) / (TAPS**2).sum()
    rng = np.random.default_rng(seed)
    fields = (rng.standard_normal((*SHAPE, 3)) @ np.linalg.cholesky(CORRELATION).T for _ in range(pictures))
    grains = (ndi.convolve(field, kernel[..., None], mode="wrap") for field in fields)
    return [np.rint(levels + sigma * grain).clip(0, 255).astype(np.uint8) for grain in grains]


@pytest.fixture(scope="session")
def make_roll() -> Callable[..., list[np.ndarray]]:
    return draw


@pytest.fixture(scope="session")
def photos() -> list[np.ndarray]:
    """A clean photograph of the same ramp: hardly any noise, the same in all channels."""
    noise = np.random.default_rng(9).standard_normal((*SHAPE, 1))
    return [np.repeat(np.rint(ramp() + 0.6 * noise), 3, 2).astype(np.uint8)]


@pytest.fixture(scope="session")
def roll() -> list[np.ndarray]:
    return draw(0)


@pytest.fixture(scope="session")
def film(roll) -> GrainMeasurement:
    return GrainMeasurement.of(roll)
