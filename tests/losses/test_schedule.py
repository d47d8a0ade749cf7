from dataclasses import replace

from d2f_mlx.losses import NOTES, WeightSchedule, normalised, running_scale, weighted

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_map

TABLE = {  # facts: progress in percent -> mse, lpips, ssim, gram
    (0, 15, 29.99): (0.2, 0.7, 0.8, 0.3),
    (30, 45, 59.99): (0.5, 0.4, 0.4, 0.5),
    (60, 80, 100): (0.8, 0.3, 0.2, 0.6),
}
NAMES = ("mse", "lpips", "ssim", "gram")


@pytest.mark.parametrize(("percents", "row"), TABLE.items())
def test_the_notes_schedule_is_their_table(percents, row):
    for percent in percents:
        assert NOTES(percent / 100) == dict(zip(NAMES, row, strict=True))


def test_a_smooth_schedule_goes_in_lines_between_the_phases_centres():
    smooth = replace(NOTES, smooth=True)
    progress = np.linspace(0, 1, 101)
    for name, row in zip(NAMES, zip(*TABLE.values(), strict=True), strict=True):
        found = [smooth(p)[name] for p in progress]
        np.testing.assert_allclose(found, np.interp(progress, [0.15, 0.45, 0.8], row), atol=1e-12)


@pytest.mark.parametrize("smooth", [False, True])
def test_a_schedule_of_one_phase_is_constant(smooth):
    schedule = WeightSchedule((0.0,), {"mse": (2.0,)}, smooth)
    assert [schedule(p) for p in (0, 0.5, 1)] == [{"mse": 2.0}] * 3


@pytest.mark.parametrize("starts", [(), (0.1, 0.5), (0, 0.5, 0.5), (0, 0.6, 0.3), (0, 1), (0, float("nan"))])
def test_phases_must_rise_from_nothing(starts):
    with pytest.raises(ValueError, match="starts to rise from 0"):
        WeightSchedule(starts, {"mse": (1.0,) * len(starts)})


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 2.0, 3.0), (1.0, -1.0), (1.0, float("nan")), (float("inf"), 1.0)])
def test_every_loss_has_a_weight_for_every_phase(weights):
    with pytest.raises(ValueError, match="expects 2 weights of 'lpips'"):
        WeightSchedule((0, 0.5), {"mse": (1.0, 2.0), "lpips": weights})


@pytest.mark.parametrize("progress", [-0.01, 1.01, float("nan")])
def test_progress_is_a_share(progress):
    with pytest.raises(ValueError, match=r"progress in \[0, 1\]"):
        NOTES(progress)


def test_the_running_scale_is_an_exponential_mean_of_sizes():
    values = np.random.default_rng(0).normal(size=20)
    state, mean = {}, abs(values[0])
    for value in values:
        state = running_scale(state, {"critic": mx.array(value, mx.float32)}, 0.1)
        mean = 0.9 * mean + 0.1 * abs(value)
        assert float(state["critic"]) == pytest.approx(mean, rel=1e-6)


def test_zeros_do_not_start_a_scale_and_divide_to_zero():
    state = running_scale({}, {"grain": mx.array(0.0)}, 0.01)
    assert float(normalised({"grain": mx.array(0.0)}, state)["grain"]) == 0
    state = running_scale(state, {"grain": mx.array(4.0)}, 0.01)
    assert float(normalised({"grain": mx.array(4.0)}, state)["grain"]) == 1


def test_losses_that_are_absent_keep_their_scale():
    state = running_scale({"gram": mx.array(3.0)}, {"mse": mx.array(2.0)}, 0.5)
    assert {name: float(scale) for name, scale in state.items()} == {"gram": 3, "mse": 2}


def test_no_gradient_flows_through_a_scale():
    def loss(x, state):
        losses = {"mse": (x**2).mean(), "nothing": (x * 0).mean()}
        state = running_scale(state, losses, 0.25)
        return weighted(normalised(losses, state), {"mse": 3.0, "nothing": 1.0}), state

    x = mx.array([1.0, 2.0])
    (value, state), gradient = mx.value_and_grad(loss)(x, {"mse": mx.array(10.0), "nothing": mx.array(0.0)})
    scale = 0.75 * 10 + 0.25 * 2.5
    assert float(value) == pytest.approx(3 * 2.5 / scale)
    assert float(state["mse"]) == pytest.approx(scale)
    np.testing.assert_allclose(np.array(gradient), 3 * np.array([1.0, 2.0]) / scale, rtol=1e-6)


def test_weights_and_scales_change_without_a_new_trace():
    traces = []

    @mx.compile
    def step(x, weights, state):
        traces.append(x)
        losses = {name: (x**n).mean() for n, name in enumerate(NAMES, 1)}
        state = running_scale(state, losses)
        return weighted(normalised(losses, state), weights), state

    x, state = mx.array([0.5, 2.0]), dict.fromkeys(NAMES, mx.array(0.0))
    for progress, row in zip((0.0, 0.45, 1.0), TABLE.values(), strict=True):
        total, state = step(x, tree_map(mx.array, NOTES(progress)), state)
        assert float(total) == pytest.approx(sum(row), rel=1e-6)  # of a constant loss, each scale is the loss
    assert len(traces) == 1


def test_names_and_shares_are_checked():
    losses = {"mse": mx.array(1.0)}
    with pytest.raises(ValueError, match=r"got none of \['mse'\]"):
        normalised(losses, {})
    with pytest.raises(ValueError, match=r"got those of \['lpips'\]"):
        weighted(losses, {"lpips": 1.0})
    for share in (0, 1.1):
        with pytest.raises(ValueError, match="share in"):
            running_scale({}, losses, share)
