from d2f_mlx.grain import halide_mask
from d2f_mlx.models import Reconstructor, ReconstructorConfig
from d2f_mlx.training import example_pictures
from d2f_mlx.training.examples import varied

import mlx.core as mx
import numpy as np
import pytest


def test_varied_crops_have_other_grain_over_the_same_scene():
    rows = 120 + 60 * np.sin(np.arange(48) / 12)[:, None, None]
    film = mx.array((rows + np.random.default_rng(0).normal(0, 6, (16, 48, 48, 3))).round().astype(np.uint8))
    key = mx.random.key(1)
    np.testing.assert_array_equal(np.array(varied(film, key, 0.0)), np.array(film))
    whole, half = (np.array(varied(film, key, share)) for share in (1.0, 0.5))
    np.testing.assert_array_equal(np.array(varied(film, key, 1.0)), whole)
    changed = (half != np.array(film)).any((1, 2, 3))
    assert 0 < changed.sum() < 16
    np.testing.assert_array_equal(half[changed], whole[changed])
    before, after = (crops - rows for crops in (np.array(film), whole))
    # Of grain of 10 levels at most, of which six pixels hang together: a standard error of 0.5.
    assert np.abs((after - before).mean((1, 2))).max() < 2
    ratio = after.std((1, 2)) / before.std((1, 2))
    assert ratio.min() < 0.6
    assert ratio.max() > 1.1
    together = [np.corrcoef(crop.reshape(-1, 3).T)[0, 1] for crop in after]
    assert max(together) > 0.3  # before, channels have nothing to do with one another


@pytest.mark.parametrize(("way", "noise"), [("residual", 0), ("residual", 2), ("absolute", 0), ("absolute", 1)])
def test_a_reconstructors_example_shows_its_halides_as_they_are_and_keeps_them(way, noise):
    crop = np.random.default_rng(0).normal(120, 6, (48, 48, 3)).round().astype(np.uint8)
    mx.random.seed(0)
    network = Reconstructor(ReconstructorConfig(way=way, width=32, noise=noise))
    shown = example_pictures(crop, network)
    mask = np.array(halide_mask(mx.array(crop[None]), "extrema"))[0]
    np.testing.assert_array_equal(shown["film"], crop)
    np.testing.assert_array_equal(shown["halides"], np.where(mask, crop, 128))
    np.testing.assert_array_equal(shown["rebuilt"][mask], crop[mask])
    np.testing.assert_array_equal(example_pictures(crop, network)["rebuilt"], shown["rebuilt"])
    between = np.abs(shown["rebuilt"].astype(int) - crop)[~mask]
    assert 0 < between.mean() < 6  # less than the grain's own deviation: the prior is at work
