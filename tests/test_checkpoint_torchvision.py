import builtins
import pickle
import re
import sys
from types import SimpleNamespace

from d2f_mlx import checkpoint
from d2f_mlx.losses import LPIPS_LAYERS
from d2f_mlx.models import VGG

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from safetensors.numpy import save_file


class Bomb:
    """Executed by an unpickler."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.fixture(scope="module")
def network():
    return VGG(16, seed=3)


@pytest.fixture
def tensors(network):
    """Torchvision's layout, (O, I, H, W), with a classifier."""
    found = {name: np.array(a) for name, a in tree_flatten(network.parameters())}
    found = {name: np.ascontiguousarray(a.transpose(0, 3, 1, 2)) if a.ndim == 4 else a for name, a in found.items()}
    return {**found, "classifier.0.weight": np.ones((4, 5), np.float32), "classifier.0.bias": np.ones(4, np.float32)}


def assert_is(loaded, network):
    expected = dict(tree_flatten(network.parameters()))
    for name, array in tree_flatten(loaded.parameters()):
        np.testing.assert_array_equal(np.array(array), np.array(expected[name]), err_msg=name)


def test_torchvisions_safetensors_are_read(tensors, network, tmp_path):
    save_file(tensors, tmp_path / "vgg16.safetensors")
    assert_is(checkpoint.pretrained_vgg(tmp_path / "vgg16.safetensors", 16), network)


@pytest.mark.parametrize("suffix", ["pth", "pt"])
def test_torchvisions_own_file_is_read(tensors, network, tmp_path, suffix):
    torch = pytest.importorskip("torch", reason=".pth files need the extra `torch`")
    torch.save({name: torch.from_numpy(a) for name, a in tensors.items()}, tmp_path / f"vgg16.{suffix}")
    assert_is(checkpoint.pretrained_vgg(tmp_path / f"vgg16.{suffix}", 16), network)


def test_half_precision_is_read(tensors, tmp_path):
    torch = pytest.importorskip("torch", reason=".pth files need the extra `torch`")
    torch.save({name: torch.from_numpy(a).bfloat16() for name, a in tensors.items()}, tmp_path / "vgg16.pth")
    loaded = checkpoint.pretrained_vgg(tmp_path / "vgg16.pth", 16)
    name = "features.24.weight"
    expected = np.array(mx.array(tensors[name]).astype(mx.bfloat16).astype(mx.float32)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(np.array(dict(tree_flatten(loaded.parameters()))[name]), expected)


def test_what_is_missing_unknown_and_misshapen_is_listed(tensors, tmp_path):
    del tensors["features.5.bias"]
    tensors["features.1.running_mean"] = np.ones(64, np.float32)
    tensors["features.0.weight"] = np.ones((64, 1, 3, 3), np.float32)
    save_file(tensors, tmp_path / "a.safetensors")
    expected = (
        "the weights do not fit the model: missing features.5.bias; unknown features.1.running_mean; "
        "features.0.weight is (64, 3, 3, 1), expected (64, 3, 3, 3)"
    )
    with pytest.raises(ValueError, match=re.escape(expected) + "$"):
        checkpoint.pretrained_vgg(tmp_path / "a.safetensors", 16)


def test_the_other_depths_file_is_refused(tensors, tmp_path):
    save_file(tensors, tmp_path / "vgg16.safetensors")
    with pytest.raises(ValueError, match=r"do not fit the model: missing features\.16\.bias; .* more$"):
        checkpoint.pretrained_vgg(tmp_path / "vgg16.safetensors")


@pytest.mark.parametrize("kind", ["pickled", "saved", "damaged", "whole training"])
def test_what_is_not_weights_is_refused_and_never_unpickled(tmp_path, kind):
    torch = pytest.importorskip("torch", reason=".pth files need the extra `torch`")
    path = tmp_path / "a.pth"
    if kind == "pickled":
        path.write_bytes(pickle.dumps({"features.0.weight": Bomb()}, protocol=2))
    elif kind == "saved":
        torch.save({"features.0.weight": Bomb()}, path)
    elif kind == "damaged":
        path.write_bytes(b"PK weights")
    else:
        torch.save({"state_dict": {"features.0.weight": torch.ones(2)}, "epoch": 3}, path)
    expected = "a.pth: not weights: it is damaged, or holds something other than tensors by name"
    with pytest.raises(ValueError, match=re.escape(expected) + "$"):
        checkpoint.pretrained_vgg(path)


def test_a_truncated_file_is_refused(tmp_path):
    torch = pytest.importorskip("torch", reason=".pth files need the extra `torch`")
    torch.save({"features.0.weight": torch.ones(2)}, tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"a\.pth: cannot be read as weights \("):
        checkpoint.pretrained_vgg(tmp_path / "a.pth")


def test_without_pytorch_the_way_out_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"")
    imported = builtins.__import__

    def without(name, *rest, **named):
        if name == "torch":
            raise ImportError(name)
        return imported(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    expected = "a .pth file needs PyTorch 2.6 or newer (pip install 'd2f_mlx[torch]'); .safetensors does not"
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'a.pth'}: {expected}")):
        checkpoint.pretrained_vgg(tmp_path / "a.pth")


def test_a_pytorch_that_reads_unsafely_is_not_asked(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(__version__="2.5.1+cu124", load=pytest.fail))
    with pytest.raises(ValueError, match=re.escape("expects PyTorch 2.6 or newer, which reads it safely, got 2.5.1")):
        checkpoint.pretrained_vgg(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / name}: no such file")):
        checkpoint.pretrained_vgg(tmp_path / name)


def test_the_heads_are_the_published_ones():
    heads = checkpoint.lpips_heads()
    assert tuple(heads[name].size for name in LPIPS_LAYERS) == (64, 128, 256, 512, 512)
    sums = [float(np.array(heads[name], np.float64).sum()) for name in LPIPS_LAYERS]
    np.testing.assert_allclose(sums, [6.9260, 8.8583, 17.5150, 51.5213, 47.0349], rtol=0, atol=5e-5)
    assert min(float(heads[name].min()) for name in LPIPS_LAYERS) > 0  # a distance
