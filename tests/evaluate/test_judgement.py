import json

from d2f_mlx import images
from d2f_mlx.evaluate import Judgement, judge
from d2f_mlx.models import ResNet, ResNetConfig

import mlx.core as mx
import numpy as np
import pytest


class Brightness(ResNet):
    """A judge whose logit is known: ten times a patch's mean in [-1, 1]; it notes the batches that it is shown."""

    def __init__(self):
        super().__init__(ResNetConfig())
        self.eval()
        self.batches = []

    def film_logit(self, x):
        self.batches.append((x.shape, self.training))
        return 10 * x.mean((1, 2, 3))


def picture(height=100, width=150, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def half_bright(height=64, width=128):
    pixels = np.full((height, width, 3), 20, np.uint8)
    pixels[:, width // 2 :] = 240
    return pixels


def test_every_patch_is_judged_where_it_lies():
    pixels = picture()
    found = judge(pixels, Brightness(), patch=40, stride=30)
    assert found.tops.tolist() == [0, 30, 60]
    assert found.lefts.tolist() == [0, 28, 55, 82, 110]
    for row, top in enumerate(found.tops):
        for column, left in enumerate(found.lefts):
            mean = pixels[top : top + 40, left : left + 40].mean() / 127.5 - 1
            assert found.logits[row, column] == pytest.approx(10 * mean, abs=1e-4)
    np.testing.assert_allclose(found.probability, 1 / (1 + np.exp(-found.logits)), atol=1e-6)
    assert found.film_share == (found.logits > 0).mean()
    assert found.mean_logit == pytest.approx(found.logits.mean())


def test_a_network_judges_a_batch_as_it_does_a_single_picture():
    mx.random.seed(0)
    network = ResNet(ResNetConfig())
    network.eval()
    pixels = picture(64, 96)
    found = judge(pixels, network, patch=32)
    alone = [
        network.film_logit(mx.array(pixels[None, top : top + 32, left : left + 32] / np.float32(127.5) - 1)).item()
        for top in (0, 32)
        for left in (0, 32, 64)
    ]
    np.testing.assert_allclose(found.logits.ravel(), alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_judges_by_what_it_learned_and_is_left_as_it_was(training):
    network = Brightness()
    network.train(training)
    judge(picture(), network, patch=40)
    assert network.training is training
    assert not any(in_training for _, in_training in network.batches)


def test_large_pictures_are_judged_in_small_batches():
    network = Brightness()
    found = judge(picture(160, 200), network, patch=32, stride=16)
    assert found.logits.shape == (9, 12)
    assert max(shape[0] for shape, _ in network.batches) <= 8
    assert sum(shape[0] for shape, _ in network.batches) == found.logits.size


def test_a_picture_below_a_patch_is_one_whole_patch():
    network = Brightness()
    assert judge(picture(50, 60), network).logits.shape == (1, 1)
    assert network.batches == [((1, 50, 60, 3), False)]
    assert judge(picture(50, 300), Brightness()).patch == (50, 224)


def test_all_forms_of_one_picture_are_judged_alike(tmp_path):
    pixels = picture()
    images.write(tmp_path / "picture.png", pixels)
    expected = judge(pixels, Brightness(), patch=50).logits
    for form in (pixels * np.uint16(257), pixels / 255, tmp_path / "picture.png", str(tmp_path / "picture.png")):
        np.testing.assert_array_equal(judge(form, Brightness(), patch=50).logits, expected)


@pytest.mark.parametrize(
    ("pixels", "flags", "message"),
    [
        (picture(), {"patch": 40, "stride": 41}, "stride from 1 to patch, got stride 41 and patch 40"),
        (picture(), {"patch": 0}, "stride from 1 to patch"),
        (picture()[..., :2], {}, r"judge expects pixels of shape \(H, W, 3\)"),
        (picture() * 1.0, {}, r"judge expects float pixels in \[0, 1\], got up to 255"),
        (picture() / np.nan, {}, "finite"),
        (picture().astype(np.int32), {}, "judge expects uint8, uint16 or float pixels, got int32"),
        (picture(20, 90), {}, "ResNet expects .* of 32 x 32 or more"),
    ],
)
def test_what_cannot_be_judged_is_refused(pixels, flags, message):
    with pytest.raises(ValueError, match=message):
        judge(pixels, ResNet(ResNetConfig()), **flags)


def test_the_map_is_blue_where_digital_and_orange_where_film():
    pixels = half_bright(128, 512)
    shown = judge(pixels, Brightness(), patch=64).heat_map(pixels)
    assert shown.dtype == np.uint8
    assert shown.shape[1] == 512
    assert shown.shape[0] > 128
    red, blue = (shown[:128, :, c].astype(int) for c in (0, 2))
    assert (blue[:, :256] > red[:, :256] + 60).all()
    assert (red[:, 256:] > blue[:, 256:] + 60).all()
    scale = shown[128 + 10].astype(int)
    assert scale[10, 2] > scale[10, 0] + 60
    assert scale[-11, 0] > scale[-11, 2] + 60
    assert (shown[128 + 24 :] < 100).any()  # words


def test_where_patches_overlap_the_map_is_their_mean():
    pixels = np.full((32, 320, 3), 128, np.uint8)
    whole = judge(pixels, Brightness(), patch=32)
    tops, lefts = np.array([0]), np.array([0, 80])
    found = Judgement(np.array([[-30.0, 30.0]]), tops, lefts, (32, 240), whole.size)
    shown = found.heat_map(pixels)[:32]
    half = Judgement(np.array([[0.0]]), tops, lefts[:1], (32, 320), whole.size).heat_map(pixels)[:32]
    np.testing.assert_array_equal(shown[:, 80:240], half[:, 80:240])
    assert (shown[:, :80] != half[:, :80]).any(-1).all()


def test_maps_are_of_a_size_to_look_at():
    wide = np.full((40, 3200, 3), 99, np.uint8)
    assert judge(wide, Brightness()).heat_map(wide).shape[1] == 1600
    small = picture(40, 40)
    assert judge(small, Brightness()).heat_map(small).shape[1] == 320
    with pytest.raises(ValueError, match=r"the picture that was judged, \(40, 40\), got \(40, 3200\)"):
        judge(small, Brightness()).heat_map(wide)


def test_a_judgement_goes_into_json():
    found = judge(half_bright(), Brightness(), patch=64)
    back = json.loads(json.dumps(found.as_dict()))
    assert back["film_share"] == 0.5
    assert back["mean_logit"] == pytest.approx(found.mean_logit)
    assert back["probability"] == found.probability.tolist()
    assert (back["tops"], back["lefts"], back["patch"], back["size"]) == ([0], [0, 64], [64, 64], [64, 128])
