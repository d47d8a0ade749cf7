from d2f_mlx.grain import halide_mask
from d2f_mlx.models import Reconstructor, ReconstructorConfig
from d2f_mlx.training import example_pictures

import mlx.core as mx
import numpy as np
import pytest


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
