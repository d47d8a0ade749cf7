"""What every loss has to do: stay finite where formulas divide by zero, and do the same compiled."""

from d2f_mlx import losses

import mlx.core as mx
import numpy as np
import pytest

KEY = mx.random.key(3)
COMPARISONS = {
    "mse": losses.mse,
    "psnr": losses.psnr,
    "charbonnier": losses.charbonnier,
    "total_variation": lambda p, t: losses.total_variation(p) + losses.total_variation(p - t),
    "ssim": losses.ssim,
    "ms_ssim": losses.ms_ssim,
    "fourier": losses.fourier,
    "fourier amplitude": lambda p, t: losses.fourier(p, t, amplitude_only=True),
    "delta_e_76": losses.delta_e_76,
    "histogram_distance": losses.histogram_distance,
    "sliced_wasserstein": lambda p, t: losses.sliced_wasserstein(p, t, KEY, 8),
    "triplet_margin": lambda p, t: losses.triplet_margin(p, t, p[::-1]),
    "gradient_penalty": lambda p, t: losses.gradient_penalty(losses.gradient_norms(_critic, p - t)),
    "one_sided_penalty": lambda p, t: losses.one_sided_penalty(losses.gradient_norms(_critic, p - t)),
}
PICTURES = {name: np.full((2, 176, 180, 3), value, np.float32) for name, value in {"black": 0, "white": 1}.items()}
PICTURES["grey"] = np.full((2, 176, 180, 3), 0.55, np.float32)
PICTURES["noise"] = np.random.default_rng(0).random((2, 176, 180, 3), np.float32)
PICTURES["negative"] = 1 - PICTURES["noise"]
PAIRS = [("black", "black"), ("grey", "grey"), ("noise", "noise"), ("black", "white"), ("grey", "noise")]
PAIRS += [("noise", "black"), ("noise", "negative")]


def _critic(pictures):
    return mx.square(pictures).mean(axis=(1, 2, 3))  # its gradient is zero where the picture is


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("name", COMPARISONS)
def test_a_loss_and_its_gradient_are_finite(name, first, second):
    value, gradient = mx.value_and_grad(COMPARISONS[name])(mx.array(PICTURES[first]), mx.array(PICTURES[second]))
    assert value.shape == ()
    assert np.isfinite(float(value))
    assert np.isfinite(np.array(gradient)).all()


# The others' kernels take minutes to compile, the first time that they run on a machine.
QUICK = {"charbonnier", "total_variation", "fourier", "one_sided_penalty"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in COMPARISONS]
)
def test_a_loss_and_its_gradient_are_the_same_compiled(name):
    both = mx.value_and_grad(COMPARISONS[name])
    compiled = mx.compile(both)
    for pair in PAIRS:
        arguments = [mx.array(PICTURES[which]) for which in pair]
        (value, gradient), (compiled_value, compiled_gradient) = both(*arguments), compiled(*arguments)
        assert float(compiled_value) == pytest.approx(float(value), rel=1e-4, abs=1e-5)
        assert np.isfinite(np.array(compiled_gradient)).all()
        off = mx.abs(compiled_gradient - gradient) > 1e-3 * mx.abs(gradient).max()
        # Where rounding decides which way an absolute value falls, a gradient may flip: not in more than a few places.
        assert float(off.mean()) < 1e-3


@pytest.mark.parametrize("name", COMPARISONS)
def test_half_precision_is_averaged_in_full(name):
    first, second = (mx.array(PICTURES[n]).astype(mx.bfloat16) for n in ("noise", "negative"))
    value = COMPARISONS[name](first, second)
    assert value.dtype == mx.float32
    if "penalty" not in name and name != "total_variation":  # which compute in bfloat16 what they are given here
        full = COMPARISONS[name](first.astype(mx.float32), second.astype(mx.float32))
        assert float(value) == pytest.approx(float(full), rel=1e-5)


UNPAIRED = {"total_variation", "histogram_distance", "gradient_penalty", "one_sided_penalty"}


@pytest.mark.parametrize("name", [name for name in COMPARISONS if name not in UNPAIRED])
def test_arrays_that_would_broadcast_are_refused(name):
    picture = mx.array(PICTURES["noise"])
    with pytest.raises(ValueError, match="expects arrays of one shape"):
        COMPARISONS[name](picture, picture[..., :1])
