from d2f_mlx.grain import FlatBlocks, flat_blocks

import numpy as np
import pytest

FLOAT32_LEVELS = 1e-3  # float32 sums over blocks of numbers up to 255
SIZE, STRIDE = 32, 16


def grain(shape=(96, 128, 3), sigma=5.0, mean=120.0, seed=0):
    return mean + sigma * np.random.default_rng(seed).standard_normal(shape)


def pixels(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


def count(values, rule=None):
    return len(flat_blocks(pixels(values), rule)[0])


def every_block(shape, size=SIZE, stride=STRIDE):
    return ((shape[0] - size) // stride + 1) * ((shape[1] - size) // stride + 1)


def brute_force(x, size, stride, structure=0.4, variance=300.0, margin=4.0):
    rows, columns = np.mgrid[0:size, 0:size].reshape(2, -1)
    design = np.stack([np.ones(size * size), rows, columns], 1)
    residuals, means = [], []
    for top in range(0, x.shape[0] - size + 1, stride):
        for left in range(0, x.shape[1] - size + 1, stride):
            block = x[top : top + size, left : left + size].astype(float).reshape(size * size, -1)
            rest = block - design @ np.linalg.lstsq(design, block, rcond=None)[0]
            cell = size // 4
            cells = np.stack(
                [
                    rest.reshape(size, size, -1)[i : i + cell, j : j + cell].mean((0, 1))
                    for i in range(0, size, cell)
                    for j in range(0, size, cell)
                ]
            )
            mean, var = block.mean(0), rest.var(0)
            good = (cells.std(0) < structure * rest.std(0)) & (var <= variance) & (var > 0)
            if (good & (mean > margin) & (mean < 255 - margin)).all():
                residuals.append(rest.reshape(size, size, -1))
                means.append(mean)
    return np.array(residuals), np.array(means)


@pytest.mark.parametrize(("size", "stride"), [(32, 16), (16, 9), (20, 23)])
def test_flat_blocks_are_those_a_plain_loop_finds(size, stride):
    values = grain((90, 130, 3))
    values[:, 60:] += 50 * np.sin(np.arange(70) / 6)[:, None]
    values[50:] += np.arange(40)[:, None, None]
    x = pixels(values)
    residuals, means = flat_blocks(x, FlatBlocks(size, stride))
    expected_residuals, expected_means = brute_force(x, size, stride)
    assert 0 < len(means) < every_block(x.shape, size, stride)
    np.testing.assert_allclose(residuals, expected_residuals, atol=FLOAT32_LEVELS)
    np.testing.assert_allclose(means, expected_means, atol=FLOAT32_LEVELS)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 14.0])
def test_white_noise_is_flat_however_strong(sigma):
    assert count(grain(sigma=sigma)) == every_block((96, 128))


def test_noise_above_the_largest_variance_is_refused():
    assert count(grain(sigma=20.0)) == 0
    assert count(grain(sigma=20.0), FlatBlocks(max_variance=600)) == every_block((96, 128))


def test_an_edge_or_a_texture_in_one_channel_is_refused():
    x = grain((SIZE, SIZE, 3))
    edge, texture = x.copy(), x.copy()
    edge[:, SIZE // 2 :, 1] += 30
    texture[..., 2] += 12 * np.sin(2 * np.pi * np.arange(SIZE) / 16)
    assert [count(x), count(edge), count(texture)] == [1, 0, 0]


def test_a_constant_picture_holds_no_grain():
    assert count(np.full((64, 64, 3), 120.0)) == 0


def test_a_plane_is_taken_away():
    x = pixels(grain((64, 64, 3), mean=40))
    ramp = (np.arange(64)[:, None] + 2 * np.arange(64))[..., None].astype(np.uint8)[..., [0, 0, 0]]
    ramp[..., 1] = ramp[..., 1].T
    ramp[..., 2] = 0
    residuals, means = flat_blocks(x)
    tilted_residuals, tilted_means = flat_blocks(x + ramp)
    np.testing.assert_allclose(tilted_residuals, residuals, atol=FLOAT32_LEVELS)
    np.testing.assert_allclose(tilted_means[0, 0] - means[0, 0], 15.5 + 2 * 15.5, atol=FLOAT32_LEVELS)
    np.testing.assert_allclose(residuals.mean((1, 2)), 0, atol=FLOAT32_LEVELS)


def test_sixteen_bits_have_the_units_of_eight():
    x = pixels(grain())
    for eight, sixteen in zip(flat_blocks(x), flat_blocks(x.astype(np.uint16) * 257), strict=True):
        np.testing.assert_allclose(sixteen, eight, atol=FLOAT32_LEVELS)


@pytest.mark.parametrize(("mean", "blocks"), [(3.5, 0), (4.5, 1), (250.5, 1), (251.5, 0)])
def test_means_keep_a_margin_from_black_and_white(mean, blocks):
    sixteen = np.rint(grain((SIZE, SIZE, 3), 0.3, mean) * 257).astype(np.uint16)
    assert len(flat_blocks(sixteen)[0]) == blocks


@pytest.mark.parametrize("shape", [(SIZE - 1, 200, 3), (200, SIZE - 1, 1), (1, 1, 3)])
def test_a_picture_smaller_than_a_block_has_none(shape):
    residuals, means = flat_blocks(np.zeros(shape, np.uint8))
    assert residuals.shape == (0, SIZE, SIZE, shape[2])
    assert means.shape == (0, shape[2])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("size", 30, "multiple of 4"), ("size", 4, "multiple of 4"), ("stride", 0, "stride to be 1 or more, got 0")],
)
def test_a_bad_rule_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        FlatBlocks(**{field: value})


@pytest.mark.parametrize("bad", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)])
def test_pixels_that_are_no_integers_or_no_picture_are_refused(bad):
    with pytest.raises(ValueError, match="flat_blocks expects integer pixels"):
        flat_blocks(bad)
