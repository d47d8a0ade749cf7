from d2f_mlx.grain import FlatBlocks, flat_blocks
from d2f_mlx.grain import patches as module

import numpy as np
import pytest
import scipy.ndimage as ndi

FLOAT32_LEVELS = 1e-3  # float32 sums over blocks of numbers up to 255
SIZE, STRIDE = 16, 8
ANY = float("inf")
COARSE = FlatBlocks(
    size=32, stride=16, max_structure=0.4, max_edges=1, max_excess=ANY
)  # what HalideStatistics measures on
FILM = 0.5  # lag-1 correlation


def grain(shape=(96, 128, 3), sigma=5.0, mean=120.0, seed=0):
    return mean + sigma * np.random.default_rng(seed).standard_normal(shape)


def film(sigma, shape=(512, 512), shared=0.8, seed=0):
    """Gaussian grain with correlation exp(-h^2 / 4 s^2), so 0.5 at one pixel, and 0.8 between the channels."""
    rng = np.random.default_rng(seed)
    width = np.sqrt(-1 / (4 * np.log(FILM)))
    fields = [np.fft.ifft2(ndi.fourier_gaussian(np.fft.fft2(rng.standard_normal(shape)), width)).real for _ in "rgb+"]
    unit = np.stack([np.sqrt(shared) * fields[3] + np.sqrt(1 - shared) * f for f in fields[:3]], -1)
    return 120 + sigma * unit / unit.std()


def pixels(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


def count(values, rule=None):
    return len(flat_blocks(pixels(values), rule).mean)


def every_block(shape, size=SIZE, stride=STRIDE):
    return ((shape[0] - size) // stride + 1) * ((shape[1] - size) // stride + 1)


def edge_map(x, slope):
    """Mark where the smoothed luminance is steep, on the whole picture at once."""
    luminance = x @ [0.2126, 0.7152, 0.0722]
    weight = ndi.gaussian_filter(np.ones(x.shape[:2]), 2, truncate=3, mode="constant")
    smooth = np.pad(ndi.gaussian_filter(luminance, 2, truncate=3, mode="constant") / weight, 1, mode="edge")
    down, right = smooth[2:, 1:-1] - smooth[:-2, 1:-1], smooth[1:-1, 2:] - smooth[1:-1, :-2]
    return np.hypot(down, right) / 2 > slope


def brute_force(x, rule):
    size = rule.size
    rows, columns = np.mgrid[0:size, 0:size].reshape(2, -1)
    design = np.stack([np.ones(size * size), rows, columns], 1)
    edges = edge_map(x, rule.edge)
    residuals, means, variances, corners = [], [], [], []
    for top in range(0, x.shape[0] - size + 1, rule.stride):
        for left in range(0, x.shape[1] - size + 1, rule.stride):
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
            good = (cells.std(0) < rule.max_structure * rest.std(0)) & (var <= rule.max_variance) & (var > 1e-7)
            good &= (mean > rule.margin) & (mean < 255 - rule.margin)
            share = edges[top : top + size, left : left + size].mean()
            if good.all() and share <= rule.max_edges:
                residuals.append(rest.reshape(size, size, -1))
                means.append(mean)
                variances.append(var)
                corners.append((top, left))
    residuals, means, variances, corners = map(np.array, (residuals, means, variances, corners))
    usual = np.ones(len(means), bool)
    for k, (mean, var) in enumerate(zip(means, variances, strict=True)):
        for c in range(len(mean)):
            alike = means[:, c] // 16 == mean[c] // 16
            usual[k] &= var[c] <= rule.max_excess * np.median(variances[alike, c])
    return residuals[usual], means[usual], corners[usual]


@pytest.mark.parametrize(
    "rule",
    [
        FlatBlocks(),
        FlatBlocks(16, 9, max_structure=0.4, max_edges=1),
        FlatBlocks(20, 23),
        FlatBlocks(32, 16, max_structure=0.4, max_edges=0.05, edge=2.5),
        FlatBlocks(16, 6, max_structure=2, max_variance=60, max_excess=ANY),
        FlatBlocks(16, 8, max_structure=1, max_excess=1.1),
    ],
    ids=str,
)
def test_flat_blocks_are_those_a_plain_loop_finds(rule, monkeypatch):
    monkeypatch.setattr(module, "_STRIP_PIXELS", 130 * 24)  # four strips
    values = grain((90, 130, 3))
    values[:, 60:] += 50 * np.sin(np.arange(70) / 6)[:, None]
    values[50:] += np.arange(40)[:, None, None]
    values[20:40, 10:30] += 40
    x = pixels(values)
    blocks = flat_blocks(x, rule)
    residuals, means, corners = brute_force(x, rule)
    assert 0 < len(means) < every_block(x.shape, rule.size, rule.stride)
    np.testing.assert_array_equal(blocks.corner, corners)
    np.testing.assert_allclose(blocks.residual, residuals, atol=FLOAT32_LEVELS)
    np.testing.assert_allclose(blocks.mean, means, atol=FLOAT32_LEVELS)
    for level, (top, left) in zip(blocks.level, corners, strict=True):
        np.testing.assert_array_equal(level, x[top : top + rule.size, left : left + rule.size])


def test_the_edge_limit_alone_refuses_what_is_on_an_edge():
    x = grain((128, 128, 3), 0.3)
    x[:, 60:] += 40
    blocks = flat_blocks(pixels(x), FlatBlocks(max_structure=99, max_variance=1e9, max_excess=ANY))
    steep = edge_map(pixels(x), FlatBlocks.edge)
    share = [steep[r : r + 16, c : c + 16].mean() for r, c in blocks.corner]
    assert max(share) <= 0.01
    assert len(share) == sum(
        steep[r : r + 16, c : c + 16].mean() <= 0.01 for r in range(0, 113, 8) for c in range(0, 113, 8)
    )
    assert 0 < steep.mean() < 0.2


def test_strips_see_the_edges_beside_them(monkeypatch):
    x = pixels(grain((200, 64, 3)))
    rule = FlatBlocks(max_structure=99, edge=0.5)  # that noise reaches here and there
    whole = flat_blocks(x, rule).corner
    assert 30 < len(whole) < every_block(x.shape) - 30
    monkeypatch.setattr(module, "_STRIP_PIXELS", 8 * 64)
    np.testing.assert_array_equal(flat_blocks(x, rule).corner, whole)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 14.0])
@pytest.mark.parametrize("rule", [None, COARSE])
def test_white_noise_is_flat_however_strong(sigma, rule):
    size, stride = (rule.size, rule.stride) if rule else (SIZE, STRIDE)
    assert count(grain(sigma=sigma), rule) == every_block((96, 128), size, stride)


@pytest.mark.parametrize(("sigma", "share"), [(2.0, 0.98), (8.0, 0.98), (12.0, 0.95)])
def test_grain_as_of_film_is_flat(sigma, share):
    x = film(sigma)
    lag = np.corrcoef(x[:, 1:, 0].ravel(), x[:, :-1, 0].ravel())[0, 1]
    assert abs(lag - FILM) < 0.02
    assert count(x) >= share * every_block(x.shape)


@pytest.mark.parametrize("side", [8, 16, 24])
def test_textures_as_strong_as_grain_are_refused(side):
    """Patches of random brightness, as of leaves or stones, under weak grain."""
    rng = np.random.default_rng(side)
    texture = ndi.gaussian_filter(rng.standard_normal((512, 512)), side / 4, mode="wrap")[..., None]
    x = 120 + 8 * texture / texture.std() + rng.standard_normal((512, 512, 3))
    assert count(x) < 0.1 * every_block(x.shape)


def test_noise_above_the_largest_variance_is_refused():
    assert count(grain(sigma=20.0)) == 0
    assert count(grain(sigma=20.0), FlatBlocks(max_variance=600, max_edges=1)) == every_block((96, 128))


def test_blocks_that_vary_more_than_others_as_bright_are_refused():
    """Strong grain in the shadows is no reason, dust on a sky is."""
    x = np.concatenate([grain((128, 128, 3), 9.0, 60), grain((128, 128, 3), 2.0, 200)])
    x[170, 59:64] -= 25
    x[200, 100:110, 1] += 25
    with_dust, without = (flat_blocks(pixels(x), FlatBlocks(max_excess=e)) for e in (ANY, 2.0))
    assert (without.mean[:, 0] < 130).sum() == 14 * 15  # all but those beside the border
    gone = {tuple(c) for c in with_dust.corner} - {tuple(c) for c in without.corner}
    assert gone == {(r, c) for r in (160, 168) for c in (48, 56)} | {(r, c) for r in (192, 200) for c in (88, 96, 104)}


def test_an_edge_or_a_texture_in_one_channel_is_refused():
    x = grain((SIZE, SIZE, 3))
    edge, texture = x.copy(), x.copy()
    edge[:, SIZE // 2 :, 1] += 30
    texture[..., 2] += 15 * np.cos(2 * np.pi * np.arange(SIZE) / 16)
    assert [count(x), count(edge), count(texture)] == [1, 0, 0]


def test_a_constant_picture_or_an_exact_ramp_holds_no_grain():
    assert count(np.full((64, 64, 3), 120.0)) == 0
    for down, right in [(1, 1), (7, -3), (40, 11), (-33, 57)]:
        plane = 30000 + down * np.arange(64)[:, None, None] + right * np.arange(64)[:, None] + np.zeros(3)
        assert len(flat_blocks(plane.astype(np.uint16), FlatBlocks(max_structure=1e6)).mean) == 0


def test_a_plane_is_taken_away():
    x = pixels(grain((64, 64, 3), mean=40))
    ramp = (np.arange(64)[:, None] + 2 * np.arange(64))[..., None].astype(np.uint8)[..., [0, 0, 0]]
    ramp[..., 1] = ramp[..., 1].T
    ramp[..., 2] = 0
    plain, tilted = flat_blocks(x), flat_blocks(x + ramp)
    np.testing.assert_array_equal(plain.corner, tilted.corner)
    np.testing.assert_allclose(tilted.residual, plain.residual, atol=FLOAT32_LEVELS)
    np.testing.assert_allclose(tilted.mean[0, 0] - plain.mean[0, 0], 7.5 + 2 * 7.5, atol=FLOAT32_LEVELS)
    np.testing.assert_allclose(plain.residual.mean((1, 2)), 0, atol=FLOAT32_LEVELS)


def test_sixteen_bits_have_the_units_of_eight():
    x = pixels(grain())
    for eight, sixteen in zip(flat_blocks(x), flat_blocks(x.astype(np.uint16) * 257), strict=True):
        np.testing.assert_allclose(sixteen, eight, atol=FLOAT32_LEVELS)


@pytest.mark.parametrize(("mean", "blocks"), [(3.5, 0), (4.5, 1), (250.5, 1), (251.5, 0)])
def test_means_keep_a_margin_from_black_and_white(mean, blocks):
    sixteen = np.rint(grain((SIZE, SIZE, 3), 0.3, mean) * 257).astype(np.uint16)
    assert len(flat_blocks(sixteen).mean) == blocks


@pytest.mark.parametrize("shape", [(SIZE - 1, 200, 3), (200, SIZE - 1, 1), (1, 1, 3), (0, 40, 3), (40, 0, 3)])
def test_a_picture_smaller_than_a_block_has_none(shape):
    blocks = flat_blocks(np.zeros(shape, np.uint8))
    assert blocks.residual.shape == blocks.level.shape == (0, SIZE, SIZE, shape[2])
    assert blocks.mean.shape == (0, shape[2])
    assert blocks.corner.shape == (0, 2)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 30, "multiple of 4"),
        ("size", 4, "multiple of 4"),
        ("stride", 0, "stride to be 1 or more, got 0"),
        ("max_edges", -0.1, "max_edges to be 0 or more, got -0.1"),
        ("edge", float("nan"), "edge to be 0 or more, got nan"),
    ],
)
def test_a_bad_rule_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        FlatBlocks(**{field: value})


@pytest.mark.parametrize("bad", [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32)])
def test_pixels_that_are_no_integers_or_no_picture_are_refused(bad):
    with pytest.raises(ValueError, match="flat_blocks expects integer pixels"):
        flat_blocks(bad)
