from dataclasses import replace

from d2f_mlx.models import Reconstructor, ReconstructorConfig
from d2f_mlx.training import AdversaryConfig
from d2f_mlx.training.adversary import alarms, start_from
from d2f_mlx.training.examples import examples

import mlx.core as mx
import numpy as np
import pytest

SAME = 1e-5  # the same numbers, added in another order
UNET = ReconstructorConfig(width=32, noise=1)
AGAINST = AdversaryConfig(statistics=1, adversary=0.1, discriminator_width=4, pool=24)


def film(crops=6, side=32, seed=1):
    return np.random.default_rng(seed).normal(128, 8, (crops, side, side, 3)).round().astype(np.uint8)


def test_a_start_hands_on_its_weights_and_says_the_same_without_its_noise():
    plain = Reconstructor(replace(UNET, noise=0))
    other = Reconstructor(UNET)
    start_from(other, plain)
    batch = examples(mx.array(film()), UNET)
    still = other(batch.halides, batch.mask, batch.base, mx.zeros((6, 32, 32, 3)))
    expected = plain(batch.halides, batch.mask, batch.base)
    np.testing.assert_allclose(np.array(still), np.array(expected), rtol=0, atol=SAME)
    with pytest.raises(ValueError, match="cannot start from"):
        start_from(other, Reconstructor(replace(UNET, width=64)))
    with pytest.raises(ValueError, match="cannot start from"):
        start_from(plain, other)


def test_weights_follow_the_notes_phases():
    against = replace(AGAINST, mse=0.5, weighting="stepped")
    assert AGAINST.weights(0.1) == AGAINST.weights(0.9)
    early, late = against.weights(0.1), against.weights(0.9)
    assert early["mse"] < late["mse"]
    assert early["spectrum"] < late["spectrum"]
    assert early["adversary"] > late["adversary"]
    assert replace(against, weighting="smooth").weights(0.3)["mse"] not in (early["mse"], late["mse"])


def test_collapse_and_a_discriminator_that_won_are_told():
    assert alarms({"discriminator": 0.9}, {"diversity": 0.3}) == ""
    assert "film from imitation every time" in alarms({"discriminator": 0.001}, None)
    assert "collapsed" in alarms({"discriminator": 0.9}, {"diversity": 1e-4})
    assert alarms({}, {"mse": 1.0}) == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mse": -1.0}, "mse >= 0"),
        ({"penalty": float("inf")}, "penalty >= 0"),
        ({"weighting": "none"}, "weighting of constant"),
        ({"discriminator": "pixel"}, "patch, multiscale"),
        ({"discriminator_width": 0}, "discriminator_width >= 1"),
    ],
)
def test_bad_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        AdversaryConfig(**values)
