from dataclasses import replace

from d2f_mlx.models import Reconstructor, ReconstructorConfig, dianet, unet
from d2f_mlx.training import TrainConfig
from d2f_mlx.training.step import Step

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

SUMS = 1e-5  # the same numbers, added in another order
CONFIG = TrainConfig(steps=6, learning_rate=3e-3, warmup=2)


def film(crops=12, side=16):
    return np.random.default_rng(1).normal(128, 8, (crops, side, side, 3)).round().astype(np.uint8)


def step_of(config, model=None):
    mx.random.seed(5)
    return Step(Reconstructor(model or ReconstructorConfig(width=32)), config, group=6)


def flat(tree):
    return {name: np.array(array, np.float32) for name, array in tree_flatten(tree)}


@pytest.mark.parametrize("model", [ReconstructorConfig(width=32), ReconstructorConfig("dianet", "absolute", width=24)])
@pytest.mark.parametrize("parts", [2, 5, 12])
def test_a_batch_in_parts_gives_the_same_gradients(model, parts, monkeypatch):
    for network in (unet, dianet):  # rounding takes values to the other side of a kink, and that shows
        monkeypatch.setattr(network, "activate", mx.tanh)
    step = step_of(CONFIG, model)
    whole, ours = flat(step.sums(film(), 1)), flat(step.sums(film(), parts))
    for name, expected in whole.items():
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=SUMS * np.abs(expected).max(), err_msg=name)


def test_a_training_in_parts_is_the_same():
    whole, parts = step_of(CONFIG), step_of(replace(CONFIG, accumulate=3))
    losses = [(whole(film()), parts(film())) for _ in range(6)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=SUMS)


def test_the_running_mean_is_what_is_kept():
    step, share = step_of(replace(CONFIG, ema=0.9)), 0.9
    mean = flat(step.state["model"])
    for _ in range(4):
        step(film())
        mean = {name: share * mean[name] + (1 - share) * new for name, new in flat(step.state["model"]).items()}
    for name, array in flat(step._network.parameters()).items():
        np.testing.assert_allclose(array, mean[name], rtol=0, atol=1e-6)
    assert any(np.abs(flat(step.state["model"])[name] - mean[name]).max() > 1e-4 for name in mean)


def test_without_a_running_mean_the_weights_are_kept():
    step = step_of(CONFIG)
    step(film())
    kept = flat(step._network.parameters())
    for name, array in flat(step.state["model"]).items():
        np.testing.assert_array_equal(kept[name], array)


def test_bfloat16_computes_roughly_and_keeps_float32_weights():
    full, half = step_of(CONFIG), step_of(replace(CONFIG, precision="bfloat16"))
    (error, _), gradients = full.sums(film(), 1)
    (rough, _), rough_gradients = half.sums(film(), 1)
    assert rough.item() == pytest.approx(error.item(), rel=1e-2)
    assert rough.item() != error.item()
    a, b = (np.concatenate([g.ravel() for g in flat(tree).values()]) for tree in (gradients, rough_gradients))
    assert np.corrcoef(a, b)[0, 1] > 0.99
    half(film())
    assert {array.dtype for _, array in tree_flatten((half.state["model"], half._network.parameters()))} == {mx.float32}


def test_a_batch_of_which_nothing_counts_changes_nothing_for_the_worse():
    step = step_of(CONFIG)
    before = flat(step.state["model"])
    edges = np.zeros((12, 16, 16, 3), np.uint8)
    edges[:, ::2] = 255
    assert step(edges) == 0
    for name, array in flat(step.state["model"]).items():
        np.testing.assert_array_equal(array, before[name])
