"""What the figure of a palette shows, and that every curve in it is the palette's."""

import d2f_mlx as d2f  # noqa: F401  (it puts a fast BLAS under MLX)
from d2f_mlx.evaluate.palette_figure import plot_palette
from d2f_mlx.film.look import Look, bake
from d2f_mlx.film.tone import lab_of, straight

import numpy as np
import pytest
from skimage import data

GAMMA = 1.4


@pytest.fixture(scope="module")
def palette():
    return bake(Look(straight() ** GAMMA), 33, {})


def test_it_shows_the_picture_before_and_after_its_tone_and_its_cast(palette, tmp_path):
    figure = plot_palette(palette, data.coffee(), [data.chelsea()], title="a film")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["photograph", "with the palette"]
    assert titles[-1] == "scan"
    before, after = (figure.axes[i].images[0].get_array() for i in (0, 1))
    np.testing.assert_allclose(after, before**GAMMA, atol=0.004)
    tone = figure.axes[3].lines[1].get_xydata()
    grey = np.repeat(np.linspace(0, 1, 256)[:, None] ** GAMMA, 3, 1)
    np.testing.assert_allclose(tone[:, 1], lab_of(grey)[:, 0], atol=0.3)
    for line in figure.axes[4].lines[1:]:
        assert np.abs(line.get_ydata()).max() < 0.01  # the curves are the same in all channels: no cast
    figure.savefig(tmp_path / "palette.png")


def test_scans_are_not_needed(palette):
    assert len(plot_palette(palette, data.coffee()).axes) == 5
