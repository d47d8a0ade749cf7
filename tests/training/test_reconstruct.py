import json
from dataclasses import replace

from d2f_mlx import checkpoint
from d2f_mlx.data import StreamConfig, crop_batches, grid_crops
from d2f_mlx.grain import HalideStatistics, normalised_convolution
from d2f_mlx.models import Reconstructor, ReconstructorConfig
from d2f_mlx.training import Evaluation, TrainConfig, evaluation, examples, reconstruct, step, train_reconstructor
from d2f_mlx.training.examples import shuffled

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
import pytest
from mlx.utils import tree_flatten
from PIL import Image

# The threads of a BLAS may add in another order: the last bits of a step, and what six steps make of them.
SAME = 1e-5
UNET = ReconstructorConfig(width=32)
DIANET = ReconstructorConfig("dianet", "absolute", width=24)
STREAM = StreamConfig(crop=16, crops_per_picture=2, batch=4, seed=3, prefetch=1, threads=1, cache_mb=8)
SIDE = 32  # of the evaluation crops here
SHORT = TrainConfig(steps=6, learning_rate=3e-3, warmup=2, evaluate_every=3, evaluation_crops=1)


@pytest.fixture(autouse=True)
def _small_evaluation_crops(monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_CROP", SIDE)


def scan(path, seed, side=64):
    """A flat picture with Gaussian grain."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(rng.integers(60, 190), 6, (side, side, 3))
    Image.fromarray(grain.clip(0, 255).round().astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    paths = [scan(folder / f"{seed}.png", seed) for seed in range(5)]
    return paths[:3], paths[3:]


class Stop:
    """Play Ctrl-C after a step."""

    def __init__(self, step):
        self.step = step

    def __call__(self, report):
        if report.step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def train(scans, tmp_path):
    def run(folder="run", *callbacks, **options):
        """Train, and return the reports and the model (None where it was stopped)."""
        reports = []
        settings = {"model": UNET, "stream": STREAM, "config": SHORT} | options
        try:
            model = train_reconstructor(*scans, tmp_path / folder, callbacks=[reports.append, *callbacks], **settings)
        except KeyboardInterrupt:
            model = None
        return reports, model

    return run


def losses(reports):
    return np.array([report.loss for report in reports])


def weights(model):
    return {name: np.array(a) for name, a in tree_flatten(model.parameters())}


def assert_close_weights(found, expected):
    for name, array in weights(expected).items():
        np.testing.assert_allclose(weights(found)[name], array, rtol=0, atol=10 * SAME, err_msg=name)


@pytest.mark.parametrize("model", [UNET, DIANET], ids=["unet", "dianet"])
def test_the_error_falls_below_normalised_convolutions(train, model):
    # From peaks alone normalised convolution is far too bright, which is learned at once.
    config = replace(SHORT, steps=10, evaluate_every=5)
    evaluations = [r.evaluation for r in train(model=replace(model, halides="peaks"), config=config)[0] if r.evaluation]
    assert min(e["mse"] for e in evaluations) < 0.6 * evaluations[0]["rival_mse"]


@pytest.mark.parametrize("model", [UNET, DIANET], ids=["unet", "dianet"])
def test_a_training_is_the_same_when_repeated_and_when_evaluated_at_every_step(train, model):
    first = train("a", model=model)[0]
    again = train("b", model=model, config=replace(SHORT, evaluate_every=1))[0]
    np.testing.assert_allclose(losses(again), losses(first), rtol=SAME)
    other = train("c", model=model, stream=replace(STREAM, seed=4), config=replace(SHORT, steps=1))[0]
    assert abs(losses(other)[0] / losses(first)[0] - 1) > 100 * SAME


def test_the_compiled_loop_equals_a_plain_one(train, scans):
    """Adam by the book, a learning rate from NumPy, nothing compiled."""
    stream = replace(STREAM, batch=12)  # enough for `shuffled` to do something
    config = replace(SHORT, learning_rate=0.01)
    found, _ = train(stream=stream, config=config)
    mx.random.seed(stream.seed)
    network = Reconstructor(UNET)
    optimizer = optim.Adam(0.0, betas=[0.9, 0.99], bias_correction=True)

    def loss(batch):
        squares = mx.square(network(batch.halides, batch.mask, batch.base) - batch.target)
        return (squares * batch.weight).sum() / (3 * batch.weight.sum())

    expected, rates, top, low = [], [], config.learning_rate, config.learning_rate / 100
    for number, crops in enumerate(crop_batches(scans[0], stream, steps=SHORT.steps)):
        fall = 0.5 * (1 + np.cos(np.pi * (number - SHORT.warmup) / (SHORT.steps - SHORT.warmup)))
        optimizer.learning_rate = low + (top - low) * (number / SHORT.warmup if number < SHORT.warmup else fall)
        rates.append(optimizer.learning_rate.item())
        value, gradients = nn.value_and_grad(network, loss)(examples(shuffled(mx.array(crops), 8), UNET))
        optimizer.update(network, gradients)
        expected.append(value.item())
    np.testing.assert_allclose(losses(found), expected, rtol=10 * SAME)
    np.testing.assert_allclose([report.learning_rate for report in found], rates, rtol=SAME)


def test_callbacks_are_handed_the_weights_that_were_judged(train, scans):
    found = []

    def judged(report):
        if report.evaluation:
            found.append((Evaluation(report.network, scans[1], 1)()["mse"], report.evaluation["mse"]))

    train("run", judged, config=replace(SHORT, ema=0.5))
    again, told = zip(*found, strict=True)
    np.testing.assert_allclose(again, told, rtol=SAME)


@pytest.mark.parametrize("step", [3, 4])
@pytest.mark.parametrize("model", [UNET, DIANET], ids=["unet", "dianet"])
def test_an_interrupted_training_resumes_as_if_it_had_gone_on(train, tmp_path, model, step):
    whole, best = train("whole", model=model)
    before, _ = train("parts", Stop(step), model=model)
    assert [r.step for r in before] == list(range(1, step + 1))
    usable = checkpoint.from_pretrained(tmp_path / "parts")
    assert usable.config == model
    after, resumed = train("parts", model=model, resume=True)
    assert [r.step for r in after] == list(range(step + 1, 7))
    np.testing.assert_allclose(losses(before + after), losses(whole), rtol=SAME)
    np.testing.assert_allclose(after[-1].evaluation["mse"], whole[-1].evaluation["mse"], rtol=SAME)
    assert_close_weights(resumed, best)


@pytest.mark.parametrize("step", [3, 6])
def test_a_step_whose_evaluation_was_interrupted_is_evaluated_and_reported_once(train, monkeypatch, step):
    whole, best = train("whole")
    calls = iter(range(3, 7, 3))

    class Interrupted(Evaluation):
        def __call__(self):
            if next(calls) == step:
                raise KeyboardInterrupt
            return super().__call__()

    with monkeypatch.context() as patch:
        patch.setattr(reconstruct, "Evaluation", Interrupted)
        before, _ = train("parts")
    assert [r.step for r in before] == list(range(1, step))
    after, resumed = train("parts", resume=True)
    assert [r.step for r in after] == list(range(step, 7))
    assert np.isnan(after[0].loss)
    for ours, theirs in zip(after, whole[step - 1 :], strict=True):
        assert (ours.evaluation or {}) == pytest.approx(theirs.evaluation or {}, rel=SAME)
    assert_close_weights(resumed, best)
    assert train("parts", resume=True)[0] == []


def test_a_finished_training_resumes_to_its_model(train):
    _, model = train()
    reports, again = train(resume=True)
    assert reports == []
    assert_close_weights(again, model)


def test_a_step_that_was_interrupted_is_done_again(train, monkeypatch):
    whole, _ = train("whole")
    evaluate, calls = mx.eval, []

    def interrupted(*arrays):
        evaluate(*arrays)
        calls.append(len(arrays))
        if calls.count(2) == 3:  # the step's last call, which passes state and loss
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mx, "eval", interrupted)
        before, _ = train("parts")
    after, _ = train("parts", resume=True)
    # What was interrupted before its result was taken over is done again.
    assert [r.step for r in before + after] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(losses(after), losses(whole)[2:], rtol=SAME)


def test_an_interrupt_while_the_step_is_traced_saves_nothing(train, tmp_path, monkeypatch):
    def interrupted(crops, config):
        if crops.shape[0] == STREAM.batch:
            raise KeyboardInterrupt
        return examples(crops, config)

    with monkeypatch.context() as patch:
        patch.setattr(step, "examples", interrupted)
        assert train()[1] is None
    assert list((tmp_path / "run").iterdir()) == []
    assert len(train()[0]) == 6


def test_the_best_model_is_kept_through_interrupts_and_returned(train, monkeypatch):
    seen = []

    class Scripted:
        """Evaluate by a script."""

        def __init__(self, network, *_):
            self._network = network

        def __call__(self):
            seen.append(weights(self._network))
            return {"mse": [3.0, 1.0, 2.0, 1.5, 4.0, 1.0][len(seen) - 1]}

    monkeypatch.setattr(reconstruct, "Evaluation", Scripted)
    config = replace(SHORT, evaluate_every=1)
    train("run", Stop(3), config=config)
    _, model = train(config=config, resume=True)
    assert len(seen) == 6
    for name, array in weights(model).items():
        np.testing.assert_array_equal(array, seen[1][name])


def test_callbacks_are_told_after_every_step(train):
    reports, _ = train(config=replace(SHORT, steps=5, evaluate_every=2))
    assert [r.step for r in reports] == [1, 2, 3, 4, 5]
    assert [r.step for r in reports if r.evaluation] == [2, 4, 5]
    for found in (r.evaluation for r in reports if r.evaluation):
        assert found["psnr"] == pytest.approx(-10 * np.log10(found["mse"]))
        assert found["rival_psnr"] == pytest.approx(-10 * np.log10(found["rival_mse"]))
    assert reports[-1].meter["steps"] == 3  # the first two warm up
    assert 0 < reports[-1].meter["compute_efficiency"] <= 1


@pytest.mark.parametrize("model", [UNET, DIANET], ids=["unet", "dianet"])
def test_an_evaluation_measures_mean_squared_errors_on_the_grid_crops(scans, model):
    mx.random.seed(1)
    network = Reconstructor(model)
    found, rivals, ours = Evaluation(network, scans[1], 2)(), [], []
    for path in scans[1]:
        batch = examples(mx.array(grid_crops(path, SIDE, 2)), model)
        target = np.array(batch.target) / 2  # pictures in [0, 1]
        ours.append(np.square(np.array(network(batch.halides, batch.mask, batch.base)) / 2 - target).mean())
        rivals.append(np.square(np.array(normalised_convolution(batch.halides, batch.mask)) / 2 - target).mean())
    assert found["mse"] == pytest.approx(np.mean(ours), rel=SAME)
    assert found["rival_mse"] == pytest.approx(np.mean(rivals), rel=SAME)


def test_an_evaluation_sees_new_weights_and_changes_none(scans):
    mx.random.seed(1)
    network = Reconstructor(DIANET)
    evaluate, before = Evaluation(network, scans[1], 1), weights(network)
    first = evaluate()["mse"]
    for name, array in before.items():
        np.testing.assert_array_equal(weights(network)[name], array)
    network.update({"network": {"head": {"bias": mx.ones(3)}}})
    assert evaluate()["mse"] > 2 * first


@pytest.mark.parametrize("model", [UNET, DIANET], ids=["residual", "absolute"])
def test_examples_hold_the_film_at_its_halides(scans, model):
    crops = grid_crops(scans[0][0], 48, 2)
    batch = examples(mx.array(crops), model)
    mask, film = np.array(batch.mask), crops / 127.5 - 1
    # White noise has a ninth of peaks and a ninth of valleys, and a few ties: levels are 6 apart.
    assert 0.2 < mask.mean() < 0.35
    np.testing.assert_array_equal(np.array(batch.halides), np.where(mask, np.array(batch.target), 0))
    base = np.array(batch.base) if model.way == "residual" else 0
    np.testing.assert_allclose(np.array(batch.target) + base, film, rtol=0, atol=SAME)
    assert np.std(base) < film.std() / 2
    assert np.array(batch.weight).shape == (*crops.shape[:3], 1)
    assert np.array(batch.weight).mean() > 0.9  # all of it is flat


def test_structure_counts_in_the_absolute_way_only():
    grain = np.random.default_rng(0).normal(120, 4, (1, 48, 48, 3))
    grain[:, :, 24:] += 60  # an edge
    crops = mx.array(grain.round().astype(np.uint8))
    weight = np.array(examples(crops, UNET).weight)[0, :, :, 0]
    assert weight[:, :12].mean() > 0.9
    np.testing.assert_array_equal(weight[:, 21:27], 0)
    np.testing.assert_array_equal(np.array(examples(crops, DIANET).weight), 1)


def test_every_second_crop_gets_its_channels_from_others_of_its_group():
    crops = np.random.default_rng(0).integers(0, 256, (16, 5, 4, 3)).astype(np.uint8)
    mixed = np.array(shuffled(mx.array(crops), 8))
    np.testing.assert_array_equal(mixed[1::2], crops[1::2])
    for first in (0, 8):
        group = mixed[first : first + 8 : 2]
        sources = np.array(
            [[(crops[..., c] == m[..., c]).all((1, 2)).nonzero()[0][0] for c in range(3)] for m in group]
        )
        np.testing.assert_array_equal(sources[:, 0], first + np.arange(0, 8, 2))
        assert all(len(set(row)) == 3 for row in sources.tolist())
        assert set(sources.ravel().tolist()) == set(range(first, first + 8, 2))
    np.testing.assert_array_equal(np.array(shuffled(mx.array(crops[8:]), 8)), mixed[8:])


@pytest.mark.parametrize(("crops", "mixed"), [(4, False), (6, True), (7, True), (12, True)])
def test_a_batch_that_is_not_made_of_groups_is_one(crops, mixed):
    pixels = np.random.default_rng(0).integers(0, 256, (crops, 5, 4, 3)).astype(np.uint8)
    found = np.array(shuffled(mx.array(pixels), 8))
    assert found.shape == pixels.shape
    np.testing.assert_array_equal(found[1::2], pixels[1::2])
    assert (found[0] != pixels[0]).any() == mixed


def test_statistics_are_saved_beside_the_model(train, tmp_path):
    film = HalideStatistics.load(checkpoint.BUNDLED / "film.safetensors")
    other = HalideStatistics(**{**vars(film), "pictures": 12345})
    train(config=replace(SHORT, steps=1), statistics=other)
    assert checkpoint.statistics_of(tmp_path / "run").pictures == 12345


def test_the_last_file_names_its_settings(train, tmp_path):
    train(config=replace(SHORT, steps=2))
    arrays, metadata = checkpoint.load_arrays(tmp_path / "run" / "last.safetensors")
    assert metadata["step"] == "2"
    assert json.loads(metadata["settings"])["width"] == 32
    assert sum(name.startswith("model.") for name in arrays) == len(weights(Reconstructor(UNET)))


def test_adam_has_a_short_memory(train, tmp_path):
    train(config=replace(SHORT, steps=1))
    arrays, _ = checkpoint.load_arrays(tmp_path / "run" / "last.safetensors")
    for name in weights(Reconstructor(UNET)):
        m, v = (np.array(arrays[f"optimizer.{name}.{moment}"]) for moment in "mv")
        # After one step m = (1 - 0.9) g and v = (1 - 0.99) g^2.
        np.testing.assert_allclose(v, np.square(m), rtol=1e-4, atol=1e-20, err_msg=name)


def test_a_training_is_not_overwritten(train, tmp_path):
    train(config=replace(SHORT, steps=1))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="holds a model or a training already"):
        train()
    (tmp_path / "run" / "last.safetensors").unlink()
    with pytest.raises(ValueError, match="holds a model or a training already"):
        train()
    del before["last.safetensors"]
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize(
    "other",
    [
        {"config": replace(SHORT, steps=8)},
        {"model": replace(UNET, halides="peaks")},
        {"stream": replace(STREAM, seed=8)},
    ],
    ids=["config", "model", "stream"],
)
def test_resuming_with_other_settings_is_refused(train, other):
    train("run", Stop(1))
    with pytest.raises(ValueError, match=r"last\.safetensors: was trained with other settings"):
        train(resume=True, **other)


def test_there_must_be_something_to_resume(train, tmp_path):
    with pytest.raises(ValueError, match=r"last\.safetensors: no such file"):
        train(resume=True)
    assert not (tmp_path / "run").exists()


def test_a_training_that_diverges_stops_and_keeps_what_was_saved(train, scans, tmp_path):
    config = replace(SHORT, steps=40, learning_rate=0.9, warmup=4, evaluate_every=1)
    with pytest.raises(FloatingPointError, match=r"run: diverged at step \d+ \(.*\); lower the learning rate"):
        train(config=config)
    assert Evaluation(checkpoint.from_pretrained(tmp_path / "run"), scans[1], 1)()["mse"] < 0.25


def test_scans_are_needed_on_both_sides(scans, tmp_path):
    with pytest.raises(ValueError, match="expects scans on both sides, got 3 and 0"):
        train_reconstructor(scans[0], [], tmp_path / "run")
    with pytest.raises(ValueError, match="expects scans on both sides, got 0 and 2"):
        train_reconstructor([], scans[1], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_held_out_scans_must_hold_a_crop(scans, tmp_path):
    small = scan(tmp_path / "small.png", 0, side=30)
    with pytest.raises(ValueError, match="32x32 or more, got 30x30"):
        train_reconstructor(scans[0], [small], tmp_path / "run", model=UNET, stream=STREAM, config=SHORT)


def test_held_out_scans_must_show_grain_alone(scans, tmp_path):
    waves = np.broadcast_to(127.5 + 100 * np.sin(np.arange(64) / 6)[:, None, None], (64, 64, 3))
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "waves.png")
    with pytest.raises(ValueError, match="expects held-out scans with flat areas"):
        train_reconstructor(
            scans[0], [tmp_path / "waves.png"], tmp_path / "run", model=UNET, stream=STREAM, config=SHORT
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "expects steps >= 1, got 0"),
        ({"evaluate_every": 0}, "expects evaluate_every >= 1"),
        ({"evaluation_crops": -1}, "expects evaluation_crops >= 1"),
        ({"learning_rate": 0.0}, "expects 0 < learning_rate < 1"),
        ({"learning_rate": float("nan")}, "expects 0 < learning_rate < 1"),
        ({"warmup": -1}, "warmup >= 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)


def test_a_training_is_not_resumed_with_other_scans(train, scans, tmp_path):
    train(config=replace(SHORT, steps=2))
    ours, theirs = scans
    for split in ((ours[:-1], theirs), (ours, theirs[:-1]), (ours + theirs[:1], theirs[1:])):
        with pytest.raises(ValueError, match="other settings or scans"):
            train_reconstructor(
                *split, tmp_path / "run", model=UNET, stream=STREAM, config=replace(SHORT, steps=2), resume=True
            )
