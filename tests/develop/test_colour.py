"""Film colour on tiles against the same chain in NumPy, and what becomes of colours and grain on the way."""

import json
from dataclasses import replace
from functools import lru_cache

from d2f_mlx import images
from d2f_mlx.color import DISPLAY_P3, SRGB, Lut3D, convert, delta_e_2000, profile_of, to_lab
from d2f_mlx.develop import DevelopConfig, Developer, FilmColour, TableColour, develop
from d2f_mlx.develop import colour as module
from d2f_mlx.film import (
    Darkroom,
    FilmStock,
    Negative,
    Scanner,
    exposure_matrix,
    pitch_of,
    positive,
    scanned_grain,
    scene_light,
    stocks,
)
from d2f_mlx.film.expose import GREY
from d2f_mlx.film.spectra import measured
from d2f_mlx.grain.gaussian import unit_grain
from d2f_mlx.grain.granularity import aperture_weights
from d2f_mlx.models import Reconstructor, ReconstructorConfig

import mlx.core as mx
import numpy as np
import pytest
import skimage.data
from scipy.signal import fftconvolve

TABLE = 5e-5  # of density: float32, and 4096 straight lines along a curve
MEAN_DELTA, MOST_DELTA = 0.1, 1.0  # Delta E 2000 between the baked table and the exact chain: invisible
ROUNDING = 0.1  # Delta E 2000 of a value told in another space, to 16 bits
CAMERA_P3 = 1.5  # mean Delta E 2000: a camera's curve is undone in the primaries of the picture's own space
SHEET = 0.05  # of granularity: a sample of 400 x 400 pixels, and kernels of finite size
SAMPLED = 0.10  # of grain's deviation: grain is not small against the curve's bend in the shadows
RESPONSE = 0.06  # of an MTF: what the filters leave (`film.optics`), and the sheet's points joined by lines
LEVEL16 = 65535
K500T, PORTRA, VELVIA, TRI_X = "kodak-vision3-500t", "kodak-portra-400", "fuji-velvia-50", "kodak-tri-x-400"
CHAINS = [(K500T, ""), (PORTRA, "scan"), (VELVIA, ""), (TRI_X, "")]
EACH_CHAIN = pytest.mark.parametrize(("name", "printed"), CHAINS, ids=lambda value: value or "default")


@lru_cache(maxsize=16)
def made(name, printed, tone="camera", space=SRGB):
    """Colour without spread of light."""
    darkroom = Darkroom(print=printed, tone=tone, mtf="off", halation="off")
    return FilmColour(FilmStock.load(name), DevelopConfig(), darkroom, Scanner(), space, SRGB)


def exact(name, printed, values, tone="camera"):
    """The chain in NumPy: densities, and the picture before it is clipped."""
    film, darkroom = FilmStock.load(name), Darkroom(print=printed, tone=tone)
    negative = Negative(film, darkroom)
    light = scene_light(values, SRGB, darkroom) @ exposure_matrix(film.spectra, SRGB, darkroom).T
    density = negative.densities(negative.log_exposures(light))
    return density, positive(film, darkroom, Scanner(), SRGB)(density)


def coloured(colour, values):
    return np.array(colour(mx.array(values, mx.float32), (0, 0), 1000), np.float64)


def lab(display):
    return to_lab(SRGB.decode(np.clip(display, 0, 1)) @ SRGB.to_xyz.T, SRGB.white_xyz)


def sixteen(values):
    """Round to what a 16-bit file holds."""
    return np.rint(np.asarray(values) * LEVEL16) / LEVEL16


def grid(points=17, low=0.0, high=1.0):
    axis = sixteen(np.linspace(low, high, points))
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(points * points, points, 3)


def plain(stops, side=192):
    return np.full((side, side, 3), SRGB.encode(np.array(GREY * 2.0**stops)), np.float32)


def picture(height, width, dtype=np.float32):
    """Ramps of colour with bright spots and edges, for light to spread from."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    ramp = np.stack([0.2 + 0.6 * columns, 0.2 + 0.6 * rows, 0.5 + 0.2 * rows * columns], -1)
    ramp[height // 3 : height // 3 + 3, ::17] = 1
    ramp[:, width // 2 :] *= 0.7
    if np.issubdtype(dtype, np.floating):
        return ramp.astype(dtype)
    return np.rint(ramp * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def two_points(monkeypatch):
    """A table of two points where its answers are not asked for: baking takes the time."""
    monkeypatch.setattr(module, "POINTS", 2)


def test_a_step_wedge_has_the_published_densities_in_every_film(two_points):
    """Through the tiles' front, read by the densitometer: the sheet's curve at each step's log exposure."""
    values = sixteen(SRGB.encode(GREY * 2.0 ** np.arange(-5, 2.26, 0.25)))
    stops = np.log2(SRGB.decode(values) / GREY)
    wedge = mx.array(np.repeat(values[None, :, None], 3, 2), mx.float32)
    darkroom = Darkroom(tone="linear", mtf="off", halation="off")
    errors = {}
    for name in stocks():
        film = FilmStock.load(name)
        colour = FilmColour(film, DevelopConfig(), darkroom, Scanner(), SRGB, SRGB)
        density = np.array(colour.densities(wedge, (0, 0), 1000), np.float64)[0]
        read = measured(film.spectra.density(density @ np.linalg.inv(film.spectra.sides).T), film.spectra.measure)
        h = np.log10(12.5 / film.iso) + stops * np.log10(2)
        sheet = np.stack([np.interp(h, film.log_exposure, film.curves[:, c]) for c in range(3)], -1)
        errors[name] = np.abs(read - sheet).max()
    assert len(errors) == 45
    assert {name: error for name, error in errors.items() if not error < 4 * TABLE} == {}


def test_densities_stay_in_the_tables_range(two_points):
    """No colour, however pure, develops a density that the table from densities does not hold, but for grain."""
    darkroom = Darkroom(exposure=1, mtf="off", halation="off")
    for name in stocks():
        colour = FilmColour(FilmStock.load(name), DevelopConfig(), darkroom, Scanner(), SRGB, SRGB)
        density = np.array(colour.densities(mx.array(grid(9), mx.float32), (0, 0), 1000))
        low, high = colour._to_picture.low + module._MARGIN, colour._to_picture.high - module._MARGIN
        assert (density > low - 0.02).all(), name
        assert (density < high + 0.02).all(), name


@EACH_CHAIN
def test_the_table_shows_what_the_exact_chain_does(name, printed):
    """On a dense grid of colours and on photographs."""
    colour, photos = made(name, printed), (skimage.data.astronaut()[::6, ::6], skimage.data.coffee()[::6, ::6])
    for values in (grid(), *(photo / 255 for photo in photos)):
        density, expected = exact(name, printed, values)
        found = np.array(colour.densities(mx.array(values, mx.float32), (0, 0), 1000))
        np.testing.assert_allclose(found, density, rtol=0, atol=TABLE)
        delta = delta_e_2000(lab(coloured(colour, values)), lab(expected))
        assert delta.mean() < MEAN_DELTA
        assert delta.max() < MOST_DELTA


@EACH_CHAIN
@pytest.mark.parametrize("stops", [-1.5, 0.0, 1.5])
def test_grain_shows_as_the_print_passes_it_on(name, printed, stops):
    """Its deviation in the picture's light is sqrt(diag(J C J^T)): J the chain's slope, C the grain's covariance."""
    film, colour = FilmStock.load(name), made(name, printed, "linear")
    grain = scanned_grain(film, pitch_of((3000, 1)))
    photo = plain(stops)
    density = colour.densities(mx.array(photo), (0, 0), 3000)
    grainy = grain.add_to(density, unit_grain(grain.field, mx.random.key(1), (0, 0), photo.shape[:2]))
    light = SRGB.decode(np.array(colour.picture(grainy), np.float64)).reshape(-1, 3)
    middle = np.array(density[0, 0], np.float64)
    covariance = np.cov((np.array(grainy, np.float64) - middle).reshape(-1, 3).T)
    seen = positive(film, Darkroom(print=printed, tone="linear"), Scanner(), SRGB)
    step = 0.01
    ends = [[SRGB.decode(seen(middle + sign * step * unit)) for unit in np.eye(3)] for sign in (1, -1)]
    slope = (np.array(ends[0]) - np.array(ends[1])).T / (2 * step)
    expected = np.sqrt(np.diag(slope @ covariance @ slope.T))
    assert expected.min() > 0.003
    np.testing.assert_allclose(light.std(0), expected, rtol=SAMPLED)


def test_grain_on_the_films_density_is_the_data_sheets():
    """Of an even density, through the sheet's disc of 48 um: its RMS granularity."""
    film = FilmStock.load(K500T)
    grain = scanned_grain(film, 6.0, Scanner(blur=0, crosstalk=0))
    weights = aperture_weights(48 / 6)
    for density in (0.3, 1.0):
        plain = mx.full((400, 400, 3), density)
        grainy = np.array(grain.add_to(plain, unit_grain(grain.field, mx.random.key(2), (0, 0), (400, 400))))
        seen = [fftconvolve(grainy[..., c], weights, "valid").std() for c in range(3)]
        np.testing.assert_allclose(seen, [film.sigma(density, c) for c in range(3)], rtol=SHEET)


def test_grain_through_the_door_is_the_films():
    """`develop` puts the same grain in the same place: its picture is that of the parts put together by hand."""
    name, printed = PORTRA, "scan"
    darkroom = Darkroom(print=printed, tone="linear", mtf="off", halation="off")
    photo = plain(0.0, 64)
    film = FilmStock.load(name)
    found = develop(photo, stock=film, darkroom=darkroom, key=4)
    colour = made(name, printed, "linear")
    grain = scanned_grain(film, pitch_of((64, 64)))
    density = colour.densities(mx.array(photo), (0, 0), 64)
    unit = unit_grain(grain.field, mx.random.key(4), (0, 0), (64, 64))
    np.testing.assert_allclose(found, np.array(colour.picture(grain.add_to(density, unit))), atol=1e-6)


@EACH_CHAIN
def test_a_16_bit_ramp_keeps_its_levels(monkeypatch, name, printed):
    """All 65536 greys: as many levels come out as the exact chain has, which bends some together in toe and shoulder,
    no step is larger than the chain's slope nearby and a rounding make it, and none goes back.
    """
    photo = np.repeat(np.arange(65536, dtype=np.uint16).reshape(64, 1024, 1), 3, 2)
    colour = made(name, printed)
    monkeypatch.setattr(module, "POINTS", 2)  # the table is baked already
    darkroom = Darkroom(print=printed, mtf="off", halation="off")
    developer = Developer(DevelopConfig(stock=name, strength=0.0), darkroom=darkroom)
    monkeypatch.setattr(developer, "_colour", lambda space, out_space: colour)
    found = developer(photo).reshape(-1, 3).astype(np.int64)
    density, ideal = exact(name, printed, photo.reshape(-1, 3) / LEVEL16)
    ideal = ideal.clip(0, 1) * LEVEL16
    on_film = np.array(colour.densities(mx.array(photo / LEVEL16, mx.float32), (0, 0), 1024)).reshape(-1, 3)
    np.testing.assert_allclose(on_film, density, rtol=0, atol=TABLE)  # no level is taken for its neighbour
    levels, expected = ([len(np.unique(v[:, c])) for c in range(3)] for v in (found, np.rint(ideal)))
    assert min(expected) > 50_000
    np.testing.assert_allclose(levels, expected, rtol=0.01)
    steps, slopes = np.diff(found, axis=0), np.diff(ideal, axis=0)
    blocks = np.array_split(np.arange(len(steps)), 64)
    for block in blocks:
        near = slopes[max(0, block[0] - 600) : block[-1] + 600]
        assert (steps[block].max(0) <= np.ceil(near.max(0)) + 1).all()
    assert steps.min() >= np.floor(slopes.min())  # -1: Velvia's blacks turn by a hundredth of a level


@pytest.mark.parametrize("space", [SRGB, DISPLAY_P3], ids=lambda space: space.name)
def test_inside_srgb_a_colour_is_the_same_in_display_p3(space):
    """Told in either space and exposed as linear light it gets the same picture."""
    values = grid(9, 0.05, 0.95)
    found = coloured(made(PORTRA, "scan", "linear", space), sixteen(convert(values, SRGB, space)))
    delta = delta_e_2000(lab(found), lab(exact(PORTRA, "scan", values, "linear")[1]))
    assert delta.mean() < ROUNDING
    assert delta.max() < MOST_DELTA


def test_a_cameras_curve_in_display_p3_is_nearly_srgbs():
    values = grid(9, 0.05, 0.95)
    found = coloured(made(PORTRA, "scan", "camera", DISPLAY_P3), sixteen(convert(values, SRGB, DISPLAY_P3)))
    delta = delta_e_2000(lab(found), lab(coloured(made(PORTRA, "scan"), values)))
    assert ROUNDING < delta.mean() < CAMERA_P3


def test_colours_outside_srgb_are_more_than_those_inside():
    """Display P3's red and green expose the film more purely than the nearest that sRGB has, and show so."""
    wide, narrow = made(PORTRA, "scan", "linear", DISPLAY_P3), made(PORTRA, "scan", "linear")
    pure = np.array([[[0.9, 0.1, 0.1], [0.2, 0.8, 0.25]]])
    outside = convert(pure, DISPLAY_P3, SRGB)
    assert (outside.min(-1) < 0).all()
    seen, clipped = lab(coloured(wide, pure)), lab(coloured(narrow, outside.clip(0, 1)))
    assert delta_e_2000(seen, clipped).min() > 0.5
    densities = [
        np.array(colour.densities(mx.array(values, mx.float32), (0, 0), 1000))
        for colour, values in ((wide, pure), (narrow, outside.clip(0, 1)))
    ]
    assert (np.ptp(densities[0], axis=-1) > np.ptp(densities[1], axis=-1) + 0.02).all()


def test_a_file_in_display_p3_becomes_srgb(tmp_path):
    """As its pixels do, told their space, but for the space of the answer; the colours are the same."""
    photo = picture(40, 60, np.uint8)
    images.write(tmp_path / "photo.png", photo, icc=profile_of(DISPLAY_P3))
    darkroom = Darkroom(print="scan", mtf="off")
    developer = Developer(DevelopConfig(stock=PORTRA, strength=0.0), darkroom=darkroom)
    from_file, from_pixels = developer(tmp_path / "photo.png"), developer(photo, space=DISPLAY_P3)
    assert from_file.dtype == np.uint8
    delta = delta_e_2000(lab(convert(from_pixels / 255, DISPLAY_P3, SRGB)), lab(from_file / 255))
    assert delta.mean() < 0.5  # 8 bits, and what sRGB draws in
    assert delta.max() < 3
    assert np.abs(from_file.astype(int) - from_pixels).max() > 5
    expected = coloured(made(PORTRA, "scan", "camera", DISPLAY_P3), photo / 255)
    np.testing.assert_allclose(from_file / 255, expected, atol=0.51 / 255)


def halated(tile=0, enlargement=4.0):
    """A film whose light spreads far, at a pitch of 28 um in a picture of 320 pixels."""
    config = DevelopConfig(stock="cinestill-800t", tile=tile, enlargement=enlargement)
    return Developer(config, darkroom=Darkroom(print="scan"))


def test_pictures_do_not_depend_on_the_tiles(two_points):
    photo = picture(211, 320)
    whole = halated(tile=512)(photo, key=3)
    np.testing.assert_array_equal(halated(tile=97)(photo, key=3), whole)


def test_a_crop_is_the_pictures(two_points):
    """At the same pitch, where light from beyond its edges does not reach; bit for bit, grain and all."""
    photo = picture(256, 512)
    whole = halated(enlargement=2.0)(photo, key=3)
    top, left, height, width = 33, 101, 200, 256
    crop = photo[top : top + height, left : left + width]
    found = halated(enlargement=4.0, tile=80)(crop, key=3, origin=(top, left))
    reach = FilmColour(
        FilmStock.load("cinestill-800t"), DevelopConfig(enlargement=2.0), Darkroom(), Scanner(), SRGB, SRGB
    ).reach(512)
    assert 10 < reach < 60
    inner = (slice(reach, height - reach), slice(reach, width - reach))
    np.testing.assert_array_equal(found[inner], whole[top : top + height, left : left + width][inner])
    assert np.abs(found - whole[top : top + height, left : left + width]).max() > 1e-3  # the mirrored edges


def test_integers_and_floats_get_the_same_colours():
    darkroom = Darkroom(print="scan", mtf="off")
    developer = Developer(DevelopConfig(stock=PORTRA, strength=0.0), darkroom=darkroom)
    for dtype, top in ((np.uint8, 255), (np.uint16, LEVEL16)):
        photo = picture(30, 40, dtype)
        before = photo.copy()
        found = developer(photo)
        assert (found.dtype, found.shape) == (dtype, photo.shape)
        np.testing.assert_array_equal(photo, before)
        as_float = developer(photo.astype(np.float32) / top)
        assert as_float.dtype == np.float32
        np.testing.assert_allclose(found / top, as_float, rtol=0, atol=0.51 / top)


def test_floats_are_taken_for_the_nearest_of_16_bits():
    colour = made(PORTRA, "scan")
    level = np.random.default_rng(7).integers(1, LEVEL16 - 1, (20, 30, 3))
    low, middle, high = (
        colour.densities(mx.array((level + d) / LEVEL16, mx.float32), (0, 0), 99) for d in (-0.4, 0, 0.4)
    )
    np.testing.assert_array_equal(low, middle)
    np.testing.assert_array_equal(high, middle)


@pytest.mark.parametrize("period", [2, 4, 6])
def test_light_spreads_in_the_film_unless_told_not_to(two_points, period):
    """Faint lines of a few pixels of 12 um lose what the sheet's MTF says; their mean is as it was."""
    lines = np.full((100, 120, 3), 0.5) + 0.02 * np.cos(2 * np.pi * np.arange(120) / period)[:, None]
    film = FilmStock.load(K500T)

    def density(**changes):
        darkroom = Darkroom(interlayer=0, **changes)  # which would spread the layers' modulations too
        colour = FilmColour(film, DevelopConfig(), darkroom, Scanner(), SRGB, SRGB)
        reach = colour.reach(3000)
        side = slice(48, 72)  # whole periods, away from the edges
        assert reach <= 48
        return np.array(colour.densities(mx.array(lines, mx.float32), (0, 0), 3000))[50, side], reach

    (soft, reach), (sharp, none) = density(), density(mtf="off")
    assert reach > 0 == none
    expected = [np.interp(1000 / (12 * period), film.spectra.frequency, film.spectra.mtf[:, c]) for c in range(3)]
    np.testing.assert_allclose(soft.std(0) / sharp.std(0), expected, atol=RESPONSE)
    np.testing.assert_allclose(soft.mean(0), sharp.mean(0), atol=1e-3)


def test_light_comes_back_red_without_a_backing(two_points):
    """Around a lamp, film without its anti-halation layer has more density, most in the red-sensitive layer."""
    night = np.full((160, 160, 3), 0.05, np.float32)
    night[76:84, 76:84] = 1
    film = FilmStock.load(K500T)

    def density(**changes):
        colour = FilmColour(film, DevelopConfig(), Darkroom(**changes), Scanner(), SRGB, SRGB)
        return np.array(colour.densities(mx.array(night), (0, 0), 2000))

    backed, bare = density(), density(halation="no-backing")
    np.testing.assert_array_equal(density(halation="off"), backed)
    around = (bare - backed)[80, 92]  # 0.2 mm from the lamp
    assert around[0] > 0.05
    assert around[0] > 2 * around[1] > 0


def test_the_halide_engine_works_on_the_positive():
    """Colour first: as the finished print, given to it as a photograph that keeps its colours."""
    mx.random.seed(6)
    network = Reconstructor(ReconstructorConfig("dianet", width=24))
    photo, film = 0.2 + 0.6 * picture(60, 70), FilmStock.load(PORTRA)
    darkroom = Darkroom(print="scan", mtf="off", halation="off")
    options = {"grain": "halide", "reconstructor": network, "stock": film, "key": 5}
    found = develop(photo, darkroom=darkroom, **options)
    positive_first = coloured(made(PORTRA, "scan"), photo).astype(np.float32)
    np.testing.assert_allclose(found, develop(positive_first, colour="photo", **options), atol=1e-5)
    assert np.abs(found - positive_first).std() > 2e-4


def test_a_look_for_srgb_moves_colours_in_other_spaces_alike():
    """A table that lightens and warms: the same colours told in Display P3 come out as the same colours."""
    axis = np.linspace(0, 1, 17)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    look = Lut3D(cube ** np.array([0.8, 0.9, 1.0]))
    values = grid(9, 0.1, 0.9)
    narrow = coloured(TableColour(look, SRGB, SRGB), values)
    wide = coloured(TableColour(look, DISPLAY_P3, SRGB), convert(values, SRGB, DISPLAY_P3))
    assert delta_e_2000(lab(wide), lab(narrow)).max() < 1
    there = coloured(TableColour(look, DISPLAY_P3, DISPLAY_P3), convert(values, SRGB, DISPLAY_P3))
    assert delta_e_2000(lab(convert(there, DISPLAY_P3, SRGB)), lab(narrow)).max() < 1
    identity = TableColour(Lut3D(cube), DISPLAY_P3, DISPLAY_P3)
    np.testing.assert_allclose(coloured(identity, grid(9)), grid(9), atol=2e-3)  # outside sRGB too: nothing moves


def warm(points=17):
    """A table that lightens, warms and mixes."""
    axis = np.linspace(0, 1, points)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return (cube ** np.array([0.8, 0.9, 1.1])) @ (0.9 * np.eye(3) + 0.1 / 3)


def fitted(**changes):
    film = replace(FilmStock.load(PORTRA), kind="scan", spectra=None, name="my-scans", pitch_um=12.0)
    return replace(film, **{"palette": warm(), **changes})


def test_a_fitted_stock_gives_its_palette_and_then_its_grain():
    photo, film = picture(60, 80), fitted()
    palette = np.array(Lut3D(film.palette)(mx.array(photo)))
    assert np.abs(palette - photo).max() > 0.05
    np.testing.assert_allclose(develop(photo, stock=film, strength=0), palette, atol=1e-5)
    grainy = develop(photo, stock=film, key=3)
    np.testing.assert_allclose(grainy, develop(palette, stock=film, colour="photo", key=3), atol=1e-5)
    assert np.abs(grainy - palette).std() > 0.01
    np.testing.assert_allclose(develop(photo, stock=film, colour="photo", strength=0), photo, atol=1e-5)
    np.testing.assert_allclose(develop(photo, stock=fitted(palette=None), strength=0), photo, atol=1e-5)


@pytest.mark.parametrize("stock", [PORTRA, VELVIA, "fitted"])
def test_a_table_takes_the_place_of_the_films_colours(tmp_path, stock):
    table, photo = tmp_path / "warm.cube", picture(60, 80)
    Lut3D(warm(9)).save(table)
    film = fitted(palette=warm(2)) if stock == "fitted" else FilmStock.load(stock)
    coloured_by_it = np.array(Lut3D(warm(9))(mx.array(photo)))
    np.testing.assert_allclose(develop(photo, stock=film, lut=table, strength=0), coloured_by_it, atol=1e-5)
    grainy = develop(photo, stock=film, lut=str(table), key=3)
    np.testing.assert_allclose(grainy, develop(coloured_by_it, stock=film, colour="photo", key=3), atol=1e-5)


def test_what_a_table_holds_beyond_white_and_black_is_clipped():
    colour = TableColour(Lut3D(3 * warm(5) - 1), SRGB, SRGB)
    found = coloured(colour, grid(9))
    np.testing.assert_allclose(found, np.array(Lut3D(3 * warm(5) - 1)(mx.array(grid(9), mx.float32))).clip(0, 1))
    assert (found.min(), found.max(), colour.reach(5000)) == (0, 1, 0)


@pytest.mark.parametrize("film", [PORTRA, fitted()], ids=["chain", "table"])
def test_a_picture_comes_back_as_a_picture_of_its_own_space(two_points, film):
    pixels = picture(40, 50, np.uint16)
    before, exif, icc = pixels.copy(), b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", profile_of(DISPLAY_P3)
    found = develop(images.Picture(pixels, exif, icc), stock=film, key=4)
    assert isinstance(found, images.Picture)
    assert (found.exif, found.icc, found.pixels.dtype) == (exif, icc, np.uint16)
    np.testing.assert_array_equal(found.pixels, develop(pixels, stock=film, key=4, space=DISPLAY_P3))
    assert (found.pixels != develop(pixels, stock=film, key=4)).any()
    np.testing.assert_array_equal(pixels, before)
    plain = develop(images.Picture(pixels), stock=film, key=4)
    assert (plain.exif, plain.icc) == (None, None)
    np.testing.assert_array_equal(plain.pixels, develop(pixels, stock=film, key=4))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, "warm.cube: No such file"),
        ("Dear reader", "warm.cube: no LUT_3D_SIZE"),
        ("LUT_3D_SIZE 2\n" + "0 0 0\n" * 7, "warm.cube: LUT_3D_SIZE 2 needs 8 rows, got 7"),
        ("LUT_3D_SIZE 2\nnan 0 0\n" + "0 0 0\n" * 7, "warm.cube: .*finite table, got 1 NaN"),
    ],
)
def test_a_table_that_cannot_be_read_is_told_before_a_photo_is(tmp_path, contents, message):
    if contents is not None:
        (tmp_path / "warm.cube").write_text(contents)
    with pytest.raises(ValueError, match=message):
        Developer(DevelopConfig(lut=str(tmp_path / "warm.cube")))


def test_a_table_goes_with_neither_a_darkroom_nor_the_photos_colours(tmp_path):
    Lut3D(warm(2)).save(tmp_path / "warm.cube")
    with pytest.raises(ValueError, match="a lut takes the place of the film's colours: it takes no print, exposure"):
        develop(plain(0.0, 16), lut=tmp_path / "warm.cube", darkroom=Darkroom(exposure=1))
    with pytest.raises(ValueError, match="expects colour='film' for a lut, got colour='photo'"):
        develop(plain(0.0, 16), lut=tmp_path / "warm.cube", colour="photo")
    np.testing.assert_array_equal(
        develop(plain(0.0, 16), lut=tmp_path / "warm.cube", darkroom=Darkroom()),
        develop(plain(0.0, 16), lut=tmp_path / "warm.cube"),
    )


def test_what_cannot_be_developed_is_told_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"a bundled print stock .*got 'kodak-2838': did you mean .*kodak-2383"):
        develop(plain(0.0, 16), stock=K500T, darkroom=Darkroom(print="kodak-2838"))
    with pytest.raises(ValueError, match="fuji-velvia-50 is reversal film: it is not printed"):
        develop(plain(0.0, 16), stock=VELVIA, darkroom=Darkroom(print="kodak-2383"))
    with pytest.raises(ValueError, match=r"a bundled stock .*got 'kodak-portra': did you mean kodak-portra-160"):
        develop(plain(0.0, 16), stock="kodak-portra", darkroom=Darkroom())
    with pytest.raises(ValueError, match="with colour='photo' nothing is exposed or printed"):
        develop(plain(0.0, 16), stock=K500T, colour="photo", darkroom=Darkroom(exposure=1))
    with pytest.raises(ValueError, match="colour to be one of film, photo, got 'none'"):
        develop(plain(0.0, 16), stock=K500T, colour="none")
    broken = tmp_path / "print.json"
    broken.write_text(json.dumps({"format": "print stock"}))
    with pytest.raises(ValueError, match=r"print\.json: cannot be read as a print stock"):
        develop(plain(0.0, 16), stock=K500T, darkroom=Darkroom(print=str(broken)))


def test_a_stock_that_was_fitted_takes_no_darkroom():
    for film in (fitted(), fitted(palette=None)):
        with pytest.raises(
            ValueError, match="my-scans was fitted to scans, which hold its colours: it takes no darkroom"
        ):
            develop(plain(0.0, 16), stock=film, darkroom=Darkroom(exposure=1))
    with pytest.raises(ValueError, match="my-scans has no spectra: it was fitted to scans"):
        FilmColour(fitted(), DevelopConfig(), Darkroom(), Scanner(), SRGB, SRGB)


def test_the_photos_own_colours_stay_if_asked():
    photo = picture(30, 40)
    found = develop(photo, stock=K500T, colour="photo", strength=0)
    np.testing.assert_allclose(found, photo, rtol=0, atol=1e-6)
