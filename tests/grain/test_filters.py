from d2f_mlx.backend import mx
from d2f_mlx.grain import flat_areas, guided_base
from d2f_mlx.grain.filters import averaged, correlate, gaussian_taps, smooth

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

FLOAT32_SUM = 2e-6  # a sum of up to 81 products of numbers of order one
GUIDED_FLOAT32 = 2e-5  # the variance is a difference of means

NEAR_THE_LIMIT = 2e-3  # of the pixels may fall on the other side in float32


def picture(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def box_mean(x, radius):
    """Average over square windows that are cut off at the border, in float64."""
    window = (1, 2 * radius + 1, 2 * radius + 1, 1)
    share = ndi.uniform_filter(np.ones(x.shape), window, mode="constant")
    return ndi.uniform_filter(x.astype(float), window, mode="constant") / share


def box_variance(x, radius):
    x = x.astype(float)
    return box_mean(x * x, radius) - box_mean(x, radius) ** 2


def scipy_guided_filter(x, radius, epsilon):
    """Work through He, Sun and Tang's algorithm 1."""
    variance = box_variance(x, radius)
    a = variance / (variance + epsilon)
    b = (1 - a) * box_mean(x, radius)
    return box_mean(a, radius) * x + box_mean(b, radius)


def blurred(x, sigma):
    """Blur with SciPy's Gaussian, cut off at the border as `box_mean`."""
    options = {"sigma": (0, sigma, sigma, 0), "mode": "constant", "radius": int(np.ceil(3 * sigma))}
    return ndi.gaussian_filter(x.astype(float), **options) / ndi.gaussian_filter(np.ones(x.shape), **options)


@pytest.mark.parametrize("kernel_shape", [(1, 1), (3, 3), (1, 5), (5, 1), (2, 3), (4, 7), (9, 9)])
@pytest.mark.parametrize("shape", [(1, 9, 9, 1), (1, 17, 23, 3), (3, 10, 31, 2)])
def test_correlate_is_scipys_where_the_kernel_fits(shape, kernel_shape):
    x, kernel = picture(shape), picture(kernel_shape, seed=1) - 0.5
    rows, columns = kernel_shape
    whole = ndi.correlate(x.astype(float), kernel[None, :, :, None].astype(float), mode="constant")
    top, left = rows // 2, columns // 2
    expected = whole[:, top : top + shape[1] - rows + 1, left : left + shape[2] - columns + 1]
    np.testing.assert_allclose(np.array(correlate(mx.array(x), mx.array(kernel))), expected, atol=FLOAT32_SUM)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(7, 20), st.integers(7, 20), st.integers(0, 1000))
def test_a_tile_of_correlate_is_the_correlate_of_a_tile_bit_for_bit(top, left, height, width, seed):
    x, kernel = picture((1, 40, 40, 3), seed), mx.array(picture((5, 7), seed + 1))
    run = mx.compile(correlate)
    tile = run(mx.array(x[:, top : top + height, left : left + width]), kernel)
    whole = np.array(run(mx.array(x), kernel))
    np.testing.assert_array_equal(np.array(tile), whole[:, top : top + height - 4, left : left + width - 6])


@pytest.mark.parametrize("shape", [(1, 4, 9, 3), (1, 9, 4, 3)])
def test_correlate_refuses_a_picture_smaller_than_the_kernel(shape):
    with pytest.raises(ValueError, match=r"at least \(5, 5\), got \("):
        correlate(mx.zeros(shape), mx.ones((5, 5)))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 2, 3, 3), (2, 19, 12, 3)])
@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("count", [1, 3, 9, 15])
def test_smooth_is_scipys_with_a_border_of_zeros(shape, count, window):
    x, taps = picture(shape), np.ones(count) if window else picture(count, seed=1)
    taps = (taps + taps[::-1]) / 2
    expected = x.astype(float)
    for axis in (1, 2):
        expected = ndi.correlate1d(expected, taps.astype(float), axis, mode="constant")
    np.testing.assert_allclose(np.array(smooth(mx.array(x), taps)), expected, rtol=1e-6, atol=FLOAT32_SUM)


@pytest.mark.parametrize("taps", [np.ones(33), gaussian_taps(4.0)], ids=["window", "gaussian"])
def test_a_tile_of_smooth_is_the_smooth_of_a_tile_bit_for_bit(taps):
    x, reach = picture((1, 90, 101, 3)), len(taps) // 2
    run = mx.compile(lambda x: smooth(x, taps))
    whole = np.array(run(mx.array(x)))
    tile = np.array(run(mx.array(x[:, 5:85, 17:94])))
    inside = slice(reach, -reach)
    np.testing.assert_array_equal(tile[:, inside, inside], whole[:, 5:85, 17:94][:, inside, inside])


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 5, 3), (2, 29, 22, 3)])
@pytest.mark.parametrize("sigma", [0.5, 2.0, 2.4])
def test_averaged_with_gaussian_taps_is_scipys_gaussian_cut_off_at_the_border(shape, sigma):
    x = picture(shape)
    result = np.array(averaged(mx.array(x), gaussian_taps(sigma)))
    np.testing.assert_allclose(result, blurred(x, sigma), atol=FLOAT32_SUM)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 3, 5, 3), (1, 8, 40, 1), (2, 33, 47, 3)])
@pytest.mark.parametrize(("radius", "epsilon"), [(4, 0.004), (1, 0.05), (6, 0.0005)])
def test_guided_base_is_the_guided_filter(shape, radius, epsilon):
    x = picture(shape)
    result = np.array(guided_base(mx.array(x), radius, epsilon))
    np.testing.assert_allclose(result, scipy_guided_filter(x, radius, epsilon), atol=GUIDED_FLOAT32)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_guided_base_keeps_a_constant_picture_to_its_border(value):
    x = np.full((1, 13, 30, 3), value, np.float32)
    np.testing.assert_allclose(np.array(guided_base(mx.array(x))), x, atol=GUIDED_FLOAT32)


def test_guided_base_takes_grain_away_and_leaves_edges():
    grain = 4 / 255 * np.random.default_rng(0).standard_normal((1, 64, 64, 1))
    step = np.where(np.arange(64) < 32, 0.1, 0.9)[None, None, :, None]
    base = np.array(guided_base(mx.array((step + grain).astype(np.float32))))
    plain = base[:, :, :20] - 0.1
    assert plain.std() < 0.25 * grain.std()
    rise = base[0, :, 32, 0].mean() - base[0, :, 31, 0].mean()
    assert rise > 0.95 * 0.8  # a box filter of nine pixels would leave a ninth of the step


def test_channels_of_guided_base_never_mix():
    x = picture((1, 20, 20, 3))
    together = np.array(guided_base(mx.array(x)))
    for c in range(3):
        np.testing.assert_array_equal(together[..., c : c + 1], np.array(guided_base(mx.array(x[..., c : c + 1]))))


def half_textured(sigma, seed=0):
    """Grain on a plain area to the left and on a texture in one channel to the right."""
    x = 0.5 + sigma / 255 * np.random.default_rng(seed).standard_normal((1, 64, 128, 3))
    x[:, :, 64:, 1] += 3 * sigma / 255 * np.sin(np.arange(64) / 3)
    return x.astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 5, 7, 3), (2, 64, 90, 3)])
@pytest.mark.parametrize(("sigma", "radius", "limit"), [(2.0, 6, 0.2), (1.0, 4, 0.1)])
def test_flat_areas_are_where_a_blur_leaves_little_variance(shape, sigma, radius, limit):
    x = 0.5 + 0.05 * (picture(shape, seed=2) - 0.5) + 0.3 * blurred(picture(shape) - 0.5, 4.0)
    x = x.astype(np.float32)
    variance, structure = box_variance(x, radius), box_variance(blurred(x, sigma), radius)
    largest = 1.01 * np.median(variance.max(-1))  # windows that hold all of a small picture have one variance
    expected = ((structure < limit * variance) & (variance <= largest)).all(-1, keepdims=True)
    found = np.array(flat_areas(mx.array(x), sigma, radius, limit, float(largest)))
    assert found.shape == (*shape[:3], 1)
    assert (found != expected).mean() < NEAR_THE_LIMIT


@pytest.mark.parametrize("sigma", [1.0, 5.0, 14.0])
def test_flat_areas_have_grain_weak_or_strong_and_no_texture(sigma):
    flat = np.array(flat_areas(mx.array(half_textured(sigma))))[0, :, :, 0]
    assert flat[:, :48].mean() > 0.98
    assert not flat[:, 80:].any()


def test_flat_areas_leave_out_what_is_too_strong_for_grain():
    x = half_textured(20.0)  # the notes' limit is a variance of 300
    assert np.array(flat_areas(mx.array(x)))[:, :, :48].mean() < 0.02
    assert np.array(flat_areas(mx.array(x), max_variance=600 / 255**2))[:, :, :48].mean() > 0.98
