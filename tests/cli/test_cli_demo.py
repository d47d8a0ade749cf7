import builtins

import d2f_mlx as d2f
from d2f_mlx import images
from d2f_mlx.cli import main
from d2f_mlx.cli.demo import sheet
from d2f_mlx.film import Darkroom, Scanner

import numpy as np
import pytest


def test_the_sheet_shows_both_pictures_and_both_crops_pixel_for_pixel():
    rng = np.random.default_rng(0)
    photo, film = rng.integers(0, 256, (2, 300, 320, 3), np.uint8)
    shown = sheet(photo, film)
    below = slice(40, 250)  # clear of the labels
    np.testing.assert_array_equal(shown[:300, :320][below], photo[below])
    np.testing.assert_array_equal(shown[:300, 328:648][below], film[below])
    np.testing.assert_array_equal(shown[40:256, 656:912], photo[84:300, 32:288])
    np.testing.assert_array_equal(shown[304:520, 656:912], film[84:300, 32:288])


def test_demo_writes_a_picture(network, tmp_path, capsys):
    pytest.importorskip("skimage")
    out = tmp_path / "demo.png"
    flags = ["--grain", "halide", "--colour", "photo", "--reconstructor", network]
    assert main(["demo", "-o", str(out), "--photo", "chelsea", *flags]) == 0
    assert images.size(out) == (520, 2 * 451 + 256 + 16)
    assert str(out) in capsys.readouterr().out


def test_demo_takes_the_flags_of_film_darkroom_and_scanner(tmp_path):
    skimage = pytest.importorskip("skimage")
    out, photo = tmp_path / "demo.png", skimage.data.chelsea()
    flags = ["--stock", "kodak-gold-200", "--print", "scan", "--exposure", "0.5", "--contrast", "1.4", "--seed", "3"]
    assert main(["demo", "-o", str(out), "--photo", "chelsea", *flags]) == 0
    film = {"darkroom": Darkroom(print="scan", exposure=0.5), "scanner": Scanner(contrast=1.4)}
    expected = d2f.develop(photo, stock="kodak-gold-200", **film, key=3)
    np.testing.assert_array_equal(images.read(out).pixels, sheet(photo, expected))


def test_demo_names_the_extra_it_needs(monkeypatch, capsys):
    real = builtins.__import__

    def without_skimage(name, *rest, **more):
        if name.startswith("skimage"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_skimage)
    assert main(["demo"]) == 1
    assert "d2f_mlx[demo]" in capsys.readouterr().err


def test_info_prints_the_machine_and_the_bundled_weights(capsys):
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for word in ("device", "blas", "GFLOP/s", "compiler", "memory", "mlx-data", "weights: unet"):
        assert word in printed
