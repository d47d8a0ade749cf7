"""The spread of light: MTFs and halation against SciPy, tiles, invariants, refusals."""

import json
import os
from functools import lru_cache
from pathlib import Path

from d2f_mlx.film import FilmStock
from d2f_mlx.film.optics import STRENGTH, Cells, optics
from d2f_mlx.film.spread import BASE_MM, INDEX, halation_spread, halation_terms, response_at

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.interpolate import BSpline
from scipy.linalg import toeplitz

FIT = 0.025  # of the response
SHEETS_FIT = 0.042  # of the worst sheet's
FLOAT32 = 4e-6
HALATION = 0.15
SHEETS = Path(os.environ.get("D2F_DATA", "")) / "stocks"

FREQUENCY = np.array([2.5, 5, 10, 15, 20, 30, 40, 50, 60, 80])
MTF = [
    (FREQUENCY, np.array([1.05, 1.08, 1.09, 1.04, 0.96, 0.76, 0.58, 0.43, 0.33, 0.2])),
    (FREQUENCY, np.array([1.07, 1.14, 1.18, 1.15, 1.09, 0.92, 0.77, 0.63, 0.53, 0.38])),
    (FREQUENCY, np.array([1.02, 1.05, 1.07, 1.06, 1.04, 0.95, 0.84, 0.73, 0.63, 0.47])),
]


@lru_cache
def prepared(pitch_um, halation=0.0, mtf=True):
    made = optics(MTF if mtf else None, pitch_um, halation=halation)
    assert made is not None
    return made


def impulse(made, origin, level=0.5, height=0.25):
    """Give what becomes of one brighter pixel, in the middle of an odd square."""
    side = 4 * made.reach + 1
    exposure = np.full((side, side, 3), level, np.float32)
    exposure[side // 2, side // 2] += height
    inside = slice(made.reach, side - made.reach)
    return (np.array(made(mx.array(exposure), origin))[inside, inside].astype(float) - level) / height


def transfer(spread, x, y):
    """Give the response at cycles a pixel, (F, 3)."""
    place = np.arange(len(spread)) - len(spread) // 2
    kernel_x, kernel_y = (np.cos(2 * np.pi * place * f[:, None]) for f in (x, y))
    return np.einsum("fy,yxc,fx->fc", kernel_y, spread, kernel_x)


def along(pitch_um, angle):
    f = np.linspace(0, 500 / pitch_um, 64)
    return f, f * np.cos(angle) * pitch_um / 1000, f * np.sin(angle) * pitch_um / 1000


@pytest.mark.parametrize("pitch_um", [4.0, 6.0, 12.0, 24.0])
def test_a_point_has_the_sheets_response_in_every_direction(pitch_um):
    made = prepared(pitch_um)
    spread = np.mean([impulse(made, (place, place)) for place in range(made.far.cell)], 0)
    for angle in (0.0, np.pi / 8, np.pi / 4, np.pi / 2):
        f, x, y = along(pitch_um, angle)
        got = transfer(spread, x, y)
        for c, (frequency, response) in enumerate(MTF):
            read = (f >= frequency[0]) & (f <= frequency[-1])
            expected = np.interp(np.log(f[read]), np.log(frequency), response)
            assert np.abs(got[read, c] - expected).max() < FIT
            assert np.abs(got[:, c] - response_at((frequency, response), f)).max() < FIT


def test_where_the_cells_lie_hardly_matters():
    made = prepared(6.0)
    _, x, y = along(6.0, 0.3)
    got = [transfer(impulse(made, (place, 2)), x, y) for place in range(made.far.cell)]
    assert np.ptp(got, 0).max() < 0.03


@pytest.mark.slow
@pytest.mark.skipif(not SHEETS.is_dir(), reason="needs digitised data sheets: set D2F_DATA")
@pytest.mark.parametrize("pitch_um", [4.0, 6.0, 12.0, 24.0])
def test_every_sheet_is_met(pitch_um):
    seen = set()
    for path in sorted(SHEETS.glob("*.json")):
        curves = [
            sorted((float(f), r) for f, r in curve.items()) for curve in json.loads(path.read_text()).get("mtf") or []
        ]
        if not curves or str(curves) in seen:
            continue
        seen.add(str(curves))
        mtf = [(np.array(c)[:, 0], np.array(c)[:, 1]) for c in (curves if len(curves) == 3 else curves * 3)]
        made = optics(mtf, pitch_um)
        assert made is not None
        spread = np.mean([impulse(made, (place, place)) for place in range(made.far.cell)], 0)
        for angle in (0.0, np.pi / 4):
            f, x, y = along(pitch_um, angle)
            expected = np.stack([response_at(curve, f) for curve in mtf], 1)
            assert np.abs(transfer(spread, x, y) - expected).max() < SHEETS_FIT, path.stem
    assert len(seen) > 30


def test_beyond_the_sheet_the_curve_goes_on_straight_in_its_logarithms():
    f = np.geomspace(1, 100, 41)
    curve = (f, np.minimum(1.2, 90 * f**-1.5))
    assert np.allclose(response_at(curve, np.array([120.0, 400.0])), 90 * np.array([120.0, 400.0]) ** -1.5)
    assert np.allclose(response_at(curve, np.array([0.0, 0.5, 1.0])), [1, 1.1, 1.2])


@pytest.mark.parametrize(("mtf", "halation"), [(True, 0.0), (False, HALATION), (True, HALATION)])
@pytest.mark.parametrize("level", [0.0, 0.18, 1.0, 7.0])
def test_an_even_area_keeps_its_exposure(mtf, halation, level):
    made = prepared(12.0, halation, mtf)
    side = 2 * made.reach + 20
    inside = slice(made.reach, -made.reach)
    out = np.array(made(mx.full((side, side, 3), level), (1, -5)))[inside, inside]
    assert np.abs(out - level).max() <= FLOAT32 * level


def returned(radius):
    """Fresnel's formulas in their sine and tangent form, and what lands on a ring over the ring's area."""
    inner = np.arctan(radius / (2 * BASE_MM))
    if INDEX * np.sin(inner) >= 1:
        share = 1.0
    else:
        outer = np.arcsin(INDEX * np.sin(inner))
        senkrecht = (np.sin(inner - outer) / np.sin(inner + outer)) ** 2
        parallel = (np.tan(inner - outer) / np.tan(inner + outer)) ** 2
        share = (senkrecht + parallel) / 2
    slope = 2 * BASE_MM / (4 * BASE_MM**2 + radius**2)  # d angle / d radius
    return share * np.sin(2 * inner) * slope / (2 * np.pi * radius)


def test_halation_is_fresnels_reflection_of_a_matt_source():
    radius = np.array([0.01, 0.1, 0.2, 0.22, 0.231, 0.24, 0.3, 0.449])
    assert np.allclose(halation_spread(radius), [returned(r) for r in radius], rtol=1e-9)
    near = np.linspace(0.2, 0.3, 1001)
    assert near[halation_spread(near).argmax()] == pytest.approx(0.2326, abs=2e-4)  # 2 x 0.13 mm tan 41.81 degrees
    total = sum(
        quad(lambda r: returned(r) * 2 * np.pi * r, *ends, limit=200)[0] for ends in ((1e-9, 0.2325), (0.2325, 500))
    )
    assert total == pytest.approx(0.596, abs=1e-3)  # Judd 1942: diffuse reflectance inside an index of 1.5


def test_a_point_is_surrounded_by_a_ring_of_the_right_radius_and_light():
    made = prepared(6.0, HALATION, mtf=False)
    glow = np.mean([impulse(made, (place, place), level=0, height=1000) for place in range(made.ring.cell)], 0)
    middle = len(glow) // 2
    place = (np.arange(len(glow)) - middle) * 0.006
    radius = np.hypot(place[:, None], place)
    share = HALATION * np.array(STRENGTH)
    assert np.allclose(glow[middle, middle], 1 / (1 + share), atol=1e-3)
    glow[middle, middle] -= 1 / (1 + share)
    assert np.allclose(glow.sum((0, 1)), share / (1 + share), rtol=1e-3)
    assert np.allclose(glow[..., 1] * share[0] * (1 + share[1]), glow[..., 0] * share[1] * (1 + share[0]), atol=1e-6)

    def within(limit):
        kinks = [(a, min(b, limit)) for a, b in ((0, 0.2325), (0.2325, 0.45), (0.45, 0.85)) if a < limit]
        return sum(quad(lambda r: halation_spread(r) * r, *ends)[0] for ends in kinks)

    for limit in (0.15, 0.25, 0.35, 0.5, 0.7):
        assert glow[radius <= limit, 0].sum() / glow[..., 0].sum() == pytest.approx(within(limit) / within(1), abs=0.02)
    rings = [glow[(radius >= r) & (radius < r + 0.012), 0].mean() for r in np.arange(0, 0.8, 0.012)]
    assert 0.23 < np.argmax(rings) * 0.012 < 0.29
    assert rings[0] < 0.3 * max(rings)
    assert min(rings) > -0.01 * max(rings)


def test_halations_terms_make_up_a_round_kernel():
    weights, taps = halation_terms(48.0)
    kernel = np.einsum("j,ja,jb->ab", weights, taps, taps)
    place = np.arange(len(kernel)) - len(kernel) // 2
    radius = np.hypot(place[:, None], place)
    assert kernel.sum() == pytest.approx(1)
    for ring in (0.0, 5.0, 10.0):  # (3, 4), (6, 8) and their like
        same = kernel[np.abs(radius - ring) < 1e-9]
        assert np.ptp(same) < 0.05 * kernel.max()


def test_cells_are_what_matrices_make_of_them():
    """down, filter and up as float64 matrices from the cells' middles, at an uneven origin and cell."""
    rng = np.random.default_rng(3)
    for cell, origin in ((4, (3, -9)), (5, (-7, 12)), (1, (0, 5))):
        taps = np.array([0.1, 0.2, 0.5, 0.15 + 0.05, 0.1])
        cells = Cells(cell, mx.array([[1.0], [0.5], [-2.0]]), (mx.array(taps, mx.float32),))
        side = 2 * cells.reach + 7
        exposure = rng.random((side, side, 3))
        sides = []
        for start in origin:
            pixel = np.arange(start, start + side)
            count = np.arange(start // cell - 9, (start + side) // cell + 9)
            away = (pixel[None] - (count[:, None] * cell + (cell - 1) / 2)) / cell
            down = (1 - np.abs(away)).clip(0) / cell
            up = np.nan_to_num(BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)(away)).T
            sides.append(up @ toeplitz([*taps[2:], *[0] * (len(count) - 3)]) @ down)
        expected = np.einsum("ya,abc,xb->yxc", sides[0], exposure, sides[1]) * [1, 0.5, -2]
        planes = mx.array(exposure.transpose(2, 0, 1), mx.float32)
        got = np.stack([np.array(plane) for plane in cells(planes, cells.places(mx.array(origin), (side, side)))], -1)
        inside = slice(cells.reach, -cells.reach)
        assert np.abs(got - expected)[inside, inside].max() < FLOAT32


PICTURE = np.random.default_rng(1).gamma(0.3, 1.0, (440, 420, 3)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(place=st.tuples(st.integers(0, 180), st.integers(0, 170)), origin=st.tuples(*[st.integers(-999, 999)] * 2))
def test_tiles_agree_bit_for_bit(place, origin):
    made = prepared(12.0, HALATION)
    whole = np.array(made(mx.array(PICTURE), origin))
    rows, columns = (slice(first, first + size) for first, size in zip(place, (251, 250), strict=True))
    tile = np.array(made(mx.array(PICTURE[rows, columns]), tuple(a + b for a, b in zip(origin, place, strict=True))))
    inside = slice(made.reach, -made.reach)
    assert np.array_equal(tile[inside, inside], whole[rows, columns][inside, inside])


def test_a_caller_may_compile_it_with_the_origin_as_an_array():
    made = prepared(12.0, HALATION)
    step = mx.compile(lambda exposure, origin: mx.sqrt(made(exposure, origin)))
    for origin in ((0, 0), (5, -3)):
        got = step(mx.array(PICTURE), mx.array(origin))
        assert np.allclose(np.array(got), np.sqrt(np.array(made(mx.array(PICTURE), origin))), rtol=1e-6)


def test_nothing_is_below_zero_and_lights_keep_their_glow():
    made = prepared(12.0, HALATION)
    assert np.array(made(mx.array(PICTURE), (0, 0))).min() >= 0
    side = 2 * made.reach + 101
    exposure = np.zeros((side, side, 3), np.float32)
    exposure[side // 2 - 2 : side // 2 + 3, side // 2 - 2 : side // 2 + 3] = 100
    bare = np.array(prepared(12.0, HALATION, mtf=False)(mx.array(exposure), (0, 0)))
    both = np.array(made(mx.array(exposure), (0, 0)))
    ring = slice(side // 2 + 15, side // 2 + 30)
    assert bare[side // 2, ring, 0].min() > 0.01
    assert np.all(both[side // 2, ring] >= bare[side // 2, ring] * (1 - 1e-5))


def test_a_dark_rim_does_not_grow_with_the_light():
    made = prepared(12.0)
    side = 2 * made.reach + 61
    exposure = np.full((side, side, 3), 0.18, np.float32)
    rims = []
    for light in (1.0, 50.0):
        exposure[:, side // 2 :] = light
        rims.append(np.array(made(mx.array(exposure), (0, 0)))[side // 2, side // 2 - 20 : side // 2])
    assert np.array_equal(*rims)
    assert 0 < rims[0].min() < 0.17


def test_a_coarser_picture_has_the_same_halation():
    fine, coarse = (prepared(pitch, 1.0, mtf=False) for pitch in (6.0, 12.0))
    side = 2 * (4 * coarse.reach + 1)
    exposure = np.zeros((side, side, 3), np.float32)
    exposure[side // 2 - 4 : side // 2 + 4, side // 2 - 6 : side // 2 + 2] = 10
    halve = lambda picture: picture.reshape(side // 2, 2, side // 2, 2, 3).mean((1, 3))  # noqa: E731
    inside = slice(coarse.reach, -coarse.reach)
    of_fine = halve(np.array(fine(mx.array(exposure), (2, 6))))[inside, inside]
    of_coarse = np.array(coarse(mx.array(halve(exposure)), (1, 3)))[inside, inside]
    glow = of_coarse[..., 0] * (halve(exposure)[inside, inside, 0] == 0)
    assert np.abs(of_fine - of_coarse).max() < 0.02 * glow.max()


def test_nothing_to_do_is_none():
    assert optics(None, 6.0) is None


def curve(frequency=(1.0, 2.0), response=(1.0, 0.9)):
    return [(np.array(frequency), np.array(response))] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 0.0), "positive pitch_um, got 0.0"),
        ((None, float("nan")), "positive pitch_um, got nan"),
        ((None, float("inf")), "positive pitch_um, got inf"),
        ((None, 6.0, -0.1), r"halation in \[0, 1\], got -0.1"),
        ((None, 6.0, 1.1), r"halation in \[0, 1\], got 1.1"),
        ((None, 6.0, float("nan")), r"halation in \[0, 1\], got nan"),
        ((curve()[:1], 6.0), "3 layers, got 1"),
        ((curve((1.0, 2.0, 3.0)), 6.0), "as many frequencies as responses"),
        ((curve((1.0,), (1.0,)), 6.0), "2 or more"),
        ((curve((2.0, 1.0)), 6.0), "frequencies that rise"),
        ((curve((0.0, 1.0)), 6.0), "rise from above 0"),
        ((curve((1.0, np.inf)), 6.0), "frequencies that rise"),
        ((curve(response=(1.0, 0.0)), 6.0), r"responses in \(0, 10\)"),
        ((curve(response=(1.0, np.nan)), 6.0), r"responses in \(0, 10\)"),
        ((curve(response=(100.0, 90.0)), 6.0), r"responses in \(0, 10\)"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    mtf, pitch_um, *halation = arguments
    with pytest.raises(ValueError, match=message):
        optics(mtf, pitch_um, halation=halation[0] if halation else 0.0)


@pytest.mark.parametrize("shape", [(300, 300), (300, 300, 4), (80, 300, 3), (300, 80, 3)])
def test_a_tile_without_a_right_pixel_is_refused(shape):
    made = prepared(12.0)
    assert made.reach == 40
    with pytest.raises(ValueError, match=r"\(H, W, 3\) with sides above 80, got"):
        made(mx.zeros(shape), (0, 0))


def test_a_response_that_is_met_exactly_ends_the_fit():
    """At pixels so coarse that the sheet says 1 all the way, nothing is left to weight."""
    spectra = FilmStock.load("kodak-exr-100t").spectra
    mtf = [(spectra.frequency[1:], spectra.mtf[1:, c]) for c in range(3)]
    found = optics(mtf, 36000 / 64)
    even = mx.full((400, 400, 3), 0.18)
    assert np.allclose(np.array(found(even, (0, 0)))[200, 200], 0.18, atol=1e-5)
