"""Statistical tolerances are multiples of the standard error of what is measured.

N pixels of a field with the spectrum S hold N / spread independent values, spread = mean(S^2) / mean(S)^2, which is the
sum of the squared autocorrelation. The relative standard error of a variance is sqrt(2 spread / N), and that of a
correlation of two unrelated fields sqrt(spread / N).
"""

from functools import cache

from d2f_mlx.grain import gaussian
from d2f_mlx.grain.aperture import pixel_variance
from d2f_mlx.grain.gaussian import GrainField, design_field, heavy_tailed, pixel_kernel, unit_grain, white_noise
from d2f_mlx.grain.noise import bits_at

import mlx.core as mx
import numpy as np
import pytest
import scipy.stats
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import j1

STANDARD_ERRORS = 5
ROUNDING = 2e-6  # of unit noise in float32
VARIANCE = 0.01  # beyond the standard error: kernels are scaled for the mean over a lattice's phases
CLOSE_DB, BAND_DB = 0.4, 1.0  # where a band has a tenth, and a hundredth of the strongest one's power
LEAST = 0.01
RHO, RHO_OFF_LATTICE = 0.95, 0.88  # between two scales; pixels' edges that cut lattice cells cost (1 - 1 / 3 ratio)
SIGMA = 0.10
FREQUENCY = np.linspace(0, 300, 101)  # cycles/mm
RADII = (2.9, 1.5, 1.2)  # um: dye clouds of a fast film's layers
MIXING = np.array([[1, 0, 0], [0.6, 0.8, 0], [0.3, 0.5, np.sqrt(1 - 0.34)]])
SIDE = 512


def discs(radius):
    """Spectrum of random discs."""
    x = 2 * np.pi * radius / 1000 * FREQUENCY
    return np.where(x == 0, 1, 2 * j1(x) / np.where(x == 0, 1, x)) ** 2


SPECTRUM = np.stack([discs(radius) for radius in RADII], -1)
# Pitch and blur, and the way in which a field of that film comes about.
WAYS = {
    "direct": (12.0, 3.0),
    "averaged": (7.3, 3.0),
    "interpolated": (2.0, 3.0),
}
PITCHES = [(3, 0), (6, 0), (6, 3), (7.3, 0), (12, 3), (24, 0), (47, 3)]


def made(pitch, blur=0.0, mixing=None):
    mixing = np.eye(1) if mixing is None else mixing
    return design_field(FREQUENCY, SPECTRUM[:, : mixing.shape[1]], mixing, pitch_um=pitch, blur_um=blur)


def draw(field, origin=(0, 0), shape=(SIDE, SIDE), key=3):
    return np.array(unit_grain(field, mx.random.key(key), origin, shape))


@cache
def coloured(pitch, blur):
    return draw(made(pitch, blur, mixing=MIXING))


def folded(pitch, spectrum, frequency=FREQUENCY, blur=0.0, seen=0.0, count=64, aliases=8):
    """Add up all that lands on a picture's frequencies: film, scanner's blur, pixel's square."""
    f = np.fft.fftfreq(count, pitch)
    total = np.zeros((count, count))
    for down, across in np.ndindex(2 * aliases + 1, 2 * aliases + 1):
        y, x = (f + (down - aliases) / pitch)[:, None], (f + (across - aliases) / pitch)[None, :]
        radius = np.hypot(y, x)
        power = np.interp(1000 * radius, frequency, spectrum, right=0) * np.exp(-((2 * np.pi * blur * radius) ** 2))
        if seen:
            known = (np.abs(y + 1e-9) < 0.5 / seen) & (np.abs(x + 1e-9) < 0.5 / seen)
            power = np.where(known, power / (np.sinc(y * seen) * np.sinc(x * seen)) ** 2, 0)
        total += power * (np.sinc(y * pitch) * np.sinc(x * pitch)) ** 2
    return total


def spread(power):
    return (power**2).mean() / power.mean() ** 2


def measured(plane, count=64):
    """Average periodograms of half-overlapping blocks under a Hann window."""
    corners = [range(0, n - count + 1, count // 2) for n in plane.shape]
    blocks = np.stack([plane[r : r + count, c : c + count] for r in corners[0] for c in corners[1]])
    window = np.hanning(count + 1)[:-1]
    power = np.abs(np.fft.fft2(blocks * np.outer(window, window))) ** 2
    return power.mean(0) / (window**2).sum() ** 2


def decibels(found, expected, edges=None):
    """Compare two spectra's shapes over radial bands, those that hold power: (difference, relative power)."""
    edges = np.linspace(1.5 / len(found), 0.7, 11) if edges is None else edges
    f = np.fft.fftfreq(len(found))
    band = np.digitize(np.hypot(f[:, None], f[None, :]), edges)
    means = [[s[band == k].mean() / s.mean() for k in range(1, len(edges))] for s in (found, expected)]
    found, expected = np.array(means)
    strength = expected / expected.max()
    return 10 * np.log10(found[strength >= LEAST] / expected[strength >= LEAST]), strength[strength >= LEAST]


def assert_spectrum(found, expected, edges=None):
    difference, strength = decibels(found, expected, edges)
    np.testing.assert_array_less(np.abs(difference), np.where(strength >= 0.1, CLOSE_DB, BAND_DB))


def boxed(pixels, scale):
    """Average squares of pixels."""
    height, width = (n // scale for n in pixels.shape[:2])
    return pixels[: height * scale, : width * scale].reshape(height, scale, width, scale, -1).mean((1, 3))


@pytest.mark.parametrize("way", WAYS)
def test_fields_come_about_in_three_ways(way):
    ratio = made(*WAYS[way]).ratio
    assert {"d": ratio == 1, "a": ratio > 1, "i": ratio < 1}[way[0]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("corner", [(0, 0), (-53, -38), (4093, 70001)], ids=str)
def test_crops_agree_bit_for_bit(way, corner):
    field = made(*WAYS[way], mixing=MIXING)
    whole = draw(field, corner, (97, 128))
    for top, left, height, width in [(0, 0, 41, 33), (1, 3, 41, 33), (52, 37, 41, 33), (53, 38, 1, 1), (96, 127, 1, 1)]:
        part = draw(field, (corner[0] + top, corner[1] + left), (height, width))
        np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


def test_another_key_or_mode_gives_an_unrelated_field():
    field = made(6.0, mixing=np.eye(3))
    one, other, again = (draw(field, key=key) for key in (0, 2**33 + 1, 0))
    np.testing.assert_array_equal(one, again)
    planes = np.concatenate([one, other], -1).reshape(-1, 6).T
    error = np.sqrt(spread(folded(6.0, SPECTRUM[:, 0]))) / SIDE
    np.testing.assert_array_less(np.abs(np.corrcoef(planes) - np.eye(6)), STANDARD_ERRORS * error)


@pytest.mark.parametrize(("pitch", "blur"), PITCHES)
def test_channels_have_variance_one_and_the_correlation_of_the_mixing(pitch, blur):
    grain = coloured(pitch, blur).reshape(-1, 3).astype(float)
    error = np.sqrt(max(spread(folded(pitch, s, blur=blur)) for s in SPECTRUM.T)) / SIDE
    np.testing.assert_allclose(grain.mean(0), 0, atol=STANDARD_ERRORS * np.sqrt(2 / error**2) * error**2)
    np.testing.assert_allclose(grain.var(0), 1, rtol=VARIANCE + STANDARD_ERRORS * np.sqrt(2) * error)
    np.testing.assert_allclose(np.corrcoef(grain.T), MIXING @ MIXING.T, atol=VARIANCE + STANDARD_ERRORS * error)


@pytest.mark.parametrize(("pitch", "blur"), [*PITCHES, (2, 3)])
def test_the_spectrum_is_the_films_through_blur_pixel_and_sampling(pitch, blur):
    grain = coloured(pitch, blur)[..., 0]  # of which the first channel is one mode
    assert_spectrum(measured(grain), folded(pitch, SPECTRUM[:, 0], blur=blur))


def test_a_finer_level_of_white_noise_averages_to_the_next():
    for level, top, left in [(-6, -10, 3), (-1, 0, 0), (0, -7, -123), (3, 5, 8), (7, -1, -2)]:
        fine = white_noise(mx.random.key(5), level, mx.array([2 * top, 2 * left]), (24, 34), 2)[1]
        coarse = white_noise(mx.random.key(5), level + 1, mx.array([top, left]), (12, 17), 2)[1]
        np.testing.assert_allclose(2 * boxed(np.array(fine), 2)[..., 0], coarse, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("level", [8, 5, 0, -6])
def test_white_noise_is_white_of_variance_one(level):
    noise = np.array(white_noise(mx.random.key(1), level, mx.array([-100, -300]), (SIDE, SIDE))[0], np.float64)
    error = 1 / SIDE
    assert abs(noise.mean()) < STANDARD_ERRORS * error
    assert abs(noise.var() - 1) < STANDARD_ERRORS * np.sqrt(2) * error
    for down, across in [(0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (3, 3), (8, 0), (0, 64)]:
        pairs = noise[: SIDE - down, max(-across, 0) : SIDE - max(across, 0)]
        others = noise[down:, max(across, 0) : SIDE - max(-across, 0)]
        assert abs((pairs * others).mean()) < STANDARD_ERRORS * error * 1.1  # a few pairs fewer than pixels
    power = measured(noise)
    assert_spectrum(power, np.ones_like(power))


def test_levels_modes_and_keys_of_white_noise_are_unrelated():
    def noise(level=0, mode=0, key=1):
        return np.array(white_noise(mx.random.key(key), level, mx.array([0, 0]), (SIDE, SIDE), mode + 1)[mode]).ravel()

    planes = np.stack([noise(), noise(mode=1), noise(mode=2), noise(key=2), noise(level=-1), noise(level=1)])
    np.testing.assert_array_less(np.abs(np.corrcoef(planes) - np.eye(6)), STANDARD_ERRORS / SIDE)


def test_the_coarsest_level_is_drawn_as_it_is():
    key, origin = mx.random.key(9), mx.array([-3, 4])
    found = white_noise(key, 8, origin, (5, 6), 3)
    for mode in range(3):
        drawn = np.array(bits_at(key, origin, (5, 6, 1), 14 * 4 + mode + 1000)).view(np.uint8).reshape(5, 6, 4)
        expected = (drawn.sum(-1) - 510.0) / np.sqrt(4 * (2**16 - 1) / 12)
        np.testing.assert_allclose(np.array(found[mode]), expected, rtol=0, atol=ROUNDING)


def test_a_field_is_the_same_drawn_alone_and_with_others(monkeypatch):
    def drawn():
        return np.array(mx.stack(white_noise(mx.random.key(2), -2, mx.array([-9, 700]), (33, 50), 3)))

    together = drawn()
    monkeypatch.setattr(gaussian, "_TOGETHER", 0)
    np.testing.assert_array_equal(drawn(), together)


TAILS = np.array([0.0, 0.01, 0.05, 0.1])


def tailed_moments(order):
    """Integrate a power of (n + h (n^3 - 3 n)) / sqrt(1 + 6 h^2) over a normal number n."""
    n, weight = hermegauss(40)
    value = (n[:, None] + TAILS * (n**3 - 3 * n)[:, None]) / np.sqrt(1 + 6 * TAILS**2)
    return weight @ value**order / weight.sum()


def test_heavy_tails_keep_the_variance_and_have_their_kurtosis():
    n, weight = hermegauss(40)
    unit = mx.broadcast_to(mx.array(n, mx.float32)[:, None], (len(n), len(TAILS)))
    found = np.array(heavy_tailed(unit, mx.array(TAILS, mx.float32)), np.float64)
    np.testing.assert_allclose(weight @ found**2 / weight.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(weight @ found**4 / weight.sum(), tailed_moments(4), rtol=1e-5)
    np.testing.assert_allclose(tailed_moments(4)[1] - 3, 24 * TAILS[1], rtol=0.1)  # as `GrainField` says


def test_a_field_has_the_tails_that_it_was_designed_with():
    white = np.ones((len(FREQUENCY), 1))
    field = design_field(FREQUENCY, white, np.ones((4, 1)), pitch_um=48, tail=TAILS)
    grain = draw(field).reshape(-1, 4).astype(float)
    errors = np.sqrt(tailed_moments(8) - tailed_moments(4) ** 2) / SIDE
    np.testing.assert_array_less(np.abs((grain**4).mean(0) - tailed_moments(4)), STANDARD_ERRORS * errors)
    np.testing.assert_allclose(grain.var(0), 1, atol=STANDARD_ERRORS * np.sqrt(tailed_moments(4) - 1).max() / SIDE)
    assert scipy.stats.kurtosis(grain[:, 3]) > 2


@pytest.mark.parametrize(
    ("pitch", "blur", "scale", "least_rho"),
    [
        (6.0, 3.0, 2, RHO),
        (6.0, 3.0, 3, RHO),
        (6.0, 0.0, 4, RHO),
        (12.0, 3.0, 2, RHO),
        (5.0, 3.0, 2, RHO_OFF_LATTICE),  # a preview of half the size of a picture of 7200 pixels
        (7.3, 0.0, 4, RHO_OFF_LATTICE),
        (2.0, 3.0, 3, RHO_OFF_LATTICE),
    ],
)
def test_every_scale_shows_the_same_grain(pitch, blur, scale, least_rho):
    side = 192
    fine = boxed(draw(made(pitch, blur), shape=(scale * side, scale * side)), scale)[..., 0]
    coarse = draw(made(pitch * scale, blur), shape=(side, side))[..., 0]
    assert np.corrcoef(fine.ravel(), coarse.ravel())[0, 1] > least_rho
    through = [pixel_variance(FREQUENCY, SPECTRUM[:, :1], pitch_um=p, blur_um=blur)[0] for p in (pitch, scale * pitch)]
    assert fine.std() / coarse.std() == pytest.approx(np.sqrt(through[1] / through[0]), rel=SIGMA)
    found, expected = measured(fine, 64), measured(coarse)
    difference, _ = decibels(found, expected)
    np.testing.assert_array_less(np.abs(difference), BAND_DB)


def test_scales_agree_as_far_as_pixels_edges_let_them():
    """Of white noise on cells a pixel of r cells keeps 1 - 1 / (3 r) of what a continuous one would give it."""
    white = np.ones((len(FREQUENCY), 1))
    fine, coarse = (design_field(FREQUENCY, white, np.eye(1), pitch_um=p) for p in (47.0, 94.0))
    assert (fine.level + 1, fine.ratio) == (coarse.level, pytest.approx(coarse.ratio))
    planes = [boxed(draw(fine), 2), draw(coarse, shape=(SIDE // 2, SIDE // 2))]
    rho = np.corrcoef(*(plane.ravel() for plane in planes))[0, 1]
    cells = coarse.ratio
    assert rho == pytest.approx((1 - 1 / (3 * cells)) / (1 - 1 / (6 * cells)), abs=0.01)


SEEN = 12.0
SEEN_FREQUENCY = np.linspace(0, 0.72 / SEEN, 64) * 1000
# What scans have: a soft scanner's, one with much power up to the last frequency, and white.
SEEN_SPECTRA = {width: np.exp(-0.5 * (SEEN_FREQUENCY * SEEN / 1000 / width) ** 2) for width in (0.2, 0.35, 99.0)}


def fitted(width, pitch):
    spectrum = SEEN_SPECTRA[width][:, None]
    return design_field(SEEN_FREQUENCY, spectrum, np.ones((1, 1)), pitch_um=pitch, seen_um=SEEN)


@pytest.mark.parametrize("width", SEEN_SPECTRA)
def test_a_fitted_spectrum_comes_back_at_its_own_pitch(width):
    field = fitted(width, SEEN)
    assert field.ratio == 1
    f = np.fft.fftfreq(64)
    expected = np.exp(-0.5 * np.hypot(f[:, None], f[None, :]) ** 2 / width**2)
    assert_spectrum(measured(draw(field)[..., 0]), expected)


def test_a_white_fitted_spectrum_needs_no_filter():
    kernel = np.array(fitted(99.0, SEEN).kernels[0])
    assert len(kernel) == 5
    np.testing.assert_allclose(kernel, np.outer([0, 0, 1, 0, 0], [0, 0, 1, 0, 0]), atol=1e-3)


@pytest.mark.parametrize("width", SEEN_SPECTRA)
@pytest.mark.parametrize("scale", [2, 3])
def test_coarser_pixels_see_a_fitted_spectrum_as_boxes_would(width, scale):
    fine, coarse = (draw(fitted(width, pitch))[..., 0] for pitch in (SEEN, scale * SEEN))
    expected = folded(scale * SEEN, SEEN_SPECTRA[width], SEEN_FREQUENCY, seen=SEEN)
    assert_spectrum(measured(coarse), expected)
    boxes = boxed(fine, scale)
    through = [
        pixel_variance(SEEN_FREQUENCY, SEEN_SPECTRA[width][:, None], pitch_um=pitch, seen_um=SEEN)[0]
        for pitch in (SEEN, scale * SEEN)
    ]
    assert boxes.std() == pytest.approx(np.sqrt(through[1] / through[0]), rel=SIGMA)
    difference, _ = decibels(measured(boxes[..., 0], 64), measured(coarse))
    np.testing.assert_array_less(np.abs(difference), BAND_DB)


@pytest.mark.parametrize("width", [0.2, 0.35])
def test_finer_pixels_see_no_more_than_the_fitted_scan_did(width):
    field = fitted(width, SEEN / 2)
    assert field.ratio < 1
    power = measured(draw(field)[..., 0])
    f = np.fft.fftfreq(64)
    radius = np.hypot(f[:, None], f[None, :])
    inside = radius < 0.25 * 0.85  # the spline's images begin about the scan's Nyquist frequency
    expected = np.exp(-0.5 * (2 * radius / width) ** 2)
    edges = np.linspace(0.012, 0.25 * 0.85, 7)
    scale = power[inside].sum() / expected[inside].sum()
    difference, _ = decibels(np.where(inside, power / scale, 1e-9), np.where(inside, expected, 1e-9), edges)
    np.testing.assert_array_less(np.abs(difference), BAND_DB)
    assert power[radius > 0.36].sum() < 0.05 * power.sum()


def test_a_pixels_kernel_has_the_spectrum_and_unit_energy():
    kernel = pixel_kernel(FREQUENCY, SPECTRUM[:, :1], 4, pitch_um=6.0, blur_um=3.0)
    assert kernel.shape == (9, 9)
    assert (kernel.astype(float) ** 2).sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    assert_spectrum(np.abs(np.fft.fft2(kernel, (64, 64))) ** 2, folded(6.0, SPECTRUM[:, 0], blur=3.0))


@pytest.mark.parametrize("pitch", [0.0, -6.0, float("nan"), float("inf")])
def test_pitches_that_are_none_are_refused(pitch):
    with pytest.raises(ValueError, match="design_field expects a positive pitch_um, got"):
        design_field(FREQUENCY, SPECTRUM, np.eye(3), pitch_um=pitch)


def test_radius_is_the_kernels_reach():
    assert GrainField(mx.zeros((2, 7, 7)), mx.eye(2), mx.zeros(2), 0, 1.0).radius == 3
