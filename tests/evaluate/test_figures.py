import sys
from dataclasses import replace
from functools import partial

from d2f_mlx import evaluate
from d2f_mlx.evaluate import plot_measurement, plot_report
from d2f_mlx.evaluate.figures import flat_place
from d2f_mlx.grain import FlatBlocks, GrainMeasurement

import numpy as np
import pytest

realism = partial(evaluate.realism, rule=FlatBlocks())  # the pictures here are small

backend_agg = pytest.importorskip("matplotlib.backends.backend_agg", reason="plots need the extra 'plot'")


@pytest.fixture(scope="module")
def report(roll):
    small = [pixels[:96] for pixels in roll[:2]]
    return realism(small[:1], small, small[1:])


def drawn(figure) -> np.ndarray:
    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_a_measurement_is_drawn_as_it_is(film):
    spectrum, sigma, autocorrelation, occupancy = plot_measurement(film).axes
    for c, name in enumerate("RGB"):
        power = 10 * np.log10(film.cross_spectrum[:, c, c])
        np.testing.assert_allclose(lines(spectrum)[name], np.stack([film.frequency, power], 1))
        np.testing.assert_allclose(lines(sigma)[name][:, 1], film.sigma[:, c])
        np.testing.assert_allclose(lines(autocorrelation)[name][:, 1], film.autocorrelation[:, c])
    np.testing.assert_allclose([bar.get_height() for bar in occupancy.patches], 100 * film.occupancy)
    assert [t.get_text() for t in occupancy.get_xticklabels()] == ["none", "R", "G", "RG", "B", "RB", "GB", "RGB"]
    assert spectrum.get_xlabel() == "frequency, cycles/pixel"
    assert sigma.get_ylabel() == "sigma, levels of 255"


def test_with_a_pitch_axes_are_in_millimetres(film):
    spectrum, _, autocorrelation, _ = plot_measurement(replace(film, pitch_um=5.0)).axes
    assert spectrum.get_xlabel() == "frequency, cycles/mm"
    np.testing.assert_allclose(lines(spectrum)["G"][:, 0], film.frequency * 200)
    assert autocorrelation.get_xlabel() == "distance, um"
    np.testing.assert_allclose(lines(autocorrelation)["G"][:, 0], np.arange(9) * 5.0)


def test_the_crop_is_exact_to_the_pixel(film, roll):
    figure = plot_measurement(film, roll[0], "a roll")
    shown = drawn(figure)
    (image,) = (axes.images[0] for axes in figure.axes if axes.images)
    crop = np.asarray(image.get_array())
    box = image.axes.get_window_extent()
    left, bottom, size = round(box.x0), round(box.y0), round(box.width)
    assert crop.shape == (size, size, 3) == (192, 192, 3)
    np.testing.assert_array_equal(shown[len(shown) - bottom - size : len(shown) - bottom, left : left + size], crop)
    _, column = flat_place(roll[0])
    start = np.clip(column + (64 - 192) // 2, 0, 512 - 192)
    np.testing.assert_array_equal(crop, roll[0][:, start : start + 192])


def test_sixteen_bits_are_shown_in_eight(film, roll):
    figure = plot_measurement(film, roll[0].astype(np.uint16) * 257)
    (image,) = (axes.images[0] for axes in figure.axes if axes.images)
    assert np.isin(np.asarray(image.get_array()), roll[0]).all()
    drawn(figure)


def test_grey_film_is_drawn_without_colours(roll):
    grey = [pixels[..., :1] for pixels in roll]
    figure = plot_measurement(GrainMeasurement.of(grey), grey[0])
    drawn(figure)
    assert list(lines(figure.axes[0])) == ["grey"]
    drawn(plot_report(realism(grey[:1], grey[:2], grey[:1])))


def test_the_flattest_place_is_found():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (256, 320, 3), np.uint8)
    pixels[128:192, 192:256] = np.rint(128 + 3 * rng.standard_normal((64, 64, 3)))
    pixels[0:64, 0:64] = np.rint(40 + 3 * rng.standard_normal((64, 64, 3)))
    assert flat_place(pixels) == (128, 192)  # as flat as the other, and nearer to mid grey
    assert flat_place(pixels[:128]) == (0, 0)
    with pytest.raises(ValueError, match="expects a picture of 64x64"):
        flat_place(pixels[:60])


def test_a_report_is_drawn_as_it_is(report):
    figure = plot_report(report, "test")
    drawn(figure)
    *curves, bars = figure.axes
    for c in range(3):
        sigma, spectrum = curves[2 * c : 2 * c + 2]
        np.testing.assert_allclose(sigma.lines[0].get_ydata(), report.film.sigma[:, c])
        np.testing.assert_allclose(sigma.lines[1].get_ydata(), report.measurements["developed"].sigma[:, c])
        np.testing.assert_allclose(lines(spectrum)["developed"][:, 1], report.rows["developed"].spectrum[:, c])
    labels = [text.get_text() for text in bars.get_legend().get_texts()]
    assert labels == list(report.rows)
    noise = bars.containers[labels.index("white noise, colour")]
    ratio = report.rows["white noise, colour"].summary()["spectrum_error"] / 0.4
    assert noise[2].get_height() == pytest.approx(ratio)


def test_no_text_lies_on_another_or_outside(report, film, roll):
    for figure in (plot_report(report, "a title"), plot_measurement(replace(film, pitch_um=8.0), roll[0], "a title")):
        drawn(figure)
        width, height = figure.get_size_inches() * figure.dpi
        boxes = []
        for axes in figure.axes:
            if hasattr(axes, "zaxis"):
                continue
            low, high = axes.get_xlim()
            ticks = [
                t for t, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True) if low <= place <= high
            ]
            texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *ticks, *getattr(axes.get_legend(), "texts", [])]
            boxes += [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]
        boxes += [(t.get_text(), t.get_window_extent()) for legend in figure.legends for t in legend.get_texts()]
        for text, box in boxes:
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= width, text
            assert box.y1 <= height, text
        clashes = [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[:i] if x.overlaps(y)]
        assert not clashes


def test_what_is_missing_is_named(film, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match=r"pip install 'd2f_mlx\[plot\]'"):
        plot_measurement(film)
