from d2f_mlx.losses import covariance, deviation, spectrum

import mlx.core as mx
import numpy as np
import pytest

ROUNDING = 1e-4
UNIT = 1e-3  # small against the residuals below, so that what keeps logarithms finite does not count


def grain(seed=0, shape=(4, 32, 32, 3), sigma=1.0):
    return mx.array(np.random.default_rng(seed).normal(0, sigma, shape), mx.float32)


def ones(shape=(4, 32, 32, 1)):
    return mx.ones(shape)


BASE = mx.broadcast_to(mx.linspace(-1, 1, 32)[:, None], (4, 32, 32, 3))
LOSSES = {
    "spectrum": lambda a, b, w: spectrum(a, b, w),
    "deviation": lambda a, b, w: deviation(a, b, w, BASE),
    "covariance": lambda a, b, w: covariance(a, b, w),
}


def test_twice_the_grain_is_two_more_in_every_logarithm():
    film = grain()
    assert spectrum(2 * film, film, ones(), UNIT).item() == pytest.approx(2 * np.log(2), abs=ROUNDING)
    assert deviation(2 * film, film, ones(), BASE, UNIT).item() == pytest.approx(np.log(2), abs=ROUNDING)
    assert covariance(2 * film, film, ones(), UNIT).item() == pytest.approx(0, abs=ROUNDING)


@pytest.mark.parametrize("side", [16, 33, 64])
def test_the_spectrum_is_that_of_numpy(side):
    a, b = grain(1, (1, side, side, 1)), grain(2, (1, side, side, 1))
    window = np.sqrt(np.outer(np.hanning(side + 2)[1:-1], np.hanning(side + 2)[1:-1]))
    ring = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(side)], indexing="ij")) * 24
    powers = []
    for x in (a, b):
        power = np.abs(np.fft.fft2(np.array(x)[0, ..., 0] * window)) ** 2 / (window**2).sum()
        power[0, 0] = np.nan
        powers.append(
            [
                np.nanmean(power[(ring >= k) & ((ring < k + 1) | (k == 12))])
                for k in range(13)
                if np.isfinite(power[(ring >= k) & ((ring < k + 1) | (k == 12))]).any()
            ]
        )
    expected = np.abs(np.diff(np.log(powers), axis=0)).mean()
    assert spectrum(a, b, ones((1, side, side, 1)), UNIT).item() == pytest.approx(expected, rel=ROUNDING)


def test_deviation_tells_where_in_brightness_grain_is_wrong():
    film, bright = grain(), BASE > 0
    weaker = mx.where(bright, film / 2, film)
    # Half of the pixels; of the two bands in the middle, which have some of both, one is weaker by less.
    assert 0.9 < deviation(weaker, film, ones(), BASE, UNIT).item() / (np.log(2) / 2) < 1
    assert deviation(weaker, film, (~bright)[..., :1].astype(mx.float32), BASE, UNIT).item() < 0.01


def test_covariance_is_the_difference_of_the_correlations():
    field = grain(3, (1, 256, 256, 3))
    mixed = mx.concatenate([field[..., :1], 0.8 * field[..., :1] + 0.6 * field[..., 1:2], field[..., 2:]], -1)
    weight = ones((1, 256, 256, 1))
    expected = np.abs(np.corrcoef(np.array(mixed).reshape(-1, 3).T) - np.corrcoef(np.array(field).reshape(-1, 3).T))
    found = covariance(mixed, field, weight, UNIT).item()
    assert found == pytest.approx(expected.sum() / 6, abs=1e-3)  # three pairs, each twice in the matrix
    assert found == pytest.approx(0.8 / 3, abs=0.02)


@pytest.mark.parametrize("name", LOSSES)
def test_what_does_not_count_changes_nothing(name):
    film, other = grain(), grain(1)
    weight = mx.concatenate([ones()[:, :16], 0 * ones()[:, 16:]], 1)
    changed = mx.where(weight > 0, other, 1000)
    expected = LOSSES[name](other, film, weight).item()
    assert LOSSES[name](changed, film, weight).item() == pytest.approx(expected, rel=ROUNDING)
    assert expected > 0.001


@pytest.mark.parametrize("name", LOSSES)
def test_equal_grain_costs_nothing_and_edges_have_finite_gradients(name):
    loss = mx.value_and_grad(LOSSES[name])
    zero, film = mx.zeros((4, 32, 32, 3)), grain(sigma=0.04)
    for a, b, weight in [(film, film, ones()), (zero, zero, ones()), (zero, film, ones()), (film, zero, ones()),
                         (zero + 0.1, film, ones()), (film, film, 0 * ones())]:  # fmt: skip
        value, gradient = loss(a, b, weight)
        assert np.isfinite(value.item())
        assert np.isfinite(np.array(gradient)).all()
    assert loss(film, film, ones())[0].item() == 0


@pytest.mark.slow  # compiles for 30 seconds, the first time on a machine
@pytest.mark.parametrize("name", LOSSES)
def test_compiled_equals_eager(name):
    a, b = grain(sigma=0.04), grain(1, sigma=0.03)
    eager, compiled = (f(mx.value_and_grad(LOSSES[name]))(a, b, ones()) for f in (lambda f: f, mx.compile))
    assert compiled[0].item() == pytest.approx(eager[0].item(), rel=ROUNDING)
    largest = np.abs(np.array(eager[1])).max()
    np.testing.assert_allclose(np.array(compiled[1]), np.array(eager[1]), rtol=0, atol=ROUNDING * largest)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_covariance_is_averaged_over_pairs_of_channels(channels):
    field = grain(4, (1, 64, 64, 3))
    alike = mx.broadcast_to(field[..., :1], field.shape)[..., :channels]
    found = covariance(alike, field[..., :channels], ones((1, 64, 64, 1)), UNIT).item()
    assert found == pytest.approx(1 if channels > 1 else 0, abs=0.05)
