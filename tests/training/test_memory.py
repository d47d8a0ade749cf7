from dataclasses import replace

from d2f_mlx.data import StreamConfig
from d2f_mlx.models import Reconstructor, ReconstructorConfig
from d2f_mlx.training import AdversaryConfig, MemoryPlan, TrainConfig, memory, plan_memory
from d2f_mlx.training.memory import memory_limit
from d2f_mlx.training.step import Step

import mlx.core as mx
import numpy as np
import pytest

MODEL = ReconstructorConfig(width=32)
PLAN = MemoryPlan(fixed=1e8, per_pixel=2000.0, crop=64, batch=100, accumulate=1, available=2**30)


def test_needs_grow_with_the_crops_that_are_worked_through_at_once():
    assert PLAN.needed == pytest.approx(1.1 * (1e8 + 2000 * 100 * 64**2))
    assert replace(PLAN, accumulate=3).needed == pytest.approx(1.1 * (1e8 + 2000 * 34 * 64**2))


def test_the_most_crops_fit_and_one_more_does_not():
    most = PLAN.most_crops
    assert replace(PLAN, batch=most).needed <= PLAN.available < replace(PLAN, batch=most + 1).needed


def test_what_does_not_fit_is_refused_with_a_flag_that_makes_it_fit():
    tight = replace(PLAN, available=0.5e9)
    with pytest.raises(ValueError, match=r"takes about 0\.94 of 0\.47 GiB; up to 43 .*--accumulate 3 gives") as error:
        tight.check()
    parts = int(str(error.value).split("--accumulate ")[1].split()[0])
    replace(tight, accumulate=parts).check()
    with pytest.raises(ValueError, match="--accumulate"):
        replace(tight, accumulate=parts - 1).check()


def test_where_crops_cannot_be_divided_fewer_are_named():
    tight = replace(PLAN, available=0.5e9, divisible=False)
    with pytest.raises(ValueError, match="--batch 43 or less would fit"):
        tight.check()
    replace(tight, batch=43).check()


@pytest.mark.parametrize("pool", [0, 100])
def test_an_adversarial_step_cannot_be_divided_and_its_pool_takes_memory(monkeypatch, pool):
    class Idle:
        def __init__(self, network, config, against, *_):
            assert against.pool == 0  # of whatever size, it would hide what a crop takes

        def __call__(self, crops):
            return 0.0

    monkeypatch.setattr(memory, "AdversarialStep", Idle)
    against = AdversaryConfig(adversary=1, pool=pool)
    plan = plan_memory(MODEL, StreamConfig(crop=48, batch=8), TrainConfig(memory_gb=4), adversary=against)
    assert not plan.divisible
    assert plan.fixed == pytest.approx(2 * pool * 48**2 * 12 * 4, abs=10_000)  # MLX counts a key or two
    assert plan_memory(MODEL, StreamConfig(crop=16, batch=8), TrainConfig(memory_gb=4)).divisible


def test_where_not_even_a_crop_fits_a_smaller_one_is_named():
    tight = replace(PLAN, available=1.1 * (1e8 + 2000 * 40**2))
    with pytest.raises(ValueError, match="--crop 32 would fit"):
        tight.check()
    replace(tight, crop=32, batch=1).check()
    with pytest.raises(ValueError, match="not even --crop 16"):
        replace(tight, available=1e6).check()


@pytest.mark.parametrize("model", [MODEL, ReconstructorConfig("dianet", "absolute", width=24)], ids=["unet", "dianet"])
def test_the_estimate_is_near_what_a_larger_step_takes(model):
    plan = plan_memory(model, StreamConfig(crop=48, batch=64), TrainConfig(memory_gb=4))
    step = Step(Reconstructor(model), TrainConfig(), group=2)
    mx.eval(step.state["model"])
    film = np.random.default_rng(0).normal(128, 8, (64, 48, 48, 3)).round().astype(np.uint8)
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    step.sums(film, 1)
    assert 0.7 < plan.needed / (mx.get_peak_memory() - before) < 1.5


def test_the_limit_and_the_machines_come_from_the_settings():
    plan = plan_memory(MODEL, StreamConfig(crop=16, batch=64), TrainConfig(memory_gb=3, accumulate=2), machines=4)
    assert (plan.available, plan.batch, plan.accumulate, plan.crop) == (3 * 2**30, 16, 2, 16)


def test_the_limit_holds_within_and_not_after():
    before = mx.set_memory_limit(2**40)
    try:
        with memory_limit(2.5):
            assert mx.set_memory_limit(int(2.5 * 2**30)) == int(2.5 * 2**30)
        assert mx.set_memory_limit(2**40) == 2**40
        with memory_limit(0):
            assert mx.set_memory_limit(2**40) == 2**40
    finally:
        mx.set_memory_limit(before)
