from dataclasses import replace

from d2f_mlx import images
from d2f_mlx.evaluate.anchors import add_noise, halves, matching_blur, mean_sigma, noises, plain_patches
from d2f_mlx.grain import GrainMeasurement

import numpy as np
import pytest

GREY = np.full((256, 256, 3), 120, np.uint8)
SIGMA = np.array([4.0, 5.0, 6.0])
ROUNDING = 1 / 12


def added(**options) -> np.ndarray:
    return next(add_noise([GREY], SIGMA, **options)).astype(float) - 120


def test_pictures_alternate_between_the_sides(roll):
    first, second = halves([*roll, roll[0]])
    assert [id(p) for p in first] == [id(roll[0]), id(roll[2]), id(roll[0])]
    assert [id(p) for p in second] == [id(roll[1]), id(roll[3])]


def test_rolls_stay_whole(roll):
    first, second = halves(roll, rolls=["b", "b", "a", "c"])
    assert [id(p) for p in first] == [id(roll[0]), id(roll[1]), id(roll[3])]
    assert [id(p) for p in second] == [id(roll[2])]
    one = halves(roll, rolls=["b"] * 4)
    assert [len(side) for side in one] == [2, 2]


def test_a_single_picture_is_cut_in_two(tmp_path, roll):
    path = tmp_path / "scan.png"
    images.write(path, roll[0])
    for scan in (roll[0], path):
        left, right = halves([scan])
        np.testing.assert_array_equal(np.concatenate([left[0], right[0]], axis=1), roll[0])


def test_mean_sigma_is_the_root_of_all_blocks_mean_variance(film):
    sigma, blocks = np.full((16, 3), np.nan), np.zeros((16, 3), int)
    sigma[3], sigma[4], blocks[3], blocks[4], blocks[9] = 3.0, 6.0, 300, 100, 5
    known = mean_sigma(replace(film, sigma=sigma, band_blocks=blocks))
    np.testing.assert_allclose(known, np.sqrt((300 * 9 + 100 * 36) / 400))


@pytest.mark.parametrize("size", [16, 32])
def test_a_blur_is_found_from_the_lag_that_it_measures(size):
    for width in (0.45, 0.7):
        fields = add_noise([np.full((512, 512, 1), 120.0)], np.array([20.0]), blur=width, seed=5)
        blocks = next(fields)[:, :, 0].reshape(512 // size, size, -1, size).swapaxes(1, 2).reshape(-1, size, size)
        rest = _about_plane(blocks)
        lag_1 = (rest[:, 1:] * rest[:, :-1]).mean() + (rest[:, :, 1:] * rest[:, :, :-1]).mean()
        assert matching_blur(lag_1 / 2 / (rest**2).mean(), size) == pytest.approx(width, abs=0.02)
    assert matching_blur(-0.2, size) == 0


def _about_plane(blocks: np.ndarray) -> np.ndarray:
    size = blocks.shape[1]
    down, right = np.mgrid[:size, :size]
    basis = np.stack([np.ones(size**2), down.ravel(), right.ravel()], 1)
    flat = blocks.reshape(len(blocks), -1).T.astype(float)
    return (flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]).T.reshape(blocks.shape)


@pytest.mark.parametrize("blur", [0.0, 0.6])
def test_noise_has_the_deviations_asked_for(blur):
    colour, mono = added(blur=blur), added(blur=blur, mono=True)
    for noise in (colour, mono):
        np.testing.assert_allclose(noise.std((0, 1)), np.sqrt(SIGMA**2 + ROUNDING), rtol=0.02)
    rho = np.corrcoef(colour.reshape(-1, 3).T)
    assert np.abs(rho - np.eye(3)).max() < 0.03
    assert np.corrcoef(mono.reshape(-1, 3).T).min() > 0.99


def test_blurred_noise_is_correlated_and_white_noise_is_not():
    taps = np.exp(-0.5 * (np.arange(-9, 10) / 0.6) ** 2)
    for blur, expected in ((0.0, 0.0), (0.6, (taps[1:] * taps[:-1]).sum() / (taps**2).sum())):
        noise = added(blur=blur)[..., 0]
        assert (noise[:, 1:] * noise[:, :-1]).mean() / noise.var() == pytest.approx(expected, abs=0.02)


def test_noise_follows_its_seed_and_differs_between_pictures():
    one, two = add_noise([GREY, GREY], SIGMA)
    np.testing.assert_array_equal(one, next(add_noise([GREY], SIGMA)))
    assert np.any(one != two)
    assert np.any(one != next(add_noise([GREY], SIGMA, seed=1)))


def test_sixteen_bits_become_levels():
    deep = np.full((64, 64, 3), 120 * 257, np.uint16)
    noisy = next(add_noise([deep], SIGMA))
    assert noisy.dtype == np.uint8
    np.testing.assert_array_equal(noisy, next(add_noise([GREY[:64, :64]], SIGMA)))


def test_patches_are_as_bright_as_the_films_blocks(film):
    patches = plain_patches(film)
    levels = np.stack([patch[0, 0] for patch in patches])
    assert (np.diff(levels, axis=0) >= 0).all()
    for c in range(3):
        share = np.histogram(levels[:, c], bins=16, range=(0, 256))[0] / len(patches)
        np.testing.assert_allclose(share, film.band_blocks[:, c] / film.blocks, atol=1 / len(patches) + 1e-9)
    assert all((patch == patch[0, 0]).all() for patch in patches)


def test_the_four_noises_have_film_variance_and_lag(film):
    found = {name: GrainMeasurement.of(add([GREY])) for name, add in noises(film, 16).items()}
    for name, measured in found.items():
        np.testing.assert_allclose(measured.sigma[7], mean_sigma(film), rtol=0.05)
        blurred = film.autocorrelation[1].mean() if name.startswith("blurred") else 0.0
        assert measured.autocorrelation[1].mean() == pytest.approx(blurred, abs=0.02)
        assert measured.correlation[0, 1] == pytest.approx(1.0 if name.endswith("mono") else 0.0, abs=0.03)
