from d2f_mlx.color import Lut3D

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

FLOAT32 = 2e-6
IDENTITY = Lut3D.bake(lambda colours: colours, 33)


def _tetrahedral(lut, pixels):
    """Sakamoto's interpolation in float64, one colour at a time: walk along the axes, largest fraction first."""
    edge = lut.points
    out = []
    for colour in pixels.reshape(-1, 3):
        place = np.clip((colour - lut.low) / (lut.high - lut.low), 0, 1) * (edge - 1)
        cell = np.minimum(place.astype(int), edge - 2)
        fraction = place - cell
        corner, value, left = list(cell), 0.0, 1.0
        for axis in np.argsort(-fraction):
            value = value + (left - fraction[axis]) * lut.table[tuple(corner)].astype(np.float64)
            corner[axis] += 1
            left = fraction[axis]
        out.append(value + left * lut.table[tuple(corner)])
    return np.reshape(out, pixels.shape)


def _noise(edge, seed=0, **domain):
    return Lut3D(np.random.default_rng(seed).uniform(-0.5, 1.5, (edge, edge, edge, 3)), **domain)


@pytest.mark.parametrize("edge", [2, 3, 17, 33])
def test_it_is_tetrahedral_interpolation(edge):
    lut = _noise(edge)
    pixels = np.random.default_rng(1).uniform(-0.1, 1.1, (40, 25, 3)).astype(np.float32)
    pixels[:5] = pixels[:5, :, :1]  # greys: all fractions equal
    pixels[5:10, :, 1] = pixels[5:10, :, 2]
    tolerance = 4 * edge * np.finfo(np.float32).eps  # of the place in a cell, times what a cell spans
    np.testing.assert_allclose(np.array(lut(mx.array(pixels))), _tetrahedral(lut, pixels), atol=max(tolerance, FLOAT32))


def test_each_axis_has_its_own_domain():
    lut = _noise(5, low=np.array([-1, 0, 0.5]), high=np.array([0.5, 4, 0.75]))
    pixels = np.random.default_rng(1).uniform(-2, 5, (500, 3)).astype(np.float32)
    np.testing.assert_allclose(np.array(lut(mx.array(pixels))), _tetrahedral(lut, pixels), atol=2e-5)


def test_points_of_the_table_come_back():
    lut = _noise(9)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3, indexing="ij"), axis=-1)
    np.testing.assert_array_equal(np.array(lut(mx.array(grid, mx.float32))), lut.table)  # eighths are exact


@settings(max_examples=30)
@given(
    st.lists(st.floats(-2, 2), min_size=12, max_size=12),
    st.sampled_from([2, 17, 65]),
    st.integers(0, 2**32 - 1),
)
def test_affine_changes_are_exact(numbers, edge, seed):
    matrix, offset = np.reshape(numbers[:9], (3, 3)), np.array(numbers[9:])
    lut = Lut3D.bake(lambda colours: colours @ matrix.T + offset, edge, low=-1, high=2)
    colours = np.random.default_rng(seed).uniform(-1, 2, (50, 3)).astype(np.float32)
    np.testing.assert_allclose(np.array(lut(mx.array(colours))), colours @ matrix.T + offset, atol=2e-5)


def test_along_the_axes_it_agrees_with_scipys_linear_interpolation():
    lut = _noise(9)
    pixels = np.random.default_rng(1).integers(0, 9, (300, 3)) / 8  # on a point, but for one component
    pixels[np.arange(300), np.arange(300) % 3] = np.random.default_rng(2).uniform(0, 1, 300)
    reference = RegularGridInterpolator([np.linspace(0, 1, 9)] * 3, lut.table)
    np.testing.assert_allclose(np.array(lut(mx.array(pixels, mx.float32))), reference(pixels), atol=FLOAT32)


def test_greys_come_from_greys_alone():
    lut = _noise(9)
    scrambled = _noise(9, seed=5).table.copy()
    diagonal = np.arange(9)
    scrambled[diagonal, diagonal, diagonal] = lut.table[diagonal, diagonal, diagonal]
    greys = mx.repeat(mx.linspace(0, 1, 1000)[:, None], 3, axis=1)
    np.testing.assert_array_equal(np.array(lut(greys)), np.array(Lut3D(scrambled)(greys)))


def test_no_sixteen_bit_level_is_lost():
    levels = np.arange(65536)
    pixels = np.stack([levels, levels[::-1], np.roll(levels, 12345)], axis=1)
    result = np.array(IDENTITY(mx.array(pixels / 65535, mx.float32)))
    np.testing.assert_array_equal(np.rint(result.astype(np.float64) * 65535), pixels)


def test_what_lies_outside_is_clamped_and_nan_is_no_way_out_of_the_table():
    nan, inf = float("nan"), float("inf")
    pixels = mx.array([[-0.5, 2.0, 1e30], [-inf, inf, -1e30], [nan, nan, nan], [nan, 0.25, inf]])
    expected = [[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0.25, 1]]
    np.testing.assert_allclose(np.array(IDENTITY(pixels)), expected, atol=FLOAT32)


def test_tiles_agree_bit_for_bit():
    lut = _noise(33)
    pixels = np.random.default_rng(3).uniform(0, 1, (61, 83, 3)).astype(np.float32)
    whole = np.array(lut(mx.array(pixels)))
    for rows, columns in ((slice(7, 8), slice(0, 83)), (slice(3, 40), slice(11, 28)), (slice(60, 61), slice(82, 83))):
        np.testing.assert_array_equal(np.array(lut(mx.array(pixels)[rows, columns])), whole[rows, columns])
        np.testing.assert_array_equal(np.array(lut(mx.array(pixels[rows, columns]))), whole[rows, columns])


def test_it_runs_inside_a_compiled_function_on_any_stream():
    pixels = mx.array(np.random.default_rng(3).uniform(0, 1, (20, 20, 3)), mx.float32)
    expected = np.array(IDENTITY(pixels) * 2)
    with mx.stream(mx.new_stream(mx.default_device())):
        result = mx.compile(lambda values: IDENTITY(values) * 2)(pixels)
    np.testing.assert_array_equal(np.array(result), expected)


def test_half_precision_goes_in_and_single_comes_out():
    pixels = mx.array([[0.25, 0.5, 0.75]])
    result = IDENTITY(pixels.astype(mx.float16))
    assert result.dtype == mx.float32
    np.testing.assert_allclose(np.array(result), np.array(pixels), atol=FLOAT32)
    assert IDENTITY(mx.zeros((0, 3))).shape == (0, 3)


def test_baking_asks_for_every_point_once_a_bounded_number_at_a_time():
    asked = []

    def function(colours):
        asked.append(colours)
        assert colours.dtype == np.float64
        return colours[:, ::-1] ** 2

    lut = Lut3D.bake(function, 65, low=(0, 0, -1), high=(1, 2, 1), title="squares")
    assert max(map(len, asked)) == 65536
    assert len(np.unique(np.concatenate(asked), axis=0)) == sum(map(len, asked)) == 65**3
    # Indexed [red, green, blue].
    np.testing.assert_allclose(lut.table[16, 32, 64], [1, 1, 0.0625])
    np.testing.assert_allclose(lut.table[64, 64, 0], [1, 4, 1])
    assert (lut.points, lut.title, lut.low.tolist(), lut.high.tolist()) == (65, "squares", [0, 0, -1], [1, 2, 1])


def test_the_table_is_the_luts_own():
    table = np.zeros((2, 2, 2, 3), np.float32)
    lut = Lut3D(table)
    table[:] = 1
    assert not lut.table.any()
    assert lut.table.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        lut.table[:] = 1


CUBE = np.zeros((2, 2, 2, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lut3D(np.zeros((2, 2, 3, 3))), r"expects a table of shape \(N, N, N, 3\), N from 2 to 256, got"),
        (lambda: Lut3D(np.zeros((1, 1, 1, 3))), "N from 2 to 256"),
        (lambda: Lut3D(np.zeros((8, 3))), "N from 2 to 256"),
        (lambda: Lut3D(np.broadcast_to(0.0, (257, 257, 257, 3))), "N from 2 to 256"),
        (lambda: Lut3D(CUBE + np.nan), "expects a finite table, got 24 NaN or infinite values"),
        (lambda: Lut3D(CUBE + 1e300), "expects a finite table, got 24 NaN or infinite values"),
        (lambda: Lut3D(CUBE, low=np.ones(3)), r"expects low < high, finite, got \[1.0, 1.0, 1.0\] and \[1.0"),
        (lambda: Lut3D(CUBE, high=np.array([1, np.inf, 1])), "expects low < high, finite"),
        (lambda: Lut3D(CUBE, low=np.zeros(2)), r"expects low and high as one number or three, got shape \(2,\)"),
        (lambda: Lut3D.bake(lambda c: c, 1), "bake expects 2 to 256 points, got 1"),
        (lambda: Lut3D.bake(lambda c: c[:, 0], 2), r"bake expects colours of shape \(8, 3\), got \(8,\)"),
        (lambda: Lut3D.bake(lambda c: c * 1e300, 2, low=1, high=2), "expects a finite table"),
        (lambda: IDENTITY(mx.zeros((4, 4))), r"expects floating-point pixels \(\.\.\., 3\), got \(4, 4\)"),
        (lambda: IDENTITY(mx.zeros((4, 3), mx.uint8)), "expects floating-point pixels .* of mlx.core.uint8"),
    ],
)
def test_what_is_no_table_or_picture_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
