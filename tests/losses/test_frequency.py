from d2f_mlx.losses import fourier

import mlx.core as mx
import numpy as np
import pytest

SIZES = [(8, 8), (7, 9), (16, 5)]


def noise(height, width):
    return np.random.default_rng(2).random((2, 2, height, width, 3), np.float32)


@pytest.mark.parametrize("amplitude_only", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_fourier_loss_is_numpys(size, amplitude_only):
    first, second = noise(*size)
    one, two = (np.fft.rfft2(picture.astype(float), axes=(1, 2), norm="ortho") for picture in (first, second))
    expected = np.abs(np.abs(one) - np.abs(two)).mean() if amplitude_only else np.abs(one - two).mean()
    assert float(fourier(mx.array(first), mx.array(second), amplitude_only)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("amplitude_only", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_its_gradient_is_that_of_finite_differences(size, amplitude_only):
    first, second = noise(*size)

    def loss(picture):
        one, two = (np.fft.rfft2(p, axes=(1, 2), norm="ortho") for p in (picture, second.astype(float)))
        return np.abs(np.abs(one) - np.abs(two)).mean() if amplitude_only else np.abs(one - two).mean()

    gradient = mx.grad(fourier)(mx.array(first), mx.array(second), amplitude_only)
    way = np.random.default_rng(3).standard_normal(first.shape)
    step = 1e-6
    slope = (loss(first + step * way) - loss(first - step * way)) / (2 * step)
    assert float(np.sum(np.array(gradient) * way)) == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_the_amplitude_does_not_see_a_shift_that_the_difference_sees():
    picture = mx.array(noise(12, 16)[0])
    shifted = mx.roll(picture, (3, 5), axis=(1, 2))
    assert float(fourier(picture, shifted, amplitude_only=True)) == pytest.approx(0, abs=1e-5)
    assert float(fourier(picture, shifted)) > 0.1


def test_noise_weighs_the_same_in_every_size():
    values = []
    for size in (32, 128):
        grain = mx.random.normal((1, size, size, 3), key=mx.random.key(0))
        values.append(float(fourier(grain, mx.zeros_like(grain))))
    assert values[0] == pytest.approx(values[1], rel=0.05)
    assert values[1] == pytest.approx(np.sqrt(np.pi) / 2, rel=0.02)  # the mean of Rayleigh's distribution
