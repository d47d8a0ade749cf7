import json
from dataclasses import fields, replace
from pathlib import Path

from d2f_mlx.grain import FlatBlocks, HalideStatistics, flat_blocks
from d2f_mlx.grain.statistics import BANDS, QUANTILES

import numpy as np
import pytest
import scipy.ndimage as ndi
from safetensors.numpy import load_file, save_file

SIGMA = 0.03  # relative; four standard errors of the median over the 81 blocks of an area
CORRELATION = 0.01
AUTOCORRELATION = 0.06  # the kernel is cut off smoothly at four pixels, which takes some of its correlation
BAND_EDGE = 2e-4  # float32 and float64 bases put a few pixels in different bands
BAND_EDGE_SHARE = 1e-3
SEEN = range(2, 14)  # the bands of the synthetic film
ARRAYS = ("density", "occupancy", "height", "sigma", "correlation", "kernel")


def plain(mean, shape, sigma=5.0, seed=0):
    """Grain on one plain area, the same in no two channels."""
    rng = np.random.default_rng([seed, int(mean)])
    return np.rint(mean + sigma * rng.standard_normal((*shape, 3))).clip(0, 255).astype(np.uint8)


def autocorrelation(kernel):
    power = np.abs(np.fft.fft2(kernel, (32, 32))) ** 2
    return np.fft.ifft2(power).real / power.mean()


def guided(pixels):
    """Denoise with the guided filter in float64, windows cut off at the border."""
    x = pixels / 255.0
    share = ndi.uniform_filter(np.ones(x.shape), (9, 9, 1), mode="constant")

    def mean(y):
        return ndi.uniform_filter(y, (9, 9, 1), mode="constant") / share

    variance = mean(x * x) - mean(x) ** 2
    a = variance / (variance + 0.004)
    return 255 * (mean(a) * x + mean((1 - a) * mean(x)))


def rank_masks(pixels):
    return [rank(pixels, (3, 3, 1), mode="nearest") == pixels for rank in (ndi.maximum_filter, ndi.minimum_filter)]


def test_sigma_is_recovered_in_every_band(film, statistics):
    expected = np.repeat(np.sqrt(film.sigma[2:14] ** 2 + 1 / 12)[:, None], 3, 1)  # rounding adds a twelfth
    np.testing.assert_allclose(statistics.sigma[2:14], expected, rtol=SIGMA)


def test_correlation_is_recovered(film, statistics):
    np.testing.assert_allclose(statistics.correlation, film.correlation, atol=CORRELATION)
    np.testing.assert_allclose(np.diag(statistics.correlation), 1, atol=1e-5)


def test_the_kernel_has_the_grains_autocorrelation(film, statistics):
    found, known = autocorrelation(statistics.kernel), autocorrelation(film.kernel)
    for lag in [(0, 1), (1, 0), (1, 1), (-1, 1), (0, 2), (2, 2), (0, 3), (3, 0)]:
        assert abs(found[lag] - known[lag]) < AUTOCORRELATION, lag
    np.testing.assert_allclose(statistics.kernel.sum(), film.kernel.sum(), rtol=0.1)  # the mean, which blocks lack
    np.testing.assert_allclose((statistics.kernel**2).sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(statistics.kernel, statistics.kernel[::-1, ::-1], atol=1e-6)


def test_grain_on_a_ramp_is_grain_on_a_plain_area():
    ramp = np.linspace(0, 40, 256)[:, None, None]
    found = HalideStatistics.measure([np.rint(plain(60, (256, 256)) + ramp).astype(np.uint8)])
    np.testing.assert_allclose(found.sigma[4:6], np.sqrt(25 + 2 / 12), rtol=SIGMA)
    np.testing.assert_allclose(found.correlation, np.eye(3), atol=2 * CORRELATION)


def test_density_is_the_share_of_halides_in_each_band(film, statistics):
    band = (guided(film.pixels) / 256 * BANDS).astype(int)
    for kind, mask in enumerate(rank_masks(film.pixels)):
        for b in SEEN:
            for c in range(3):
                share = mask[..., c][band[..., c] == b].mean()
                assert abs(statistics.density[kind, b, c] - share) < BAND_EDGE


def test_occupancy_is_the_share_of_each_joint_state(film, statistics):
    band = (guided(film.pixels).mean(-1) / 256 * BANDS).astype(int)
    for kind, (r, g, b) in enumerate(np.moveaxis(rank_masks(film.pixels), -1, 1)):
        for state in range(8):
            here = (r == bool(state & 1)) & (g == bool(state & 2)) & (b == bool(state & 4))
            share = [here[band == k].mean() for k in SEEN]
            np.testing.assert_allclose(statistics.occupancy[kind, 2:14, state], share, atol=BAND_EDGE)
    np.testing.assert_allclose(statistics.occupancy.sum(-1), 1, atol=1e-6)


def test_heights_are_quantiles_of_the_distance_from_the_base(film, statistics):
    base = guided(film.pixels)
    band, height = (base / 256 * BANDS).astype(int), np.rint(film.pixels - base)
    differences = []
    for kind, mask in enumerate(rank_masks(film.pixels)):
        for b in SEEN:
            for c in range(3):
                here = height[..., c][mask[..., c] & (band[..., c] == b)]
                expected = np.quantile(here, QUANTILES.astype(float), method="inverted_cdf")
                differences.append(statistics.height[kind, b, c] - expected)
    assert np.abs(differences).max() <= 1  # the bins are one level wide
    assert (np.array(differences) != 0).mean() < 0.01
    assert (np.diff(statistics.height, axis=-1) >= 0).all()


def test_bands_that_were_not_seen_take_the_nearest_that_was(statistics):
    for name in ("density", "occupancy", "height"):
        table = getattr(statistics, name)
        for unseen, nearest in [(0, 2), (1, 2), (14, 13), (15, 13)]:
            np.testing.assert_array_equal(table[:, unseen], table[:, nearest])
    np.testing.assert_array_equal(statistics.sigma[[0, 1, 14, 15]], statistics.sigma[[2, 2, 13, 13]])


def test_bands_between_seen_ones_are_interpolated():
    found = HalideStatistics.measure([plain(56, (160, 160), 3.0), plain(120, (160, 160), 7.0)])
    for table in (found.density[0], found.density[1], found.occupancy[0], found.height[1], found.sigma):
        np.testing.assert_allclose(table[4], 0.75 * table[3] + 0.25 * table[7], atol=1e-5)
    np.testing.assert_allclose(found.sigma[[3, 7], 0], [3, 7], rtol=SIGMA)


def test_each_channel_is_measured_in_its_own_bands():
    coloured = plain(0, (160, 160), 0.0) + np.array([56, 120, 200], np.uint8)
    noise = np.random.default_rng(0).standard_normal(coloured.shape) * [3, 5, 7]
    found = HalideStatistics.measure([np.rint(coloured + noise).astype(np.uint8), plain(88, (160, 160), 6.0)])
    expected = np.empty((BANDS, 3))
    for c, (band, sigma) in enumerate([(3, 3), (7, 5), (12, 7)]):
        expected[:, c] = np.interp(np.arange(BANDS), *zip(*sorted([(band, sigma), (5, 6)]), strict=True))
    np.testing.assert_allclose(found.sigma, expected, rtol=SIGMA)


def test_blocks_of_all_pictures_weigh_the_same_in_the_spectrum(film):
    correlated = film.pixels[:64, :64]  # nine blocks
    found = HalideStatistics.measure([plain(120, (160, 160)), correlated])  # 81 of white noise
    expected = autocorrelation(film.kernel)[0, 1] * 9 / 90
    np.testing.assert_allclose(autocorrelation(found.kernel)[0, 1], expected, atol=0.02)


def test_sigma_is_one_for_all_bands_where_no_band_has_enough_blocks():
    strips = [plain(16 * band + 8, (32, 96)) for band in range(2, 14)]  # five blocks in each band
    found = HalideStatistics.measure(strips)
    assert found.blocks == 60
    np.testing.assert_allclose(found.sigma, np.sqrt(25 + 1 / 12), rtol=SIGMA)
    assert (found.sigma == found.sigma[0]).all()


def test_pictures_and_blocks_are_counted_and_odd_ones_do_not_count_for_much():
    pictures = [plain(120, (160, 160), seed=s) for s in range(3)]
    film_only = HalideStatistics.measure(pictures)
    assert (film_only.pictures, film_only.blocks) == (3, 3 * 81)
    grey = np.repeat(plain(120, (64, 64), 15.0)[..., :1], 3, -1)  # nine blocks of other grain
    together = HalideStatistics.measure([*pictures, grey])
    assert together.pictures == 4
    np.testing.assert_allclose(together.sigma[7], film_only.sigma[7], rtol=SIGMA)
    np.testing.assert_allclose(together.correlation, film_only.correlation, atol=CORRELATION)


def test_sixteen_bits_are_measured_in_the_levels_of_eight(film):
    eight = HalideStatistics.measure([film.pixels[:320, :320]])
    dither = np.random.default_rng(0).integers(-100, 101, (320, 320, 3))
    sixteen = (film.pixels[:320, :320] * 257.0 + dither).clip(0, 65535).astype(np.uint16)
    found = HalideStatistics.measure([sixteen])
    # Ties, which no 16-bit pixels would have, are those of the 8-bit levels.
    np.testing.assert_allclose(found.density, eight.density, atol=BAND_EDGE_SHARE)
    np.testing.assert_allclose(found.occupancy, eight.occupancy, atol=BAND_EDGE_SHARE)
    np.testing.assert_allclose(found.height, eight.height, atol=1)
    np.testing.assert_allclose(found.sigma, eight.sigma, rtol=SIGMA)


def test_small_and_clipped_pictures_are_measured_too():
    white, black = np.full((40, 40, 3), 255, np.uint8), np.zeros((40, 40, 3), np.uint8)
    tiny = np.full((1, 1, 3), 128, np.uint8)
    found = HalideStatistics.measure([plain(120, (160, 160)), tiny, white, black])
    assert found.pictures == 4
    np.testing.assert_array_equal(found.density[:, [0, 15]], 1)  # a clipped area is a plateau, marked whole
    np.testing.assert_array_equal(found.height[:, [0, 15]], 0)


def test_a_grey_film_has_one_grain():
    found = HalideStatistics.measure([np.repeat(plain(120, (160, 160))[..., :1], 3, -1)])
    np.testing.assert_allclose(found.correlation, 1, atol=1e-5)
    np.testing.assert_allclose(found.occupancy[..., 1:7], 0, atol=0)


def test_flat_blocks_are_those_that_bundled_statistics_were_measured_on(film, statistics):
    rule = FlatBlocks(32, 16, max_structure=0.4, max_variance=300, max_edges=1, max_excess=float("inf"), margin=4)
    assert statistics.blocks == len(flat_blocks(film.pixels, rule).mean)
    for other in ({"max_structure": 0.65}, {"max_excess": 1.2}, {"max_edges": 0.01, "edge": 1.0}):
        assert statistics.blocks != len(flat_blocks(film.pixels, replace(rule, **other)).mean)


def test_too_few_flat_blocks_are_refused_with_advice():
    expected = r"expects at least 50 flat blocks .* got 9 in 2 picture\(s\): add scans with sky"
    with pytest.raises(ValueError, match=expected):
        HalideStatistics.measure([plain(120, (64, 64)), np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ValueError, match="got 0 in 0"):
        HalideStatistics.measure([])


@pytest.mark.parametrize(("shape", "dtype"), [((64, 64), "u1"), ((64, 64, 1), "u1"), ((64, 64, 3), "f4")])
def test_other_pictures_are_refused(shape, dtype):
    with pytest.raises(ValueError, match=r"expects integer pictures \(H, W, 3\), got"):
        HalideStatistics.measure([np.zeros(shape, dtype)])


@pytest.mark.parametrize("name", ARRAYS)
def test_wrong_shapes_and_nan_are_refused(statistics, name):
    array = getattr(statistics, name)
    for bad in (array[..., :-1], np.full_like(array, np.nan)):
        with pytest.raises(ValueError, match=f"expects {name} of shape"):
            replace(statistics, **{name: bad})


def test_what_is_saved_is_loaded_bit_for_bit(statistics, tmp_path):
    path = tmp_path / "film.safetensors"
    statistics.save(path)
    loaded = HalideStatistics.load(str(path))
    for field in fields(HalideStatistics):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(statistics, field.name))
    assert [p.name for p in tmp_path.iterdir()] == ["film.safetensors"]


def test_the_file_is_plain_safetensors_of_float32(statistics, tmp_path):
    statistics.save(tmp_path / "film.safetensors")
    found = load_file(tmp_path / "film.safetensors")
    assert sorted(found) == sorted(ARRAYS)
    assert {array.dtype for array in found.values()} == {np.dtype(np.float32)}


def test_a_failed_save_leaves_the_old_file_and_no_other(statistics, tmp_path, monkeypatch):
    path = tmp_path / "film.safetensors"
    statistics.save(path)
    before = path.read_bytes()

    def fail(target, data):
        with target.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        replace(statistics, pictures=7).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["film.safetensors"]


def missing(path, good):
    pass


def damaged(path, good):
    path.write_bytes(good.read_bytes()[:200])


def text(path, good):
    path.write_text("no safetensors")


def other_arrays(path, good):
    save_file({"weight": np.zeros(3, np.float32)}, path)


def other_kind(path, good):
    save_file(load_file(good), path, {"kind": "reconstructor", "pictures": "1", "blocks": "50"})


def array_missing(path, good):
    arrays = load_file(good)
    del arrays["sigma"]
    save_file(arrays, path, {"kind": "halide statistics", "pictures": "1", "blocks": "50"})


def array_too_small(path, good):
    arrays = load_file(good) | {"sigma": np.zeros((4, 3), np.float32)}
    save_file(arrays, path, {"kind": "halide statistics", "pictures": "1", "blocks": "50"})


def count_missing(path, good):
    save_file(load_file(good), path, {"kind": "halide statistics", "pictures": "1"})


@pytest.mark.parametrize(
    "spoil",
    [missing, damaged, text, other_arrays, other_kind, array_missing, array_too_small, count_missing],
    ids=lambda f: f.__name__,
)
def test_a_file_that_cannot_be_loaded_is_named(statistics, tmp_path, spoil):
    good, path = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    statistics.save(good)
    spoil(path, good)
    with pytest.raises(ValueError, match=r"bad\.safetensors: cannot be read as halide statistics \(.+"):
        HalideStatistics.load(path)


def test_describe_sums_up_in_json(statistics):
    summary = json.loads(statistics.describe())
    assert (summary["pictures"], summary["blocks"]) == (1, statistics.blocks)
    np.testing.assert_allclose(summary["sigma by band"], statistics.sigma.mean(1), atol=0.006)
    np.testing.assert_allclose(summary["correlation RG RB GB"], [0.8, 0.5, 0.6], atol=CORRELATION)
    np.testing.assert_allclose(summary["peak density, mean of bands"], statistics.density[0].mean(0), atol=6e-4)
    heights = summary["median peak height, mean of bands"]
    np.testing.assert_allclose(heights, statistics.height[0, :, :, 3].mean(0), atol=0.006)
