import json
from dataclasses import replace

from d2f_mlx import checkpoint
from d2f_mlx.data import StreamConfig, crop_batches, grid_crops
from d2f_mlx.models import ResNet, ResNetConfig
from d2f_mlx.scores import accuracy_interval, auc
from d2f_mlx.training import DiscriminatorConfig, DiscriminatorEvaluation, discriminator, train_discriminator
from d2f_mlx.training.discriminator_step import DiscriminatorStep, film_cross_entropy, normalised

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.utils import tree_flatten
from PIL import Image

# The threads of a BLAS may add in another order: the last bits of a step, and what six steps make of them.
SAME = 1e-4
ONE, TWO = ResNetConfig(20, 1), ResNetConfig(20, 2)
STREAM = StreamConfig(crop=32, crops_per_picture=2, batch=8, seed=3, prefetch=1, threads=1, cache_mb=8)
SHORT = DiscriminatorConfig(steps=6, decay=0.5, decay_every=2, evaluate_every=3, evaluation_crops=2)


def picture(path, seed, sigma):
    """A flat picture with Gaussian noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(rng.integers(60, 190), sigma, (80, 64, 3))
    Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Grainy and clean pictures: film and digital to learn from, film and digital to be examined on."""
    folder = tmp_path_factory.mktemp("pictures")
    film = [picture(folder / f"film-{seed}.png", seed, 12) for seed in range(7)]
    digital = [picture(folder / f"digital-{seed}.png", 100 + seed, 1) for seed in range(5)]
    return film[:4], digital[:3], film[4:], digital[3:]


class Stop:
    """Play Ctrl-C after a step."""

    def __init__(self, step):
        self.step = step

    def __call__(self, report):
        if report.step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def train(sides, tmp_path):
    def run(folder="run", *callbacks, **options):
        """Train, and return the reports and the network (None where it was stopped)."""
        reports = []
        settings = {"model": ONE, "stream": STREAM, "config": SHORT} | options
        try:
            network = train_discriminator(*sides, tmp_path / folder, callbacks=[reports.append, *callbacks], **settings)
        except KeyboardInterrupt:
            network = None
        return reports, network

    return run


def losses(reports):
    return np.array([report.loss for report in reports])


def flat(tree):
    return {name: np.array(array) for name, array in tree_flatten(tree)}


def assert_close(found, expected):
    found, expected = flat(found), flat(expected)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=SAME, err_msg=name)


def batch(count=8, seed=0):
    crops = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    return crops, np.arange(count) < count // 2


@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_two_logits_are_judged_as_their_difference(smoothing):
    rng = np.random.default_rng(0)
    logits, is_film = rng.normal(0, 3, (9, 2)).astype(np.float32), mx.array(rng.random(9) < 0.5)
    film = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]).astype(float))
    targets = (1 - smoothing) * np.array(is_film) + smoothing / 2
    expected = -(targets * np.log(film) + (1 - targets) * np.log(1 - film)).mean()
    two = film_cross_entropy(mx.array(logits), is_film, smoothing).item()
    one = film_cross_entropy(mx.array(logits[:, 1:] - logits[:, :1]), is_film, smoothing).item()
    assert two == pytest.approx(expected, rel=1e-5)
    assert one == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match=r"expects logits .* got \(9, 3\)"):
        film_cross_entropy(mx.zeros((9, 3)), is_film)


@pytest.mark.parametrize("outputs", [1, 2])
def test_certainty_has_a_gradient(outputs):
    logits = mx.array([[200.0], [-200.0]]) * mx.array([[1.0]] if outputs == 1 else [[-1.0, 1.0]])
    gradient = mx.grad(lambda z: film_cross_entropy(z, mx.array([False, False])))(logits)
    assert np.isfinite(np.array(gradient)).all()
    assert gradient[0, -1].item() == pytest.approx(0.5)


@pytest.mark.parametrize("model", [ONE, TWO], ids=["binary", "two-class"])
def test_compiled_steps_are_eager_ones(model):
    mx.random.seed(1)
    step = DiscriminatorStep(ResNet(model), SHORT)
    mx.random.seed(1)
    eager = ResNet(model)
    eager.train()
    optimizer = optim.SGD(0.0, momentum=0.9, weight_decay=5e-4)

    def loss(crops, is_film):
        logits = eager(normalised(mx.array(crops)))
        if model.outputs == 1:
            return nn.losses.binary_cross_entropy(logits[:, 0], mx.array(is_film).astype(mx.float32))
        return nn.losses.cross_entropy(logits, mx.array(is_film).astype(mx.int32), reduction="mean")

    for number in range(5):
        crops, is_film = batch(seed=number)
        optimizer.learning_rate = 0.01 * 0.5 ** (number // 2)
        expected, gradients = nn.value_and_grad(eager, loss)(crops, is_film)
        optimizer.update(eager, gradients)
        mx.eval(eager.state, optimizer.state)
        assert step(crops, is_film) == pytest.approx(expected.item(), rel=SAME)
        assert_close(step.state["model"], eager.parameters())
    assert step.count == 5
    assert np.abs(flat(eager.parameters())["norm.running_var"] - 1).min() > 100 * SAME


def test_between_steps_the_network_judges_with_running_statistics():
    network = ResNet(ONE)
    step = DiscriminatorStep(network, SHORT)
    crops, is_film = batch()
    step(crops, is_film)
    before = flat(network.parameters())
    x = normalised(mx.array(crops))
    whole, alone = np.array(network(x)), np.array(network(x[:1]))
    np.testing.assert_allclose(alone, whole[:1], atol=SAME)
    assert_close(network.parameters(), before)
    network.train()
    assert np.abs(np.array(network(x)) - whole).max() > 100 * SAME


def test_a_step_that_was_interrupted_leaves_the_weights(monkeypatch):
    network = ResNet(ONE)
    step = DiscriminatorStep(network, SHORT)
    before = flat(network.parameters())

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nn.losses, "binary_cross_entropy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            step(*batch())
    assert_close(network.parameters(), before)
    assert step.count == 0
    assert np.isfinite(step(*batch()))


@pytest.mark.parametrize("model", [ONE, TWO], ids=["binary", "two-class"])
def test_grain_is_learned(train, model):
    config = DiscriminatorConfig(steps=20, evaluate_every=10, evaluation_crops=4, alter=0, colour=0, grey=0)
    reports, network = train(model=model, config=config, stream=replace(STREAM, batch=16))
    assert losses(reports)[-5:].mean() < 0.5 * losses(reports)[:2].mean()
    assert max(r.evaluation["auc"] for r in reports if r.evaluation) > 0.95
    assert network.training is False


@pytest.mark.parametrize("step", [3, 4])
def test_an_interrupted_training_resumes_as_if_it_had_gone_on(train, tmp_path, step):
    whole, best = train("whole")
    before, _ = train("parts", Stop(step))
    assert [r.step for r in before] == list(range(1, step + 1))
    assert checkpoint.judge(tmp_path / "parts").config == ONE
    after, resumed = train("parts", resume=True)
    assert [r.step for r in after] == list(range(step + 1, 7))
    np.testing.assert_allclose(losses(before + after), losses(whole), rtol=SAME)
    assert [r.learning_rate for r in before + after] == pytest.approx([0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025])
    assert after[-1].evaluation["loss"] == pytest.approx(whole[-1].evaluation["loss"], rel=SAME)
    assert_close(resumed.parameters(), best.parameters())


def test_a_step_whose_evaluation_was_interrupted_is_evaluated_and_reported_once(train, monkeypatch):
    whole, _ = train("whole")

    class Interrupted(DiscriminatorEvaluation):
        def __call__(self):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(discriminator, "DiscriminatorEvaluation", Interrupted)
        assert [r.step for r in train("parts")[0]] == [1, 2]
    after, _ = train("parts", Stop(3), resume=True)
    assert [r.step for r in after] == [3]
    assert np.isnan(after[0].loss)
    assert after[0].evaluation["loss"] == pytest.approx(whole[2].evaluation["loss"], rel=SAME)
    assert [r.step for r in train("parts", resume=True)[0]] == [4, 5, 6]


def test_batches_follow_from_seed_and_step_and_are_half_film(sides):
    film, digital, *_ = sides
    plain = DiscriminatorConfig(steps=5, alter=0, turn=0, colour=0, grey=0)
    for config in (plain, replace(SHORT, steps=5)):
        whole = list(discriminator._batches(film, digital, STREAM, config, 0))
        rest = list(discriminator._batches(film, digital, STREAM, config, 3))
        assert len(whole) == 5
        for a, b in zip(whole[3:], rest, strict=True):
            np.testing.assert_array_equal(a, b)
    half = replace(STREAM, batch=4)
    streams = (crop_batches(paths, half, steps=5) for paths in (film, digital))
    for crops, scans, photographs in zip(
        discriminator._batches(film, digital, STREAM, plain, 0), *streams, strict=True
    ):
        np.testing.assert_array_equal(crops, np.concatenate([scans, photographs]))


def test_the_best_network_is_kept_and_returned(train, monkeypatch):
    seen = []

    class Scripted:
        """Examine by a script."""

        def __init__(self, network, *_):
            self._network = network

        def __call__(self):
            seen.append(flat(self._network.parameters()))
            return {"balanced": [0.5, 0.9, 0.7, 0.9, 0.6, 0.8][len(seen) - 1]}

    monkeypatch.setattr(discriminator, "DiscriminatorEvaluation", Scripted)
    config = replace(SHORT, evaluate_every=1)
    train("run", Stop(3), config=config)
    _, network = train(config=config, resume=True)
    assert len(seen) == 6
    for name, array in flat(network.parameters()).items():
        np.testing.assert_array_equal(array, seen[1][name], err_msg=name)


def test_an_evaluation_counts_crops_and_draws_pictures(sides):
    mx.random.seed(1)
    network = ResNet(TWO)
    *_, film, digital = sides
    found = DiscriminatorEvaluation(network, film, digital, 32, 3)()
    network.eval()
    logits = [
        [np.array(network.film_logit(normalised(mx.array(grid_crops(path, 32, 3))))) for path in paths]
        for paths in (film, digital)
    ]
    right = [[z > 0 for z in logits[0]], [z <= 0 for z in logits[1]]]
    shares = [np.mean(np.concatenate(verdicts)) for verdicts in right]
    assert [found["film"], found["digital"]] == pytest.approx(shares)
    assert found["balanced"] == pytest.approx(np.mean(shares))
    assert found["accuracy"] == pytest.approx(np.concatenate(right[0] + right[1]).mean())
    assert found["auc"] == pytest.approx(auc(np.concatenate(logits[0]), np.concatenate(logits[1])))
    interval = accuracy_interval(right, np.random.default_rng(0))
    assert (found["balanced_low"], found["balanced_high"]) == pytest.approx(interval)
    probability = [np.mean(np.log1p(np.exp(sign * np.concatenate(z)))) for sign, z in zip((-1, 1), logits, strict=True)]
    assert found["loss"] == pytest.approx(np.mean(probability), rel=SAME)


def test_an_evaluation_sees_new_weights_and_changes_none(sides):
    mx.random.seed(1)
    network = ResNet(ONE)
    evaluate = DiscriminatorEvaluation(network, *sides[2:], 32, 2)
    before, first = flat(network.parameters()), evaluate()
    assert_close(network.parameters(), before)
    network.head.bias = mx.array([50.0])
    assert (evaluate()["film"], evaluate()["digital"]) == (1, 0)
    assert first["auc"] == pytest.approx(evaluate()["auc"], abs=0.2)


def test_the_files_hold_the_statistics_and_the_momentum(train, tmp_path):
    train(config=replace(SHORT, steps=2))
    arrays, metadata = checkpoint.load_arrays(tmp_path / "run" / "last.safetensors")
    assert metadata["step"] == "2"
    assert json.loads(metadata["settings"])["alter"] == 0.5
    assert {"model.norm.running_var", "optimizer.stem.weight.v"} <= arrays.keys()
    kept, _ = checkpoint.load_arrays(tmp_path / "run" / "model.safetensors")
    assert kept.keys() == flat(ResNet(ONE).parameters()).keys()


@pytest.mark.parametrize(
    "other",
    [{"config": replace(SHORT, alter=0.4)}, {"model": TWO}, {"stream": replace(STREAM, seed=8)}],
    ids=["config", "model", "stream"],
)
def test_resuming_with_other_settings_is_refused(train, other):
    train("run", Stop(1))
    with pytest.raises(ValueError, match=r"last\.safetensors: was trained with other settings"):
        train(resume=True, **other)


def test_a_training_that_diverges_stops(train, tmp_path, monkeypatch):
    step = DiscriminatorStep.__call__
    monkeypatch.setattr(DiscriminatorStep, "__call__", lambda *arguments: step(*arguments) * float("nan"))
    with pytest.raises(FloatingPointError, match=r"run: diverged at step 1 .*lower the learning rate"):
        train()
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ResNetConfig(20, 3)}, "1 or 2 outputs, got 3"),
        ({"stream": replace(STREAM, crop=16)}, "crop >= 32, got 16"),
        ({"stream": replace(STREAM, batch=6)}, "multiple of twice crops_per_picture, got 6 and 2"),
    ],
)
def test_what_does_not_suit_is_refused_before_any_work(train, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)
    assert not (tmp_path / "run").exists()


def test_both_sides_need_both_classes(sides, tmp_path):
    for missing in range(4):
        lists = [[] if index == missing else side for index, side in enumerate(sides)]
        with pytest.raises(ValueError, match="film and digital pictures on both sides"):
            train_discriminator(*lists, tmp_path / "run")


@pytest.mark.parametrize(
    "settings",
    [{"steps": 0}, {"alter": 1.1}, {"momentum": 1}, {"learning_rate": 0}, {"smoothing": 1}, {"colour": -0.1}],
)
def test_a_config_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match=f"DiscriminatorConfig expects .*{next(iter(settings))}"):
        DiscriminatorConfig(**settings)
