import io

from d2f_mlx.data import ALTERATIONS
from d2f_mlx.data.alterations import blur, denoise, jpeg, noise, resize, sharpen, wiener

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.signal
from PIL import Image

ROUNDING = 0.51  # levels: to the nearest, and float32's own


def scene(batch=2, height=48, width=56, sigma=6.0, seed=0):
    """Crops of a smooth scene with an edge, and noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:height, :width] / 10
    smooth = 120 + 50 * np.sin(row + 1)[..., None] * np.cos(column[..., None] * [0.7, 1, 1.3])
    smooth[:, width // 2 :] += 40
    noisy = smooth + sigma * rng.standard_normal((batch, height, width, 3))
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def by_channel(function, crops):
    channels = [[function(crop[..., c].astype(np.float64)) for c in range(3)] for crop in crops]
    return np.stack([np.stack(crop, -1) for crop in channels])


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_drawn_alteration_changes_crops_a_little_and_the_same_again_for_the_same_seed(name):
    crops = scene(batch=4)
    before = crops.copy()
    first, again = (ALTERATIONS[name](crops, np.random.default_rng(3)) for _ in range(2))
    others = [ALTERATIONS[name](crops, np.random.default_rng(seed)) for seed in range(4, 10)]
    assert first.shape == crops.shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(crops, before)
    np.testing.assert_array_equal(first, again)
    assert any((first != other).any() for other in others)
    change = np.abs(first.astype(float) - crops).mean((1, 2, 3))
    assert ((change > 0.05) & (change < 20)).all()


@pytest.mark.parametrize("side", [3, 7])
def test_the_wiener_filter_is_scipys_away_from_its_zero_border(side):
    crops, reach = scene(), side // 2

    def mirrored(channel):
        mean = scipy.ndimage.uniform_filter(channel, side, mode="reflect")
        variance = scipy.ndimage.uniform_filter(channel**2, side, mode="reflect") - mean**2
        padded = np.pad(channel, reach, "symmetric")
        return scipy.signal.wiener(padded, side, variance.mean())[reach:-reach, reach:-reach]

    assert np.abs(wiener(crops, side) - by_channel(mirrored, crops)).max() < ROUNDING


def test_the_wiener_filter_of_a_large_picture_is_scipys_as_it_is():
    crops = scene(1, 400, 400)
    theirs = by_channel(lambda channel: scipy.signal.wiener(channel, 7), crops)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(wiener(crops)[inside] - theirs[inside]).mean() < 1  # zeros at the border: their noise is larger


def test_the_wiener_filter_takes_a_given_noise_and_leaves_plain_crops():
    crops = scene()
    theirs = by_channel(lambda channel: scipy.signal.wiener(channel, 5, 50.0), crops)[:, 2:-2, 2:-2]
    assert np.abs(wiener(crops, 5, 50.0)[:, 2:-2, 2:-2] - theirs).max() < ROUNDING
    plain = np.full((1, 20, 20, 3), 77, np.uint8)
    np.testing.assert_array_equal(wiener(plain), plain)


def test_blur_is_scipys_gaussian_for_each_crop_its_own():
    crops, sigmas = scene(), np.array([0.7, 1.2])
    theirs = np.stack(
        [
            by_channel(
                lambda channel, s=s: scipy.ndimage.gaussian_filter(channel, s, radius=4, mode="reflect"), [crop]
            )[0]
            for crop, s in zip(crops, sigmas, strict=True)
        ]
    )
    assert np.abs(blur(crops, sigmas) - theirs).max() < ROUNDING


def test_denoise_is_thresholded_cosine_transforms_block_by_block():
    crops, sigma = scene(1, 21, 19), 5.0
    colours = scipy.fft.dct(crops[0].astype(np.float64), axis=-1, norm="ortho")
    padded = np.pad(colours, [(4, 20), (4, 20), (0, 0)], "symmetric")
    total = np.zeros_like(padded)
    for top in range(0, padded.shape[0] - 7, 4):
        for left in range(0, padded.shape[1] - 7, 4):
            place = (slice(top, top + 8), slice(left, left + 8))
            values = scipy.fft.dctn(padded[place], axes=(0, 1), norm="ortho")
            mean = values[0, 0].copy()
            values[np.abs(values) < 3 * sigma] = 0
            values[0, 0] = mean
            total[place] += scipy.fft.idctn(values, axes=(0, 1), norm="ortho") / 4
    expected = scipy.fft.idct(total[4:25, 4:23], axis=-1, norm="ortho").clip(0, 255)
    assert np.abs(denoise(crops, sigma)[0] - expected).max() < ROUNDING


def test_denoise_takes_noise_away_and_keeps_the_scene():
    clean, noisy = scene(sigma=0), scene(sigma=8)
    before, after = (np.mean((picture.astype(float) - clean) ** 2) for picture in (noisy, denoise(noisy, 8.0)))
    assert after < before / 5
    np.testing.assert_array_equal(denoise(noisy, 0.0), noisy)


def test_noise_is_white_gaussian_and_of_its_deviation_in_each_crop():
    crops = np.full((2, 256, 256, 3), 128, np.uint8)
    field = noise(crops, np.array([4.0, 12.0]), np.random.default_rng(0)) - 128.0
    np.testing.assert_allclose(field.std((1, 2)), [[4] * 3, [12] * 3], rtol=0.02)
    unit = field[1] / 12
    assert abs((unit[1:] * unit[:-1]).mean()) < 0.01
    assert abs((unit[..., 0] * unit[..., 1]).mean()) < 0.02
    assert abs((unit**4).mean() - 3) < 0.1
    assert abs((unit * field[0] / 4).mean()) < 0.01


@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_is_pillows_at_each_crops_quality(subsampling):
    crops, qualities = scene(), (35, 90)
    for out, crop, quality in zip(jpeg(crops, np.array(qualities), subsampling), crops, qualities, strict=True):
        with io.BytesIO() as file:
            Image.fromarray(crop).save(file, "JPEG", quality=quality, subsampling=subsampling)
            np.testing.assert_array_equal(out, np.asarray(Image.open(file)))


def test_resize_goes_there_and_back_by_pillow():
    crops, scales = scene(), (0.5, 1.5)
    for out, crop, size in zip(resize(crops, np.array(scales)), crops, ((28, 24), (84, 72)), strict=True):
        there = Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(out, np.asarray(there.resize((56, 48), Image.Resampling.BICUBIC)))


def test_sharpen_is_an_unsharp_mask_of_what_was_resampled():
    crops = scene()
    soft = resize(crops, 0.7).astype(np.float64)
    mask = soft - by_channel(
        lambda channel: scipy.ndimage.gaussian_filter(channel, 1.1, radius=4, mode="reflect"), soft
    )
    expected = (soft + 1.5 * mask).clip(0, 255)
    assert np.abs(sharpen(crops, 1.5, 1.1, 0.7) - expected).max() < ROUNDING
    np.testing.assert_array_equal(sharpen(crops, 0.0, scale=1.0), crops)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: blur(c[0], 1.0), r"blur expects \(B, H, W, 3\) uint8 crops, got \(48, 56, 3\) uint8"),
        (lambda c: wiener(c / 255), "wiener expects .* got .* float64"),
        (lambda c: wiener(c, 4), "wiener expects an odd side of 1 to 15, got 4"),
        (lambda c: blur(c, np.ones(3)), "blur expects one strength, or one for each of 2 crops"),
        (lambda c: blur(c, 0.0), "blur expects strengths of 0.1 to 100, got 0.0"),
        (lambda c: denoise(c, -1.0), "denoise expects strengths of 0 to inf, got -1.0"),
        (lambda c: jpeg(c, 101), "jpeg expects strengths of 1 to 100, got 101"),
        (lambda c: resize(c, float("nan")), "resize expects strengths of 0.05 to 20, got nan"),
    ],
)
def test_what_cannot_be_altered_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(scene())
