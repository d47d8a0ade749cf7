"""Spline displacements against SciPy's B-splines and functions that splines hold exactly."""

import d2f_mlx as d2f  # noqa: F401  (it puts a fast BLAS under MLX)
from d2f_mlx.film.warp import CONTROLS, SplineFit, grid, least_volume, sharpest_bend, spline_basis

import numpy as np
import pytest
from scipy.interpolate import BSpline

CLOSE = 1e-9
POINTS = 9


def test_the_basis_is_scipys():
    colours = np.random.default_rng(0).random((200, 3))
    spans = CONTROLS - 3
    knots = (np.arange(CONTROLS + 4) - 3) / spans
    one = [BSpline.design_matrix(colours[:, c], knots, 3).toarray() for c in range(3)]
    expected = np.einsum("ni,nj,nk->nijk", *one).reshape(200, -1)
    np.testing.assert_allclose(spline_basis(colours), expected, atol=CLOSE)
    corners = grid(2)
    np.testing.assert_allclose(spline_basis(corners).sum(1), 1, atol=CLOSE)


def test_an_affine_displacement_is_found_and_continued_where_there_are_no_colours():
    rng = np.random.default_rng(1)
    colours = 0.3 + 0.4 * rng.random((800, 3))
    matrix, shift = 0.1 * rng.normal(size=(3, 3)), 0.05 * rng.normal(size=3)
    fit = SplineFit.at(spline_basis(colours), np.ones(800), smooth=1.0, pull=1e-9)
    controls = fit(colours @ matrix + shift)
    found = spline_basis(grid(5)) @ controls
    np.testing.assert_allclose(found, grid(5) @ matrix + shift, atol=1e-4)


def test_what_is_unknown_is_pulled_to_nothing():
    colours = np.full((100, 3), 0.5)
    controls = SplineFit.at(spline_basis(colours), np.ones(100), smooth=1.0, pull=0.1)(np.full((100, 3), 0.1))
    at = spline_basis(np.array([[0.5, 0.5, 0.5], [0.0, 1.0, 0.0]])) @ controls
    assert at[0] == pytest.approx(0.1, rel=0.15)
    assert np.abs(at[1]).max() < np.abs(at[0]).max()


def test_weights_count_like_repetitions():
    rng = np.random.default_rng(2)
    colours, moves = rng.random((40, 3)), rng.normal(size=(40, 3))
    weight = rng.integers(1, 4, 40)
    once = SplineFit.at(spline_basis(colours), weight.astype(float), 0.1, 0.01)(moves)
    again = SplineFit.at(np.repeat(spline_basis(colours), weight, 0), np.ones(weight.sum()), 0.1, 0.01)(
        np.repeat(moves, weight, 0)
    )
    np.testing.assert_allclose(once, again, atol=CLOSE)


def table_of(function):
    return function(grid(POINTS)).reshape(POINTS, POINTS, POINTS, 3)


def test_the_identity_has_volume_one_and_no_bend():
    table = table_of(lambda colours: colours)
    assert least_volume(table) == pytest.approx(1)
    assert sharpest_bend(table) < CLOSE


def test_a_linear_map_has_its_determinant_as_volume():
    matrix = np.array([[1.0, 0.2, 0.1], [0.0, 0.8, -0.3], [0.1, 0.1, 1.1]])
    assert least_volume(table_of(lambda colours: colours @ matrix.T)) == pytest.approx(np.linalg.det(matrix))


def test_a_fold_anywhere_is_found():
    table = table_of(lambda colours: colours)
    table[3, 4, 5, 1] = table[3, 5, 5, 1] + 0.01
    assert least_volume(table) < 0


def test_a_fold_at_a_single_corner_of_the_cube_is_found():
    for corner in np.ndindex(2, 2, 2):
        table = table_of(lambda colours: colours)
        place = tuple(c * (POINTS - 1) for c in corner)
        table[place] += np.where(corner, -1.0, 1.0) * 1.5 / (POINTS - 1)
        assert least_volume(table) < 0


def test_a_bend_is_its_second_difference():
    step = 1 / (POINTS - 1)
    table = table_of(lambda colours: np.stack([colours[:, 0], colours[:, 1], 0.5 * colours[:, 2] ** 2], -1))
    assert sharpest_bend(table) == pytest.approx(step**2)
