import itertools
import json

from d2f_mlx.training import Report, Summary

import mlx.core as mx
import pytest

METER = {"steps": 2, "prepare_s": 0.25, "process_s": 0.75, "compute_efficiency": 0.75}


def test_a_summary_tells_the_speed_and_the_best(tmp_path):
    seconds = itertools.count(100)
    mx.eval(mx.zeros((1 << 26,)) + 1)  # before it begins
    summary = Summary(tmp_path, clock=lambda: next(seconds))
    mx.eval(mx.zeros((1 << 20,)) + 1)
    for step, mse in enumerate([0.5, 0.25, None, 0.375], 1):
        summary(Report(step, 0.1, mse and {"mse": mse, "psnr": -mse}, METER))
    found = json.loads((tmp_path / "summary.json").read_text())
    assert 2**22 / 2**30 <= found.pop("peak_memory_gib") < 0.2
    expected = {"steps": 4, "wall_s": 4.0, "steps_per_s": 1.0, "best": {"step": 2, "mse": 0.25, "psnr": -0.25}}
    assert found == expected | {name: METER[name] for name in METER if name != "steps"}
    lines = summary.describe().splitlines()
    assert lines[0] == "4 steps in 4 s, 1 a second"
    assert "prepare 0.2500 s, process 0.7500 s a step, compute efficiency 0.750" in lines[1]
    assert lines[2] == "best held-out mse 2.500e-01 at step 2"


@pytest.mark.parametrize(("highest", "best"), [(False, 4), (True, 2)])
def test_the_best_is_by_the_figure_that_is_asked_for(tmp_path, highest, best):
    seconds = itertools.count()
    summary = Summary(tmp_path, "balanced", highest=highest, clock=lambda: next(seconds))
    for step, balanced in enumerate([0.5, 0.75, 0.625, 0.25, 0.375], 1):
        summary(Report(step, 0.1, {"loss": balanced, "balanced": balanced}, METER))
    assert summary.figures["best"]["step"] == best
    assert f"best held-out balanced {summary.figures['best']['balanced']:.3e}" in summary.describe()


@pytest.mark.parametrize(("start", "wall_s", "best"), [(4, 5, 2), (3, 3, 4)])
def test_a_resumed_summary_goes_on_from_what_was_saved(tmp_path, start, wall_s, best):
    """What was written after the step that a training goes on from is no part of it."""
    seconds = itertools.count()
    first = Summary(tmp_path, clock=lambda: next(seconds))
    for step in (1, 2, 3):
        first(Report(step, 0.1, {"mse": 1 / 8 if step == 2 else 1 / 2}, METER))
    again = Summary(tmp_path, resume=True, clock=lambda: next(seconds))
    for step in range(start, 6):
        again(Report(step, 0.1, {"mse": 1 / 4 if step == 4 else 1 / 2}, {"steps": 0, "prepare_s": float("nan")}))
    assert (again.figures["steps"], again.figures["wall_s"]) == (5, wall_s)
    assert again.figures["best"]["step"] == best
    assert json.loads((tmp_path / "summary.json").read_text()) == again.figures
    assert Summary(tmp_path, resume=True).describe().splitlines()[0].startswith("5 steps")
