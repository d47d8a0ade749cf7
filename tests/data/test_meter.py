import math

from d2f_mlx.data import Meter

import pytest


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        self.now += seconds


def slow_batches(clock, waits):
    for wait in waits:
        clock.work(wait)
        yield wait


def test_efficiency_is_process_over_process_and_prepare():
    clock = Clock()
    meter = Meter(clock=clock)
    for _ in meter.prepare(slow_batches(clock, [1, 2, 3])):
        clock.work(100)  # neither waiting nor training
        with meter.process():
            clock.work(6)
    assert meter.summary() == {"steps": 3, "prepare_s": 2, "process_s": 6, "compute_efficiency": 0.75}


def test_batches_pass_through_unchanged():
    batches = [object(), object()]
    assert list(Meter().prepare(batches)) == batches


def test_warmup_is_left_out():
    clock = Clock()
    meter = Meter(warmup=2, clock=clock)
    for wait in meter.prepare(slow_batches(clock, [50, 20, 1, 1])):
        with meter.process():
            clock.work(90 if wait > 1 else 3)
    assert meter.summary() == {"steps": 2, "prepare_s": 1, "process_s": 3, "compute_efficiency": 0.75}


def test_batch_that_was_not_processed_is_not_counted():
    clock = Clock()
    meter = Meter(clock=clock)
    for wait in meter.prepare(slow_batches(clock, [1, 8])):
        if wait == 8:
            break
        with meter.process():
            clock.work(1)
    assert meter.summary()["compute_efficiency"] == 0.5


def test_error_in_a_step_passes_and_is_not_counted():
    clock = Clock()
    meter = Meter(clock=clock)
    with pytest.raises(KeyError, match="boom"), meter.process():
        raise KeyError("boom")
    assert meter.summary()["steps"] == 0


def test_no_steps_give_nan():
    summary = Meter().summary()
    assert summary["steps"] == 0
    assert all(math.isnan(summary[name]) for name in ("prepare_s", "process_s", "compute_efficiency"))


def test_measured_batches_are_closed_with_the_loop():
    closed = []

    def batches():
        try:
            yield from range(9)
        finally:
            closed.append(True)

    for _ in Meter().prepare(batches()):
        break
    assert closed == [True]
