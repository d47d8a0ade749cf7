from __future__ import annotations

import tracemalloc
from itertools import pairwise

from d2f_mlx.backend import mx
from d2f_mlx.images import blend_tiles, map_rows, map_tiles, read_tile, split, tiles

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

FLOAT32_ROUNDING = 2e-5  # a sum of up to 2000 weights, where tiles are much smaller than their overlap
EDGES = st.integers(1, 40)
SIZES = st.integers(1, 24)
OVERLAPS = st.integers(0, 30)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


@settings(deadline=None)
@given(EDGES, EDGES, SIZES, OVERLAPS)
def test_inner_areas_partition_the_picture_and_outer_areas_have_one_shape(height, width, size, overlap):
    covered = np.zeros((height, width), int)
    for tile in split(height, width, size, overlap):
        covered[tile.rows, tile.cols] += 1
        assert tile.edge == size + 2 * overlap
        assert (tile.rows.start - tile.top, tile.cols.start - tile.left) == (overlap, overlap)
    np.testing.assert_array_equal(covered, 1)


@settings(deadline=None)
@given(EDGES, EDGES, SIZES, OVERLAPS)
def test_read_tile_is_numpys_reflection(height, width, size, overlap):
    pixels = noise(height, width)
    reach = overlap + size
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    for tile in split(height, width, size, overlap):
        top, left = tile.top + reach, tile.left + reach
        expected = padded[top : top + tile.edge, left : left + tile.edge]
        np.testing.assert_array_equal(read_tile(pixels, tile), expected)


def test_a_tile_inside_the_picture_is_a_view():
    pixels = noise(30, 30)
    inside = [tile for tile in split(30, 30, 10, 5) if (tile.top, tile.left) == (5, 5)]
    assert np.shares_memory(read_tile(pixels, inside[0]), pixels)


@settings(deadline=None, max_examples=60)
@given(EDGES, EDGES, SIZES, st.integers(2, 30))
def test_a_local_process_by_tiles_equals_the_whole(height, width, size, overlap):
    pixels = noise(height, width)

    def box(tile_pixels, tile=None):
        return ndimage.uniform_filter(tile_pixels.astype(np.float64), (5, 5, 1), mode="mirror")

    tiled = map_tiles(box, pixels, size=size, overlap=overlap)
    np.testing.assert_allclose(tiled, box(pixels), rtol=0, atol=1e-12)


def test_too_small_an_overlap_shows():
    pixels = noise(20, 20)

    def box(tile_pixels, tile=None):
        return ndimage.uniform_filter(tile_pixels, (5, 5, 1), mode="mirror")

    assert np.abs(map_tiles(box, pixels, size=7, overlap=1) - box(pixels)).max() > 0.01


@settings(deadline=None, max_examples=60)
@given(EDGES, EDGES, SIZES, st.integers(0, 30))
def test_a_process_may_return_the_inner_square_alone(height, width, size, overlap):
    pixels = noise(height, width)
    inside = slice(overlap, overlap + size)
    np.testing.assert_array_equal(map_tiles(lambda p, _: p[inside, inside], pixels, size=size, overlap=overlap), pixels)


def test_nothing_is_blended_where_the_inner_square_alone_is_returned():
    with pytest.raises(ValueError, match=r"blend_tiles expects process to return the outer square, got .*\(4, 4, 3\)"):
        blend_tiles(lambda p, _: p[1:-1, 1:-1], noise(8, 8), size=4, overlap=1)


def test_process_knows_its_place_and_chooses_channels_and_dtype():
    def place(tile_pixels, tile):
        rows, cols = np.mgrid[tile.top : tile.top + tile.edge, tile.left : tile.left + tile.edge]
        return np.stack([rows, cols], axis=-1).astype(np.int16)

    rows, cols = np.mgrid[:11, :17]
    placed = map_tiles(place, noise(11, 17), size=4, overlap=3)
    assert placed.dtype == np.int16
    np.testing.assert_array_equal(placed, np.stack([rows, cols], axis=-1))


def test_a_compiled_mlx_process_sees_one_shape():
    traces = []

    @mx.compile
    def double(tile_pixels):
        traces.append(tile_pixels.shape)
        return 2 * tile_pixels

    pixels = noise(13, 21)
    doubled = map_tiles(lambda tile_pixels, _: double(mx.array(tile_pixels)), pixels, size=8, overlap=2)
    np.testing.assert_array_equal(doubled, 2 * pixels)
    assert set(traces) == {(12, 12, 3)}
    assert len(traces) <= 2  # of 6 tiles: MLX traces a function twice at first, then never again


def test_out_is_filled_and_progress_counts_to_the_total():
    pixels, out, calls = noise(9, 10), np.zeros((9, 10, 3), np.float32), []
    result = map_tiles(lambda p, _: p, pixels, size=4, overlap=1, out=out, progress=lambda *call: calls.append(call))
    assert result is out
    np.testing.assert_array_equal(out, pixels)
    assert calls == [(done, 9) for done in range(1, 10)]


@settings(deadline=None)
@given(EDGES, EDGES, SIZES, OVERLAPS, st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_by_rows_every_tile_is_the_same_and_every_row_is_read_once(height, width, size, overlap, block, step, ahead):
    pixels, seen, asked = noise(height, width), [], []

    def record(tile_pixels, tile):
        seen.append((tile, tile_pixels.copy()))
        return 2 * tile_pixels

    def reading(top, bottom):
        asked.append((top, bottom))
        return pixels[top:bottom]

    expected = map_tiles(record, pixels, size=size, overlap=overlap)
    whole, seen = seen, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "_STEP", step)
        bands = map_rows(record, reading, (height, width), size=size, overlap=overlap, block=block, ahead=ahead)
        np.testing.assert_array_equal(np.concatenate([band.copy() for band in bands]), expected)
    for (tile, outer), (same, same_outer) in zip(whole, seen, strict=True):
        assert tile == same
        np.testing.assert_array_equal(outer, same_outer)
    edges = [0, *(bottom for _, bottom in asked)]
    assert [(top, bottom) for top, bottom in pairwise(edges)] == asked
    assert edges[-1] == height
    assert all(edge % block == 0 for edge in edges[:-1])


def test_by_rows_memory_is_a_window(monkeypatch):
    monkeypatch.setattr(tiles, "_STEP", 4)
    height, width, size, overlap, block, begun = 1000, 700, 10, 3, 8, []
    furthest = [0]

    def reading(top, bottom):
        furthest[0] = bottom
        return np.zeros((bottom - top, width, 3), np.uint8)

    def process(tile_pixels, tile):
        begun.append(furthest[0] - tile.rows.stop)
        return tile_pixels

    tracemalloc.start()
    rows = 0
    for band in map_rows(process, reading, (height, width), size=size, overlap=overlap, block=block):
        rows += len(band)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == height
    assert max(begun) < overlap + block  # how far ahead of a tile is read
    assert peak < height * width * 3 / 4


@pytest.mark.parametrize(("size", "overlap", "message"), [(0, 1, "size >= 1"), (2, -1, "overlap >= 0")])
def test_by_rows_wrong_arguments_are_refused(size, overlap, message):
    with pytest.raises(ValueError, match=message):
        next(map_rows(lambda p, _: p, lambda top, bottom: np.zeros((4, 4, 3)), (4, 4), size=size, overlap=overlap))


def test_by_rows_progress_counts_to_the_total():
    calls = []
    list(
        map_rows(
            lambda p, _: p,
            lambda top, bottom: noise(9, 10)[top:bottom],
            (9, 10),
            size=4,
            overlap=1,
            progress=lambda *call: calls.append(call),
        )
    )
    assert calls == [(done, 9) for done in range(1, 10)]


@settings(deadline=None)
@given(EDGES, EDGES, SIZES, OVERLAPS)
def test_blending_an_identity_returns_the_picture(height, width, size, overlap):
    pixels = noise(height, width)
    blended = blend_tiles(lambda p, _: p, pixels, size=size, overlap=overlap)
    assert blended.dtype == np.float32
    np.testing.assert_allclose(blended, pixels, rtol=0, atol=FLOAT32_ROUNDING)


@settings(deadline=None)
@given(EDGES, SIZES, OVERLAPS)
def test_blending_weights_sum_to_one(width, size, overlap):
    ones = blend_tiles(lambda p, _: np.ones_like(p), noise(3, width), size=size, overlap=overlap)
    np.testing.assert_allclose(ones, 1, rtol=0, atol=FLOAT32_ROUNDING)


def test_blending_fades_as_a_raised_cosine():
    def number(tile_pixels, tile):
        return np.full_like(tile_pixels, tile.cols.start // 10)

    row = blend_tiles(number, noise(1, 20, 1), size=10, overlap=4)[0, :, 0]
    inside = np.arange(6, 14) + 0.5 - 10
    expected = np.r_[np.zeros(6), 0.5 + 0.5 * np.sin(np.pi * inside / 8), np.ones(6)]
    np.testing.assert_allclose(row, expected, rtol=0, atol=FLOAT32_ROUNDING)


@pytest.mark.parametrize("by_tiles", [map_tiles, blend_tiles])
@pytest.mark.parametrize(
    ("shape", "size", "overlap", "message"),
    [
        ((4, 4, 3), 0, 1, "expects size >= 1, got 0"),
        ((4, 4, 3), 2, -1, "expects overlap >= 0, got -1"),
        ((4, 4), 2, 1, r"expects pixels of shape \(H, W, C\).* got \(4, 4\)"),
        ((0, 4, 3), 2, 1, r"got \(0, 4, 3\)"),
    ],
)
def test_wrong_arguments_are_refused(by_tiles, shape, size, overlap, message):
    with pytest.raises(ValueError, match=message):
        by_tiles(lambda p, _: p, np.zeros(shape), size=size, overlap=overlap)


@pytest.mark.parametrize("by_tiles", [map_tiles, blend_tiles])
def test_a_process_that_changes_the_shape_is_refused(by_tiles):
    with pytest.raises(ValueError, match=r"return shape \(6, 6, C\), got \(5, 6, 3\)"):
        by_tiles(lambda p, _: p[1:], noise(8, 8), size=4, overlap=1)


def test_out_of_another_shape_or_over_the_input_is_refused():
    pixels = noise(8, 8)
    with pytest.raises(ValueError, match=r"out of shape \(8, 8, 3\), got \(8, 8, 1\)"):
        map_tiles(lambda p, _: p, pixels, size=4, overlap=1, out=np.zeros((8, 8, 1)))
    with pytest.raises(ValueError, match="share memory"):
        map_tiles(lambda p, _: p, pixels, size=4, overlap=1, out=pixels)


def test_split_refuses_an_empty_picture():
    with pytest.raises(ValueError, match="at least 1 x 1, got 0 x 3"):
        split(0, 3, 4, 1)
