import json
import re
from pathlib import Path

from d2f_mlx import checkpoint
from d2f_mlx.grain import HalideStatistics
from d2f_mlx.models import Reconstructor, ReconstructorConfig, ResNet, ResNetConfig

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from safetensors.numpy import load_file

CONFIG = ReconstructorConfig("dianet", "absolute", "peaks", "harmony", 24)


class Bomb:
    """Executed by an unpickler."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.fixture
def model():
    mx.random.seed(5)
    return Reconstructor(CONFIG)


@pytest.fixture
def saved(model, tmp_path):
    checkpoint.save(tmp_path, model)
    return tmp_path


def weights(model):
    return {name: np.array(a) for name, a in tree_flatten(model.parameters())}


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def rewrite(folder, change):
    """Save other weights over the model's."""
    arrays, _ = checkpoint.load_arrays(folder / "model.safetensors")
    mx.eval(arrays)
    change(arrays)
    checkpoint.save_arrays(folder / "model.safetensors", arrays)


@pytest.mark.parametrize("form", ["safetensors", "npz"])
def test_a_saved_model_comes_back_exactly(saved, model, form):
    if form == "npz":
        checkpoint.save_arrays(saved / "model.npz", dict(tree_flatten(model.parameters())))
        (saved / "model.safetensors").unlink()
    loaded = checkpoint.from_pretrained(saved)
    assert loaded.config == CONFIG
    assert_same_weights(weights(loaded), weights(model))
    x = mx.random.uniform(-1, 1, (1, 9, 11, 3))
    np.testing.assert_array_equal(np.array(loaded(x, x > 0)), np.array(model(x, x > 0)))


def test_the_files_are_what_others_expect(saved, model):
    assert sorted(p.name for p in saved.iterdir()) == ["config.json", "model.safetensors"]
    assert_same_weights(load_file(saved / "model.safetensors"), weights(model))
    settings = {"network": "dianet", "way": "absolute", "halides": "peaks", "channels": "harmony", "width": 24}
    settings["noise"] = 0
    assert json.loads((saved / "config.json").read_text()) == {"kind": "reconstructor", **settings}


def test_numpy_reads_the_npz(tmp_path):
    array = np.random.default_rng(0).random((3, 4), np.float32)
    checkpoint.save_arrays(tmp_path / "a.npz", {"layer.0.weight": mx.array(array).T})
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file.files == ["layer.0.weight"]
        np.testing.assert_array_equal(file["layer.0.weight"], array.T)


def test_metadata_comes_back(tmp_path):
    checkpoint.save_arrays(tmp_path / "a.safetensors", {"x": mx.arange(3)}, {"step": "7"})
    arrays, metadata = checkpoint.load_arrays(tmp_path / "a.safetensors")
    assert metadata["step"] == "7"
    assert arrays["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_precision_weights_load_as_float32(saved, model, dtype):
    rewrite(saved, lambda arrays: arrays.update({name: a.astype(dtype) for name, a in arrays.items()}))
    loaded = weights(checkpoint.from_pretrained(saved))
    assert {a.dtype for a in loaded.values()} == {np.dtype(np.float32)}
    halves = {name: np.array(mx.array(a).astype(dtype).astype(mx.float32)) for name, a in weights(model).items()}
    assert_same_weights(loaded, halves)


def test_a_models_own_statistics_go_before_the_bundled_ones(saved, model):
    film = HalideStatistics.load(checkpoint.BUNDLED / "film.safetensors")
    np.testing.assert_array_equal(checkpoint.statistics_of(saved).sigma, film.sigma)
    grainier = HalideStatistics(**{**vars(film), "sigma": 2 * film.sigma})
    checkpoint.save(saved, model, grainier)
    np.testing.assert_array_equal(checkpoint.statistics_of(saved).sigma, 2 * film.sigma)


def test_every_bundled_model_loads_by_its_name():
    for name, folder in checkpoint.bundled().items():
        assert folder == checkpoint.BUNDLED / name
        assert checkpoint.from_pretrained(name).config == checkpoint.from_pretrained(folder).config


def test_bundled_models_are_the_folders_with_a_configuration(saved, model, monkeypatch):
    monkeypatch.setattr(checkpoint, "BUNDLED", saved)
    checkpoint.save(saved / "b", model)
    checkpoint.save(saved / "a", model)
    (saved / "c").mkdir()
    assert checkpoint.bundled() == {"a": saved / "a", "b": saved / "b"}
    assert_same_weights(weights(checkpoint.from_pretrained("b")), weights(model))
    with pytest.raises(ValueError, match=r"^c: neither a folder .* nor a bundled reconstructor \(a, b\)$"):
        checkpoint.from_pretrained("c")


@pytest.fixture
def discriminator(tmp_path):
    """A network whose running statistics are not those it began with, on disk."""
    mx.random.seed(6)
    network = ResNet(ResNetConfig(20, 2))
    network(mx.random.uniform(-1, 1, (2, 32, 32, 3)))
    checkpoint.save(tmp_path / "judge", network)
    return network, tmp_path / "judge"


def test_a_judge_comes_back_ready_with_its_running_statistics(discriminator):
    network, folder = discriminator
    assert json.loads((folder / "config.json").read_text()) == {"kind": "discriminator", "depth": 20, "outputs": 2}
    loaded = checkpoint.judge(folder)
    assert_same_weights(weights(loaded), weights(network))
    assert np.abs(weights(loaded)["norm.running_mean"]).max() > 1e-4
    network.eval()
    x = mx.random.uniform(-1, 1, (2, 32, 32, 3))
    np.testing.assert_array_equal(np.array(loaded.film_logit(x)), np.array(network.film_logit(x)))


def test_kinds_are_not_mistaken_for_one_another(saved, discriminator, model, monkeypatch):
    _, folder = discriminator
    with pytest.raises(ValueError, match=r"judge/config\.json: describes a discriminator, not a reconstructor$"):
        checkpoint.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"config\.json: describes a reconstructor, not a discriminator$"):
        checkpoint.judge(saved)
    monkeypatch.setattr(checkpoint, "BUNDLED", folder.parent)
    checkpoint.save(folder.parent / "a", model)
    assert checkpoint.bundled() == {"a": folder.parent / "a"}
    assert checkpoint.bundled("discriminator") == {"judge": folder}
    assert checkpoint.judge().config == ResNetConfig(20, 2)
    with pytest.raises(ValueError, match=r"describes a discriminator, not a reconstructor$"):
        checkpoint.from_pretrained("judge")
    with pytest.raises(ValueError, match=r"^b: neither a folder .* nor a bundled discriminator \(judge\)$"):
        checkpoint.judge("b")


def missing_weights(folder):
    (folder / "model.safetensors").unlink()


def truncated(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def empty(folder):
    (folder / "model.safetensors").write_bytes(b"")


def pickled(folder):
    (folder / "model.safetensors").unlink()
    np.savez(folder / "model.npz", x=np.array([Bomb()], dtype=object))


def pickle_by_another_name(folder):
    (folder / "model.safetensors").unlink()
    np.array([Bomb()], dtype=object).dump(folder / "model.npz")


def one_missing(folder):
    rewrite(folder, lambda arrays: arrays.pop("network.head.bias"))


def one_unknown(folder):
    rewrite(folder, lambda arrays: arrays.update({"tail.bias": mx.zeros(2)}))


def one_misshapen(folder):
    rewrite(folder, lambda arrays: arrays.update({"network.head.bias": mx.zeros(4)}))


def all_unknown(folder):
    rewrite(folder, lambda arrays: [arrays.update({f"x{name}": arrays.pop(name)}) for name in list(arrays)])


def another_config(folder):
    other = ReconstructorConfig("dianet", "absolute", "peaks", "joint", 24)
    checkpoint.save(folder / "other", Reconstructor(other))
    (folder / "other" / "config.json").replace(folder / "config.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing_weights, r"model\.safetensors: no such file"),
        (truncated, r"model\.safetensors: cannot be read as weights \("),
        (empty, r"model\.safetensors: cannot be read as weights \("),
        (pickled, r"model\.npz: cannot be read as weights \(.*allow_pickle"),
        (pickle_by_another_name, r"model\.npz: cannot be read as weights \("),
        (one_missing, r"do not fit the model: missing network\.head\.bias$"),
        (one_unknown, r"do not fit the model: unknown tail\.bias$"),
        (one_misshapen, r"do not fit the model: network\.head\.bias is \(4,\), expected \(3,\)$"),
        (all_unknown, r"do not fit the model: (missing \S+; ){6}and \d+ more$"),
        (another_config, "do not fit the model: missing "),
    ],
)
def test_damaged_weights_are_refused_with_a_reason(saved, damage, message):
    damage(saved)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.from_pretrained(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not the configuration of a model"),
        ("[]", "not the configuration of a model"),
        ("{}", "not the configuration of a model"),
        ('{"kind": "llama"}', "describes a llama, not a reconstructor"),
        ('{"kind": "reconstructor", "depth": 3}', r"unknown settings \['depth'\]"),
        ('{"kind": "reconstructor", "network": "vgg"}', "expects network in"),
        ('{"kind": "reconstructor", "width": "128"}', r"config\.json: "),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_name(saved, text, message):
    (saved / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.from_pretrained(saved)
    assert str(saved / "config.json") in str(caught.value)


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path):
    known = ", ".join(checkpoint.bundled()) or "none"
    with pytest.raises(ValueError, match=rf"^{tmp_path}: neither .* bundled reconstructor \({re.escape(known)}\)$"):
        checkpoint.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^kodak: neither"):
        checkpoint.statistics_of("kodak")


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz"])
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, name):
    checkpoint.save_arrays(tmp_path / name, {"x": mx.ones(3)})
    before = (tmp_path / name).read_bytes()

    def fails(path, *_, **__):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(mx, "save_safetensors", fails)
    monkeypatch.setattr(mx, "savez", fails)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save_arrays(tmp_path / name, {"x": mx.zeros(3)})
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == before


def test_a_failed_text_leaves_what_was_there(tmp_path):
    file = tmp_path / "config.json"
    checkpoint.write_text(file, "old")
    with pytest.raises(UnicodeEncodeError):
        checkpoint.write_text(file, "new" * 5000 + "\ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "array", "metadata", "message"),
    [
        ("a.pt", mx.ones(2), None, r"weights are \.safetensors or \.npz, not '\.pt'"),
        ("a.npz", mx.ones(2), {"step": "1"}, "neither metadata nor bfloat16"),
        ("a.npz", mx.ones(2, mx.bfloat16), None, "neither metadata nor bfloat16"),
    ],
)
def test_what_a_form_cannot_hold_is_refused(tmp_path, name, array, metadata, message):
    with pytest.raises(ValueError, match=message):
        checkpoint.save_arrays(tmp_path / name, {"x": array}, metadata)
    assert list(tmp_path.iterdir()) == []


def test_the_bundled_judge_is_the_one_of_its_card():
    network = checkpoint.judge()
    assert set(checkpoint.bundled("discriminator")) == {"judge"}
    count = sum(array.size for _, array in tree_flatten(network.trainable_parameters()))
    card = (checkpoint.BUNDLED / "judge" / "README.md").read_text(encoding="utf-8")
    assert f"{count:,}" in card
    assert not network.training
