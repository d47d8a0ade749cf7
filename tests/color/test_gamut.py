from d2f_mlx.color import DISPLAY_P3, SRGB, between, compress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

THRESHOLD, LIMIT = 0.82, 1.25
ACES = {"threshold": (0.815, 0.803, 0.880), "limit": (1.147, 1.264, 1.312), "power": 1.2}
ROUNDING = 1e-12
COLOURS = st.tuples(*[st.floats(-2, 2)] * 3)


def _academy(rgb, threshold, limit, power):
    """LMT.Academy.ReferenceGamutCompress.ctl of ACES 1.3, one colour at a time."""
    ach = max(rgb)
    out = []
    for c, thr, lim in zip(rgb, threshold, limit, strict=True):
        dist = (ach - c) / abs(ach)
        if dist < thr:
            out.append(c)
            continue
        scl = (lim - thr) / pow(pow((1.0 - thr) / (lim - thr), -power) - 1.0, 1.0 / power)
        nd = (dist - thr) / scl
        p = pow(nd, power)
        out.append(ach - (thr + scl * nd / (pow(1.0 + p, 1.0 / power))) * abs(ach))
    return out


def test_with_the_academys_parameters_it_is_the_academys_compression():
    colours = np.random.default_rng(0).uniform(-3, 1, (500, 3))
    colours[:, 1] = np.abs(colours[:, 1]) + 1e-3
    expected = [_academy(colour, *ACES.values()) for colour in colours]
    np.testing.assert_allclose(compress(colours, **ACES), expected, atol=ROUNDING)


def test_one_number_serves_all_three_components():
    colours = np.random.default_rng(0).uniform(-1, 2, (50, 3))
    spelt_out = compress(colours, (THRESHOLD,) * 3, (LIMIT,) * 3, 1.2)
    np.testing.assert_array_equal(compress(colours), spelt_out)


def test_the_limit_comes_to_the_boundary_and_the_threshold_stays():
    light = np.array([[0.5, 0.5 * (1 - LIMIT), 0.5 * (1 - THRESHOLD)]])
    np.testing.assert_allclose(compress(light), [[0.5, 0, 0.5 * (1 - THRESHOLD)]], atol=ROUNDING)


@given(COLOURS)
def test_what_is_inside_the_threshold_stays_exactly(colour):
    rgb = np.array([colour])
    largest = rgb.max()
    result = compress(rgb)
    if largest <= 1e-30:
        assert not result.any()
        return
    assert result.max() == largest
    near = rgb >= largest * (1 - THRESHOLD + 1e-9)
    np.testing.assert_array_equal(result[near], rgb[near])
    assert (result >= rgb - ROUNDING).all()  # only ever towards grey
    within = rgb >= largest * (1 - LIMIT)
    assert (result[within] >= -ROUNDING).all()


def test_it_rises_with_a_slope_that_has_no_step():
    distance = np.linspace(0.5, 3, 25001)
    colours = np.stack([np.ones_like(distance), 1 - distance, np.full_like(distance, 0.4)], axis=1)
    slope = -np.gradient(compress(colours)[:, 1], distance)
    assert slope[:3000] == pytest.approx(1, abs=1e-9)
    assert (slope > 0).all()
    # Just above the threshold the slope falls as 1 - n^1.2, fastest where it begins.
    assert np.abs(np.diff(slope)).max() < 2e-3


def test_display_p3_fits_into_srgb():
    cube = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3), axis=-1) @ between(DISPLAY_P3, SRGB).T
    assert cube.min() < -0.2
    assert compress(cube).min() >= -ROUNDING
    largest = cube.max(axis=-1, keepdims=True)
    distance = (largest - cube)[largest[..., 0] > 0] / largest[largest[..., 0] > 0]
    assert 1.2 < distance.max() < LIMIT  # what the documentation says of the limit


def test_black_is_black_and_near_it_nothing_jumps():
    np.testing.assert_array_equal(compress(np.array([[0, 0, 0], [-1, -2, -0.5], [0, -1, -1e6]])), np.zeros((3, 3)))
    assert np.abs(compress(np.array([[1e-9, -1.0, -1e3]]))).max() < 1e-8


def test_exposure_changes_nothing():
    colours = np.random.default_rng(0).uniform(-1, 2, (100, 3))
    np.testing.assert_allclose(compress(8 * colours), 8 * compress(colours), atol=1e-12)


@pytest.mark.parametrize(
    "parameters",
    [{"threshold": 1.0}, {"threshold": -0.1}, {"limit": 1.0}, {"power": 0.5}, {"limit": (1.2, 1.2)}, {"limit": np.nan}],
)
def test_parameters_that_make_no_curve_are_refused(parameters):
    with pytest.raises(ValueError, match="compress expects 0 <= threshold < 1 < limit and power >= 1, got"):
        compress(np.ones((2, 3)), **parameters)


def test_colours_have_three_components():
    with pytest.raises(ValueError, match=r"compress expects colours of shape \(\.\.\., 3\), got \(2, 4\)"):
        compress(np.ones((2, 4)))
