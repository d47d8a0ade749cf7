from d2f_mlx.backend import mx
from d2f_mlx.grain.discs import WHITE, Film, discs
from d2f_mlx.grain.indicator import Grid, covered

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

STANDARD_ERRORS = 4.0
RADII_TABLE = 1e-3  # relative; 4096 radii stand for the log-normal law
WAYS = pytest.mark.parametrize("way", ["grain", "pixel"])
SALT = 1701


def mixed(x):
    """Scramble arrays of 32 bits with lowbias32."""
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return x ^ x >> np.uint32(16)


def words(*values):
    return np.array(values, np.int64).astype(np.uint32)


def drawn_again(bits, draw):
    return mixed(bits ^ mixed(words(draw + 0xC2B2AE35)))


def log_normal(radius, radius_sigma):
    shape = np.log1p((radius_sigma / radius) ** 2) ** 0.5
    return scipy.stats.lognorm(shape, scale=radius / np.exp(shape**2 / 2))


def every_disc(radius, radius_sigma, levels, top, left, seed, channel):
    """List the discs of some film pixels, one after the other: row, column, radius squared, in units; and the unit."""
    cells = int(np.ceil(1 / radius))
    radii = np.array([radius])
    if radius_sigma:
        radii = log_normal(radius, radius_sigma).ppf(np.minimum((np.arange(4096) + 0.5) / 4096, 0.999))
    bits = discs(radius, radius_sigma).bits
    side = 2**bits
    key = np.array(mx.random.key(seed))
    start = mixed(mixed(key[:1] ^ mixed(key[1:])) ^ mixed(words(channel + SALT * 16 + 0x85EBCA6B)))
    found = []
    for row in range(top * cells, (top + len(levels)) * cells):
        for column in range(left * cells, (left + levels.shape[1]) * cells):
            cell = mixed(mixed(start ^ words(column)) ^ mixed(words(row + 0x9E3779B9)))
            coverage = WHITE * float(levels[row // cells - top, column // cells - left]) / 65535
            mean = -np.log1p(-coverage) / (np.pi * (radii**2).mean() * cells**2)
            draw = 0
            while cell[0] > min(np.floor(scipy.stats.poisson.cdf(draw, mean) * 2.0**32), 2**32 - 1):
                disc = drawn_again(cell, draw)
                size = radii[drawn_again(disc, 0)[0] >> 20 if radius_sigma else 0] * cells * side
                down, across = int(disc[0]) >> 16, int(disc[0]) & 0xFFFF
                found.append((row * side + (down >> 16 - bits), column * side + (across >> 16 - bits), size**2))
                draw += 1
    return np.array(found).reshape(-1, 3), cells * side


def grid_of(law, rows, columns):
    shape = len(rows), len(columns)
    return Grid(law.units(rows), law.units(columns), np.arange(shape[0]) * shape[1], np.arange(shape[1]))


def indicator(radius, radius_sigma, levels, rows, columns, *, origin=(0, 0), seed=0, channel=0, way=""):
    law = discs(radius, radius_sigma)
    grid = grid_of(law, rows, columns)
    found = covered(law, Film(levels, *origin), grid, mx.random.key(seed), channel, way)
    return np.array(found).reshape(len(rows), len(columns))


def full(level, height=1, width=1):
    return np.full((height, width), round(level * 65535), np.uint16)


CASES = [(0.1, 0.0, 0.11), (0.3, 0.0, 0.07), (0.5, 0.0, 0.2), (1.7, 0.0, 0.31), (0.2, 0.2, 0.09), (0.7, 0.2, 0.4)]


@WAYS
@pytest.mark.parametrize(("radius", "radius_sigma", "pitch"), CASES)
def test_points_are_covered_that_lie_in_a_disc_of_an_exhaustive_list(radius, radius_sigma, pitch, way):
    apron, (top, left) = int(np.ceil(discs(radius, radius_sigma).radii[-1])), (-3, 5)
    size = (2 * apron + 2, 2 * apron + 3)
    levels = np.random.default_rng(1).integers(0, 60000, size).astype(np.uint16)
    levels.flat[:3] = levels.flat[-3:] = 0, 65535, 1
    rows = np.arange(top + apron + 0.03, top + apron + 2, pitch)
    columns = np.arange(left + apron + 0.01, left + apron + 3, pitch)
    listed, unit = every_disc(radius, radius_sigma, levels, top, left, 7, 2)
    down, across = np.rint(rows * unit)[:, None, None], np.rint(columns * unit)[:, None]
    expected = ((down - listed[:, 0]) ** 2 + (across - listed[:, 1]) ** 2 <= listed[:, 2]).any(-1)
    found = indicator(radius, radius_sigma, levels, rows, columns, origin=(top, left), seed=7, channel=2, way=way)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([(0.05, 0.0), (0.1, 0.0), (0.13, 0.05), (0.3, 0.0), (0.3, 0.3), (1.0, 0.0), (2.3, 0.0)]),
    st.floats(0.02, 5),
    st.floats(-40, 40),
    st.integers(1, 40),
    st.integers(0, 100),
)
def test_both_ways_agree_bit_for_bit(law, pitch, start, count, seed):
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 2**16, (9, 7)).astype(np.uint16)
    rows, columns = start + pitch * np.arange(count), 3 - start + pitch * np.arange(41 - count)
    ways = [indicator(*law, levels, rows, columns, origin=(-4, -3), seed=seed, way=way) for way in ("grain", "pixel")]
    np.testing.assert_array_equal(*ways)


def test_places_say_where_an_answer_is_stored():
    law, film, key = discs(0.3), Film(full(0.5), 0, 0), mx.random.key(0)
    points = np.arange(30) / 10
    plain = grid_of(law, points, points)
    turned = plain._replace(row_places=np.arange(30), column_places=np.arange(30) * 30)
    for way in ("grain", "pixel"):
        expected = np.array(covered(law, film, plain, key, 0, way)).reshape(30, 30).T
        np.testing.assert_array_equal(np.array(covered(law, film, turned, key, 0, way)).reshape(30, 30), expected)


@pytest.mark.parametrize(("radius", "radius_sigma"), [(0.1, 0.0), (0.3, 0.0), (0.3, 0.1), (0.2, 0.2)])
@pytest.mark.parametrize("coverage", [0.05, 0.5, 0.9])
def test_coverage_is_what_was_asked_for(radius, radius_sigma, coverage):
    points = np.arange(0, 16, radius)
    blocks = [
        indicator(radius, radius_sigma, full(coverage), points + origin, points, seed=seed).mean()
        for seed in range(10)
        for origin in (0, 40)
    ]
    error = np.std(blocks, ddof=1) / len(blocks) ** 0.5
    assert abs(np.mean(blocks) - coverage * WHITE) < STANDARD_ERRORS * error
    assert error < 0.02


def test_no_film_is_bare_at_white_and_none_covered_at_black():
    points = np.arange(0, 40, 0.1)
    assert not indicator(0.1, 0.0, full(0.0), points, points).any()
    bare = 1 - indicator(0.1, 0.0, full(1.0), points, points).mean()
    assert 0 < bare < 2.5 * (1 - WHITE)


def test_a_cells_intensity_is_that_of_its_own_film_pixel():
    levels = np.concatenate([full(0.0, 1, 1), full(0.9, 1, 1)], 1)  # bare film to the left of 1
    rows, columns = np.arange(0, 400, 0.7), np.array([0.65, 0.95, 1.05, 1.35, 1.65])
    bare, near, edge, inner, full_coverage = indicator(0.3, 0.0, levels, rows, columns).mean(0)
    assert bare == 0
    assert 0.2 < near < edge - 0.1 < inner - 0.2  # grains reach over the border by a radius; none come from beyond it
    assert abs(inner - full_coverage) < 0.06


@pytest.mark.parametrize(("radius", "radius_sigma"), [(0.1, 0.03), (0.1, 0.1), (2.0, 0.5)])
def test_radii_are_log_normal_up_to_the_0_999_quantile(radius, radius_sigma):
    law, radii = log_normal(radius, radius_sigma), discs(radius, radius_sigma).radii
    assert radii[-1] == pytest.approx(law.ppf(0.999), rel=1e-9)
    assert law.expect(lambda r: min(r, radii[-1])) == pytest.approx(radii.mean(), rel=RADII_TABLE)
    assert law.expect(lambda r: min(r, radii[-1]) ** 2) == pytest.approx((radii**2).mean(), rel=RADII_TABLE)
    np.testing.assert_allclose(np.quantile(radii, [0.05, 0.5, 0.95]), law.ppf([0.05, 0.5, 0.95]), rtol=RADII_TABLE)


def test_each_key_and_channel_has_film_of_its_own():
    points = np.arange(0, 60, 0.3)
    fields = [
        indicator(0.1, 0.0, full(0.5), points, points, seed=seed, channel=channel).ravel() - 0.5
        for seed, channel in [(0, 0), (1, 0), (2**32, 0), (0, 1), (0, 15)]
    ]
    related = np.corrcoef(fields) - np.eye(len(fields))
    assert np.abs(related).max() < STANDARD_ERRORS / len(points)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.01,), "radius from 0.02 to 8 film pixels, got 0.01"),
        ((9.0,), "got 9.0"),
        ((float("nan"),), "got nan"),
        ((0.1, 0.11), "radius_sigma from 0 to the radius, 0.1, got 0.11"),
        ((0.1, -0.01), "got -0.01"),
    ],
)
def test_laws_out_of_bounds_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        discs(*arguments)
