"""Plots of measured grain and of realism reports, as Matplotlib figures (extra ``plot``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..grain import FlatBlocks, GrainMeasurement
from ..grain.patches import flat_corners
from ..grain.spectrum import surface
from .anchors import NOISES
from .distance import FIGURES, INDISTINGUISHABLE
from .report import CEILING, DEVELOPED, FLOOR, Report
from .sheet import channel_names, state_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"R": "#D55E00", "G": "#009E73", "B": "#0072B2", "grey": "#444444"}
_MARKERS = {"R": "o", "G": "s", "B": "^", "grey": "o"}
_ROW_COLOURS = dict(
    zip(
        (DEVELOPED, FLOOR, CEILING, *NOISES),
        ("#D55E00", "#999999", "#56B4E9", "#009E73", "#0072B2", "#CC79A7", "#E69F00"),
        strict=True,
    )
)
"""Okabe and Ito's palette, which people with any colour vision can tell apart."""
_DPI = 100
_CROP = 256  # pixels
_SURFACE = 64
_LOW = 3.0  # levels that the axis of sigma reaches at least


def plot_measurement(measurement: GrainMeasurement, pixels: np.ndarray | None = None, title: str = "") -> Figure:
    """Draw measured grain: spectrum, sigma by brightness with its interval, autocorrelation, occupancy of peaks.

    With a picture, also a surface of levels over a flat place of it (the green channel) and a crop that shows one pixel
    as one pixel at the figure's own resolution.

    Args:
        measurement: What to draw.
        pixels: One of the pictures, integers as decoded. Shape (H, W, 1 or 3)
        title: Of the figure.

    Raises: ValueError where Matplotlib is missing.
    """
    columns = 2 if pixels is None else 3
    figure, grid = _figure(4.6 * columns, 8.4, title, 2, columns)
    _draw_spectrum(figure.add_subplot(grid[0, 0]), measurement)
    _draw_sigma(figure.add_subplot(grid[0, 1]), measurement)
    _draw_autocorrelation(figure.add_subplot(grid[1, 0]), measurement)
    _draw_occupancy(figure.add_subplot(grid[1, 1]), measurement)
    if pixels is not None:
        corner = flat_place(pixels)
        _draw_surface(figure.add_subplot(grid[0, 2], projection="3d"), pixels, corner)
        _draw_crop(figure, pixels, corner)
    return figure


def plot_report(report: Report, title: str = "") -> Figure:
    """Draw a realism report: sigma and spectra of film, developed pictures and anchors; figures over their limits.

    Raises: ValueError where Matplotlib is missing.
    """
    names = channel_names(report.film.sigma.shape[1])
    figure, grid = _figure(13.0, 11.5, title, 3, len(names), bottom=1.15)
    curves = [name for name in (DEVELOPED, CEILING, "white noise, mono", "blurred noise, mono") if name in report.rows]
    for c, name in enumerate(names):
        sigma, spectrum = (figure.add_subplot(grid[row, c]) for row in (0, 1))
        _compare_sigma(sigma, report, c, curves)
        _compare_spectra(spectrum, report, c, curves)
        sigma.set_title(name)
        if c == 0:
            sigma.set_ylabel("sigma, levels of 255")
            spectrum.set_ylabel("power against film, dB")
            lines, labels = spectrum.get_legend_handles_labels()
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.975)}
            figure.legend(lines, labels, ncol=len(labels), frameon=False, **place)
    _draw_figures(figure.add_subplot(grid[2, :]), report)
    return figure


def flat_place(pixels: np.ndarray, size: int = _SURFACE) -> tuple[int, int]:
    """Find the square of a picture that holds the most flat blocks; of several, the one nearest to mid grey.

    Shape: (H, W, C) -> row and column of its first pixel
    Raises: ValueError for a picture that is smaller than the square.
    """
    if min(pixels.shape[:2]) < size:
        raise ValueError(f"flat_place expects a picture of {size}x{size} pixels or more, got {pixels.shape[:2]}")
    rule = FlatBlocks()
    corners = flat_corners(pixels, rule)
    rows, columns = (n // size for n in pixels.shape[:2])
    inside = ((corners % size <= size - rule.size) & (corners < [rows * size, columns * size])).all(1)
    cell = corners[inside] // size @ [columns, 1]
    number = np.bincount(cell, minlength=rows * columns)
    tiles = pixels[: rows * size, : columns * size].reshape(rows, size, columns, -1)
    grey = np.abs(tiles.mean((1, 3)).ravel() / np.iinfo(pixels.dtype).max - 0.5)
    best = int(np.lexsort((grey, -number))[0])
    return best // columns * size, best % columns * size


def _figure(
    width: float, height: float, title: str, rows: int, columns: int, bottom: float = 0.65
) -> tuple[Figure, Any]:
    """Make a figure of a size in inches and divide it, with fixed margins."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("a plot needs Matplotlib: pip install 'd2f_mlx[plot]'") from None
    figure = Figure(figsize=(width, height), dpi=_DPI)
    margins = {"left": 0.85 / width, "right": 1 - 0.25 / width, "bottom": bottom / height, "top": 1 - 0.95 / height}
    grid = figure.add_gridspec(rows, columns, **margins, wspace=0.3, hspace=0.34)
    figure.suptitle(title, y=1 - 0.1 / height, fontsize="large")
    return figure, grid


def _frequencies(m: GrainMeasurement) -> tuple[np.ndarray, str]:
    return (m.frequency * 1000 / m.pitch_um, "cycles/mm") if m.pitch_um else (m.frequency, "cycles/pixel")


def _channels(m: GrainMeasurement):
    for c, name in enumerate(channel_names(m.sigma.shape[1])):
        yield c, {"color": _COLOURS[name], "marker": _MARKERS[name], "markersize": 4, "label": name}


def _draw_spectrum(axes: Axes, m: GrainMeasurement) -> None:
    frequency, unit = _frequencies(m)
    for c, style in _channels(m):
        axes.plot(frequency, 10 * np.log10(m.cross_spectrum[:, c, c].clip(1e-6)), **style)
    axes.set(title="Noise power spectrum", xlabel=f"frequency, {unit}", ylabel="power against white noise, dB")
    axes.set_xlim(left=0)
    _finish(axes)


def _draw_sigma(axes: Axes, m: GrainMeasurement) -> None:
    level = (np.arange(len(m.sigma)) + 0.5) * (256 / len(m.sigma))
    for c, style in _channels(m):
        axes.plot(level, m.sigma[:, c], **style)
        axes.fill_between(level, m.sigma_low[:, c], m.sigma_high[:, c], color=style["color"], alpha=0.18, linewidth=0)
    axes.set(title="Grain by brightness, 95 % interval", xlabel="brightness, levels", ylabel="sigma, levels of 255")
    axes.set(xlim=(0, 255), xticks=range(0, 256, 32))
    axes.set_ylim(0, max(axes.get_ylim()[1], _LOW))
    _finish(axes)


def _draw_autocorrelation(axes: Axes, m: GrainMeasurement) -> None:
    lag = np.arange(len(m.autocorrelation)) * (m.pitch_um or 1.0)
    for c, style in _channels(m):
        axes.plot(lag, m.autocorrelation[:, c], **style)
    axes.axhline(np.exp(-1), color="#888888", linewidth=0.8, linestyle="--")
    axes.annotate("1/e", (lag[-1], np.exp(-1)), ha="right", va="bottom", color="#555555", fontsize="small")
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set(title="Autocorrelation", xlabel=f"distance, {'um' if m.pitch_um else 'pixels'}", ylabel="correlation")
    _finish(axes)


def _draw_occupancy(axes: Axes, m: GrainMeasurement) -> None:
    names = state_names(m.sigma.shape[1])
    bars = axes.bar(names, 100 * m.occupancy, color=[_state_colour(name) for name in names])
    axes.bar_label(bars, fmt="%.1f", fontsize="small", padding=2)
    axes.set(title="Which channels peak at a pixel", xlabel="channels with a 3x3 maximum there", ylabel="% of pixels")
    axes.set(yscale="log", ylim=(0.1, 200), yticks=(0.1, 1, 10, 100), yticklabels=("0.1", "1", "10", "100"))
    _finish(axes, legend=False)


def _state_colour(name: str) -> str:
    return _COLOURS.get(name, "#BBBBBB" if name == "none" else "#777777")


def _draw_surface(axes: Any, pixels: np.ndarray, corner: tuple[int, int]) -> None:
    channel = 1 if pixels.shape[2] == 3 else 0
    levels = surface(pixels[..., channel], *corner, _SURFACE)
    down, right = np.mgrid[:_SURFACE, :_SURFACE]
    axes.plot_surface(right, down, levels, cmap="cividis", rstride=1, cstride=1, linewidth=0, antialiased=False)
    what = "green channel" if channel else "levels"
    axes.set(title=f"A flat place: {what}", zlabel="level")
    axes.set_xlabel("column, pixels", labelpad=6)
    axes.set_ylabel("row, pixels", labelpad=6)
    axes.set(xticks=(0, 20, 40, 60), yticks=(0, 20, 40, 60))


def _draw_crop(figure: Figure, pixels: np.ndarray, corner: tuple[int, int]) -> None:
    """Place a crop at the lower right, a pixel of the picture on a pixel of the figure."""
    size = min(_CROP, *pixels.shape[:2])
    middle = np.add(corner, (_SURFACE - size) // 2)
    row, column = np.clip(middle, 0, np.subtract(pixels.shape[:2], size))
    crop = pixels[row : row + size, column : column + size]
    crop = (crop * (255 / np.iinfo(crop.dtype).max)).round().astype(np.uint8)
    width, height = (round(n * _DPI) for n in figure.get_size_inches())
    left, bottom = width - size - 100, 80
    axes = figure.add_axes((left / width, bottom / height, size / width, size / height))
    axes.imshow(np.broadcast_to(crop, (size, size, 3)), interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=f"100 %, {size} x {size} pixels")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _compare_sigma(axes: Axes, report: Report, c: int, curves: list[str]) -> None:
    film, level = report.film, (np.arange(len(report.film.sigma)) + 0.5) * (256 / len(report.film.sigma))
    axes.fill_between(level, film.sigma_low[:, c], film.sigma_high[:, c], color="black", alpha=0.15, linewidth=0)
    axes.plot(level, film.sigma[:, c], color="black", linewidth=2.5)
    for name in curves:
        if not name.startswith("blurred"):  # of the same variance as white noise
            axes.plot(level, report.measurements[name].sigma[:, c], color=_ROW_COLOURS[name], marker=".")
    axes.set(xlabel="brightness, levels", xlim=(0, 255), xticks=range(0, 256, 64))
    axes.set_ylim(0, max(axes.get_ylim()[1], _LOW))
    _finish(axes, legend=False)


def _compare_spectra(axes: Axes, report: Report, c: int, curves: list[str]) -> None:
    frequency, unit = _frequencies(report.film)
    axes.axhline(0, color="black", linewidth=2.5, label="film (grey: 95 % interval)")
    for name in curves:
        label = name.removesuffix(", mono")
        axes.plot(frequency, report.rows[name].spectrum[:, c], color=_ROW_COLOURS[name], marker=".", label=label)
    axes.set(xlabel=f"frequency, {unit}")
    axes.set_xlim(left=0)
    _finish(axes, legend=False)


def _draw_figures(axes: Axes, report: Report) -> None:
    """Draw each row's figures as multiples of their limits."""
    width = 0.84 / len(report.rows)
    place = np.arange(len(INDISTINGUISHABLE))
    for index, (name, row) in enumerate(report.rows.items()):
        summary = row.summary()
        ratio = np.array([abs(summary[key]) / limit for key, limit in INDISTINGUISHABLE.items()])
        axes.bar(place - 0.42 + (index + 0.5) * width, ratio, width, color=_ROW_COLOURS[name], label=name)
    axes.axhline(1, color="black", linewidth=1.2)
    labels = [
        f"{FIGURES[key].title}\n{limit:g} {FIGURES[key].unit}".strip() for key, limit in INDISTINGUISHABLE.items()
    ]
    axes.set(yscale="log", ylabel="figure over its limit", xticks=place, xlim=(-0.6, len(place) - 0.4))
    axes.set_ylim(0.02, max(axes.get_ylim()[1], 10))
    axes.set_xticklabels(labels)
    axes.set_title("Figures over their limits, which stand below their names", fontsize="medium")
    axes.legend(ncol=len(report.rows), fontsize="small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _finish(axes: Axes, legend: bool = True) -> None:
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    if legend:
        axes.legend(frameon=False, fontsize="small")
