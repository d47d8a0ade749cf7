from d2f_mlx.color import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SPACES, SRGB, adaptation, between, convert

import colour
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

TITLES = {"srgb": "sRGB", "display-p3": "Display P3", "adobe-rgb": "Adobe RGB (1998)", "prophoto": "ProPhoto RGB"}
FLOAT32 = 2e-6
EACH = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


@pytest.mark.parametrize(
    ("space", "published", "digits"),
    [
        (SRGB, [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], 4),
        (ADOBE_RGB, [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]], 5),
        (PROPHOTO, [[0.7977, 0.1352, 0.0313], [0.2880, 0.7119, 0.0001], [0.0000, 0.0000, 0.8249]], 4),
    ],
)
def test_matrices_are_those_of_the_standards_as_far_as_these_print_them(space, published, digits):
    tolerance = 3 * 10.0**-digits if space is PROPHOTO else 10.0**-digits  # ROMM's D50 has Z 0.8249, not 0.8251
    np.testing.assert_allclose(space.to_xyz, published, atol=tolerance)


@EACH
def test_matrices_agree_with_colour_science(space):
    reference = colour.RGB_COLOURSPACES[TITLES[space.name]]
    expected = colour.normalised_primary_matrix(reference.primaries, reference.whitepoint)
    np.testing.assert_allclose(space.to_xyz, expected, atol=1e-12)
    np.testing.assert_allclose(space.from_xyz @ expected, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(space.to_xyz.sum(axis=1), space.white_xyz, atol=1e-12)


@EACH
def test_curves_agree_with_colour_science(space):
    reference = colour.RGB_COLOURSPACES[TITLES[space.name]]
    values = np.linspace(0, 1, 4097)
    np.testing.assert_allclose(space.decode(values), reference.cctf_decoding(values), atol=1e-7)
    np.testing.assert_allclose(space.encode(values), reference.cctf_encoding(values), atol=1e-7)


@pytest.mark.parametrize(
    ("space", "encoded", "linear"),
    [
        (SRGB, 0.5, 0.2140411),
        (SRGB, 0.04, 0.04 / 12.92),
        (SRGB, 1.2, (1.255 / 1.055) ** 2.4),
        (DISPLAY_P3, 0.5, 0.2140411),
        (ADOBE_RGB, 0.5, 0.5 ** (2 + 51 / 256)),
        (PROPHOTO, 0.016, 0.001),
        (PROPHOTO, 0.5, 0.5**1.8),
    ],
)
def test_curves_have_the_standards_values(space, encoded, linear):
    np.testing.assert_allclose(space.decode(np.array([encoded, -encoded])), [linear, -linear], atol=1e-7)
    np.testing.assert_allclose(space.encode(np.array([linear, -linear])), [encoded, -encoded], atol=1e-7)


@EACH
def test_mlx_computes_the_curves_that_numpy_does(space):
    values = np.linspace(-0.5, 1.5, 4001)
    for function in (space.decode, space.encode):
        result = mx.compile(function)(mx.array(values, mx.float32))
        assert result.dtype == mx.float32
        np.testing.assert_allclose(np.array(result), function(values), atol=FLOAT32)


@given(st.sampled_from(list(SPACES.values())), st.floats(-4, 4))
def test_encoding_undoes_decoding(space, value):
    encoded = np.array([value])
    np.testing.assert_allclose(space.encode(space.decode(encoded)), encoded, rtol=1e-6, atol=2e-7)
    np.testing.assert_allclose(space.decode(-encoded), -space.decode(encoded), rtol=0, atol=0)


@EACH
def test_curves_rise(space):
    values = np.linspace(-1, 2, 30001)
    assert (np.diff(space.decode(values)) > 0).all()
    assert (np.diff(space.encode(values)) > -1e-7).all()  # sRGB's two rounded thresholds leave a step of 3e-8


def test_what_a_space_has_computed_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        SRGB.to_xyz[0, 0] = 1


def test_bradford_from_d65_to_d50_is_the_published_matrix():
    published = [  # B. Lindbloom, Chromatic Adaptation
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]
    np.testing.assert_allclose(adaptation([0.95047, 1, 1.08883], [0.96422, 1, 0.82521]), published, atol=1e-7)


@pytest.mark.parametrize(
    ("method", "name"), [("bradford", "Bradford"), ("cat02", "CAT02"), ("cat16", "CAT16")], ids=lambda name: name
)
def test_adaptations_agree_with_colour_science_and_take_white_to_white(method, name):
    source, target = np.array([1.09850, 1, 0.35585]), PROPHOTO.white_xyz
    expected = colour.adaptation.matrix_chromatic_adaptation_VonKries(source, target, transform=name)
    result = adaptation(source, target, method)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    np.testing.assert_allclose(result @ source, target, atol=1e-12)
    np.testing.assert_allclose(result @ adaptation(target, source, method), np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1, 1], [1, 1, 1], "sharp"), "adaptation expects a method of bradford, cat02, cat16, got 'sharp'"),
        (([1, 1], [1, 1, 1]), r"adaptation expects two whites as XYZ of shape \(3,\), got"),
        (([0, 0, 0], [1, 1, 1]), "adaptation expects two whites"),
        (([1, 1, 1], [1, np.nan, 1]), "adaptation expects two whites"),
    ],
)
def test_adaptation_says_what_it_expects(arguments, message):
    with pytest.raises(ValueError, match=message):
        adaptation(*arguments)


@pytest.mark.parametrize("source", SPACES.values(), ids=SPACES)
@EACH
def test_matrices_between_spaces_agree_with_colour_science(source, space):
    first, second = (colour.RGB_COLOURSPACES[TITLES[s.name]].copy() for s in (source, space))
    for reference in (first, second):
        reference.use_derived_transformation_matrices(True)
    expected = colour.matrix_RGB_to_RGB(first, second, "Bradford")
    np.testing.assert_allclose(between(source, space), expected, atol=1e-6)
    np.testing.assert_allclose(between(source, space).sum(axis=1), 1, atol=1e-12)  # white stays white


def test_p3_red_is_where_css_says_it_is_in_srgb():
    red = np.array([[1.0, 0.0, 0.0]])
    expected = [[1.09307, -0.22674, -0.15013]]  # CSS Color 4: color(display-p3 1 0 0) in srgb
    np.testing.assert_allclose(convert(red, DISPLAY_P3, SRGB), expected, atol=1e-4)
    np.testing.assert_allclose(np.array(convert(mx.array(red), DISPLAY_P3, SRGB)), expected, atol=1e-4)


@given(st.sampled_from(list(SPACES.values())), st.sampled_from(list(SPACES.values())), st.integers(0, 2**32 - 1))
def test_converting_there_and_back_changes_nothing(source, target, seed):
    pixels = np.random.default_rng(seed).uniform(-0.1, 1.1, (5, 3))
    np.testing.assert_allclose(convert(convert(pixels, source, target), target, source), pixels, atol=1e-6)


def test_mlx_converts_as_numpy_does_and_alike_on_every_tile():
    pixels = np.random.default_rng(0).uniform(0, 1, (33, 47, 3)).astype(np.float32)
    whole = np.array(convert(mx.array(pixels), DISPLAY_P3, PROPHOTO))
    np.testing.assert_allclose(whole, convert(pixels.astype(np.float64), DISPLAY_P3, PROPHOTO), atol=FLOAT32)
    tile = np.array(convert(mx.array(pixels[5:12, 3:40]), DISPLAY_P3, PROPHOTO))
    np.testing.assert_array_equal(tile, whole[5:12, 3:40])


def test_the_same_space_is_left_alone():
    pixels = mx.array([[0.1, 0.2, 0.3]])
    assert np.array_equal(np.array(convert(pixels, SRGB, SRGB)), np.array(pixels))
