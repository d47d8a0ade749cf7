from d2f_mlx.data import grid_crops, random_crops

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image


def coordinates(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows], -1).astype(np.uint16)


def corners(crops):
    return [(int(crop[0, 0, 0]), int(crop[0, 0, 1])) for crop in crops]


sizes = st.integers(1, 90)


@given(sizes, sizes, st.one_of(st.integers(1, 40), st.integers(60, 70)), st.integers(1, 9), st.integers(0, 2**32))
@settings(max_examples=90, deadline=None)
def test_random_crops_are_windows(height, width, crop, count, seed):
    if crop > min(height, width):
        with pytest.raises(ValueError, match=f"a picture of {crop}x{crop} or more, got {width}x{height}"):
            random_crops(coordinates(height, width), crop, count, np.random.default_rng(seed))
        return
    pixels = coordinates(height, width)
    for window in random_crops(pixels, crop, count, np.random.default_rng(seed)):
        top, left = window[0, 0, 0], window[..., 1].min()
        expected = pixels[top : top + crop, left : left + crop]
        if window[0, 0, 1] != left:
            expected = expected[:, ::-1]
        np.testing.assert_array_equal(window, expected)


@pytest.mark.parametrize("crop", [8, 70])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["plain", "flipped", "read-only", "cut out"])
def test_random_crops_of_a_seed_stay_the_same(crop, dtype, layout):
    pixels = np.random.default_rng(0).integers(0, 2**8 if dtype == np.uint8 else 2**16, (90, 110, 3), dtype)
    pixels = {"flipped": pixels[::-1, :, ::-1], "cut out": pixels[5:80, 7:]}.get(layout, pixels)
    pixels.flags.writeable = layout != "read-only"
    rng = np.random.default_rng(5)
    tops = rng.integers(0, pixels.shape[0] - crop, 40, endpoint=True)
    lefts = rng.integers(0, pixels.shape[1] - crop, 40, endpoint=True)
    mirrored = rng.random(40) < 0.3
    windows = [pixels[top : top + crop, left : left + crop] for top, left in zip(tops, lefts, strict=True)]
    expected = [window[:, ::-1] if mirror else window for window, mirror in zip(windows, mirrored, strict=True)]
    out = np.zeros((42, crop, crop, 3), dtype)
    crops = random_crops(pixels, crop, 40, np.random.default_rng(5), 0.3, out[1:41])
    np.testing.assert_array_equal(crops, expected)
    np.testing.assert_array_equal(out[1:41], expected)
    assert not out[[0, 41]].any()


def test_crops_are_not_written_to_an_array_of_another_kind():
    pixels, rng = coordinates(20, 20), np.random.default_rng(0)
    for out in (np.empty((3, 8, 8, 3), np.uint8), np.empty((2, 8, 8, 3), np.uint16)):
        with pytest.raises(
            ValueError, match=r"random_crops expects out of \(3, 8, 8, 3\) uint16, got \([23], 8, 8, 3\) ui"
        ):
            random_crops(pixels, 8, 3, rng, out=out)


def test_random_crops_reach_every_place_equally():
    # 8 x 5 places; chi-square with 39 degrees of freedom stays below 72.1 with probability 0.999
    crops = random_crops(coordinates(12, 9), 5, 8000, np.random.default_rng(1), flip=0)
    _, counts = np.unique(corners(crops), axis=0, return_counts=True)
    assert counts.size == 40
    assert ((counts - 200) ** 2 / 200).sum() < 72.1


def test_grid_of_sixteen_bits_is_rounded_to_eight():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, -1)
    np.testing.assert_array_equal(grid_crops(every, 256, 1)[0], np.rint(every.astype(np.float64) * 255 / 65535))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (4, 4, 3)])
def test_other_pixels_are_refused(shape):
    dtype = np.float32 if shape == (4, 4, 3) else np.uint8
    with pytest.raises(ValueError, match=r"crops expect \(H, W, 3\) uint8 or uint16 pixels, got \(4, 4"):
        grid_crops(np.zeros(shape, dtype), 2, 1)


def test_single_grid_crop_is_the_centre():
    pixels = coordinates(100, 60).astype(np.uint8)
    np.testing.assert_array_equal(grid_crops(pixels, 20, 1), pixels[None, 40:60, 20:40])


def test_four_grid_crops_are_the_centres_of_the_quarters():
    crops = grid_crops(coordinates(100, 120).astype(np.uint8), 30, 4)
    assert corners(crops) == [(10, 15), (10, 75), (60, 15), (60, 75)]


def test_grid_follows_the_shape_of_the_picture():
    crops = grid_crops(coordinates(30, 180).astype(np.uint8), 10, 6)
    assert corners(crops) == [(10, left) for left in (10, 40, 70, 100, 130, 160)]


def test_overlapping_grid_crops_go_from_edge_to_edge():
    crops = grid_crops(coordinates(40, 100).astype(np.uint8), 40, 3)
    assert corners(crops) == [(0, 0), (0, 30), (0, 60)]


@given(sizes, sizes, st.integers(1, 40), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_grid_has_the_asked_number_of_windows(height, width, crop, count):
    crop = min(crop, height, width)
    pixels = coordinates(height, width).astype(np.uint8)
    crops = grid_crops(pixels, crop, count)
    assert crops.shape == (count, crop, crop, 3)
    for window, (top, left) in zip(crops, corners(crops), strict=True):
        np.testing.assert_array_equal(window, pixels[top : top + crop, left : left + crop])


def test_grid_of_a_file_is_the_grid_of_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    np.testing.assert_array_equal(grid_crops(tmp_path / "scan.png", 16, 5), grid_crops(pixels, 16, 5))


def test_empty_grid_is_refused():
    with pytest.raises(ValueError, match="crop >= 1 and count >= 1, got crop 8 and count 0"):
        grid_crops(np.zeros((9, 9, 3), np.uint8), 8, 0)
