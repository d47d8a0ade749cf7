from d2f_mlx.scores import accuracy_interval, auc, auc_interval

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

SCORES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(SCORES, SCORES)
def test_auc_is_mann_and_whitneys_u(positive, negative):
    u = mannwhitneyu(positive, negative, method="asymptotic").statistic if len({*positive, *negative}) > 1 else None
    expected = u / (len(positive) * len(negative)) if u is not None else 0.5
    assert auc(np.array(positive), np.array(negative)) == pytest.approx(expected, abs=1e-12)


def test_auc_counts_pairs_and_halves_ties():
    assert auc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (1 + 1 + 0 + 0.5) / 4
    assert auc(np.array([[2.0], [3.0]]), np.array([1.0])) == 1


@pytest.mark.parametrize("scores", [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.nan])])
def test_auc_wants_scores_on_both_sides(scores):
    with pytest.raises(ValueError, match="auc expects scores on both sides and no NaN"):
        auc(*map(np.array, scores))


def right(rng, pictures, crops, share):
    return [rng.random(crops) < share for _ in range(pictures)]


def test_independent_crops_give_the_binomial_interval():
    crops = [np.array([True])] * 320 + [np.array([False])] * 80
    low, high = accuracy_interval([crops], np.random.default_rng(0))
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    np.testing.assert_allclose([low, high], [0.8 - half, 0.8 + half], atol=0.006)


def test_pictures_whose_crops_are_alike_count_once():
    rng = np.random.default_rng(1)
    verdicts = rng.random(40) < 0.7
    alone = accuracy_interval([[np.array([v]) for v in verdicts]], np.random.default_rng(0))
    together = accuracy_interval([[np.full(25, v) for v in verdicts]], np.random.default_rng(0))
    assert together == alone


def test_the_interval_covers_the_truth():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(200):
        film, digital = right(rng, 60, 4, 0.9), right(rng, 40, 4, 0.6)
        low, high = accuracy_interval([film, digital], rng)
        covered += low <= 0.75 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_classes_weigh_the_same_whatever_their_size():
    many, few = [np.ones(4, bool)] * 100, [np.zeros(4, bool)] * 3
    assert accuracy_interval([many, few], np.random.default_rng(0)) == (0.5, 0.5)
    low, high = accuracy_interval([many + few], np.random.default_rng(0))
    assert 0.9 < low < 100 / 103 < high <= 1


@pytest.mark.parametrize("classes", [[], [[]], [[np.ones(2, bool)], []], [[np.ones(0, bool)]]])
def test_an_interval_wants_crops_of_every_class(classes):
    with pytest.raises(ValueError, match="accuracy_interval expects pictures with crops"):
        accuracy_interval(classes, np.random.default_rng(0))


def test_an_aucs_interval_is_that_of_pictures_drawn_again():
    rng = np.random.default_rng(3)
    positive = [rng.standard_normal(count) + 0.5 for count in (3, 5, 2, 4)]
    negative = [rng.standard_normal(count) for count in (4, 1, 6)]
    drawn = [
        auc(
            *(np.concatenate([side[i] for i in rng.integers(0, len(side), len(side))]) for side in (positive, negative))
        )
        for _ in range(6000)
    ]
    found = auc_interval(positive, negative, np.random.default_rng(0))
    np.testing.assert_allclose(found, np.quantile(drawn, [0.025, 0.975]), atol=0.02)


def test_an_aucs_interval_counts_pictures_whose_crops_are_alike_once():
    rng = np.random.default_rng(4)
    sides = [[rng.standard_normal(1) + shift for _ in range(20)] for shift in (1, 0)]
    alone = auc_interval(*sides, np.random.default_rng(0))
    together = auc_interval(*[[np.full(9, s[0]) for s in side] for side in sides], np.random.default_rng(0))
    assert together == alone
    # Hanley and McNeil's standard error, equation 1, about the AUC of two normal distributions one deviation apart
    a, n = auc(*map(np.concatenate, sides)), 20
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + (n - 1) * (q1 + q2 - 2 * a * a)) / n**2)
    assert (alone[1] - alone[0]) / (2 * 1.96 * error) == pytest.approx(1, abs=0.2)


def test_an_aucs_interval_of_pairs_is_free_of_what_scenes_have_in_common():
    rng = np.random.default_rng(5)
    scenes = 5 * rng.standard_normal(12)
    positive, negative = ([scene + rng.standard_normal(30) for scene in scenes] for _ in range(2))
    free = auc_interval(positive, negative, np.random.default_rng(0))
    pairs = auc_interval(positive, negative, np.random.default_rng(0), paired=True)
    assert pairs[1] - pairs[0] < (free[1] - free[0]) / 5
    assert pairs[0] < auc(np.concatenate(positive), np.concatenate(negative)) < pairs[1]


@pytest.mark.parametrize(
    ("positive", "negative", "paired", "message"),
    [
        ([], [np.ones(1)], False, "auc_interval expects pictures on both sides, got 0 and 1"),
        ([np.ones(1)], [np.ones(1)] * 2, True, "equally many, got 1 and 2"),
        ([np.ones(0)], [np.ones(1)], False, "auc expects scores on both sides"),
    ],
)
def test_an_aucs_interval_wants_scores_of_every_picture(positive, negative, paired, message):
    with pytest.raises(ValueError, match=message):
        auc_interval(positive, negative, np.random.default_rng(0), paired=paired)
