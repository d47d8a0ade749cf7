from d2f_mlx.grain import halide_mask, normalised_convolution
from d2f_mlx.models import Reconstructor, ReconstructorConfig

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten

ROUNDING = 1e-5  # of pictures in [-1, 1]
MODELS = [
    ReconstructorConfig(network, way, kind, channels, width)
    for network, width in (("unet", 32), ("dianet", 24))
    for way, kind, channels in (
        ("residual", "extrema", "joint"),
        ("absolute", "peaks", "joint"),
        ("residual", "valleys", "independent"),
        ("absolute", "extrema", "harmony"),
    )
]


def name_of(config):
    return f"{config.network}-{config.way}-{config.channels}"


@pytest.fixture(params=MODELS, ids=name_of)
def model(request):
    mx.random.seed(4)
    return Reconstructor(request.param)


def inputs(height, width, seed=0):
    """Halides and their mask from noise, and a smooth base, all (1, H, W, 3)."""
    rng = np.random.default_rng(seed)
    film = mx.array(rng.uniform(-1, 1, (1, height, width, 3)).astype(np.float32))
    mask = halide_mask(film)
    ramp = np.linspace(-1, 1, width, dtype=np.float32)[None, None, :, None]
    return mx.where(mask, film, 0), mask, mx.array(np.broadcast_to(ramp, film.shape))


def without_network(model):
    """Zero the last layer of every network, so that the reconstructor falls back on its prior."""
    for name, module in model.named_modules():
        if name.endswith("head"):
            module.update({"weight": mx.zeros_like(module.weight), "bias": mx.zeros_like(module.bias)})
    return model


@pytest.mark.parametrize("size", [(24, 40), (5, 3), (1, 1)])
def test_halides_are_pinned_exactly_and_the_rest_is_rebuilt(model, size):
    halides, mask, base = inputs(*size)
    out, mask = np.array(model(halides, mask, base)), np.array(mask)
    assert out.shape == (1, *size, 3)
    np.testing.assert_array_equal(out[mask], np.array(halides)[mask])
    assert np.isfinite(out).all()


def test_without_its_network_it_is_normalised_convolution(model):
    halides, mask, base = inputs(24, 40)
    prior = normalised_convolution(halides, mask)
    assert np.abs(np.array(model(halides, mask, base) - prior)).max() > 100 * ROUNDING
    np.testing.assert_array_equal(np.array(without_network(model)(halides, mask, base)), np.array(prior))


def test_a_batch_equals_its_pictures(model):
    batch = [mx.concatenate(pair) for pair in zip(inputs(16, 24), inputs(16, 24, seed=1), strict=True)]
    apart = mx.concatenate([model(*(array[i : i + 1] for array in batch)) for i in range(2)])
    np.testing.assert_allclose(model(*batch), apart, rtol=0, atol=ROUNDING)


def test_what_lies_between_the_halides_is_not_looked_at(model):
    halides, mask, base = inputs(16, 24)
    rubbish = mx.where(mask, halides, 7.0)
    np.testing.assert_allclose(model(rubbish, mask, base), model(halides, mask, base), rtol=0, atol=ROUNDING)


def test_base_guides_the_residual_way_alone(model):
    halides, mask, base = inputs(16, 24)
    moved = np.abs(np.array(model(halides, mask, base) - model(halides, mask, -base))).max()
    assert (moved > 0) == (model.config.way == "residual")


def test_the_residual_way_needs_a_base():
    halides, mask, _ = inputs(4, 4)
    with pytest.raises(ValueError, match="expects a base picture in the residual way"):
        Reconstructor(ReconstructorConfig("dianet"))(halides, mask)


def test_noise_reaches_its_own_channel_alone_where_channels_are_independent():
    mx.random.seed(5)
    model = Reconstructor(ReconstructorConfig("dianet", channels="independent", width=24, noise=2))
    halides, mask, base = inputs(16, 24)
    noise = mx.random.normal((1, 16, 24, 6))
    green = mx.array([0.0, 1, 0, 0, 1, 0])  # of both maps
    moved = model(halides, mask, base, noise + green) - model(halides, mask, base, noise)
    assert (np.abs(np.array(moved)).max((0, 1, 2)) > 0).tolist() == [False, True, False]


@pytest.mark.parametrize("noise", [-1, 5])
def test_maps_of_noise_are_few(noise):
    with pytest.raises(ValueError, match=f"noise from 0 to 4, got {noise}"):
        ReconstructorConfig(noise=noise)


def test_overlap_covers_network_prior_and_window_and_keeps_tiles_aligned(model):
    # The prior reaches 8 pixels, a halide's own 3x3 window one.
    assert model.overlap >= model.network.reach + 8 + 1
    assert model.overlap % model.network.multiple == 0
    assert model.overlap - (model.network.reach + 8 + 1) < max(model.network.multiple, 8)


def test_a_crop_with_its_overlap_equals_the_whole(model):
    """Halides are taken anew from the crop, so that those on its border are wrong, as on a tile."""
    overlap, inner, multiple = model.overlap, 16, model.network.multiple
    side = 2 * overlap + inner
    film = mx.array(np.random.default_rng(3).integers(0, 256, (1, side + 48, side + 48, 3)).astype(np.uint8))

    def rebuilt(pixels):
        mask = halide_mask(pixels, model.config.halides)
        picture = pixels.astype(mx.float32) / 127.5 - 1
        return np.array(model(mx.where(mask, picture, 0), mask, mx.square(picture)))[0]

    whole = rebuilt(film)
    for top, left in ((2 * multiple, multiple), (multiple, 0)):
        crop = rebuilt(film[:, top : top + side, left : left + side])
        inside = slice(overlap, overlap + inner)
        expected = whole[top + overlap :, left + overlap :][:inner, :inner]
        np.testing.assert_allclose(crop[inside, inside], expected, rtol=0, atol=ROUNDING)


def test_a_loss_between_the_halides_reaches_every_weight(model):
    halides, mask, base = inputs(32, 32)
    _, gradients = nn.value_and_grad(model, lambda: mx.square(model(halides, mask, base) - 0.3).mean())()
    for name, gradient in tree_flatten(gradients):
        assert mx.isfinite(gradient).all().item(), name
        assert mx.abs(gradient).max().item() > 0, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "resnet"}, r"expects network in \('unet', 'dianet'\), got 'resnet'"),
        ({"way": "sideways"}, "expects way in"),
        ({"halides": "peak"}, "expects halides in"),
        ({"channels": "rgb"}, "expects channels in"),
        ({"width": 100}, "multiple of 24 or 32, got 100"),
        ({"width": -32}, "multiple of 24 or 32, got -32"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ReconstructorConfig(**settings)


@pytest.mark.parametrize(
    ("network", "width", "expected"),
    [
        ("unet", 0, (16, 32, 64, 96, 128)),
        ("unet", 512, (64, 128, 256, 384, 512)),
        ("dianet", 0, (8, 12, 16, 24)),
        ("dianet", 96, (32, 48, 64, 96)),
    ],
)
def test_widths_grow_from_the_picture_to_the_deepest_tensor(network, width, expected):
    assert ReconstructorConfig(network, width=width).widths == expected
