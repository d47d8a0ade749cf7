"""Optimal transport against SciPy and against what is known in closed form."""

import d2f_mlx as d2f  # noqa: F401  (it puts a fast BLAS under MLX)
from d2f_mlx.film.transport import (
    rotations,
    sliced_displacement,
    sliced_wasserstein,
    transport_1d,
    wasserstein_1d,
)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

CLOSE = 1e-9
SEEDS = st.integers(0, 2**32 - 1)


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40))
def test_the_distance_is_scipys_weights_included(seed, few, many):
    a, b = draw(seed, few, many)
    u, v = (np.abs(w) + 0.1 for w in draw(seed + 1, few, many))
    assert wasserstein_1d(a, b) == pytest.approx(wasserstein_distance(a, b), abs=CLOSE)
    assert wasserstein_1d(a, b, u, v) == pytest.approx(wasserstein_distance(a, b, u, v), abs=CLOSE)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(2, 50))
def test_as_many_values_are_matched_in_order_at_the_distances_cost(seed, count):
    source, target = draw(seed, count, count)
    moved = transport_1d(source, target)
    np.testing.assert_allclose(moved[np.argsort(source)], np.sort(target), atol=CLOSE)
    assert np.abs(moved - source).mean() == pytest.approx(wasserstein_distance(source, target), abs=CLOSE)


def test_a_weight_is_as_good_as_repeating_the_value():
    source, target = draw(0, 500, 20)
    weight = np.random.default_rng(1).integers(1, 5, 20)
    weighted = transport_1d(source, target, None, weight.astype(float))
    repeated = transport_1d(source, np.repeat(target, weight))
    order = np.sort(target)
    gap = np.max(np.diff(order))
    assert np.abs(weighted - repeated).max() <= gap  # between two values the way is another
    assert np.abs(weighted - repeated).mean() < 0.1


def test_the_map_rises_and_has_no_side_it_leans_to():
    source, target = draw(3, 300, 77)
    moved = transport_1d(source, target)
    assert (np.diff(moved[np.argsort(source)]) >= 0).all()
    np.testing.assert_allclose(transport_1d(-source, -target), -moved, atol=CLOSE)


def test_rotations_are_orthonormal():
    turns = rotations(20, np.random.default_rng(0))
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=CLOSE)
    assert np.abs(turns.mean(0)).max() < 0.4  # towards no direction


def test_a_shifted_cloud_is_moved_by_its_shift():
    (cloud,) = draw(5, (400, 3))
    shift = np.array([3.0, -1.0, 0.5])
    move = sliced_displacement(cloud, cloud + shift, rotations(4, np.random.default_rng(0)))
    np.testing.assert_allclose(move, np.broadcast_to(shift, move.shape), atol=CLOSE)


def test_repeated_moves_bring_a_cloud_to_the_target():
    rng = np.random.default_rng(7)
    cloud = rng.normal(size=(600, 3))
    target = rng.normal(size=(500, 3)) @ np.diag([3, 1, 0.3]) + [5, 0, 0]
    before = sliced_wasserstein(cloud, target)
    for _ in range(15):
        cloud = cloud + sliced_displacement(cloud, target, rotations(4, rng))
    assert sliced_wasserstein(cloud, target) < 0.05 * before


def test_clouds_apart_are_half_their_distance_from_each_other():
    cloud = np.zeros((3, 3))
    shift = np.array([2.0, -4.0, 4.0])  # 6 long
    assert sliced_wasserstein(cloud, cloud + shift) == pytest.approx(3, rel=0.01)
    assert sliced_wasserstein(cloud, cloud) == 0


def test_the_sliced_distance_is_symmetric_and_counts_weights():
    a, b = draw(9, (50, 3), (60, 3))
    weight = np.r_[np.ones(25), np.zeros(25)]
    assert sliced_wasserstein(a, b) == pytest.approx(sliced_wasserstein(b, a), rel=1e-12)
    assert sliced_wasserstein(a, b, weight) == pytest.approx(sliced_wasserstein(a[:25], b), rel=1e-12)
