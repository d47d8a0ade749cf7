from d2f_mlx.losses import charbonnier, mse, psnr, total_variation
from d2f_mlx.losses.pixel import average, sums

import mlx.core as mx
import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio

RNG = np.random.default_rng(1)
FIRST, SECOND = RNG.random((2, 3, 20, 24, 3), np.float32)


def both(function, *arguments, **options):
    return float(function(*(mx.array(argument) for argument in arguments), **options))


def test_mse_is_that_of_scikit_image():
    assert both(mse, FIRST, SECOND) == pytest.approx(mean_squared_error(FIRST, SECOND), rel=1e-6)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_is_that_of_scikit_image_for_each_picture(data_range):
    pictures = FIRST * data_range, (FIRST + 0.1 * np.array([1, 2, 5])[:, None, None, None] * SECOND) * data_range
    expected = [peak_signal_noise_ratio(p, t, data_range=data_range) for p, t in zip(*pictures, strict=True)]
    assert both(psnr, *pictures, data_range=data_range) == pytest.approx(np.mean(expected), rel=1e-6)


def test_psnr_ends_at_100_decibels():
    assert both(psnr, FIRST, FIRST) == pytest.approx(100)
    assert both(psnr, FIRST, FIRST + np.float32(1e-6)) == pytest.approx(100)


@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_charbonnier_lies_between_its_bounds_and_is_its_formula(epsilon):
    expected = np.mean(np.sqrt((FIRST - SECOND).astype(float) ** 2 + epsilon**2))
    assert both(charbonnier, FIRST, SECOND, epsilon=epsilon) == pytest.approx(expected, rel=1e-6)
    assert both(charbonnier, FIRST, FIRST, epsilon=epsilon) == pytest.approx(epsilon)


def test_charbonnier_needs_an_epsilon():
    with pytest.raises(ValueError, match="epsilon > 0"):
        both(charbonnier, FIRST, SECOND, epsilon=0)


def test_total_variation_counts_every_step_once():
    expected = np.abs(np.diff(FIRST, axis=1)).sum() + np.abs(np.diff(FIRST, axis=2)).sum()
    assert both(total_variation, FIRST) == pytest.approx(expected / FIRST.size, rel=1e-5)
    bar = np.zeros((1, 4, 5, 1), np.float32)
    bar[:, 1:3, 2] = 1  # two pixels, six edges
    assert both(total_variation, bar) == pytest.approx(6 / 20)
    assert both(total_variation, np.ones((1, 1, 1, 3), np.float32)) == 0


def test_means_of_large_pictures_are_precise():
    picture = np.full((2, 1000, 1000, 3), 0.6575811, np.float32)
    assert float(average(mx.array(picture))) == pytest.approx(0.6575811, rel=1e-4)
    np.testing.assert_allclose(np.array(sums(mx.array(picture))), 0.6575811 * 3e6, rtol=1e-4)
