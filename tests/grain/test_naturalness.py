from d2f_mlx.grain import jensen_shannon, kullback_leibler
from d2f_mlx.grain.naturalness import NSS_BINS, nss_histogram

import mlx.core as mx
import numpy as np
import pytest
import scipy.ndimage as ndi
import scipy.spatial.distance
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

BIN_EDGE = 2e-3  # share of products that float32 puts into the bin beside
EXACT = 1e-12
COUNTS = st.lists(st.integers(0, 1000), min_size=5, max_size=5).filter(any)


def grain(shape=(4, 40, 50, 2), sigma=6.0, seed=0):
    return 120 + sigma * np.random.default_rng(seed).standard_normal(shape)


def products(picture):
    """Normalise a plane and multiply diagonal neighbours, in float64, where a 7x7 window fits."""
    taps = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    mean = ndi.correlate(picture, window)
    deviation = np.sqrt(np.maximum(ndi.correlate(picture**2, window) - mean**2, 0))
    i = ((picture - mean) / (deviation + 1))[3:-3, 3:-3]
    return i[:-1, :-1] * i[1:, 1:]


def share_moved(found, expected):
    return np.abs(found - expected).sum() / 2 / expected.sum()


@pytest.mark.parametrize("sigma", [0.5, 6.0])
def test_nss_histogram_counts_the_products_of_diagonal_neighbours(sigma):
    x = np.rint(grain(sigma=sigma))
    found = nss_histogram(mx.array(x.astype(np.float32)))
    assert found.shape == (2, NSS_BINS)
    for c in range(2):
        p = np.concatenate([products(b[..., c]).ravel() for b in x])
        expected = np.histogram(p, NSS_BINS, (-3, 3))[0]
        assert found[c].sum() == expected.sum()
        assert share_moved(found[c], expected) < BIN_EDGE


def test_the_diagonal_goes_down_and_to_the_right():
    stripes = np.add.outer(np.arange(64), -np.arange(64)) // 2 % 2 * 30.0
    x = np.stack([stripes, stripes[:, ::-1]], -1)[None] + grain((1, 64, 64, 2), 0.1)
    along, across = nss_histogram(x) @ np.linspace(-3, 3, NSS_BINS)
    assert along > 0 > across


def test_the_constant_is_one_level():
    """Weak grain is damped by it, strong grain is not."""
    spread = [np.average(np.linspace(-3, 3, NSS_BINS) ** 2, weights=nss_histogram(grain(sigma=s))[0]) for s in (1, 50)]
    weak, strong = (np.mean(products(grain(sigma=s)[0, ..., 0]) ** 2) for s in (1, 50))
    np.testing.assert_allclose(spread, [weak, strong], rtol=0.15)
    assert strong > 3 * weak


def test_a_flat_picture_has_products_of_zero():
    found = nss_histogram(np.full((1, 20, 20, 1), 117.0))
    np.testing.assert_array_equal(np.flatnonzero(found), [NSS_BINS // 2])
    assert found.sum() == 13 * 13


@pytest.mark.parametrize("shape", [(20, 20, 3), (1, 7, 20, 3)])
def test_nss_histogram_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=r"nss_histogram expects levels \(B, H, W, C\), 8x8 or more, got shape"):
        nss_histogram(np.zeros(shape))


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS)
def test_jensen_shannon_is_scipys_distance_squared(p, q):
    expected = scipy.spatial.distance.jensenshannon(p, q) ** 2
    np.testing.assert_allclose(jensen_shannon(np.array(p), np.array(q)), expected, atol=1e-9)
    np.testing.assert_allclose(jensen_shannon(np.array(q), np.array(p)), expected, atol=1e-9)


def test_jensen_shannon_runs_from_zero_to_the_logarithm_of_two():
    p = np.array([[1, 2, 0, 0], [3, 1, 0, 0.0]])
    np.testing.assert_allclose(jensen_shannon(p, 5 * p), 0, atol=EXACT)
    np.testing.assert_allclose(jensen_shannon(p, p[:, ::-1]), np.log(2), atol=EXACT)


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS)
def test_kullback_leibler_is_scipys_entropy_of_smoothed_shares(p, q):
    smooth = [np.array(x) / sum(x) + 1e-6 for x in (p, q)]
    np.testing.assert_allclose(kullback_leibler(np.array(p), np.array(q)), scipy.stats.entropy(*smooth), atol=1e-9)


def test_kullback_leibler_of_two_gaussians_is_the_closed_form():
    edges = np.arange(-64.5, 65)
    p, q = (np.diff(scipy.stats.norm.cdf(edges, scale=s)) for s in (5.0, 6.0))
    expected = np.log(6 / 5) + 25 / 72 - 0.5
    np.testing.assert_allclose(kullback_leibler(p, q), expected, rtol=0.02)
    assert abs(kullback_leibler(q, p) - kullback_leibler(p, q)) > 1e-3


@pytest.mark.parametrize("distance", [jensen_shannon, kullback_leibler])
def test_what_is_no_histogram_is_refused(distance):
    with pytest.raises(ValueError, match=f"{distance.__name__} expects two histograms of one shape, got"):
        distance(np.ones(3), np.ones(4))
    for bad in ([1, -1, 3], [0, 0, 0], [1, np.nan, 2]):
        with pytest.raises(ValueError, match=f"{distance.__name__} expects histograms of counts or shares"):
            distance(np.ones(3), np.array(bad))
