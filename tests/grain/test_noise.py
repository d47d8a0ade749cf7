from d2f_mlx.backend import mx
from d2f_mlx.grain.noise import bell_planes, bits_at, hash_again, normal_at, uniform_at

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

SIDE = 400
CORRELATION = 5 / SIDE  # five standard errors of a correlation of SIDE^2 independent pairs
MOMENT = 0.03  # six standard errors of the kurtosis of 3 SIDE^2 normal numbers
P_VALUE = 1e-3
STANDARD_ERRORS = 5
ROUNDING = 1e-6
ORIGINS = st.tuples(st.integers(-(2**31), 2**31 - 100), st.integers(-(2**31), 2**31 - 100))


def draw(function, seed=0, origin=(0, 0), shape=(SIDE, SIDE, 3), salt=0):
    return np.array(function(mx.random.key(seed), mx.array(origin, mx.int32), shape, salt))


def bells(key, origin, shape, salt=0):
    """Draw a plane for each channel, whose salts are 1 apart."""
    return bell_planes(key, origin, shape[:2], mx.arange(shape[2]) + salt).transpose(1, 2, 0)


def mixed(x):
    """Scramble with lowbias32 as its author published it in C, in Python's unbounded integers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), ORIGINS, st.sampled_from([0, 1, 7, -1]))
def test_uniform_at_is_a_hash_of_key_channel_column_and_row(seed, origin, salt):
    key = [int(word) for word in np.array(mx.random.key(seed))]
    result = draw(uniform_at, seed, origin, (2, 3, 3), salt)
    for row, column, channel in np.ndindex(2, 3, 3):
        h = mixed(mixed(key[0] ^ mixed(key[1])) ^ mixed((channel + salt * 16 + 0x85EBCA6B) % 2**32))
        h = mixed(h ^ (column + origin[1]) % 2**32)
        h = mixed(h ^ mixed((row + origin[0] + 0x9E3779B9) % 2**32))
        assert result[row, column, channel] == ((h >> 9) + 0.5) / 2**23


@settings(max_examples=25, deadline=None)
@given(st.integers(-300, 300), st.integers(-300, 300), st.integers(1, 24), st.integers(1, 24), st.integers(1, 3))
def test_a_number_does_not_depend_on_where_the_window_was_cut(top, left, height, width, channels):
    down, right = 9, 14
    for function in (bits_at, uniform_at, bells, normal_at):
        whole = draw(function, 5, (top - down, left - right), (40, 40, 3), salt=2)
        part = draw(function, 5, (top, left), (height, width, channels), salt=2)
        np.testing.assert_array_equal(part, whole[down : down + height, right : right + width, :channels])


def test_compiled_windows_agree_bit_for_bit():
    run = mx.compile(normal_at, shapeless=False)
    key = mx.random.key(1)
    whole = np.array(run(key, mx.array([-8, -8]), (64, 64, 3)))
    for top, left, height, width in [(0, 0, 64, 64), (3, 5, 1, 1), (7, 2, 13, 31), (40, 9, 24, 55)]:
        part = np.array(run(key, mx.array([top - 8, left - 8]), (height, width, 3)))
        np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"seed": 2**32}, {"salt": 1}, {"salt": 2}, {"origin": (SIDE, 0)}, {"origin": (0, -SIDE)}],
    ids=str,
)
def test_another_key_salt_or_place_gives_unrelated_numbers(other):
    a, b = draw(uniform_at), draw(uniform_at, **other)
    for c in range(3):
        assert abs(correlation(a[..., c], b[..., c])) < CORRELATION
        assert (a[..., c] == b[..., c]).mean() < 1e-3


def test_channels_are_independent():
    x = draw(uniform_at)
    for a, b in [(0, 1), (0, 2), (1, 2)]:
        assert abs(correlation(x[..., a], x[..., b])) < CORRELATION


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (16, 0), (0, 16)])
def test_neighbours_are_independent(down, right):
    x = draw(uniform_at, origin=(-SIDE // 2, -SIDE // 2))
    far, near = max(right, 0), max(-right, 0)
    a, b = x[: SIDE - down, near : SIDE - far], x[down:, far : SIDE - near]
    for c in range(3):
        assert abs(correlation(a[..., c], b[..., c])) < CORRELATION


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_uniform_at_passes_the_kolmogorov_smirnov_test(seed):
    x = draw(uniform_at, seed)
    for c in range(3):
        assert scipy.stats.kstest(x[..., c].ravel(), "uniform").pvalue > P_VALUE


def test_uniform_at_keeps_to_the_open_interval():
    steps = draw(uniform_at).astype(float) * 2**24
    # Odd multiples of 2^-24 cannot be 0 or 1.
    np.testing.assert_array_equal(steps % 2, 1)
    assert steps.min() > 0
    assert steps.max() < 2**24


@pytest.mark.parametrize("seed", [0, 1])
def test_normal_at_is_normal(seed):
    x = draw(normal_at, seed).astype(float).ravel()
    assert abs(x.mean()) < MOMENT
    assert abs(x.var() - 1) < MOMENT
    assert abs(scipy.stats.skew(x)) < MOMENT
    assert abs(scipy.stats.kurtosis(x)) < MOMENT
    assert scipy.stats.kstest(x, "norm").pvalue > P_VALUE


def test_normal_at_is_the_quantile_of_uniform_at():
    expected = scipy.stats.norm.ppf(draw(uniform_at, 3, shape=(50, 50, 3)).astype(float))
    np.testing.assert_allclose(draw(normal_at, 3, shape=(50, 50, 3)), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), ORIGINS, st.sampled_from([0, 1, 7, -1, 1356]))
def test_bits_at_is_the_whole_hash(seed, origin, salt):
    key = [int(word) for word in np.array(mx.random.key(seed))]
    result = draw(bits_at, seed, origin, (2, 3, 3), salt)
    assert result.dtype == np.uint32
    for row, column, channel in np.ndindex(2, 3, 3):
        h = mixed(mixed(key[0] ^ mixed(key[1])) ^ mixed((channel + salt * 16 + 0x85EBCA6B) % 2**32))
        h = mixed(h ^ (column + origin[1]) % 2**32)
        assert result[row, column, channel] == mixed(h ^ mixed((row + origin[0] + 0x9E3779B9) % 2**32))


@pytest.mark.parametrize("seed", [0, 12345])
def test_each_of_the_32_bits_is_a_fair_coin_of_its_own(seed):
    bits = draw(bits_at, seed, shape=(SIDE // 2, SIDE // 2, 1)).ravel()
    coins = 2.0 * (bits[:, None] >> np.arange(32, dtype=np.uint32) & 1) - 1
    together = coins.T @ coins / len(bits)
    np.testing.assert_array_less(np.abs(coins.mean(0)), STANDARD_ERRORS / np.sqrt(len(bits)))
    np.testing.assert_array_less(np.abs(together - np.eye(32)), STANDARD_ERRORS / np.sqrt(len(bits)))


def test_hash_again_gives_every_draw_bits_of_its_own():
    bits = draw(bits_at, shape=(SIDE, SIDE, 1)).ravel()
    draws = [np.array(hash_again(mx.array(bits), mx.array(n, mx.uint32))) for n in range(3)]
    assert int(draws[2][7]) == mixed(int(bits[7]) ^ mixed((2 + 0xC2B2AE35) % 2**32))
    for a, b in [(bits, draws[0]), (draws[0], draws[1]), (draws[1], draws[2])]:
        assert abs(correlation(a.astype(float), b.astype(float))) < CORRELATION


def test_bell_planes_are_the_sums_of_the_four_bytes_of_their_salts():
    bits = np.stack([draw(bits_at, 4, (-5, 9), (60, 70, 1), salt)[..., 0] for salt in (3, 4, 5)], -1)
    total = np.ascontiguousarray(bits).view(np.uint8).reshape(*bits.shape, 4).sum(-1, dtype=np.int64)
    expected = (total - 4 * 255 / 2) / np.sqrt(4 * (256**2 - 1) / 12)
    np.testing.assert_allclose(draw(bells, 4, (-5, 9), (60, 70, 3), salt=3), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("seed", [0, 1])
def test_bell_planes_have_mean_zero_variance_one_and_the_kurtosis_of_four_bytes(seed):
    x = draw(bells, seed).astype(float).ravel()
    kurtosis = -1.2 * (256**2 + 1) / (256**2 - 1) / 4  # a discrete uniform number's, over four
    errors = np.array([1, np.sqrt(2 + kurtosis), np.sqrt(6), np.sqrt(24)]) / np.sqrt(len(x))  # at most a normal's
    found = [x.mean(), x.var() - 1, scipy.stats.skew(x), scipy.stats.kurtosis(x) - kurtosis]
    np.testing.assert_array_less(np.abs(found), STANDARD_ERRORS * errors)
    assert np.abs(x).max() < 3.5
