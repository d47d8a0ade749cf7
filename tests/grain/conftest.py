"""A synthetic film of known grain: plain areas with Gaussian noise of known deviation, colour and spectrum."""

from typing import NamedTuple

from d2f_mlx.grain import HalideStatistics

import numpy as np
import pytest
import scipy.ndimage as ndi

_TAPS = np.array([0.3, 1.0, 0.3])


class Film(NamedTuple):
    pixels: np.ndarray  # (480, 640, 3), uint8
    levels: np.ndarray  # (480, 640, 1), the picture under the grain
    sigma: np.ndarray  # (16,), of the middle of each band
    correlation: np.ndarray  # (3, 3)
    kernel: np.ndarray  # (3, 3), squares sum to one


def make_film(seed: int = 0) -> Film:
    """Lay grain over twelve plain areas, one in the middle of each of the bands 2 to 13."""
    correlation = np.array([[1, 0.8, 0.5], [0.8, 1, 0.6], [0.5, 0.6, 1]])
    kernel = np.outer(_TAPS, _TAPS) / (_TAPS**2).sum()
    levels = np.kron(np.arange(2, 14).reshape(3, 4) * 16 + 8.0, np.ones((160, 160)))[..., None]
    white = np.random.default_rng(seed).standard_normal((*levels.shape[:2], 3)) @ np.linalg.cholesky(correlation).T
    field = ndi.convolve(white, kernel[..., None], mode="wrap")
    sigma = 3 + 4 * np.sin(np.pi * (np.arange(16) * 16 + 8) / 255)
    pixels = np.rint(levels + sigma[levels.astype(int) // 16] * field).clip(0, 255).astype(np.uint8)
    return Film(pixels, levels, sigma, correlation, kernel)


@pytest.fixture(scope="session")
def film() -> Film:
    return make_film()


@pytest.fixture(scope="session")
def statistics(film: Film) -> HalideStatistics:
    return HalideStatistics.measure([film.pixels])
