from dataclasses import replace

from d2f_mlx.training import DiscriminatorConfig
from d2f_mlx.training.augment import augmented, bared

import numpy as np
import pytest

NONE = DiscriminatorConfig(alter=0, turn=0, colour=0, grey=0)
ALL = DiscriminatorConfig(alter=0.5, turn=0.75, colour=0.3, grey=0.3)


def crops(count=400, side=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def done(batch, config, seed=1, **options):
    return augmented(batch, config, np.random.default_rng(seed), **options)


def test_nothing_is_done_where_nothing_is_asked():
    batch = crops()
    np.testing.assert_array_equal(done(batch, NONE), batch)


def test_the_same_generator_gives_the_same_crops_and_leaves_the_given_ones():
    batch = crops(32, 64)
    before = batch.copy()
    first = done(batch, ALL)
    np.testing.assert_array_equal(done(batch, ALL), first)
    np.testing.assert_array_equal(batch, before)
    assert first.dtype == np.uint8
    assert (done(batch, ALL, seed=2) != first).any()


def test_turns_are_quarters_and_as_many_as_asked():
    batch = crops()
    for share in (0.75, 0.3):
        found = done(batch, replace(NONE, turn=share))
        turns = np.array(
            [[np.array_equal(np.rot90(a, k), b) for k in range(4)] for a, b in zip(batch, found, strict=True)]
        )
        assert (turns.sum(1) == 1).all()
        np.testing.assert_allclose(turns.mean(0), [1 - share, *[share / 3] * 3], atol=0.08)


def test_every_alteration_gets_its_share_once_a_crop():
    def adds(number):
        return lambda crops, rng: crops + np.uint8(number)

    batch = np.zeros((600, 2, 2, 3), np.uint8)
    found = done(batch, replace(NONE, alter=0.6), alterations={str(n): adds(n) for n in (1, 2, 3)})
    assert (found == found[:, :1, :1, :1]).all()
    np.testing.assert_allclose(np.bincount(found[:, 0, 0, 0], minlength=4) / 600, [0.4, 0.2, 0.2, 0.2], atol=0.06)


def test_alterations_draw_from_the_generator():
    batch = np.full((50, 2, 2, 3), 9, np.uint8)
    drawn = {"draw": lambda crops, rng: np.full_like(crops, rng.integers(10, 250))}
    first, other = (done(batch, replace(NONE, alter=1), seed, alterations=drawn) for seed in (1, 2))
    assert (first == first[0, 0, 0, 0]).all()
    assert first[0, 0, 0, 0] != other[0, 0, 0, 0]


def test_colours_change_a_channel_at_a_time_and_detail_stays():
    batch = np.random.default_rng(0).normal(128, 12, (200, 16, 16, 3)).round().astype(np.uint8)
    found = done(batch, replace(NONE, colour=0.2)).astype(float)
    levels = found.mean((1, 2)) - batch.mean((1, 2))
    assert 5 < levels.std() < 20  # 255 / 4 * 0.2 = 12.75, drawn together where saturation is low
    assert np.abs(np.diff(levels, axis=1)).mean() > 3
    for before, after in zip(batch[:20].astype(float), found[:20], strict=True):
        for channel in range(3):
            assert np.corrcoef(before[..., channel].ravel(), after[..., channel].ravel())[0, 1] > 0.8
    same = done(batch, NONE)
    np.testing.assert_array_equal(same, batch)


def test_grey_crops_are_grey_and_as_many_as_asked():
    found = done(crops(), replace(NONE, grey=0.25, colour=0.1))
    grey = (np.ptp(found, axis=3) == 0).all((1, 2))
    assert grey.mean() == pytest.approx(0.25, abs=0.07)
    alone = done(crops(), replace(NONE, grey=1))
    luma = np.rint(crops() @ np.array([0.299, 0.587, 0.114]))
    np.testing.assert_allclose(alone, np.repeat(luma[..., None], 3, 3), atol=1)


def test_film_without_its_grain_takes_the_place_of_digital_crops():
    rng = np.random.default_rng(0)
    film = np.clip(rng.normal(128, 8, (40, 32, 32, 3)), 0, 255).round().astype(np.uint8)
    digital = np.full_like(film, 7)
    found = bared(film, digital, 0.5, np.random.default_rng(1))
    kept = (found == 7).all((1, 2, 3))
    assert 8 < kept.sum() < 32
    bare = found[~kept].astype(float)
    assert np.abs(bare.mean((1, 2)) - film[~kept].mean((1, 2))).max() < 1  # the same scenes
    assert np.median(bare.std((1, 2))) < 3  # of 8
    np.testing.assert_array_equal(bared(film, digital, 0.0, rng), digital)
    assert (digital == 7).all()
