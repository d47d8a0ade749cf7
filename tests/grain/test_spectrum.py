from d2f_mlx.grain import spectrum as module
from d2f_mlx.grain.spectrum import (
    anisotropy,
    autocorrelation,
    channel_correlation,
    coherence,
    correlation_length,
    cross_spectrum,
    high_frequency_ratio,
    noise_power_spectrum,
    radial_average,
    radial_bands,
    surface,
)

import mlx.core as mx
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage as ndi
import scipy.signal

FLOAT32 = 1e-5  # relative to the largest value
BLOCKS, SIZE = 2000, 16
SHARE = 5 / np.sqrt(BLOCKS)  # five standard errors of one frequency's mean power, relative
TAPS = np.array([0.3, 1.0, 0.5])


def white(channels=1, seed=0, count=BLOCKS, size=SIZE):
    return np.random.default_rng(seed).standard_normal((count, size, size, channels))


def filtered(down=TAPS, right=TAPS, seed=0):
    """Blocks of white noise through a separable filter, cut from where it fits."""
    x = white(1, seed, BLOCKS, SIZE + 2)
    return scipy.signal.fftconvolve(x, np.outer(down, right)[None, :, :, None], "valid", axes=(1, 2))


def covariance(taps):
    """The autocovariance of filtered white noise, lags -(N - 1) to N - 1."""
    lags = np.zeros(2 * SIZE - 1)
    lags[SIZE - 3 : SIZE + 2] = np.correlate(taps, taps, "full")
    return lags


def expected_periodogram(taps):
    """The mean periodogram of one line of N pixels of filtered white noise."""
    lags = np.arange(-SIZE + 1, SIZE)
    waves = np.exp(-2j * np.pi * np.outer(np.arange(SIZE) / SIZE, lags))
    return (waves @ (covariance(taps) * (1 - np.abs(lags) / SIZE))).real


def unfolded(spectrum):
    """Complete a half spectrum (N, N // 2 + 1) of real pictures to (N, N)."""
    spectrum = np.asarray(spectrum)
    size = len(spectrum)
    rows, columns = np.mgrid[0:size, 0:size]
    mirrored = columns > size // 2
    return spectrum[np.where(mirrored, -rows % size, rows), np.where(mirrored, -columns % size, columns)]


@pytest.mark.parametrize("size", [16, 15])
@pytest.mark.parametrize("kind", [np.asarray, mx.array])
def test_the_noise_power_spectrum_is_its_definition(size, kind):
    x = 3 + white(2, count=5, size=size)
    centred = x - x.mean((1, 2), keepdims=True)
    expected = 4.0**2 / size**2 * (np.abs(scipy.fft.fft2(centred, axes=(1, 2))) ** 2).mean(0)
    found = noise_power_spectrum(kind(x.astype(np.float32)), 4.0)
    assert isinstance(found, mx.array)
    assert found.shape == (size, size // 2 + 1, 2)
    np.testing.assert_allclose(unfolded(found), expected, atol=FLOAT32 * expected.max())


def test_its_integral_is_the_variance():
    x, pitch = filtered()[:50], 6.0
    total = unfolded(noise_power_spectrum(x, pitch)).sum((0, 1)) * (1 / (SIZE * pitch)) ** 2
    np.testing.assert_allclose(total, x.var((1, 2)).mean(0), rtol=FLOAT32)


def test_white_noise_has_a_flat_spectrum_of_its_variance_times_a_pixels_area():
    found = np.array(noise_power_spectrum(0.02 * white(), 6.0)).ravel()[1:]
    assert np.abs(found / (0.02**2 * 36) - 1).max() < SHARE * np.sqrt(2)  # real frequencies have half the freedom
    assert abs(found.mean() / (0.02**2 * 36) - 1) < SHARE / np.sqrt(len(found))


def test_filtered_noise_has_the_filters_spectrum():
    narrow = np.array([0.0, 1.0, 0.4])
    found = np.array(noise_power_spectrum(filtered(TAPS, narrow)))[..., 0]
    expected = np.outer(expected_periodogram(TAPS), expected_periodogram(narrow))[:, : SIZE // 2 + 1]
    relative = (found / expected).ravel()[1:]  # DC is the blocks' mean, which is taken away
    assert np.abs(relative - 1).max() < SHARE * np.sqrt(2)
    assert abs(relative.mean() - 1) < SHARE / 5


@pytest.mark.parametrize("size", [16, 9])
def test_radial_average_is_the_mean_over_rings_of_the_whole_plane(size):
    spectrum = np.array(noise_power_spectrum(white(2, count=3, size=size)))
    frequency, average = radial_average(spectrum, 5.0)
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    for k in range(len(frequency)):
        ring = (f * size > k + 0.5) & (f * size <= k + 1.5)
        np.testing.assert_allclose(frequency[k], f[ring].mean() / 5)
        np.testing.assert_allclose(average[k], unfolded(spectrum)[ring].mean(0), rtol=FLOAT32)
    assert frequency[-1] * 5 < np.sqrt(0.5)
    assert len(frequency) == round(size // 2 * np.sqrt(2))


def test_rings_hold_every_frequency_but_dc_once():
    frequency, ring, count = radial_bands(16)
    assert count[ring >= 0].sum() == 16 * 16 - 1
    assert ring.max() == len(frequency) - 1
    assert (np.diff(frequency) > 0).all()


def test_autocorrelation_is_the_mean_product_at_each_lag():
    x = white(2, count=4) + np.linspace(0, 1, SIZE)[:, None]
    found = np.array(autocorrelation(x, 5))
    pairs = scipy.signal.correlate2d(np.ones((SIZE, SIZE)), np.ones((SIZE, SIZE)))
    for c in range(2):
        full = np.mean([scipy.signal.correlate2d(b, b) for b in x[..., c]], 0) / pairs
        expected = full[SIZE - 6 : SIZE + 5, SIZE - 6 : SIZE + 5] / full[SIZE - 1, SIZE - 1]
        np.testing.assert_allclose(found[..., c], expected, atol=FLOAT32)


def test_filtered_noise_has_the_filters_autocorrelation():
    found = np.array(autocorrelation(filtered(TAPS, TAPS[::-1] * [1, 1, 0]), 3))[..., 0]
    lines = [covariance(t)[SIZE - 4 : SIZE + 3] for t in (TAPS, TAPS[::-1] * [1, 1, 0])]
    expected = np.outer(lines[0] / lines[0][3], lines[1] / lines[1][3])
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_correlation_length_is_where_the_correlation_falls_to_one_over_e():
    lags = np.arange(9)
    linear = np.stack([1 - lags / 4, 1 - lags / 8, np.ones(9), np.exp(-lags / 2)], 1)
    found = correlation_length(linear, 6.0)
    np.testing.assert_allclose(found[:2], 6 * (1 - np.exp(-1)) * np.array([4, 8]))
    assert np.isnan(found[2])
    np.testing.assert_allclose(found[3], 6 * 2)  # reached at a whole lag
    assert correlation_length(linear[:, 0]).shape == ()


def test_channel_correlation_is_pearsons():
    x = white(3, count=1)
    expected = np.corrcoef(x[0].reshape(-1, 3).T)
    np.testing.assert_allclose(channel_correlation(x * [1, 20, 0.1] + [5, 0, -3]), expected, atol=FLOAT32)
    mixed = white(3, seed=1) @ np.linalg.cholesky([[1, 0.8, 0.5], [0.8, 1, 0.6], [0.5, 0.6, 1]]).T
    strength = np.linspace(1, 30, BLOCKS)[:, None, None, None]  # the strongest blocks do not count for more
    found = channel_correlation(mixed * strength)
    np.testing.assert_allclose(found, [[1, 0.8, 0.5], [0.8, 1, 0.6], [0.5, 0.6, 1]], atol=0.005)


def test_cross_spectrum_holds_the_power_spectra_and_is_hermitian():
    x = white(3, count=7)
    found = np.array(cross_spectrum(x))
    waves = scipy.fft.rfft2(x - x.mean((1, 2), keepdims=True), axes=(1, 2))
    expected = np.einsum("bijc,bijd->ijcd", waves, waves.conj()) / len(x) / SIZE**2
    np.testing.assert_allclose(found, expected, atol=FLOAT32 * np.abs(expected).max())
    power = np.array(noise_power_spectrum(x))
    np.testing.assert_allclose(np.einsum("ijcc->ijc", found), power, atol=FLOAT32 * power.max())
    np.testing.assert_allclose(found, found.conj().swapaxes(2, 3), atol=FLOAT32)


@pytest.mark.parametrize("radial", [True, False])
def test_coherence_is_one_for_copies_and_nothing_for_strangers(radial):
    x = white(2)
    copies = np.concatenate([x[..., :1], -3 * x[..., :1] + 7, x[..., 1:]], -1)
    found = coherence(copies, radial)
    found = found if radial else found.reshape(-1, 3, 3)[1:]
    np.testing.assert_allclose(found[:, :2, :2], 1, atol=1e-4)
    strangers = found[:, 2, :2]
    assert 0 < strangers.mean() < 2 / BLOCKS  # one over the number of blocks, expected
    assert strangers.max() < 20 / BLOCKS  # exponentially distributed


def test_coherence_of_a_shared_part_is_its_share_of_the_power():
    shared, own = filtered(seed=1), white(2, seed=2)
    found = coherence(shared + own, radial=False)[..., 0, 1]
    power = np.outer(expected_periodogram(TAPS), expected_periodogram(TAPS))[:, : SIZE // 2 + 1]
    expected = (power / (power + 1)) ** 2
    assert np.abs(found - expected).ravel()[1:].max() < 0.08
    assert abs((found - expected).ravel()[1:].mean()) < 0.005


def test_a_shift_between_channels_costs_hardly_any_coherence():
    x = ndi.gaussian_filter(np.random.default_rng(0).standard_normal((80, 80 * 25)), 0.6)
    y = np.roll(x, 1, axis=1)
    blocks = np.stack([x, y], -1).reshape(5, 16, 125, 16, 2).transpose(0, 2, 1, 3, 4).reshape(-1, 16, 16, 2)
    assert coherence(blocks)[:6, 0, 1].min() > 0.8  # one column in sixteen is not shared
    assert abs(np.array(cross_spectrum(blocks)).real[4, 4, 0, 1]) < np.array(cross_spectrum(blocks)).real[4, 4, 0, 0]


def test_anisotropy_tells_the_direction_of_change_in_decibels():
    smooth = np.array([0.0, 1.0, 0.9])
    x = np.concatenate([filtered(smooth, [0, 1, 0]), filtered([0, 1, 0], smooth), white(1, 3)], -1)
    found = anisotropy(noise_power_spectrum(x))
    assert found[0] > 3  # smooth down the picture: varies from left to right
    np.testing.assert_allclose(found[0], -found[1], atol=0.2)
    np.testing.assert_allclose(found[2], 0, atol=0.05)
    half = noise_power_spectrum(x * [1, 1, 2])
    np.testing.assert_allclose(anisotropy(half), found, atol=1e-4)


def test_anisotropy_is_the_ratio_of_means_over_sectors():
    f = np.fft.fftfreq(SIZE)
    down, right = f[:, None], f[: SIZE // 2 + 1]
    spectrum = np.where(np.abs(down) < np.abs(right), 8.0, 2.0)[..., None]
    np.testing.assert_allclose(anisotropy(spectrum), 10 * np.log10(4), rtol=1e-9)


def test_high_frequency_ratio_of_white_noise_is_the_planes_share_beyond_the_cut_off():
    x = np.rint(120 + 20 * white(2, count=1, size=64)[0]).astype(np.uint8)
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    np.testing.assert_allclose(high_frequency_ratio(x), (f > 0.125).sum() / (64**2 - 1), atol=0.01)


@pytest.mark.parametrize(("cycles", "share"), [(3, 0.0), (7, 0.0), (9, 1.0), (31, 1.0)])
def test_high_frequency_ratio_of_a_wave_is_nothing_or_all(cycles, share):
    wave = np.cos(2 * np.pi * cycles * np.arange(64) / 64)
    x = np.rint(30000 + 9000 * wave[:, None, None] * np.ones((1, 64, 1))).astype(np.uint16)
    np.testing.assert_allclose(high_frequency_ratio(x), share, atol=1e-5)


def test_high_frequency_ratio_is_taken_where_the_picture_is_plainest():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 330, 3))
    x[20:180, 40:200] = 100 + rng.integers(0, 9, (160, 160, 3)) * (1 + np.arange(160) // 32)[None, :, None]
    x[:70, 250:] = rng.integers(0, 3, (70, 80, 3))  # plainer, but black
    found = high_frequency_ratio(x.astype(np.uint8))
    corners = [(r, c) for r in range(0, 137, 32) for c in range(0, 257, 32)]
    tiles = [x[r : r + 64, c : c + 64].astype(float) for r, c in corners]
    tiles = [t for t in tiles if t.mean((0, 1)).min() > 15 and t.mean((0, 1)).max() < 240]
    tiles = np.array(sorted(tiles, key=lambda t: t.var((0, 1)).mean())[:3])
    power = (np.abs(scipy.fft.fft2(tiles, axes=(1, 2))) ** 2).sum(0)
    power[0, 0] = 0
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    np.testing.assert_allclose(found, power[f > 0.125].sum(0) / power.sum((0, 1)), rtol=1e-4)


@pytest.mark.parametrize("x", [np.full((90, 90, 3), 120), np.zeros((40, 300, 3)), np.zeros((90, 90, 3))])
def test_high_frequency_ratio_is_unknown_without_a_plain_tile(x):
    np.testing.assert_array_equal(high_frequency_ratio(x.astype(np.uint8)), np.full(3, np.nan))


def test_surface_cuts_out_a_square_in_levels():
    x = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 30
    found = surface(x, 3, 45, 5)
    np.testing.assert_allclose(found, x[3:8, 45:50] / 257, rtol=1e-6)
    np.testing.assert_array_equal(surface(x[..., None], 3, 45, 5), found)
    for row, column, size in [(-1, 0, 5), (36, 0, 5), (0, 46, 5), (0, 0, 1)]:
        with pytest.raises(ValueError, match="surface expects"):
            surface(x, row, column, size)
    with pytest.raises(ValueError, match=r"one channel of integers \(H, W\), got float64"):
        surface(x / 2, 0, 0, 5)


@pytest.mark.parametrize("name", ["noise_power_spectrum", "cross_spectrum", "autocorrelation", "channel_correlation"])
@pytest.mark.parametrize("shape", [(16, 16, 3), (2, 16, 15, 3), (0, 16, 16, 3)])
def test_what_is_no_blocks_is_refused(name, shape):
    with pytest.raises(ValueError, match=rf"{name} expects blocks \(B, N, N, C\), got shape"):
        getattr(module, name)(np.zeros(shape))


def test_bad_arguments_are_refused():
    x = white(count=2)
    with pytest.raises(ValueError, match="expects pitch_um above 0, got 0"):
        noise_power_spectrum(x, 0)
    with pytest.raises(ValueError, match="expects reach to be 0 to 15, got 16"):
        autocorrelation(x, 16)
    with pytest.raises(ValueError, match=r"radial_average expects a spectrum \(N, N // 2 \+ 1"):
        radial_average(np.zeros((16, 16, 1)))
    with pytest.raises(ValueError, match="high_frequency_ratio expects integer pixels"):
        high_frequency_ratio(x[0])
