from d2f_mlx.color import DISPLAY_P3, PROPHOTO, SPACES, SRGB, to_lab
from d2f_mlx.color.spaces import transform
from d2f_mlx.losses import delta_e_76, histogram_distance, sliced_wasserstein

import mlx.core as mx
import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from skimage.color import deltaE_cie76, rgb2lab

RNG = np.random.default_rng(4)
FIRST = RNG.random((2, 12, 15, 3), np.float32)
SECOND = RNG.random((2, 12, 15, 3), np.float32) ** 2
KEY = mx.random.key(0)


def both(function, first, second, *arguments):
    return float(function(mx.array(first, mx.float32), mx.array(second, mx.float32), *arguments))


def test_the_lab_loss_is_scikit_images():
    expected = deltaE_cie76(rgb2lab(FIRST.astype(float)), rgb2lab(SECOND.astype(float))).mean()
    assert both(delta_e_76, FIRST, SECOND) == pytest.approx(expected, rel=2e-4)  # its matrix and white are rounded


def test_the_lab_loss_of_equal_colours_is_nothing_and_of_black_and_white_100():
    assert both(delta_e_76, FIRST, FIRST) == pytest.approx(0, abs=1e-5)
    for space in SPACES.values():
        assert both(delta_e_76, np.zeros((1, 2, 2, 3)), np.ones((1, 2, 2, 3)), space) == pytest.approx(100, abs=1e-3)


@pytest.mark.parametrize("space", [SRGB, DISPLAY_P3, PROPHOTO], ids=lambda space: space.name)
def test_the_lab_loss_has_the_gradient_of_finite_differences(space):
    first, second = 0.02 + 0.9 * FIRST, SECOND

    def loss(picture):
        one, two = (to_lab(transform(space.to_xyz, space.decode(p)), space.white_xyz) for p in (picture, second))
        return np.linalg.norm(one - two, axis=-1).mean()

    gradient = np.array(mx.grad(delta_e_76)(mx.array(first), mx.array(second), space))
    way = np.random.default_rng(5).standard_normal(first.shape)
    slope = (loss(first + 1e-6 * way) - loss(first - 1e-6 * way)) / 2e-6
    assert np.sum(gradient * way) == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_lab_loss_has_a_finite_gradient_at_black_and_at_equal_colours(space):
    rows = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [1e-7, 0, 0.04045], [0.5, 0.5, 0.5]], np.float32)[None, None]
    gradient = mx.grad(lambda p, t: delta_e_76(p, t, space))
    for target in (rows, np.roll(rows, 1, axis=2)):
        assert np.isfinite(np.array(gradient(mx.array(rows), mx.array(target)))).all()


@pytest.mark.parametrize("bins", [1, 8, 64])
def test_the_histogram_distance_is_that_of_linearly_shared_pixels(bins):
    second = 0.35 + 0.4 * SECOND  # less contrast: the cumulative curves cross
    nodes = (np.arange(-1, bins + 1) + 0.5) / bins  # half a bin beyond both ends
    total = 0.0
    for b in range(2):
        for c in range(3):
            shares = [
                np.maximum(1 - np.abs(p[b, :, :, c].reshape(-1, 1).astype(float) - nodes) * bins, 0).mean(axis=0)
                for p in (FIRST, second)
            ]
            np.testing.assert_allclose([s.sum() for s in shares], 1)
            total += wasserstein_distance(nodes, nodes, *shares)
    assert both(histogram_distance, FIRST, second, bins) == pytest.approx(total / 6, rel=1e-4)


def test_the_histogram_distance_is_near_the_exact_one_and_a_shift_is_as_far_as_it_is():
    exact = [
        wasserstein_distance(FIRST[b, ..., c].ravel(), SECOND[b, ..., c].ravel()) for b in (0, 1) for c in range(3)
    ]
    assert both(histogram_distance, FIRST, SECOND, 64) == pytest.approx(np.mean(exact), abs=1 / 64)
    dim = 0.2 + 0.4 * FIRST
    assert both(histogram_distance, dim, dim + 0.237) == pytest.approx(0.237, rel=1e-4)


def test_every_colour_gets_a_gradient_toward_the_target():
    first, second = mx.array(0.1 * FIRST), mx.array(0.9 + 0.1 * FIRST)  # histograms that do not overlap
    gradient = np.array(mx.grad(histogram_distance)(first, second))
    np.testing.assert_allclose(gradient, -1 / FIRST.size, rtol=1e-4)


def test_positions_and_sizes_do_not_matter():
    shuffled = np.random.default_rng(5).permutation(FIRST.reshape(2, -1, 3), axis=1)
    assert both(histogram_distance, FIRST, shuffled.reshape(2, 10, 18, 3)) == pytest.approx(0, abs=1e-6)
    assert both(histogram_distance, FIRST, np.repeat(FIRST, 3, axis=1)) == pytest.approx(0, abs=1e-6)
    assert both(sliced_wasserstein, FIRST, shuffled.reshape(2, 10, 18, 3), KEY) == pytest.approx(0, abs=1e-6)


def test_the_sliced_distance_of_one_channel_is_scipys():
    first, second = FIRST[..., :1], SECOND[..., :1]
    exact = np.mean([wasserstein_distance(first[b].ravel(), second[b].ravel()) for b in (0, 1)])
    assert both(sliced_wasserstein, first, second, KEY) == pytest.approx(exact, rel=1e-5)


def test_the_sliced_distance_of_a_shift_is_half_its_length():
    shift = np.array([0.3, -0.4, 1.2], np.float32)  # of length 1.3; the mean of |cos| on the sphere is 1/2
    assert both(sliced_wasserstein, FIRST, FIRST + shift, KEY, 8192) == pytest.approx(0.65, rel=0.02)


def test_the_sliced_distance_takes_its_directions_from_the_key():
    same = [both(sliced_wasserstein, FIRST, SECOND, mx.random.key(seed), 4) for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2]


def test_the_sliced_distance_leads_one_picture_to_anothers_colours():
    second = mx.array(SECOND)
    picture, start = mx.array(FIRST), both(sliced_wasserstein, FIRST, SECOND, KEY)
    step = mx.grad(lambda p, key: sliced_wasserstein(p, second, key))
    for n in range(60):
        picture = picture - 4 * step(picture, mx.random.key(n))
    assert float(sliced_wasserstein(picture, second, KEY)) < 0.25 * start


def test_what_does_not_fit_is_refused():
    picture = mx.array(FIRST)
    with pytest.raises(ValueError, match="equally many pictures and channels"):
        histogram_distance(picture, picture[:1])
    with pytest.raises(ValueError, match="bins >= 1"):
        histogram_distance(picture, picture, 0)
    with pytest.raises(ValueError, match="one shape"):
        sliced_wasserstein(picture, picture[:, 1:], KEY)
    with pytest.raises(ValueError, match="directions >= 1"):
        sliced_wasserstein(picture, picture, KEY, 0)
