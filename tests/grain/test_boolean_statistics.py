from d2f_mlx.backend import mx
from d2f_mlx.grain.boolean import boolean_view
from d2f_mlx.grain.boolean_statistics import (
    boolean_covariance,
    boolean_intensity,
    boolean_lattice,
    boolean_spectrum,
    boolean_variance,
)
from d2f_mlx.grain.discs import WHITE, Film, discs
from d2f_mlx.grain.indicator import Grid, covered

import numpy as np
import pytest
import scipy.integrate
import scipy.special

STANDARD_ERRORS = 4.0
QUADRATURE = 1e-4
LAWS = pytest.mark.parametrize(("radius", "radius_sigma"), [(0.1, 0.0), (0.3, 0.12)])


def mean_and_error(blocks):
    blocks = np.asarray(blocks)
    return blocks.mean(0), blocks.std(0, ddof=1) / len(blocks) ** 0.5


def independent_fields(radius, radius_sigma, coverage, pitch, side=128, repeats=2, count=12):
    """Evaluate the indicator on squares of ``side`` x ``side`` points that are far from each other."""
    law, film = discs(radius, radius_sigma), Film(np.full((1, 1), round(coverage * 65535), np.uint16), 0, 0)
    points = law.units(np.arange(side * repeats) * pitch)
    places = np.arange(len(points))
    for seed in range(count):
        field = covered(law, film, Grid(points, points, places * len(points), places), mx.random.key(seed), 0)
        parts = np.array(field, float).reshape(repeats, side, repeats, side).swapaxes(1, 2)
        yield from parts.reshape(-1, side, side)


def test_covariance_has_the_published_values():
    values = boolean_covariance([0.05, 0.10, 0.15], 0.5, 0.1)
    np.testing.assert_array_equal(values.round(4), [0.1519, 0.0778, 0.0263])


@LAWS
def test_covariance_is_that_of_simulated_film(radius, radius_sigma):
    lags, found, means = [1, 2, 3, 5], [], []
    for field in independent_fields(radius, radius_sigma, 0.5, radius / 2):
        z = field - 0.5 * WHITE
        means.append(field.mean())
        found.append([((z[lag:] * z[:-lag]).mean() + (z[:, lag:] * z[:, :-lag]).mean()) / 2 for lag in lags])
    covariance, error = mean_and_error(found)
    expected = boolean_covariance(np.array(lags) * radius / 2, 0.5, radius, radius_sigma)
    assert (np.abs(covariance - expected) < STANDARD_ERRORS * error).all()
    assert (error < 0.02 * expected[0]).all()
    mean, error = mean_and_error(means)
    assert abs(mean - 0.5 * WHITE) < STANDARD_ERRORS * error


@LAWS
@pytest.mark.parametrize("u", [0.1, 0.5, 1.0])
def test_covariance_starts_at_the_variance_and_ends_at_two_radii(radius, radius_sigma, u):
    attained = u * WHITE
    start, end = boolean_covariance([0, 2 * discs(radius, radius_sigma).radii[-1]], u, radius, radius_sigma)
    assert start == pytest.approx(attained * (1 - attained), rel=1e-12)
    assert end == pytest.approx(0, abs=1e-12)


def test_intensity_is_the_papers_for_constant_radii():
    u = np.array([0, 8, 128, 255])
    expected = -np.log(1 - u / 255.1) / (np.pi * 0.1**2)
    np.testing.assert_allclose(boolean_intensity(u / 255, 0.1), expected, rtol=1e-12)


def test_intensity_of_wide_laws_makes_up_for_the_cut():
    paper = -np.log(1 - 0.5 * WHITE) / (np.pi * (0.1**2 + 0.1**2))
    assert 1.03 < boolean_intensity(0.5, 0.1, 0.1) / paper < 1.04


@LAWS
@pytest.mark.parametrize(("blur", "zoom"), [(0.8, 1.0), (0.5, 3.0)])
def test_variance_of_a_fine_lattice_is_the_integral_over_the_plane(radius, radius_sigma, blur, zoom):
    sigma = blur / zoom

    def integrand(h):
        window = np.exp(-(h**2) / (4 * sigma**2)) / (4 * np.pi * sigma**2)
        return 2 * np.pi * h * window * boolean_covariance(h, 0.4, radius, radius_sigma)

    largest = 2 * discs(radius, radius_sigma).radii[-1]
    expected, _ = scipy.integrate.quad(integrand, 0, largest, epsabs=0, epsrel=1e-7, limit=200)
    options = {"blur": blur, "zoom": zoom}
    fine = boolean_variance(0.4, radius, radius_sigma, **options, lattice=0)
    assert fine == pytest.approx(expected, rel=QUADRATURE)
    assert boolean_variance(0.4, radius, radius_sigma, **options, lattice=24) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("radius", "radius_sigma", "u", "options"),
    [
        (0.3, 0.0, 0.5, {}),
        (0.3, 0.0, 0.9, {"lattice": 2}),
        (0.1, 0.0, 0.3, {"lattice": 4}),
        (0.3, 0.2, 0.2, {"blur": 0.5}),
        (0.3, 0.0, 0.5, {"zoom": 2.5, "blur": 1.2}),
        (0.4, 0.0, 0.5, {"zoom": 0.4, "lattice": 3}),
    ],
    ids=str,
)
def test_variance_is_that_of_simulated_film(radius, radius_sigma, u, options):
    def blocks(seed):
        film = mx.full((60, 60, 1), u)
        view = np.array(
            boolean_view(film, radius=radius, radius_sigma=radius_sigma, key=mx.random.key(seed), **options)
        )
        side = len(view) // 4
        return view[: 4 * side, : 4 * side].reshape(4, side, 4, side).swapaxes(1, 2).reshape(16, -1).astype(float)

    views = np.concatenate([blocks(seed) for seed in range(4)])
    found, error = mean_and_error(((views - u * WHITE) ** 2).mean(1))
    expected = boolean_variance(u, radius, radius_sigma, **options)
    assert abs(found - expected) < STANDARD_ERRORS * error
    assert error < 0.1 * expected


def test_variance_takes_many_coverages_at_once():
    u = np.linspace(0, 1, 6).reshape(2, 3)
    together = boolean_variance(u, 0.3)
    assert together.shape == u.shape
    np.testing.assert_allclose(together.ravel(), [boolean_variance(x, 0.3) for x in u.ravel()], rtol=1e-12)


def test_a_lattice_as_fine_as_the_radius_adds_little_variance():
    for radius in (0.1, 0.2, 0.3, 0.5, 1.0):
        ratio = boolean_variance(0.5, radius) / boolean_variance(0.5, radius, lattice=0)
        assert 1 - QUADRATURE < ratio < 1.11
        assert 1 / boolean_lattice(radius) <= radius * (1 + 1e-12)


@LAWS
def test_spectrum_is_the_hankel_transform(radius, radius_sigma):
    frequency = np.array([0.0, 0.4, 1.0, 2.7]) / radius
    largest = 2 * discs(radius, radius_sigma).radii[-1]
    h, step = np.linspace(0, largest, 20001, retstep=True)
    weight = 2 * np.pi * h * boolean_covariance(h, 0.3, radius, radius_sigma) * step
    expected = [(weight * scipy.special.j0(2 * np.pi * f * h)).sum() for f in frequency]
    found = boolean_spectrum(frequency, 0.3, radius, radius_sigma)
    np.testing.assert_allclose(found, expected, rtol=QUADRATURE, atol=QUADRATURE * expected[0])


@LAWS
def test_spectrum_integrates_to_the_variance(radius, radius_sigma):
    frequency, step = np.linspace(0, 6 / radius, 600, retstep=True)
    power = 2 * np.pi * frequency * boolean_spectrum(frequency, 0.6, radius, radius_sigma)
    tail = (power * frequency**2)[-200:].mean()  # discs have edges: W falls as f^-3, in waves
    attained = 0.6 * WHITE
    assert power.sum() * step + tail / frequency[-1] == pytest.approx(attained * (1 - attained), rel=2e-3)


def test_spectrum_is_that_of_simulated_film():
    radius, side = 0.1, 128
    pitch = radius / 4
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side, pitch)] * 2))
    bands = [
        (frequency > low / radius) & (frequency < high / radius) for low, high in [(0.05, 0.2), (0.2, 0.4), (0.4, 0.7)]
    ]
    found = []
    for field in independent_fields(radius, 0.0, 0.5, pitch, side):
        power = np.abs(np.fft.fft2(field - 0.5 * WHITE)) ** 2 * (pitch / side) ** 2
        found.append([power[band].mean() for band in bands])
    power, error = mean_and_error(found)
    expected = np.array([boolean_spectrum(frequency[band], 0.5, radius).mean() for band in bands])
    leakage = 0.02 * expected + 0.004 * expected[0]  # of the squares' edges, and aliases
    assert (np.abs(power - expected) < STANDARD_ERRORS * error + leakage).all()
    assert (error < 0.02 * expected).all()


@pytest.mark.parametrize("u", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("function", [boolean_intensity, boolean_variance, lambda u, r: boolean_covariance(0.1, u, r)])
def test_coverage_out_of_bounds_is_refused(function, u):
    with pytest.raises(ValueError, match=r"coverage in \[0, 1\], got"):
        function(u, 0.1)
