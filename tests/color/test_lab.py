from d2f_mlx.color import PROPHOTO, SRGB, delta_e_2000, from_lab, to_lab

import colour
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

# Sharma, Wu and Dalal 2005, table 1: pairs that try every branch of the formula.
SHARMA = [
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, 2.8361, -74.0200), (50, 0, -82.7485), 3.4412),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0),
    ((50, -1.1848, -84.8006), (50, 0, -82.7485), 1.0),
    ((50, -0.9009, -85.5211), (50, 0, -82.7485), 1.0),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
]


@pytest.fixture
def labs():
    return np.random.default_rng(1).uniform([0, -120, -120], [100, 120, 120], (2, 20000, 3))


def test_lab_agrees_with_colour_science():
    xyz = np.random.default_rng(0).uniform(-0.02, 1.2, (1000, 3)) ** 3
    for space in (SRGB, PROPHOTO):
        lab = to_lab(xyz, space.white_xyz)
        np.testing.assert_allclose(lab, colour.XYZ_to_Lab(xyz, space.white), atol=1e-9)
        np.testing.assert_allclose(from_lab(lab, space.white_xyz), xyz, atol=1e-12)


def test_white_grey_and_black_have_the_lightness_they_must():
    white = SRGB.white_xyz
    lab = to_lab(np.outer([1, 0.1841865, 0.0], white), white)
    np.testing.assert_allclose(lab, [[100, 0, 0], [50, 0, 0], [0, 0, 0]], atol=1e-5)


def test_mlx_computes_the_lab_that_numpy_does():
    xyz = np.random.default_rng(0).uniform(-0.02, 1.1, (500, 3)) ** 3
    lab = mx.compile(lambda values: to_lab(values, SRGB.white_xyz))(mx.array(xyz, mx.float32))
    assert lab.dtype == mx.float32
    np.testing.assert_allclose(np.array(lab), to_lab(xyz, SRGB.white_xyz), atol=2e-4)
    back = mx.compile(lambda values: from_lab(values, SRGB.white_xyz))(lab)
    np.testing.assert_allclose(np.array(back), xyz, atol=2e-6)


@given(st.tuples(st.floats(-16, 120), st.floats(-300, 300), st.floats(-300, 300)))
def test_lab_there_and_back(lab):
    lab = np.array(lab)
    np.testing.assert_allclose(to_lab(from_lab(lab, SRGB.white_xyz), SRGB.white_xyz), lab, atol=1e-8)


@pytest.mark.parametrize(("first", "second", "published"), SHARMA)
def test_delta_e_2000_is_as_published(first, second, published):
    assert delta_e_2000(first, second) == pytest.approx(published, abs=5e-5)


def test_delta_e_2000_agrees_with_colour_science(labs):
    expected = colour.delta_E(*labs, method="CIE 2000")
    np.testing.assert_allclose(delta_e_2000(*labs), expected, atol=1e-9)


def test_delta_e_2000_of_greys_and_opposite_hues(labs):
    greys = labs * [1, 0, 0]
    np.testing.assert_allclose(delta_e_2000(*greys), colour.delta_E(*greys, method="CIE 2000"), atol=1e-9)
    first, second = np.array([50, 0, 30.0]), np.array([50, 0, -40.0])  # exactly half a turn apart
    assert delta_e_2000(first, second) == pytest.approx(colour.delta_E(first, second, method="CIE 2000"), abs=1e-9)


def test_delta_e_2000_is_the_same_both_ways_and_nothing_between_equals(labs):
    np.testing.assert_allclose(delta_e_2000(*labs), delta_e_2000(*labs[::-1]), atol=1e-9)
    assert not delta_e_2000(labs[0], labs[0]).any()
    assert delta_e_2000(labs[0][:6].reshape(2, 3, 3), labs[1][0]).shape == (2, 3)
