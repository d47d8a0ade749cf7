"""On real scans and photographs.

Set D2F_DATA to the folder that holds film/, digital/ and MANIFEST.tsv, and run with -m slow.
"""

import csv
import os
from pathlib import Path

from d2f_mlx import checkpoint, images
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.grain import density, peaks
from d2f_mlx.training import Evaluation

import mlx.core as mx
import numpy as np
import pytest

DATA = Path(os.environ.get("D2F_DATA", ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "MANIFEST.tsv").is_file(), reason="needs real scans: set D2F_DATA"),
]
HELD_OUT = ("steel_city", "lomo_metropolis")
FILM_DENSITY = (0.08, 0.17)
LEVELS = 2.0


def peak_density(pixels):
    return np.array(density(peaks(mx.array(pixels))))


def test_film_has_the_density_of_peaks_that_the_notes_give():
    found = np.mean([peak_density(images.read(path).pixels) for path in images.find([DATA / "film"])], 0)
    # The notes: 0.1191, 0.1098, 0.1273 over 375 other scans, with standard deviations of 0.033, 0.015 and 0.042.
    np.testing.assert_allclose(found, (0.119, 0.110, 0.127), atol=0.03)


@pytest.mark.parametrize("name", ["unet", "dianet"])
def test_developed_photographs_have_films_density_and_their_own_tones(name):
    developer = Developer(DevelopConfig(name, grain="halide", colour="photo"))
    densities = []
    for path in images.find([DATA / "digital"])[::3]:
        photo = images.read(path).pixels
        film = developer(photo, key=1)
        densities.append(peak_density(film))
        for c in range(3):
            band = photo[..., c] // 32
            moved = film[..., c].astype(np.float32) - photo[..., c]
            for b in range(8):
                inside = moved[band == b]
                if len(inside) >= 10000:
                    assert abs(inside.mean()) <= LEVELS, f"{path.name}, channel {c}, band {b}"
    mean = np.mean(densities, 0)
    assert np.all((mean >= FILM_DENSITY[0]) & (mean <= FILM_DENSITY[1])), mean


@pytest.mark.parametrize("name", ["unet", "dianet", "unet-absolute", "dianet-absolute"])
def test_bundled_networks_beat_normalised_convolution_on_held_out_rolls(name):
    with (DATA / "MANIFEST.tsv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    paths = [DATA / row["file"] for row in rows if Path(row["path"]).parent.name in HELD_OUT]
    found = Evaluation(checkpoint.from_pretrained(name), paths, 4)()
    assert found["mse"] < 0.95 * found["rival_mse"]
