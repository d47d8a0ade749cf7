import json
from dataclasses import replace

from d2f_mlx.evaluate import FIGURES, INDISTINGUISHABLE, compare
from d2f_mlx.grain import FlatBlocks, GrainMeasurement

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

EXACT = 1e-12


def test_equal_measurements_have_no_distance(film):
    same = compare(film, film)
    assert list(same.summary()) == list(FIGURES)
    assert all(abs(value) < EXACT for value in same.summary().values())
    assert same.met() == dict.fromkeys(INDISTINGUISHABLE, True)
    assert same.indistinguishable
    np.testing.assert_array_equal(same.bands, (film.band_blocks >= 30).sum(0))


def test_a_gain_of_sigma_is_its_logarithm(film):
    more = compare(replace(film, sigma=1.2 * film.sigma), film)
    np.testing.assert_allclose(more.sigma_error, np.log(1.2), rtol=EXACT)
    np.testing.assert_allclose(more.sigma_bias, np.log(1.2), rtol=EXACT)
    less = compare(film, replace(film, sigma=1.2 * film.sigma))
    assert less.summary()["sigma_bias"] == pytest.approx(-np.log(1.2), rel=EXACT)
    assert not less.met()["sigma_error"]
    assert not less.met()["sigma_bias"]
    assert not less.indistinguishable


def test_pictures_with_more_grain_are_found_to_have_it(film, make_roll):
    stronger = compare(GrainMeasurement.of(make_roll(1, pictures=2, gain=1.5)), film)
    np.testing.assert_allclose(stronger.sigma_bias, np.log(1.5), atol=0.03)
    np.testing.assert_allclose(stronger.sigma_error, np.log(1.5), atol=0.04)
    others = ("spectrum_error", "correlation_gap", "lag_1_gap", "kurtosis_gap")
    assert all(stronger.met()[name] for name in others)


def test_errors_of_opposite_sign_do_not_cancel(film):
    uneven = film.sigma * np.where(np.arange(16) % 2, 1.1, 1 / 1.1)[:, None]
    found = compare(replace(film, sigma=uneven), film)
    np.testing.assert_allclose(found.sigma_error, np.log(1.1), rtol=EXACT)
    assert np.abs(found.sigma_bias).max() < np.log(1.1) / 4
    tinted = compare(replace(film, sigma=film.sigma * [1.2, 1.0, 1 / 1.3]), film)
    assert tinted.summary()["sigma_bias"] == pytest.approx(-np.log(1.3), rel=EXACT)  # the worst channel, with its sign
    rms = np.sqrt((np.log(1.2) ** 2 + np.log(1.3) ** 2) / 3)
    assert tinted.summary()["sigma_error"] == pytest.approx(rms, rel=EXACT)


def test_only_bands_with_enough_blocks_on_both_sides_count(film):
    sigma, blocks = film.sigma.copy(), film.band_blocks.copy()
    sigma[5] *= 10
    blocks[5] = 29
    for found in (replace(film, sigma=sigma, band_blocks=blocks), replace(film, sigma=sigma)):
        few = compare(found, replace(film, band_blocks=blocks))
        assert few.summary()["sigma_error"] == 0
        np.testing.assert_array_equal(few.bands, (blocks >= 30).sum(0))
    blocks[5] = 30
    assert compare(replace(film, sigma=sigma), replace(film, band_blocks=blocks)).summary()["sigma_error"] > 0.5


def test_no_common_band_is_unknown_and_not_met(film):
    none = compare(replace(film, band_blocks=np.zeros_like(film.band_blocks)), film)
    assert np.isnan(none.sigma_error).all()
    assert not none.met()["sigma_error"]
    assert not none.indistinguishable
    values = json.loads(json.dumps(none.as_dict(), allow_nan=False))
    assert values["summary"]["sigma_error"] is None
    assert values["sigma_error"] == [None] * 3
    assert values["summary"]["spectrum_error"] == 0


def test_spectrum_error_is_the_rms_of_decibels(film):
    decibels = np.linspace(-2, 3, len(film.frequency))[:, None] * [1.0, 0.0, -2.0]
    tilt = 10 ** (decibels / 10)
    found = compare(replace(film, cross_spectrum=film.cross_spectrum * tilt[:, :, None]), film)
    np.testing.assert_allclose(found.spectrum, decibels, atol=1e-9)
    np.testing.assert_allclose(found.spectrum_error, np.sqrt((decibels**2).mean(0)), rtol=1e-9)


def test_histograms_are_compared_in_bits_and_nats(film):
    other = np.roll(film.nss, 5, axis=1)
    found = compare(replace(film, nss=other), film)
    np.testing.assert_allclose(found.nss_divergence, jensenshannon(other, film.nss, base=2, axis=1) ** 2, rtol=1e-9)
    apart = np.zeros_like(film.nss)
    apart[:, 0] = 1
    nowhere = film.nss.copy()
    nowhere[:, 0] = 0
    np.testing.assert_allclose(compare(replace(film, nss=apart), replace(film, nss=nowhere)).nss_divergence, 1.0)
    p, q = (h + 1e-6 for h in (film.residual, np.roll(film.residual, 1, axis=1)))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    found = compare(replace(film, residual=np.roll(film.residual, 1, axis=1)), film)
    np.testing.assert_allclose(found.residual_divergence, (p * np.log(p / q)).sum(1), rtol=1e-9)


def test_gaps_are_absolute_differences(film):
    correlation = film.correlation - np.array([[0, 0.1, -0.3], [0.1, 0, 0.2], [-0.3, 0.2, 0]])
    lags = film.autocorrelation.copy()
    lags[1] += [0.1, -0.2, 0.3]
    occupancy = film.occupancy + 0.02 * np.array([-1, 1, 0, 0, 0, 0, -1, 1])
    found = replace(
        film,
        correlation=correlation,
        autocorrelation=lags,
        kurtosis=film.kurtosis - [0.1, 0.2, 0.6],
        peaks=film.peaks + np.array([0.01, -0.02, 0.03]),
        occupancy=occupancy,
        high_frequency=film.high_frequency - 0.5,
    )
    gaps = compare(found, film)
    np.testing.assert_allclose(gaps.correlation_gap, [0.1, 0.3, 0.2], rtol=1e-9)
    expected = {
        "correlation_gap": 0.3,
        "lag_1_gap": 0.2,
        "kurtosis_gap": 0.3,
        "peaks_gap": 0.02,
        "occupancy_distance": 0.04,
        "high_frequency_gap": 0.5,
        "valleys_gap": 0.0,
    }
    assert {name: gaps.summary()[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_too_few_blocks_are_never_indistinguishable(film):
    few = compare(replace(film, blocks=999), film)
    assert all(few.met().values())
    assert not few.indistinguishable


def test_limits_are_the_published_ones():
    assert INDISTINGUISHABLE == {
        "sigma_error": 0.15,
        "sigma_bias": 0.05,
        "spectrum_error": 0.4,
        "correlation_gap": 0.05,
        "peaks_gap": 0.008,
        "nss_divergence": 0.003,
        "lag_1_gap": 0.04,
        "kurtosis_gap": 0.1,
    }


def test_only_what_was_measured_alike_is_compared(film, roll):
    larger = GrainMeasurement.of(roll[:1], rule=FlatBlocks(size=32, stride=16, max_structure=0.4))
    with pytest.raises(ValueError, match="equal block size and channels, got 23 and 11 rings"):
        compare(larger, film)
    with pytest.raises(ValueError, match=r"1 and 3 channel\(s\)"):
        compare(GrainMeasurement.of([roll[0][..., :1]]), film)


def test_grey_pictures_have_no_channels_to_correlate(roll):
    grey = [GrainMeasurement.of([pixels[..., :1]]) for pixels in roll[:2]]
    found = compare(*grey)
    assert found.correlation_gap.size == 0
    assert found.summary()["correlation_gap"] == 0
    assert found.met()["correlation_gap"]
