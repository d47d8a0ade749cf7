"""Palettes learned back from looks that are known, from pairs and without them."""

from functools import cache

import d2f_mlx as d2f  # noqa: F401  (it puts a fast BLAS under MLX)
from d2f_mlx import images
from d2f_mlx.color import SRGB, convert, delta_e_2000, profile_of
from d2f_mlx.color.spaces import ADOBE_RGB
from d2f_mlx.film.look import Look, bake
from d2f_mlx.film.pairs import fit_pairs
from d2f_mlx.film.palette import fit_palette
from d2f_mlx.film.samples import cell_means, colours_of, reference, without_colour
from d2f_mlx.film.tone import (
    NODES,
    film_curves,
    lab_of,
    neutral_cast,
    paired_curves,
    rgb_of,
    rising,
    straight,
    through,
    tone_curve,
)
from d2f_mlx.film.transport import sliced_wasserstein
from d2f_mlx.film.warp import CONTROLS, grid, least_volume

import mlx.core as mx
import numpy as np
import pytest
from skimage import data

CLOSE = 1e-6
PAIRED = 1.5  # CIEDE2000
GREYS = 5.0  # chroma
LEVELS_8 = 180  # that an 8-bit grey ramp keeps
LEVELS_16 = 50000


def look(colours):
    """Lifted blacks, an S, hues turned by 12 degrees, less colour, warm darks and cool lights: smooth, and no fold."""
    light = 0.04 + 0.9 * (0.6 * colours**1.15 + 0.4 * (3 * colours**2 - 2 * colours**3))
    lightness, a, b = np.moveaxis(lab_of(light), -1, 0)
    turned = 0.85 * np.exp(1j * np.radians(12)) * (a + 1j * b) + 2 + 4j * (1 - lightness / 60)
    return rgb_of(np.stack([lightness, turned.real, turned.imag], -1)).clip(0, 1)


@cache
def photographs():
    pictures = data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), data.stereo_motorcycle()[0]
    return tuple(picture[::2, ::2] for picture in pictures)


@cache
def halves():
    """Photographs in tiles, every other tile on one side: other pixels, like scenes, 20 pictures each."""
    sides = [], []
    for picture in photographs():
        height, width = (n // 8 for n in picture.shape[:2])
        for row in range(0, 8, 2):
            for column in range(0, 8, 4):
                tile = picture[row * height : (row + 2) * height, column * width : (column + 4) * width]
                sides[(row + column // 2) // 2 % 2].append(colours_of(tile, 100))
    return sides


@cache
def learned(strength=None):
    left, right = halves()
    return fit_palette([look(colours) for colours in left], right, strength=strength)


def applied(palette, colours):
    return np.array(palette(mx.array(colours.astype(np.float32)))).astype(np.float64)


def mean_error(palette, colours, truth=look):
    return float(delta_e_2000(lab_of(applied(palette, colours)), lab_of(truth(colours))).mean())


def test_a_look_is_learned_without_pairs():
    left, right = (np.concatenate(half) for half in halves())
    film = lab_of(look(left))
    error = float(delta_e_2000(lab_of(right), lab_of(look(right))).mean())
    assert mean_error(learned(1.0), right) < 0.75 * error
    assert sliced_wasserstein(lab_of(applied(learned(1.0), right)), film) < 0.5 * sliced_wasserstein(
        lab_of(right), film
    )
    report = learned(1.0).report
    assert report["distance after"] < 0.95 * report["distance before"]
    assert len(report["distances before"]) == len(report["distances after"]) == 5
    assert report["scans"] == report["photographs"] == 20


def test_of_pictures_that_scatter_only_a_part_is_kept_and_it_is_nearer_to_the_truth():
    right = np.concatenate(halves()[1])
    error = float(delta_e_2000(lab_of(right), lab_of(look(right))).mean())
    assert mean_error(learned(), right) < 0.9 * error
    assert 0 < learned().report["strength"] < 1


def test_like_pictures_leave_colours_as_they_are():
    left, right = halves()
    palette = fit_palette(left, right)
    colours = np.concatenate(right)
    assert float(delta_e_2000(lab_of(applied(palette, colours)), lab_of(colours)).mean()) < 1


def test_no_choice_is_worse_than_no_change_on_the_scans_held_out():
    rng = np.random.default_rng(0)
    film = [np.clip(rng.normal(rng.random(3), 0.05, (100, 3)), 0, 1) for _ in range(4)]  # one colour each: no look
    report = fit_palette(film, [colours[:100] for colours in reference()[:6]]).report
    assert report["distance after"] <= report["distance before"] == report["distance of each choice"]["no change"]


def test_a_table_neither_folds_nor_bands_nor_inverts_greys():
    table = learned(1.0).table
    assert table.shape == (17, 17, 17, 3)
    assert table.dtype == np.float32
    assert table.min() >= 0
    assert table.max() <= 1
    report = learned(1.0).report
    assert report["least volume"] > 0
    assert report["least step of greys"] > 0
    assert report["sharpest bend"] < 16  # of 255, where a cell is 16 wide
    for levels, kept in ((256, LEVELS_8), (65536, LEVELS_16)):
        ramp = np.repeat(np.linspace(0, 1, levels)[:, None], 3, 1)
        grey = applied(learned(1.0), ramp)
        assert (np.diff(lab_of(grey)[:, 0]) > -CLOSE).all()
        assert len(np.unique(np.rint(grey[:, 1] * (levels - 1)))) > kept


def test_a_seed_gives_the_same_table_and_another_one_another():
    left, right = ([colours[:80] for colours in half[:5]] for half in halves())
    film = [look(colours) for colours in left]
    first, again, other = (fit_palette(film, right, points=9, strength=1, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.table, again.table)
    assert first.report == again.report != other.report


def test_a_strength_of_nothing_changes_nothing():
    left, right = ([colours[:80] for colours in half[:5]] for half in halves())
    table = fit_palette([look(colours) for colours in left], right, points=9, strength=0).table
    np.testing.assert_allclose(table.reshape(-1, 3), grid(9), atol=CLOSE)


def test_black_and_white_scans_give_greys_of_their_tint():
    left, right = halves()
    grey = [np.repeat(lab_of(colours)[:, :1], 3, 1) for colours in left]
    film = [rgb_of(lab * [0.8, 0, 0] + [10, 3, 6]).clip(0, 1) for lab in grey]
    palette = fit_palette(film, right, strength=1)
    assert palette.report["black and white"]
    toned = lab_of(palette.table.reshape(-1, 3).astype(float))
    middle = toned[(toned[:, 0] > 40) & (toned[:, 0] < 70)]
    assert np.abs(middle[:, 1:].mean(0) - [3, 6]).max() < 2
    assert middle[:, 1:].std(0).max() < 1


def test_greys_keep_their_colour_where_scans_show_none():
    left, right = halves()
    film, shift = [], np.array([0, -15, 10])
    for colours in left:
        lab = lab_of(colours)
        lab = lab[np.hypot(lab[:, 1], lab[:, 2]) > 16]
        film.append(rgb_of(np.resize(lab, (100, 3)) + shift).clip(0, 1))
    palette = fit_palette([colours for colours in film if len(colours)], right, strength=1)
    coloured = np.concatenate(right)
    coloured = coloured[np.hypot(*lab_of(coloured)[:, 1:].T) > 16]
    moved = (lab_of(applied(palette, coloured)) - lab_of(coloured)).mean(0)
    assert moved[1] < -1.5
    assert palette.report["cast of greys"] < GREYS


def test_more_of_a_colour_is_not_another_look():
    rng = np.random.default_rng(0)
    green, orange = rgb_of(np.array([[45.0, -25, 25], [70, 25, 40]]))

    def picture(greens):
        return np.clip(np.where(np.arange(200)[:, None] < greens, green, orange) + rng.normal(0, 0.03, (200, 3)), 0, 1)

    photos, film = [picture(160) for _ in range(5)], [picture(40) for _ in range(5)]
    palette = fit_palette(film, photos, strength=1)
    colours = np.concatenate(photos)
    assert float(delta_e_2000(lab_of(applied(palette, colours)), lab_of(colours)).mean()) < 8  # 43 apart


def test_single_black_and_white_scans_are_left_out():
    left, right = ([colours[:80] for colours in half[:5]] for half in halves())
    odd = np.repeat(np.random.default_rng(0).random((80, 1)), 3, 1)
    assert fit_palette([*left, odd], right, points=9).report["scans left out"] == 1


@pytest.mark.parametrize("held", [1, 4])
def test_a_look_is_learned_from_pairs(held):
    pairs = [(picture, pixels_of(picture)) for index, picture in enumerate(photographs()) if index != held]
    palette = fit_pairs(pairs)
    colours = images.to_float(photographs()[held]).reshape(-1, 3)[::29].astype(float)
    assert mean_error(palette, colours) < PAIRED
    assert palette.report["CIEDE2000 after"] < 0.5 * palette.report["CIEDE2000 before"]
    assert palette.report["least volume"] > 0


def pixels_of(picture):
    return images.from_float(look(images.to_float(picture).astype(float)))


def test_grain_shifts_and_another_size_do_not_matter_to_pairs():
    rng = np.random.default_rng(0)
    pairs = []
    for picture in photographs()[:3]:
        scan = np.roll(pixels_of(picture).repeat(2, 0).repeat(2, 1), 2, 1)
        pairs.append((picture, np.clip(scan + rng.normal(0, 8, scan.shape), 0, 255).astype(np.uint8)))
    colours = images.to_float(photographs()[2]).reshape(-1, 3)[::29].astype(float)
    assert mean_error(fit_pairs(pairs), colours) < PAIRED


def test_dust_and_what_moved_does_not_count_in_pairs():
    pairs = []
    for picture in photographs()[:3]:
        scan = pixels_of(picture)
        for row, column in np.random.default_rng(len(pairs)).integers(0, np.subtract(scan.shape[:2], 12), (40, 2)):
            scan[row : row + 12, column : column + 12] = 255
        pairs.append((picture, scan))
    colours = images.to_float(photographs()[2]).reshape(-1, 3)[::29].astype(float)
    assert mean_error(fit_pairs(pairs), colours) < PAIRED


def test_one_pair_is_enough():
    picture = photographs()[1]
    palette = fit_pairs([(picture, pixels_of(picture))])
    assert mean_error(palette, images.to_float(picture).reshape(-1, 3)[::29].astype(float)) < PAIRED


def test_pairs_of_the_same_pictures_change_nothing():
    palette = fit_pairs([(picture, picture) for picture in photographs()[:2]])
    assert palette.report["chosen"] == "no change"
    assert palette.report["CIEDE2000 after"] == 0


class TestTone:
    def test_a_known_curve_is_found(self):
        light = np.random.default_rng(0).uniform(0, 100, 4000)
        curve = tone_curve(light, 4 + 0.92 * light, np.ones(4000), np.ones(4000))
        inner = slice(4, -4)
        expected = 4 + 0.92 * np.linspace(0, 100, NODES)
        assert np.abs(curve - expected)[inner].max() < 0.6

    def test_slopes_stay_within_bounds_whatever_scenes_hold(self):
        rng = np.random.default_rng(1)
        dark, bright = rng.normal(10, 3, 1000).clip(0, 100), rng.normal(90, 3, 1000).clip(0, 100)
        for photo, film in ((dark, bright), (bright, dark)):
            curve = tone_curve(photo, film, np.ones(1000), np.ones(1000))
            slope = np.diff(curve) * (NODES - 1) / 100
            assert slope.min() >= 0.4 - CLOSE
            assert slope.max() <= 2.5 + CLOSE
            assert np.abs(curve - np.linspace(0, 100, NODES)).max() < 13

    def test_a_cast_needs_pictures_that_agree(self):
        rng = np.random.default_rng(2)
        photos = [np.stack([rng.uniform(0, 100, 400), *rng.normal(0, 2, (2, 400))], -1) for _ in range(6)]
        shift = np.array([0, 4.0, -5.0])
        alike = neutral_cast([lab + shift for lab in photos], photos)
        assert np.abs(alike[2:-2] - shift[1:]).max() < 1.5
        signs = [1, 1, -1, 1, -1, 1]
        against = neutral_cast([lab + sign * shift for sign, lab in zip(signs, photos, strict=True)], photos)
        assert np.abs(against).max() < 0.5

    def test_curves_rise_within_the_range_even_under_a_strong_cast(self):
        cast = np.tile([3.0, -20.0], (9, 1))
        curves = film_curves(np.linspace(0, 100, NODES), cast)
        assert (np.diff(curves, axis=0) > 0).all()
        assert curves.min() >= 0
        assert curves.max() <= 1

    def test_no_tone_and_no_cast_change_nothing(self):
        curves = film_curves(np.linspace(0, 100, NODES), np.zeros((9, 2)))
        np.testing.assert_allclose(curves, straight(), atol=2e-3)

    def test_paired_curves_are_the_channels_own(self):
        photo = np.random.default_rng(3).random((3000, 3))
        film = np.stack([0.05 + 0.9 * photo[:, 0], photo[:, 1] ** 1.3, photo[:, 2] ** 0.8], -1)
        found = through(paired_curves(photo, film, np.ones(3000)), photo)
        assert np.abs(found - film)[(photo > 0.1).all(1)].max() < 0.02

    def test_a_falling_curve_is_made_to_rise(self):
        curve = rising(np.linspace(1, 0, 33), (0, 0.1), (0.9, 1), (0.4, 2.5))
        assert (np.diff(curve) > 0).all()
        assert curve[0] == pytest.approx(0.1)
        assert curve[-1] == pytest.approx(0.9)

    def test_lab_and_back(self):
        colours = np.random.default_rng(4).random((50, 3))
        np.testing.assert_allclose(rgb_of(lab_of(colours)), colours, atol=CLOSE)


class TestSamples:
    def test_cells_are_means_of_whole_pixels(self):
        pixels = np.random.default_rng(0).integers(0, 65536, (12, 20, 3), dtype=np.uint16)
        expected = pixels.reshape(3, 4, 5, 4, 3).mean((1, 3)) / 65535
        np.testing.assert_allclose(cell_means(pixels, (3, 5)), expected, atol=CLOSE)

    def test_grain_and_frame_are_not_sampled(self):
        rng = np.random.default_rng(1)
        pixels = np.full((1000, 1600, 3), 120.0) + rng.normal(0, 20, (1000, 1600, 3))
        pixels[:25], pixels[-25:], pixels[:, :25], pixels[:, -25:] = 0, 0, 255, 255
        colours = colours_of(pixels.clip(0, 255).astype(np.uint8))
        assert colours.shape == (2048, 3)
        assert np.abs(colours - 120 / 255).max() < 0.06
        assert colours.std() < 20 / 255 / 8

    def test_another_space_is_converted(self, tmp_path):
        colours = np.random.default_rng(2).uniform(0.3, 0.7, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
        adobe = images.from_float(convert(colours, SRGB, ADOBE_RGB), np.uint8)
        images.write(tmp_path / "adobe.png", adobe, icc=profile_of(ADOBE_RGB))
        expected = colours_of(images.from_float(colours))
        np.testing.assert_allclose(colours_of(tmp_path / "adobe.png"), expected, atol=1.5 / 255)

    def test_a_tint_is_no_colour_but_snow_is(self):
        light = np.random.default_rng(3).uniform(0, 100, 500)
        tinted = np.stack([light, 3 + light / 50, 8 - (light / 40) ** 2], -1)
        assert without_colour(tinted)
        tinted[:, 1] += np.random.default_rng(4).normal(0, 1.5, 500)
        assert not without_colour(tinted)

    def test_the_bundled_colours_are_those_of_ordinary_photographs(self):
        assert len(reference()) == 17
        assert {colours.shape for colours in reference()} == {(256, 3)}
        lab = lab_of(np.concatenate(reference()))
        assert 35 < lab[:, 0].mean() < 60
        assert np.abs(lab[:, 1:].mean(0)).max() < 15


class TestBake:
    def test_a_displacement_that_folds_is_weakened_until_it_does_not(self):
        rng = np.random.default_rng(0)
        folded = Look(straight(), 0.3 * rng.normal(size=(CONTROLS**3, 3)))
        assert least_volume(folded.table(17)) < 0
        palette = bake(folded, 17, {})
        assert 0 < palette.report["displacement kept"] < 1
        assert palette.report["least volume"] >= 0.01

    def test_half_a_look_is_half_way(self):
        whole = Look(straight() ** 1.5, 0.01 * np.random.default_rng(1).normal(size=(CONTROLS**3, 3)))
        colours = np.random.default_rng(2).random((20, 3))
        np.testing.assert_allclose(whole.weakened(0.5)(colours), (colours + whole(colours)) / 2, atol=CLOSE)

    def test_the_table_is_a_lut(self):
        palette = bake(Look(straight() ** 1.2), 33, {"made": "up"})
        assert palette.report["made"] == "up"
        np.testing.assert_array_equal(palette.lut.table, palette.table)


GOOD = [np.full((64, 3), 0.5)] * 3


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((GOOD[:2], GOOD), {}, "scans' colours from 3 pictures or more, got 2"),
        ((GOOD, GOOD[:1]), {}, "photographs' colours from 3 pictures or more, got 1"),
        ((np.zeros((64, 3)), GOOD), {}, r"as a list.*got one array \(64, 3\)"),
        (([*GOOD, np.zeros((64, 4))], GOOD), {}, r"shape \(N, 3\).*got \(64, 4\)"),
        (([*GOOD, np.zeros((63, 3))], GOOD), {}, r"64 colours or more each, got \(63, 3\)"),
        (([*GOOD, np.full((64, 3), 255)], GOOD), {}, r"in \[0, 1\], got 255.0 to 255.0"),
        ((GOOD, [*GOOD, np.full((64, 3), np.nan)]), {}, r"photographs' colours in \[0, 1\], got nan"),
        ((GOOD, GOOD), {"strength": 1.5}, "strength from 0 to 1, got 1.5"),
        ((GOOD, GOOD), {"points": 5}, "9 to 65 points an axis, got 5"),
    ],
)
def test_what_a_palette_cannot_be_learned_from(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        fit_palette(*arguments, **options)


def test_what_pairs_cannot_be():
    with pytest.raises(ValueError, match="at least one pair"):
        fit_pairs([])
    with pytest.raises(ValueError, match="same frame, got 100x150 and 100x100 pixels in pair 1"):
        fit_pairs([(np.zeros((100, 150, 3), np.uint8), np.zeros((100, 100, 3), np.uint8))])
