"""The tiles that a picture is cut into."""

from types import SimpleNamespace

from d2f_mlx import images
from d2f_mlx.backend import free_memory_bytes
from d2f_mlx.develop import DevelopConfig, Developer, engine

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

EDGES = st.integers(1, 9000)


def made(tile=1024, align=16, parallel=2, pixel_bytes=300):
    return SimpleNamespace(tile=tile, largest_tile=2048, align=align, parallel=parallel, pixel_bytes=pixel_bytes)


@pytest.fixture
def memory(monkeypatch):
    return lambda free: monkeypatch.setattr(engine, "free_memory_bytes", lambda: free)


@given(EDGES, EDGES, st.sampled_from([0, 37, 500, 5000]), st.sampled_from([1, 8, 16]))
def test_a_picture_is_divided_evenly_into_as_many_tiles_as_it_takes(height, width, wanted, align):
    limit = min(wanted or 1024, 2048)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "free_memory_bytes", lambda: 2**40)
        side = engine.tile_side(made(align=align), (height, width), 40, wanted)
    assert side % align == 0
    assert side < limit + align
    for length in (height, width):
        assert -(-length // side) <= -(-length // limit)
    less = side - 32  # sides go by steps of 32, or are the limit
    assert less <= 0 or any(-(-length // less) > -(-length // limit) for length in (height, width))
    assert side % 32 == 0 or side == -(-limit // align) * align


@pytest.mark.parametrize(("free", "side"), [(2**40, 1024), (2**30, 576), (2**28, 240), (2**20, 128), (0, 128)])
def test_tiles_are_smaller_where_memory_is_short(memory, free, side):
    memory(free)
    length = 1024 * 576 * 5  # divided by most sides without a rest
    found = engine.tile_side(made(), (length, length), 40)
    assert found == pytest.approx(side, abs=16)
    if found > 128:
        assert 2 * 300 * (found + 80) ** 2 <= free / 4
    assert engine.tile_side(made(), (length, length), 40, wanted=1024) == 1024


def test_a_picture_is_the_same_with_little_memory(memory, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (150, 300, 3), np.uint8)
    developer, sides, map_tiles = Developer(DevelopConfig()), [], images.map_tiles

    def listen(*args, size, **options):
        sides.append(size)
        return map_tiles(*args, size=size, **options)

    monkeypatch.setattr(images, "map_tiles", listen)
    films = []
    for free in (2**40, 2**20):
        memory(free)
        films.append(developer(photo, key=1))
    assert sides == [320, 128]
    np.testing.assert_array_equal(films[1], films[0])


def test_free_memory_is_some_and_no_more_than_there_is():
    assert 2**20 < free_memory_bytes() < 2**50
