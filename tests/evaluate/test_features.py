import json
import re

from d2f_mlx import images
from d2f_mlx.color import ADOBE_RGB, SRGB, convert
from d2f_mlx.color.icc import profile_of
from d2f_mlx.evaluate import CONTENT, STYLE, FeatureComparison, Likeness, compare_features
from d2f_mlx.losses import gram_distance
from d2f_mlx.models import VGG

import mlx.core as mx
import numpy as np
import pytest

ROUNDING = 1e-4  # relative: the features are float32


def picture(height, width, seed, top=256):
    return np.random.default_rng(seed).integers(0, top, (height, width, 3), np.uint8)


def plain(pictures, layers):
    """Stand in for a network: the colours themselves, and their squares."""
    found = {"colours": pictures, "squares": mx.square(pictures)}
    return {name: found[name] for name in layers}


def whole(pictures, square=False):
    """Return the mean colours and products of colours of pictures of one size."""
    pixels = np.concatenate([p.reshape(-1, 3) for p in pictures]) / 255
    pixels = pixels**2 if square else pixels
    return pixels.mean(0), pixels.T @ pixels / len(pixels)


@pytest.mark.parametrize("layer", ["colours", "squares"])
def test_figures_are_of_all_pixels_of_a_side(layer):
    film = [picture(16, 24, seed, top) for seed, top in enumerate((256, 128, 200, 90))]
    digital = [picture(16, 24, seed, 200) for seed in (5, 6, 7)]
    found = compare_features(film, digital, plain, [layer], crop=8, crops=6)

    def check(likeness, one, film):
        (mean, matrix), (film_mean, film_matrix) = (whole(side, layer == "squares") for side in (one, film))
        cosine = mean @ film_mean / np.sqrt((mean @ mean) * (film_mean @ film_mean))
        assert likeness.cosine == pytest.approx(cosine, abs=1e-6)
        assert likeness.gram == pytest.approx(((matrix - film_matrix) ** 2).sum() / (4 * 3**2), rel=ROUNDING)
        relative = np.sqrt(((matrix - film_matrix) ** 2).sum() / (film_matrix**2).sum())
        assert likeness.relative == pytest.approx(relative, rel=ROUNDING)

    check(found.digital[layer], digital, film)
    check(found.floor[layer], film[::2], film[1::2])


def test_a_single_crops_gram_distance_is_the_losss():
    one, two = picture(16, 16, 0), picture(16, 16, 1, 99)
    network = VGG(19)
    found = compare_features([one, one], [two], network, ["relu2_1"], crop=16)
    features = [network(mx.array(p[None]) / 255, ["relu2_1"])["relu2_1"] for p in (two, one)]
    assert found.digital["relu2_1"].gram == pytest.approx(float(gram_distance(*features)), rel=ROUNDING)


def test_what_is_equal_has_no_distance():
    one = picture(32, 32, 0)
    found = compare_features([one, one], [one], VGG(19), crop=16, crops=2)
    assert list(found.digital) == [*STYLE, *CONTENT]
    for side in (found.digital, found.floor):
        for likeness in side.values():
            assert likeness.cosine == pytest.approx(1, abs=1e-12)
            assert (likeness.gram, likeness.relative) == (0, 0)
    assert found.table().splitlines()[1].endswith("-")  # the ratio of nothing to nothing


def test_rolls_make_the_floor():
    film = [picture(16, 16, seed, top) for seed, top in enumerate((250, 250, 120, 120))]
    by_roll = compare_features(film, film, plain, ["colours"], rolls=["a", "a", "b", "b"], crop=16)
    by_picture = compare_features(film, film, plain, ["colours"], crop=16)
    assert by_roll.floor["colours"].relative > 1
    assert by_picture.floor["colours"].relative < 0.1


def test_no_more_crops_than_have_room():
    seen = []

    def network(pictures, layers):
        seen.append(pictures.shape)
        return plain(pictures, layers)

    compare_features([picture(16, 48, 0)], [picture(20, 33, 1)], network, ["colours"], crop=16, crops=9)
    assert seen == [(1, 16, 16, 3)] * (1 + 1 + 2)  # each half of the film, and the photograph


def test_files_are_read_in_srgb_and_reported(tmp_path):
    one, two = picture(16, 16, 1), picture(16, 16, 2)
    pixels = picture(16, 16, 0, 60) + np.uint8([180, 60, 30])  # red, inside both gamuts
    adobe = images.from_float(convert(images.to_float(pixels), SRGB, ADOBE_RGB), np.uint8)
    images.write(tmp_path / "srgb.png", pixels)
    images.write(tmp_path / "adobe.png", adobe, icc=profile_of(ADOBE_RGB))
    told, expected = [], compare_features([one, two], [pixels], plain, ["colours"], crop=16)
    for name in ("srgb.png", "adobe.png"):
        found = compare_features([one, two], [tmp_path / name], plain, ["colours"], crop=16, progress=told.append)
        assert found.digital["colours"].relative == pytest.approx(expected.digital["colours"].relative, rel=0.01)
    unmanaged = compare_features([one, two], [adobe], plain, ["colours"], crop=16).digital["colours"].relative
    one_scan = compare_features([tmp_path / "adobe.png"], [pixels], plain, ["colours"], crop=8, crops=9)
    assert one_scan.digital["colours"].relative < 0.01
    assert unmanaged != pytest.approx(expected.digital["colours"].relative, rel=0.05)
    assert [t for t in told if not isinstance(t, np.ndarray)] == [tmp_path / "srgb.png", tmp_path / "adobe.png"]
    assert len(told) == 6


COMPARISON = FeatureComparison(
    {"relu1_1": Likeness(0.9, 0.25, 0.5), "conv4_2": Likeness(0.8, 1e-5, 0.1)},
    {"relu1_1": Likeness(0.95, 0.01, 0.125), "conv4_2": Likeness(0.85, 2e-5, 0.2)},
    pictures=(3, 2),
    crops=4,
    crop=256,
)


def test_the_table_sets_the_floor_beside():
    lines = COMPARISON.table().splitlines()
    assert lines[1].split() == ["relu1_1", "0.9000", "0.9500", "0.25", "0.01", "0.5000", "0.1250", "4.00"]
    assert lines[2].split() == ["conv4_2", "0.8000", "0.8500", "1e-05", "2e-05", "0.1000", "0.2000", "0.50"]
    assert "3 film and 2 digital picture(s), up to 4 crops of 256x256 each." in lines


def test_json_holds_everything():
    found = json.loads(json.dumps(COMPARISON.as_dict()))
    assert {name: found[name] for name in ("film", "digital", "crops", "crop")} == {
        "film": 3,
        "digital": 2,
        "crops": 4,
        "crop": 256,
    }
    assert found["layers"]["conv4_2"] == {
        "digital": {"cosine": 0.8, "gram": 1e-5, "relative": 0.1},
        "floor": {"cosine": 0.85, "gram": 2e-5, "relative": 0.2},
    }


@pytest.mark.parametrize(("film", "digital", "missing"), [(0, 1, "film"), (1, 0, "digital pictures")])
def test_a_side_without_pictures_is_refused(film, digital, missing):
    with pytest.raises(ValueError, match=f"^compare_features expects {missing}, got none$"):
        compare_features([picture(8, 8, 0)] * film, [picture(8, 8, 0)] * digital, plain, ["colours"])


def test_rolls_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"^compare_features expects a roll for each of 1 scans, got 2$"):
        compare_features([picture(8, 8, 0)], [picture(8, 8, 0)], plain, ["colours"], rolls=["a", "b"])


def test_a_picture_smaller_than_a_crop_is_named(tmp_path):
    images.write(tmp_path / "small.png", picture(16, 31, 0))
    film = [picture(32, 32, 0), picture(32, 32, 1)]
    with pytest.raises(ValueError, match=re.escape("small.png: crops expect a picture of 32x32 or more, got 31x16")):
        compare_features(film, [tmp_path / "small.png"], plain, ["colours"], crop=32)
