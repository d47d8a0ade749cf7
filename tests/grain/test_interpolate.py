from d2f_mlx.backend import mx
from d2f_mlx.grain import extrema, normalised_convolution
from d2f_mlx.grain.interpolate import RADIUS

import numpy as np
import pytest
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

FLOAT32_SUM = 2e-6


def halides(shape, share=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(shape, np.float32), rng.random(shape) < share


def run(values, mask):
    return np.array(normalised_convolution(mx.array(values), mx.array(mask)))


def scipy_normalised_convolution(values, mask):
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    applicability = np.exp(-(abs(x) + abs(y)) / 1.3)[None, :, :, None]
    known = mask.astype(float)
    top = ndi.correlate(values * known, applicability, mode="constant")
    bottom = ndi.correlate(known, applicability, mode="constant")
    return np.where(mask, values, np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 1e-12))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 5, 40, 3), (2, 31, 37, 3)])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.6])
def test_it_is_the_normalised_convolution(shape, share):
    values, mask = halides(shape, share)
    np.testing.assert_allclose(run(values, mask), scipy_normalised_convolution(values, mask), atol=FLOAT32_SUM)


def test_halides_are_pinned_exactly():
    values, mask = halides((1, 30, 30, 3))
    np.testing.assert_array_equal(run(values, mask)[mask], values[mask])


def test_values_outside_the_mask_do_not_count():
    values, mask = halides((1, 30, 30, 3))
    np.testing.assert_array_equal(run(values, mask), run(np.where(mask, values, 7), mask))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.02, 0.9))
def test_what_is_filled_in_lies_between_the_halides(seed, share):
    values, mask = halides((1, 17, 21, 1), share, seed)
    mask[0, 8, [8, 16]] = True  # some halide is within reach of every pixel
    filled = run(values, mask)
    assert filled.min() >= values[mask].min() - FLOAT32_SUM
    assert filled.max() <= values[mask].max() + FLOAT32_SUM
    np.testing.assert_allclose(run(np.full_like(values, 0.4), mask), 0.4, atol=FLOAT32_SUM)


def test_where_no_halide_is_within_reach_the_result_is_zero():
    values, mask = np.full((1, 40, 40, 1), 0.7, np.float32), np.zeros((1, 40, 40, 1), bool)
    mask[0, 20, 20] = True
    expected = np.zeros_like(values)
    expected[0, 20 - RADIUS : 21 + RADIUS, 20 - RADIUS : 21 + RADIUS] = 0.7
    np.testing.assert_allclose(run(values, mask), expected, atol=FLOAT32_SUM)


def test_the_gradient_is_finite_over_gaps_and_shares_out_the_weight():
    values, mask = halides((1, 24, 24, 3), share=0.005)
    mask[0, 12, 12] = True
    gradient = np.array(mx.grad(lambda v: normalised_convolution(v, mx.array(mask)).sum())(mx.array(values)))
    assert np.isfinite(gradient).all()
    assert not gradient[~mask].any()
    # Each filled pixel is a mean of halides, so the shares of all halides add up to the pixels that were reached.
    reached = ndi.maximum_filter(mask, (1, 2 * RADIUS + 1, 2 * RADIUS + 1, 1), mode="constant").sum()
    np.testing.assert_allclose(gradient.sum(), reached, rtol=1e-5)


def test_it_fills_a_smooth_picture_from_its_extrema_better_than_their_mean():
    rng = np.random.default_rng(0)
    picture = ndi.gaussian_filter(rng.standard_normal((1, 80, 80, 1)), (0, 1.5, 1.5, 0)).astype(np.float32)
    mask = np.array(extrema(mx.array(picture)))
    error = run(picture, mask) - picture
    assert (error**2).mean() < 0.5 * picture[~mask].var()
