from d2f_mlx.grain import density, extrema, halide_image, halide_mask, peaks, valleys

import mlx.core as mx
import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = [(1, 1), (1, 7), (6, 1), (2, 2), (3, 5), (37, 53), (64, 64)]


def picture(shape, dtype=np.uint8, levels=256, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, levels, shape)
    return (values / levels).astype(dtype) if np.issubdtype(dtype, np.floating) else values.astype(dtype)


def scipy_peaks(x):
    return ndi.maximum_filter(x, (3, 3, 1), mode="nearest") == x


def brute_force_strict(x):
    height, width, channels = x.shape
    mask = np.zeros(x.shape, bool)
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            for c in range(channels):
                window = x[i - 1 : i + 2, j - 1 : j + 2, c].astype(float).ravel()
                mask[i, j, c] = np.all(window[4] > np.delete(window, 4))
    return mask


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_peaks_and_valleys_equal_scipys_rank_filters(size, dtype):
    x = picture((*size, 3), dtype, levels=9)
    np.testing.assert_array_equal(np.array(peaks(mx.array(x))), scipy_peaks(x))
    minimum = ndi.minimum_filter(x, (3, 3, 1), mode="nearest") == x
    np.testing.assert_array_equal(np.array(valleys(mx.array(x))), minimum)
    np.testing.assert_array_equal(np.array(extrema(mx.array(x))), minimum | scipy_peaks(x))


def test_uint16_keeps_differences_below_eight_bits():
    x = np.full((3, 3, 1), 30000, np.uint16)
    x[1, 1] += 1
    assert np.array(peaks(mx.array(x))).sum() == 1


@pytest.mark.parametrize("ties", ["all", "strict"])
@pytest.mark.parametrize("kind", ["peaks", "valleys", "extrema"])
def test_a_batch_equals_its_pictures(kind, ties):
    x = picture((3, 17, 23, 3), levels=6)
    together = np.array(halide_mask(mx.array(x), kind, ties))
    apart = np.stack([np.array(halide_mask(mx.array(p), kind, ties)) for p in x])
    np.testing.assert_array_equal(together, apart)


def test_strict_marks_the_unique_maximum_only():
    x = picture((23, 31, 3), levels=12)
    np.testing.assert_array_equal(np.array(peaks(mx.array(x), "strict")), brute_force_strict(x))
    np.testing.assert_array_equal(np.array(valleys(mx.array(x), "strict")), brute_force_strict(255 - x))


def test_a_plateau_is_marked_whole_or_not_at_all():
    x = np.full((9, 9, 3), 255, np.uint8)
    assert np.array(peaks(mx.array(x), "all")).all()
    assert not np.array(peaks(mx.array(x), "strict")).any()


def test_a_peak_reaches_over_one_pixel_only():
    x = np.zeros((5, 5, 1), np.uint8)
    x[2, 2] = 200
    expected = np.ones((5, 5), bool)
    expected[1:4, 1:4] = False
    expected[2, 2] = True
    np.testing.assert_array_equal(np.array(peaks(mx.array(x)))[..., 0], expected)


def test_channels_never_mix():
    x = picture((20, 20, 3), levels=20)
    together = np.array(extrema(mx.array(x)))
    for c in range(3):
        np.testing.assert_array_equal(together[..., c : c + 1], np.array(extrema(mx.array(x[..., c : c + 1]))))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**16), st.sampled_from(["all", "strict"]))
def test_valleys_are_the_peaks_of_the_inverted_picture(height, width, seed, ties):
    x = picture((height, width, 3), levels=7, seed=seed)
    inverted = np.array(peaks(mx.array(255 - x), ties))
    np.testing.assert_array_equal(np.array(valleys(mx.array(x), ties)), inverted)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**16), st.sampled_from(["peaks", "extrema"]))
def test_a_monotone_tone_curve_moves_no_halide(height, width, seed, kind):
    x = picture((height, width, 3), levels=32, seed=seed)
    curve = np.sort(np.random.default_rng(seed).choice(65536, 32, replace=False)).astype(np.uint16)
    np.testing.assert_array_equal(
        np.array(halide_mask(mx.array(x), kind)), np.array(halide_mask(mx.array(curve[x]), kind))
    )


def test_white_noise_has_a_ninth_of_peaks():
    x = np.random.default_rng(0).random((512, 512, 3), np.float32)
    # One pixel in nine is its window's maximum; the standard error of the share here is below 0.001.
    np.testing.assert_allclose(np.array(density(peaks(mx.array(x)))), 1 / 9, atol=0.002)


def test_halide_image_keeps_the_values_at_the_mask():
    x = picture((12, 15, 3))
    mask = peaks(mx.array(x))
    image = np.array(halide_image(mx.array(x), mask))
    np.testing.assert_array_equal(image, np.where(np.array(mask), x, 0))
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((mx.zeros((4, 4)),), "expects a picture"),
        ((mx.zeros((0, 4, 3)),), "expects a picture"),
        ((mx.zeros((4, 4, 3)), "peak"), "expects kind"),
        ((mx.zeros((4, 4, 3)), "peaks", "some"), "expects ties"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        halide_mask(*arguments)
    with pytest.raises(ValueError, match="equal shapes"):
        halide_image(mx.zeros((4, 4, 3)), mx.zeros((4, 4, 1)))
