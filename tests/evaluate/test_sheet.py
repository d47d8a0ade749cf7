import json
from dataclasses import replace

from d2f_mlx.evaluate import sheet
from d2f_mlx.grain import GrainMeasurement
from d2f_mlx.grain.granularity import rms_granularity
from d2f_mlx.grain.overlay import scan_density

import numpy as np
import pytest
import scipy.ndimage as ndi

LEVEL = 88.0  # the middle of band 5
BAND = 5


def plain_film(blur: float = 0.0, sigma: float = 5.0) -> list[np.ndarray]:
    fields = np.random.default_rng(0).standard_normal((4, 256, 256, 3))
    if blur:
        fields = ndi.gaussian_filter(fields, (0, blur, blur, 0), mode="wrap")
        fields /= fields.std()
    return [np.rint(LEVEL + sigma * field).astype(np.uint8) for field in fields]


@pytest.fixture(scope="module")
def white() -> GrainMeasurement:
    return GrainMeasurement.of(plain_film(), pitch_um=12.0)


@pytest.mark.parametrize(("pitch_um", "share"), [(6.0, 0.98), (12.0, 0.96), (24.0, 0.92)])
def test_white_grain_through_an_aperture(white, pitch_um, share):
    """By Selwyn's law sigma falls with the root of the area; the share that pixels take away is the documented one."""
    density = 2.4 / np.log(10) * np.sqrt(25 + 1 / 12) / (LEVEL + 0.055 * 255)  # dD/dV = 2.4 / ln 10 / (V + 0.055)
    law = density * pitch_um / np.sqrt(np.pi / 4 * 48**2)
    found = sheet.rms_granularity(replace(white, pitch_um=pitch_um))
    np.testing.assert_allclose(found[BAND], share * law, rtol=0.02)
    assert np.isnan(found[BAND + 3]).all()


@pytest.mark.parametrize("blur", [0.6, 0.8])
def test_correlated_grain_is_near_an_aperture_laid_on_the_picture(blur):
    film = plain_film(blur)
    found = sheet.rms_granularity(GrainMeasurement.of(film, pitch_um=6.0))[BAND]
    laid = np.mean([rms_granularity(scan_density(pixels / 255), 6.0) for pixels in film], axis=0)
    np.testing.assert_allclose(found / laid, 0.91, atol=0.04)  # some 10 % below, as documented


def test_granularity_follows_another_aperture(white):
    small, large = (sheet.rms_granularity(white, aperture)[BAND] for aperture in (48.0, 96.0))
    np.testing.assert_allclose(small / large, 2, rtol=0.04)
    with pytest.raises(ValueError, match="expects a measurement with a pitch_um"):
        sheet.rms_granularity(replace(white, pitch_um=0.0))


def test_selwyns_constant_of_a_published_granularity():
    assert sheet.selwyn(np.array([0.017])) == pytest.approx(0.017 * np.sqrt(2 * 1809.557), rel=1e-6)  # Tri-X: 17


def test_a_density_is_interpolated_and_not_beyond_what_is_known(film):
    density = sheet.band_density(film)
    np.testing.assert_allclose(density, scan_density((np.arange(16) + 0.5) / 16))
    table = np.repeat(density[:, None], 3, 1) * [1, 10, 100]
    table[:4, 1] = np.nan  # still known at 1.0
    table[:6, 2] = np.nan  # only lighter than 1.0
    np.testing.assert_allclose(sheet.at_density(film, table), [1, 10, np.nan])
    assert np.isnan(sheet.at_density(film, np.full((16, 3), np.nan))).all()


def test_the_sheet_prints_what_was_measured(white):
    lines = {line[:34].strip(): line[34:].split() for line in sheet.text(white).splitlines()}
    middle = white.sigma[BAND]
    rms = 1000 * sheet.rms_granularity(white)[BAND]
    assert lines["lag-1 autocorrelation"] == [f"{v:.3f}" for v in white.autocorrelation[1]]
    assert lines["excess kurtosis"] == [f"{v:.2f}" for v in white.kurtosis]
    assert lines["correlation"] == [f"{white.correlation[a, b]:.3f}" for a, b in ((0, 1), (0, 2), (1, 2))]
    assert lines["RMS granularity x1000 at density 1"[:34]][-3:] == ["-"] * 3  # one band only
    (row,) = (line.split() for line in sheet.text(white).splitlines() if line.startswith(" 80-95"))
    assert row[:3] == ["80-95", "1.01", f"{middle[0]:.2f}"]
    assert row[-1] == f"{rms[2]:.1f}"
    assert "4 picture(s), 3844 flat blocks, 12.00 um a pixel" in sheet.text(white)
    assert "none" in sheet.text(white)
    assert max(map(len, sheet.text(white).splitlines())) <= 120


def test_without_a_pitch_nothing_is_said_in_micrometres(film):
    text = sheet.text(film)
    assert "pitch unknown" in text
    assert "correlation length, pixels" in text
    assert "RMS" not in text
    assert " um" not in text
    assert "rms_granularity" not in sheet.figures(film)


def test_grey_film_is_printed_once(roll):
    text = sheet.text(GrainMeasurement.of([roll[0][..., :1]]))
    assert "grey" in text
    assert "correlation " not in text.replace("autocorrelation", "").replace("correlation length", "")


def test_figures_go_into_json(film):
    values = json.loads(json.dumps(sheet.figures(replace(film, pitch_um=10.0)), allow_nan=False))
    assert values["blocks"] == film.blocks
    assert values["aperture_um"] == 48.0
    assert values["correlation_length_um"] == pytest.approx([10 * v for v in values["correlation_length_px"]])
    assert values["rms_granularity_by_band"][15] == [None] * 3
    at_one = 1000 * sheet.at_density(film, sheet.rms_granularity(replace(film, pitch_um=10.0)))
    assert values["rms_granularity"] == pytest.approx(at_one.tolist())
    assert values["selwyn_um"] == pytest.approx((at_one / 1000 * 48 * np.sqrt(np.pi / 2)).tolist())
