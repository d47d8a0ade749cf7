"""A learned palette as a Matplotlib figure (extra ``plot``): a photograph with and without it, patches, tone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from .. import images
from ..film.look import Palette
from ..film.tone import lab_of, rgb_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIGHTS = (80, 60, 40, 20)  # L* of the patches' rows
_CHROMA = 32
_HUES = 12
_SIDE = 700  # pixels of a picture's long side, at most
_LEVELS = 256


def plot_palette(palette: Palette, photo: np.ndarray, scans: Sequence[np.ndarray] = (), title: str = "") -> Figure:
    """Draw a photograph without and with a palette, colours before and after, the tone curve and the cast of greys.

    Args:
        palette: What to draw.
        photo: Pixels in sRGB, uint8 or uint16. Shape (H, W, 3)
        scans: Of the film, up to four, shown below for comparison. Shape (H, W, 3) each
        title: Of the figure.

    Raises: ValueError where Matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("a plot needs Matplotlib: pip install 'd2f_mlx[plot]'") from None
    rows = 3 if len(scans) else 2
    figure = Figure(figsize=(13, 4.3 * rows), dpi=100, layout="constrained")
    grid = figure.add_gridspec(rows, 12)
    figure.suptitle(title, fontsize="large")
    small = _small(photo)
    _picture(figure.add_subplot(grid[0, :6]), small, "photograph")
    _picture(figure.add_subplot(grid[0, 6:]), _applied(palette, small), "with the palette")
    _draw_patches(figure.add_subplot(grid[1, :5]), palette)
    _draw_tone(figure.add_subplot(grid[1, 5:9]), palette)
    _draw_cast(figure.add_subplot(grid[1, 9:]), palette)
    for index, scan in enumerate(scans[:4]):
        _picture(figure.add_subplot(grid[2, 3 * index : 3 * index + 3]), _small(scan), "scan")
    return figure


def _applied(palette: Palette, pixels: np.ndarray) -> np.ndarray:
    return np.array(palette(mx.array(pixels.astype(np.float32))))


def _small(pixels: np.ndarray) -> np.ndarray:
    """Take every k-th pixel, as float. Shape: (H, W, 3) -> (h, w, 3)."""
    step = -(-max(pixels.shape[:2]) // _SIDE)
    return images.to_float(np.ascontiguousarray(pixels[::step, ::step]))


def _picture(axes: Axes, pixels: np.ndarray, title: str) -> None:
    axes.imshow(pixels.clip(0, 1), interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title)


def _draw_patches(axes: Axes, palette: Palette) -> None:
    """Draw each patch as a square, before, with a smaller one in it, after."""
    hue = np.arange(_HUES) * (2 * np.pi / _HUES)
    around = np.stack([np.zeros(_HUES), _CHROMA * np.cos(hue), _CHROMA * np.sin(hue)], -1)
    lab = np.concatenate([np.zeros((1, 3)), around]) + np.array(_LIGHTS)[:, None, None] * [1, 0, 0]
    before = rgb_of(lab).clip(0, 1)
    after = _applied(palette, before)
    board = before.repeat(8, 0).repeat(8, 1)
    inner = np.zeros((8, 8), bool)
    inner[2:6, 2:6] = True
    inside = np.tile(inner, before.shape[:2])
    board[inside] = after.repeat(8, 0).repeat(8, 1)[inside]
    axes.imshow(board, interpolation="nearest")
    axes.set(title="Colours, and in them what becomes of them", xlabel="grey, then hues from red round to magenta")
    axes.set(xticks=[], yticks=3.5 + 8 * np.arange(len(_LIGHTS)), yticklabels=[f"L* {light}" for light in _LIGHTS])


def _greys(palette: Palette) -> tuple[np.ndarray, np.ndarray]:
    """Return greys and what becomes of them, in L*a*b*. Shape: (256, 3) each."""
    ramp = np.repeat(np.linspace(0, 1, _LEVELS)[:, None], 3, 1)
    return lab_of(ramp), lab_of(_applied(palette, ramp))


def _draw_tone(axes: Axes, palette: Palette) -> None:
    before, after = _greys(palette)
    axes.plot([0, 100], [0, 100], color="#888888", linewidth=0.8, linestyle="--")
    axes.plot(before[:, 0], after[:, 0], color="black")
    axes.set(title="Tone of greys", xlabel="L* of the photograph", ylabel="L* with the palette")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.grid(alpha=0.25)


def _draw_cast(axes: Axes, palette: Palette) -> None:
    before, after = _greys(palette)
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.plot(before[:, 0], after[:, 1], color="#CC79A7", label="a*: magenta over green")
    axes.plot(before[:, 0], after[:, 2], color="#E69F00", label="b*: yellow over blue")
    most = max(5.0, float(np.abs(after[:, 1:]).max()) * 1.1)
    axes.set(title="Cast of greys", xlabel="L* of the photograph", xlim=(0, 100), ylim=(-most, most))
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
