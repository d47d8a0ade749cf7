import json
from dataclasses import fields

from d2f_mlx.grain import FlatBlocks, GrainMeasurement, flat_blocks
from d2f_mlx.grain import measure as module
from d2f_mlx.grain.naturalness import nss_histogram
from d2f_mlx.grain.spectrum import high_frequency_ratio, radial_bands

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage as ndi
import scipy.stats

EXACT = 1e-5  # float32
SAMPLING = 0.01
SIZE = 16
ARRAYS = [f.name for f in fields(GrainMeasurement) if f.name not in ("pitch_um", "pictures", "blocks")]
ALL = FlatBlocks(max_structure=99, max_edges=1, max_excess=float("inf"))


def plain(mean=120.0, shape=(160, 160), sigma=5.0, seed=0, channels=3):
    """Grain on one plain area, the same in no two channels."""
    rng = np.random.default_rng([seed, int(mean)])
    return np.rint(mean + sigma * rng.standard_normal((*shape, channels))).clip(0, 255).astype(np.uint8)


def deep(unit, mean=30000, sigma=1500):
    return np.rint(mean + sigma * unit).clip(0, 65535).astype(np.uint16)


def same(a, b, **tolerance):
    for name in ARRAYS:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **tolerance)


def seen_covariance(kernel):
    """The covariance matrix of a block's N^2 pixels of filtered white noise after a plane is taken away."""
    lags = ndi.correlate(np.pad(kernel, SIZE), kernel, mode="constant") / (kernel**2).sum()
    middle = np.array(lags.shape) // 2
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].reshape(2, -1)
    covariance = lags[middle[0] + rows[:, None] - rows, middle[1] + columns[:, None] - columns]
    design = np.linalg.qr(np.stack([np.ones(SIZE**2), rows, columns], 1))[0]
    left = np.eye(SIZE**2) - design @ design.T
    return left @ covariance @ left


@pytest.fixture(scope="module")
def measured(film):
    return GrainMeasurement.of([film.pixels])


@pytest.fixture(scope="module")
def known(film):
    """What the grain of the synthetic film looks like in a block."""
    return seen_covariance(film.kernel)


def test_sigma_is_found_in_every_band(film, measured, known):
    seen = np.trace(known) / (SIZE**2 - 3)
    expected = np.sqrt(film.sigma[2:14] ** 2 * seen + 1 / 12)  # rounding adds a twelfth
    assert 0.93 < seen < 0.97
    np.testing.assert_allclose(measured.sigma[2:14], np.repeat(expected[:, None], 3, 1), rtol=0.03)
    ratio = measured.sigma[2:14] / expected[:, None]
    assert abs(ratio.mean() - 1) < SAMPLING
    assert np.isnan(measured.sigma[[0, 1, 14, 15]]).all()
    assert (measured.band_blocks[2:14] > 200).all()
    assert (measured.band_blocks.sum(0) == measured.blocks).all()


def test_intervals_hold_the_true_sigma_nineteen_times_in_twenty(film, measured, known):
    expected = np.sqrt(film.sigma[2:14] ** 2 * np.trace(known) / (SIZE**2 - 3) + 1 / 12)[:, None]
    low, high = measured.sigma_low[2:14], measured.sigma_high[2:14]
    assert ((low < measured.sigma[2:14]) & (measured.sigma[2:14] < high)).all()
    assert ((low < expected) & (expected < high)).mean() > 0.7  # four tiles an area make them a little too short
    assert ((high - low) / expected).max() < 0.12


def test_correlation_is_found(film, measured):
    np.testing.assert_allclose(measured.correlation, film.correlation, atol=SAMPLING)
    np.testing.assert_allclose(np.diag(measured.correlation), 1, atol=EXACT)


def test_autocorrelation_is_that_of_the_grain_without_planes(measured, known):
    blocks = known.reshape(SIZE, SIZE, SIZE, SIZE)
    lags = []
    for lag in range(9):
        down = np.einsum("ijij->", blocks[: SIZE - lag, :, lag:]) / (SIZE * (SIZE - lag))
        right = np.einsum("ijij->", blocks[:, : SIZE - lag, :, lag:]) / (SIZE * (SIZE - lag))
        lags.append((down + right) / 2)
    expected = np.array(lags) / lags[0]
    np.testing.assert_allclose(measured.autocorrelation, np.repeat(expected[:, None], 3, 1), atol=SAMPLING)


def test_the_spectrum_is_that_of_the_grain_without_planes(film, measured, known):
    waves = np.exp(-2j * np.pi * np.outer(np.arange(SIZE), np.arange(SIZE)) / SIZE)
    both = np.einsum("ui,vj->uvij", waves, waves).reshape(SIZE**2, SIZE**2)
    power = np.einsum("fi,ij,fj->f", both, known, both.conj(), optimize=True).real / np.trace(known)
    ring = np.rint(SIZE * np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))).astype(int).ravel()
    expected = [power[ring == k].mean() for k in range(1, ring.max() + 1)]
    found = np.einsum("kcc->kc", measured.cross_spectrum)
    decibels = 10 * np.log10(found / np.array(expected)[:, None])
    assert np.abs(decibels[:-3]).max() < 0.15
    assert np.abs(decibels).max() < 0.6  # rounding to levels is white, and counts where there is no grain
    pairs = measured.cross_spectrum[:7, [0, 0, 1], [1, 2, 2]] / np.array(expected)[:7, None]
    np.testing.assert_allclose(pairs, np.broadcast_to(film.correlation[[0, 0, 1], [1, 2, 2]], pairs.shape), atol=0.04)
    np.testing.assert_allclose(
        measured.coherence[:7, [0, 0, 1], [1, 2, 2]],
        np.broadcast_to(film.correlation[[0, 0, 1], [1, 2, 2]] ** 2, pairs.shape),
        atol=0.04,
    )


def test_the_spectrum_is_one_on_average_over_the_plane(measured):
    _, ring, count = radial_bands(SIZE)
    weight = np.bincount(ring[ring >= 0], count[ring >= 0])
    mean = np.einsum("k,kcc->c", weight, measured.cross_spectrum) / SIZE**2
    np.testing.assert_allclose(mean, 1, rtol=EXACT)
    np.testing.assert_allclose(measured.frequency, radial_bands(SIZE)[0])
    assert 0 < measured.frequency[0] < measured.frequency[-1] < 0.71


@pytest.mark.parametrize("width", [0.3, 0.7])
def test_gaussian_grain_has_no_kurtosis_whatever_its_spectrum_and_however_sigma_varies(width):
    rng = np.random.default_rng(0)
    noise = [np.fft.fft2(rng.standard_normal((320, 320))) for _ in range(4)]
    fields = np.stack([np.fft.ifft2(ndi.fourier_gaussian(n, width)).real / (k + 1) for k, n in enumerate(noise)])
    found = GrainMeasurement.of([deep(f[..., None], sigma=4000) for f in fields], rule=ALL)
    assert abs(found.kurtosis[0]) < 0.03  # four standard errors, and a percent
    assert scipy.stats.kurtosis(fields, None) > 1


def test_other_grain_has_its_kurtosis():
    rng = np.random.default_rng(0)
    uniform = rng.uniform(-1, 1, (256, 256, 1))
    students = rng.standard_t(20, (512, 512, 1))
    np.testing.assert_allclose(GrainMeasurement.of([deep(uniform)], rule=ALL).kurtosis, -1.2, atol=0.06)
    np.testing.assert_allclose(GrainMeasurement.of([deep(students)], rule=ALL).kurtosis, 6 / 16, atol=0.08)


def test_figures_are_those_of_a_plain_computation(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 37)
    rng = np.random.default_rng(0)
    shared = ndi.gaussian_filter(rng.standard_normal((2, 120, 140)), (0, 0.6, 0.6))
    pictures = [
        np.rint(m + 14 * s[..., None] + 3 * rng.standard_normal((120, 140, 3))).astype(np.uint8)
        for m, s in zip((90, 160), shared, strict=True)
    ]
    found = GrainMeasurement.of(pictures)
    blocks = [flat_blocks(p) for p in pictures]
    residual, mean, level = (np.concatenate([getattr(b, n) for b in blocks]) for n in ("residual", "mean", "level"))
    assert (found.pictures, found.blocks) == (2, len(mean))
    residual = residual.astype(float)
    for band in (5, 9, 10):
        for c in range(3):
            here = np.floor(mean[:, c] / 16) == band
            assert found.band_blocks[band, c] == here.sum()
            expected = np.sqrt((residual[here, :, :, c] ** 2).sum((1, 2)).mean() / 253) if here.sum() >= 10 else np.nan
            np.testing.assert_allclose(found.sigma[band, c], expected, rtol=EXACT)
    unit = residual / residual.std((1, 2), keepdims=True)
    corr = np.mean([np.corrcoef(u.reshape(-1, 3).T) for u in unit], 0)
    np.testing.assert_allclose(found.correlation, corr, atol=EXACT)
    lag = [((unit[:, 3:] * unit[:, :-3]).mean((0, 1, 2)) + (unit[:, :, 3:] * unit[:, :, :-3]).mean((0, 1, 2))) / 2]
    np.testing.assert_allclose(found.autocorrelation[[0, 3]], [np.ones(3), lag[0]], atol=EXACT)
    waves = scipy.fft.fft2(unit, axes=(1, 2))
    power = (np.abs(waves) ** 2).mean(0) / SIZE**2
    independent = power.sum((0, 1)) ** 2 / (power**2).sum((0, 1))
    np.testing.assert_allclose(found.kurtosis, (unit**4).mean((0, 1, 2)) * (1 + 2 / independent) - 3, atol=1e-4)
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    cross = (waves[..., 0] * waves[..., 2].conj()).mean(0) / SIZE**2
    third = (f * SIZE > 2.5) & (f * SIZE < 3.5)
    np.testing.assert_allclose(found.cross_spectrum[2, 0, 2], cross[third].real.mean(), rtol=1e-4)
    together = (np.abs(cross[third]) ** 2).mean() / (power[third, 0] * power[third, 2]).mean()
    np.testing.assert_allclose(found.coherence[2, 2, 0], together, rtol=1e-4)
    counts = nss_histogram(level)
    np.testing.assert_allclose(found.nss, counts / counts.sum(1, keepdims=True))
    steps = [np.histogram(residual[..., c], np.arange(-64.5, 65))[0] for c in range(3)]
    assert np.abs(found.residual - np.array(steps) / residual[..., 0].size).sum() < 1e-4  # a few on a bin's edge
    peaks, valleys = (
        np.stack([rank(b, (3, 3, 1)) == b for b in level])[:, 1:-1, 1:-1]
        for rank in (ndi.maximum_filter, ndi.minimum_filter)
    )
    np.testing.assert_allclose(found.peaks, peaks.mean((0, 1, 2)))
    np.testing.assert_allclose(found.valleys, valleys.mean((0, 1, 2)))
    np.testing.assert_allclose(found.extrema, (peaks | valleys).mean((0, 1, 2)))
    state = np.bincount((peaks @ [1, 2, 4]).ravel(), minlength=8)
    np.testing.assert_allclose(found.occupancy, state / state.sum())
    ratios = [high_frequency_ratio(p) for p in pictures]
    np.testing.assert_allclose(found.high_frequency, np.mean(ratios, 0))


def test_a_grey_picture_has_one_grain_and_no_holes():
    grey = plain(channels=1)
    found, alone = (GrainMeasurement.of([x]) for x in (np.repeat(grey, 3, -1), grey))
    np.testing.assert_allclose(found.correlation, 1, atol=EXACT)
    np.testing.assert_allclose(found.coherence, 1, atol=1e-4)
    np.testing.assert_array_equal(found.occupancy[1:7], 0)
    np.testing.assert_allclose(found.occupancy[[0, 7]], alone.occupancy)
    assert alone.occupancy.shape == (2,)
    for name in ARRAYS:
        value, single = getattr(found, name), getattr(alone, name)
        if name in ("occupancy", "frequency"):
            continue
        for c in range(3):
            of_channel = value[:, c, c] if value.ndim == 3 else value[c] if len(value) == 3 else value[:, c]
            of_single = single[:, 0, 0] if single.ndim == 3 else single[0] if len(single) == 1 else single[:, 0]
            if name == "correlation":
                of_channel, of_single = value[c, c], single[0, 0]
            np.testing.assert_allclose(of_channel, of_single, err_msg=name, atol=5e-5)
        assert np.isfinite(value[7] if name.startswith("sigma") else value).all(), name


def test_sixteen_bits_are_measured_in_the_levels_of_eight():
    x = plain()
    same(GrainMeasurement.of([x]), GrainMeasurement.of([x.astype(np.uint16) * 257]), rtol=1e-3, atol=1e-4)


def test_strips_and_chunks_change_nothing(monkeypatch):
    x = plain(shape=(200, 180))
    whole = GrainMeasurement.of([x])
    monkeypatch.setattr("d2f_mlx.grain.patches._STRIP_PIXELS", 180 * 40)
    monkeypatch.setattr(module, "_CHUNK", 100)
    same(GrainMeasurement.of([x]), whole, rtol=1e-4, atol=1e-6)


def test_of_many_blocks_some_are_measured_evenly_spread(monkeypatch):
    x = np.concatenate([plain(32 * i + 24, (80, 160)) for i in range(5)])
    every = GrainMeasurement.of([x], rule=ALL)
    monkeypatch.setattr(module, "MOST_BLOCKS", every.blocks // 4)
    some = GrainMeasurement.of([x], rule=ALL)
    assert some.blocks == every.blocks // 4
    here = every.band_blocks > 100
    assert here.sum() == 5 * 3
    np.testing.assert_allclose(some.band_blocks[here], every.band_blocks[here] / 4, rtol=0.15)
    np.testing.assert_allclose(some.sigma[here], every.sigma[here], rtol=0.05)


def test_sigma_weighs_blocks_and_its_interval_pictures():
    sigmas = [4.0, 5.0, 6.0, 7.0, 5.5, 4.5]
    pictures = [plain(120, (160, 160), s, k) for k, s in enumerate(sigmas)]
    found = GrainMeasurement.of(pictures)
    np.testing.assert_allclose(found.sigma[7], np.sqrt(np.mean(np.square(sigmas)) + 1 / 12), rtol=0.02)
    half = 1.96 * np.std(np.square(sigmas)) / np.sqrt(6) / 2 / found.sigma[7]  # of a mean of six
    np.testing.assert_allclose(found.sigma_high[7] - found.sigma_low[7], 2 * half, rtol=0.15)
    one_by_one = GrainMeasurement.of(pictures[:4])  # tiles of the four instead
    assert (one_by_one.sigma_low < one_by_one.sigma)[7].all()
    alike = GrainMeasurement.of([pictures[0]] * 5)
    np.testing.assert_allclose(alike.sigma_low[7], alike.sigma_high[7])


def test_an_interval_needs_three_pictures_with_the_band():
    dark, light = plain(56, (80, 80)), plain(200, (80, 80))
    found = GrainMeasurement.of([dark, dark, light, light, light])
    assert np.isfinite(found.sigma[[3, 12]]).all()
    assert np.isnan(found.sigma_low[3]).all()
    assert np.isfinite(found.sigma_high[12]).all()


def test_pictures_without_plain_parts_count_for_nothing():
    x = plain()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    tiny = np.zeros((3, 5, 3), np.uint8)
    found, alone = GrainMeasurement.of([noise, x, tiny]), GrainMeasurement.of([x])
    assert found.pictures == 3
    same(found, alone)


def test_as_dict_is_json_with_nothing_for_nan():
    found = GrainMeasurement.of([plain()], pitch_um=6.35)
    back = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert list(back) == [f.name for f in fields(GrainMeasurement)]
    assert (back["pitch_um"], back["pictures"], back["blocks"]) == (6.35, 1, found.blocks)
    assert back["sigma"][0] == [None] * 3
    for name in ARRAYS:
        np.testing.assert_array_equal(np.array(back[name], float), getattr(found, name))


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], r"at least 10 flat blocks to measure grain on, got 0 in 0 picture\(s\): add pictures with sky"),
        ([np.zeros((90, 90, 3), np.uint8)], r"got 0 in 1 picture\(s\)"),
        ([plain(), plain(channels=1)], r"expects 3 channel\(s\) as before, got 1"),
        ([np.zeros((90, 90), np.uint8)], r"expects integer pictures \(H, W, 1 or 3\), got uint8 \(90, 90\)"),
        ([np.zeros((90, 90, 4), np.uint8)], r"got uint8 \(90, 90, 4\)"),
        ([np.zeros((90, 90, 3))], r"got float64"),
    ],
)
def test_what_cannot_be_measured_is_refused(pictures, message):
    with pytest.raises(ValueError, match=message):
        GrainMeasurement.of(pictures)


def test_a_bad_pitch_is_refused_before_any_picture_is_read():
    def pictures():
        raise AssertionError
        yield

    with pytest.raises(ValueError, match=r"expects pitch_um to be 0 \(unknown\) or more, got -1"):
        GrainMeasurement.of(pictures(), pitch_um=-1)
