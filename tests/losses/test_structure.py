from d2f_mlx.losses import ms_ssim, ssim

import mlx.core as mx
import numpy as np
import pytest
from scipy.signal import fftconvolve
from skimage.metrics import structural_similarity


def pictures(height, width, noise=0.1):
    """Waves of several lengths, and the same with noise, contrast and brightness changed."""
    rng = np.random.default_rng(0)
    y, x, channel = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    clean = 0.5 + 0.2 * np.sin(x / 5 + channel) + 0.2 * np.cos(y / 23 + x / 40)
    other = 0.1 + 0.7 * clean + noise * rng.standard_normal(clean.shape)
    return clean.astype(np.float32), other.astype(np.float32)


def batch(*pictures):
    return (mx.array(np.stack([picture, picture[::-1]])) for picture in pictures)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("size", [(11, 11), (64, 51)])
def test_ssim_is_that_of_scikit_image(size, data_range):
    first, second = (picture * np.float32(data_range) for picture in pictures(*size))
    expected = structural_similarity(
        first.astype(float),
        second.astype(float),
        data_range=data_range,
        channel_axis=-1,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    assert float(ssim(*batch(first, second), data_range)) == pytest.approx(expected, abs=1e-5)


def test_ssim_of_flat_pictures_compares_their_brightness():
    first, second = np.full((2, 1, 300, 300, 3), [[[[[0.3]]]], [[[[0.8]]]]], np.float32)
    expected = (2 * 0.3 * 0.8 + 1e-4) / (0.3**2 + 0.8**2 + 1e-4)
    assert float(ssim(mx.array(first), mx.array(second))) == pytest.approx(expected, abs=1e-4)


def wang(first, second, weights):
    """MS-SSIM in NumPy, float64; of one channel of one picture, whose sides can be halved evenly."""
    window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(window, window) / window.sum() ** 2
    result = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            first, second = (p.reshape(p.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)) for p in (first, second))
        m1, m2 = (fftconvolve(picture, window, "valid") for picture in (first, second))
        v1, v2 = (fftconvolve(p**2, window, "valid") - m**2 for p, m in ((first, m1), (second, m2)))
        covariance = fftconvolve(first * second, window, "valid") - m1 * m2
        value = (2 * covariance + 0.03**2) / (v1 + v2 + 0.03**2)
        if scale == len(weights) - 1:
            value = value * (2 * m1 * m2 + 0.01**2) / (m1**2 + m2**2 + 0.01**2)
        result *= np.mean(value) ** weight
    return result


def test_ms_ssim_is_wangs():
    first, second = pictures(192, 208)
    channels = [(first[..., c].astype(float), second[..., c].astype(float)) for c in range(3)]
    expected = np.mean([wang(*pair, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)) for pair in channels])
    found = float(ms_ssim(*batch(first, second)))
    assert found == pytest.approx(expected, abs=2e-6)
    assert found == pytest.approx(PYTORCH_MSSSIM, abs=2e-6)


PYTORCH_MSSSIM = 0.820895571777344  # pytorch-msssim 1.0.0, data_range 1, float64


def test_ms_ssim_is_that_of_pytorch_msssim():
    torch = pytest.importorskip("torch", reason="a rival: comes with the extra `rivals`")
    rival = pytest.importorskip("pytorch_msssim", reason="a rival: comes with the extra `rivals`")
    for noise in (0.02, 0.4):
        first, second = pictures(176, 240, noise)
        tensors = (torch.tensor(picture).permute(2, 0, 1)[None].double() for picture in (first, second))
        expected = float(rival.ms_ssim(*tensors, data_range=1.0))
        assert float(ms_ssim(*batch(first, second))) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("function", [ssim, ms_ssim])
def test_equal_pictures_are_wholly_similar_and_less_noise_is_more_similar(function):
    clean, noisy = batch(*pictures(177, 190))
    assert float(function(clean, clean)) == pytest.approx(1, abs=1e-6)
    values = [float(function(clean + amount * (noisy - clean), clean)) for amount in (0.2, 0.5, 1)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("function", [ssim, ms_ssim])
def test_following_the_gradient_makes_pictures_more_similar(function):
    clean, noisy = batch(*pictures(176, 176))
    gradient = mx.grad(function)(noisy, clean)
    gradient = gradient / mx.linalg.norm(gradient.reshape(-1))
    step = 0.05
    found = float(function(noisy + step * gradient, clean) - function(noisy - step * gradient, clean)) / (2 * step)
    expected = float((mx.grad(function)(noisy, clean) * gradient).sum())
    assert found == pytest.approx(expected, rel=0.02)
    assert found > 0


def test_opposite_structure_keeps_the_gradient_of_the_scales_that_agree():
    clean, _ = batch(*pictures(176, 176))
    checks = mx.array(np.indices((176, 176)).sum(axis=0) % 2 * 0.2 - 0.1)[None, :, :, None]
    value, gradient = mx.value_and_grad(ms_ssim)(clean * 0.9 - checks, clean + checks)
    assert 0 < float(value) < 1
    assert float(mx.abs(gradient).max()) > 0


@pytest.mark.parametrize(("function", "least"), [(ssim, 11), (ms_ssim, 176)])
def test_pictures_below_the_window_are_refused(function, least):
    for shape in ((1, least - 1, 200, 3), (1, 200, least - 1, 3), (200, 200, 3)):
        with pytest.raises(ValueError, match=f"{least} x {least} pixels or more"):
            function(mx.zeros(shape), mx.zeros(shape))
