from dataclasses import replace

from d2f_mlx import checkpoint
from d2f_mlx.data import StreamConfig
from d2f_mlx.models import Reconstructor, ReconstructorConfig
from d2f_mlx.training import (
    AdversarialStep,
    AdversaryConfig,
    Evaluation,
    TrainConfig,
    adversarial_step,
    evaluation,
    train_reconstructor,
)
from d2f_mlx.training.adversary import NAMES
from d2f_mlx.training.examples import as_film, examples, rebuilt, shuffled, squared_error

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from PIL import Image

SAME = 1e-5  # the same numbers, added in another order
UNET = ReconstructorConfig(width=32, noise=1)
CHANNELS = ReconstructorConfig(width=32, halides="peaks", channels="independent", noise=2)
AGAINST = AdversaryConfig(statistics=1, adversary=0.1, discriminator_width=4, pool=24)
CONFIG = TrainConfig(steps=6, learning_rate=1e-3, warmup=2, evaluate_every=3, evaluation_crops=1, ema=0.5)
STREAM = StreamConfig(crop=32, crops_per_picture=2, batch=6, seed=3, prefetch=1, threads=1)


@pytest.fixture(autouse=True)
def _small_evaluation_crops(monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_CROP", 32)


@pytest.fixture(autouse=True)
def _eager():
    """Compile nothing unless a test does: a hundred compilations by g++ take minutes, and change no result."""
    mx.disable_compile()
    yield
    mx.enable_compile()


def film(crops=6, side=32, seed=1):
    return np.random.default_rng(seed).normal(128, 8, (crops, side, side, 3)).round().astype(np.uint8)


def step_of(model=UNET, against=AGAINST, config=CONFIG):
    mx.random.seed(5)
    return AdversarialStep(Reconstructor(model), config, against, seed=2, group=6, batch=6)


def flat(tree):
    return {name: np.array(array, np.float64) for name, array in tree_flatten(tree)}


@pytest.fixture
def scans(tmp_path):
    paths = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        grain = rng.normal(rng.integers(60, 190), 6, (64, 64, 3))
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(grain.clip(0, 255).round().astype(np.uint8)).save(paths[-1])
    return paths[:3], paths[3:]


def test_the_compiled_step_is_the_eager_one(monkeypatch):
    """Of one layer, and without the losses that have such a test of their own: it is compiled sooner."""

    def squares(grain, batch):
        return {name: factor * mx.square(grain - batch.target).mean() for factor, name in enumerate(NAMES[1:4])}

    def losses():
        mx.random.seed(5)
        network = Reconstructor(UNET)
        network.network = nn.Conv2d(15, 3, 3, padding=1)
        step = AdversarialStep(network, CONFIG, replace(AGAINST, penalty=0), seed=2, group=6, batch=6)
        found = []
        for seed in range(3):
            step(film(seed=seed))
            found.append(step.losses)
        return found

    monkeypatch.setattr(adversarial_step, "statistics", squares)
    expected = losses()
    mx.enable_compile()
    found = losses()
    assert found[0] == pytest.approx(expected[0], rel=SAME, abs=SAME)
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=1e-4)  # roundings that Adam enlarges


@pytest.mark.parametrize(
    ("model", "against"),
    [
        (UNET, AGAINST),
        (CHANNELS, replace(AGAINST, weighting="smooth", pool=0)),
        (replace(UNET, noise=0), replace(AGAINST, weighting="stepped", discriminator="multiscale")),
        (UNET, replace(AGAINST, adversary=0, vary=0.5)),
    ],
    ids=["patch", "no pool", "multiscale", "no adversary"],
)
def test_a_step_can_be_compiled_for_it_depends_on_its_state_alone(model, against):
    step = step_of(model, against)
    step(film(seed=0))
    state = tree_map(mx.array, step.state)
    step(film(seed=1))
    after, losses = flat(step.state), step.losses
    step(film(seed=2))
    step.restore(tree_map(mx.array, state))
    step(film(seed=1))
    assert step.losses == pytest.approx(losses, rel=SAME, abs=SAME)
    for name, array in flat(step.state).items():
        np.testing.assert_allclose(array, after[name], rtol=SAME, atol=SAME, err_msg=name)
    mx.enable_compile()
    traced, _ = step._advance(state, mx.array(film()), tree_map(mx.array, against.weights(0.0)))
    assert {n: a.shape for n, a in tree_flatten(traced)} == {n: a.shape for n, a in after.items()}


def test_both_networks_learn_and_the_running_mean_is_kept():
    step = step_of()
    step(film())
    before = flat(step.state)
    step(film(seed=2))
    after = flat(step.state)
    assert before.keys() == after.keys()
    for part in ("model", "discriminator", "average", "pool", "random"):
        assert any((before[n] != array).any() for n, array in after.items() if n.split(".")[0] == part), part
    kept = flat(step._network.parameters())
    for name, array in flat(step.state["average"]).items():
        np.testing.assert_array_equal(kept[name], array)
        assert np.abs(array - after[f"model.{name}"]).max() <= np.abs(after[f"model.{name}"]).max()


def test_a_training_that_is_resumed_goes_on_exactly(scans, tmp_path):
    def train(folder, resume=False, *callbacks):
        reports = []
        train_reconstructor(
            *scans,
            tmp_path / folder,
            model=UNET,
            stream=STREAM,
            config=CONFIG,
            adversary=AGAINST,
            resume=resume,
            callbacks=[reports.append, *callbacks],
        )
        return reports

    def stop(report):
        if report.step == 4:
            raise KeyboardInterrupt

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("parts", False, stop)
    rest = train("parts", True)
    assert [report.step for report in rest] == [5, 6]
    for ours, theirs in zip(rest, whole[4:], strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-4, abs=SAME)
    assert rest[-1].evaluation == pytest.approx(whole[-1].evaluation, rel=1e-4, abs=SAME)
    assert {"statistics", "diversity", "spectrum"} <= rest[-1].evaluation.keys()
    assert checkpoint.from_pretrained(tmp_path / "parts").config == UNET


def test_the_best_model_is_the_one_with_the_best_statistics(scans, tmp_path, monkeypatch):
    scores = iter([(1.0, 0.5), (0.5, 0.9)])

    class Scripted(Evaluation):
        def __call__(self):
            mse, statistics = next(scores)
            return {"mse": mse, "statistics": statistics, "diversity": 1.0}

    monkeypatch.setattr("d2f_mlx.training.reconstruct.Evaluation", Scripted)
    weights = []
    best = train_reconstructor(
        *scans,
        tmp_path / "run",
        model=UNET,
        stream=STREAM,
        config=CONFIG,
        adversary=AGAINST,
        callbacks=[lambda r: weights.append(flat(r.network.parameters()))],
    )
    for name, array in flat(best.parameters()).items():
        np.testing.assert_array_equal(array, weights[2][name])


def test_one_photograph_has_many_grains_and_the_halides_stay():
    mx.random.seed(0)
    network = Reconstructor(UNET)
    batch = examples(mx.array(film()), UNET)
    a, b = (
        network(batch.halides, batch.mask, batch.base, mx.random.normal((6, 32, 32, 3), key=mx.random.key(i)))
        for i in range(2)
    )
    mask = np.array(batch.mask)
    assert (np.array(a) != np.array(b))[~mask].mean() > 0.99
    np.testing.assert_array_equal(np.array(a)[mask], np.array(b)[mask])
    with pytest.raises(ValueError, match="1 maps of noise"):
        network(batch.halides, batch.mask, batch.base)


def test_randomness_costs_nothing_in_the_squared_error():
    batch = examples(mx.array(film(32)), UNET)
    noise = 0.05 * mx.random.normal((64, 32, 32, 3), key=mx.random.key(0))
    wrong = mx.concatenate([batch.target + 0.02] * 2)
    weight = batch._replace(weight=mx.ones_like(batch.weight))
    found = adversarial_step._error_of_mean(wrong + noise, weight).item()
    assert found == pytest.approx(0.02**2 * adversarial_step.GAIN**2, rel=0.05)


def test_a_step_returns_the_squared_error_of_pictures_as_they_are():
    step = step_of(replace(UNET, noise=0), replace(AGAINST, adversary=0))
    batch = examples(shuffled(mx.array(film()), 6), step._network.config)
    error, count = squared_error(as_film(rebuilt(step._network, batch, mx.random.key(0)), batch.base), batch).tolist()
    assert step(film()) == pytest.approx(error / count, rel=1e-4)


def test_what_is_shown_is_rounded_as_film_is():
    base = mx.random.uniform(-1, 1, (1, 8, 8, 3), key=mx.random.key(0))
    residual = 0.1 * mx.random.normal((1, 8, 8, 3), key=mx.random.key(1))
    levels = (np.array(as_film(residual, base)) + np.array(base) + 1) * 127.5
    np.testing.assert_allclose(levels, levels.round(), atol=1e-3)
    assert levels.min() > -1e-3
    assert levels.max() < 255 + 1e-3
    assert mx.grad(lambda r: as_film(r, base).sum())(residual).min().item() == 1


def test_the_pool_gives_old_crops_for_new_ones_and_loses_none():
    pool = mx.arange(20.0).reshape(20, 1, 1, 1)
    new = mx.arange(100.0, 106.0).reshape(6, 1, 1, 1)
    shown, kept = adversarial_step._exchanged(pool, new, mx.random.key(4))
    both = np.concatenate([np.array(shown).ravel(), np.array(kept).ravel()])
    assert 0 < (np.array(shown) < 100).sum() < 6
    assert sorted(both) == sorted([*range(20), *range(100, 106)])


def test_film_and_its_imitation_are_shown_and_kept_together():
    step = step_of()
    for seed in range(3):
        step(film(seed=seed))
        real, imitation = np.split(np.array(step.state["pool"]), 2, axis=-1)
        assert real.shape == (AGAINST.pool, 32, 32, 6)
        np.testing.assert_array_equal(real[..., 3:], imitation[..., 3:])  # the base that both are over
        assert (real[..., :3] != imitation[..., :3]).any((1, 2, 3)).all()


def test_weights_that_change_are_told_with_the_losses():
    step = step_of(replace(UNET, noise=0), replace(AGAINST, adversary=0, weighting="stepped"))
    told = []
    for seed in range(CONFIG.steps):
        step(film(seed=seed))
        told.append({name[7:]: value for name, value in step.losses.items() if name.startswith("weight.")})
    assert told == [step._adversary.weights(i / CONFIG.steps) for i in range(CONFIG.steps)]
    assert told[0] != told[-1]
    step = step_of(replace(UNET, noise=0), replace(AGAINST, adversary=0))
    step(film())
    assert not any(name.startswith("weight.") for name in step.losses)


def test_a_loss_that_is_no_number_stops_the_training(scans, tmp_path, monkeypatch):
    class Broken(AdversarialStep):
        def __call__(self, crops):
            error = super().__call__(crops)
            self.losses["penalty"] = float("inf")
            return error

    monkeypatch.setattr("d2f_mlx.training.reconstruct.AdversarialStep", Broken)
    with pytest.raises(FloatingPointError, match="diverged at step 1"):
        train_reconstructor(
            *scans, tmp_path / "run", model=UNET, stream=STREAM, config=CONFIG, adversary=AGAINST, callbacks=[]
        )


@pytest.mark.parametrize(
    ("model", "config", "against", "message"),
    [
        (replace(UNET, way="absolute"), CONFIG, AGAINST, "residual way"),
        (UNET, replace(CONFIG, accumulate=2), AGAINST, "accumulate 1"),
        (UNET, replace(CONFIG, precision="bfloat16"), AGAINST, "precision float32"),
        (UNET, CONFIG, replace(AGAINST, pool=11), "pool of 0, or of 12"),
    ],
)
def test_what_cannot_be_trained_so_is_refused(model, config, against, message):
    with pytest.raises(ValueError, match=message):
        step_of(model, against, config)
