from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from d2f_mlx import checkpoint, images
from d2f_mlx.develop import DevelopConfig, Developer, HalideEngine
from d2f_mlx.develop import develop as any_engine
from d2f_mlx.film import FilmStock, film_halides, scanned_grain
from d2f_mlx.grain import HalideStatistics, density, peaks
from d2f_mlx.models import Reconstructor, ReconstructorConfig

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map

ROUNDING = 1e-5  # of pictures in [0, 1], between matrix products of different shapes
HALIDE = DevelopConfig(grain="halide", colour="photo")
MODELS = [
    ReconstructorConfig("unet", "residual", "extrema", "joint", 32),
    ReconstructorConfig("unet", "absolute", "peaks", "joint", 32),
    ReconstructorConfig("dianet", "residual", "extrema", "joint", 24),
    ReconstructorConfig("dianet", "absolute", "peaks", "joint", 24),
    ReconstructorConfig("unet", "residual", "extrema", "joint", 32, noise=1),
]


def develop(photo, **options):
    return any_engine(photo, **{"grain": "halide", "colour": "photo"} | options)


@pytest.fixture(scope="module")
def film():
    return HalideStatistics.load(checkpoint.BUNDLED / "film.safetensors")


@pytest.fixture(scope="module", params=MODELS, ids=lambda c: f"{c.network}-{c.way}-{c.noise}")
def model(request):
    mx.random.seed(6)
    return Reconstructor(request.param)


@pytest.fixture(scope="module")
def small():
    mx.random.seed(6)
    return Reconstructor(ReconstructorConfig("dianet", width=24))


@pytest.fixture
def run(small, film):
    return lambda photo, **options: develop(photo, **{"reconstructor": small, "statistics": film} | options)


def picture(height, width, dtype=np.float32):
    """A smooth ramp from dark to light with a different colour in each corner."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    ramp = np.stack([0.2 + 0.6 * columns, 0.2 + 0.6 * rows, 0.5 + 0.2 * rows * columns], -1)
    if np.issubdtype(dtype, np.floating):
        return ramp.astype(dtype)
    return np.rint(ramp * np.iinfo(dtype).max).astype(dtype)


# Sides that are no multiples of UNet's 16 or of the tiles, and a picture that is smaller than a tile and its overlap.
@pytest.mark.parametrize(
    ("size", "tiles"),
    [({"unet": (131, 203), "dianet": (67, 101)}, (64, 70)), ({"unet": (30, 41), "dianet": (1, 7)}, (16, 96))],
)
def test_the_film_does_not_depend_on_the_tiles(model, film, size, tiles):
    photo = picture(*size[model.config.network])
    whole = develop(photo, reconstructor=model, statistics=film, key=3)
    assert np.abs(whole - photo).std() > 100 * ROUNDING
    for tile in tiles:
        tiled = develop(photo, reconstructor=model, statistics=film, key=3, tile=tile)
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=ROUNDING, err_msg=f"tile {tile}")


def test_a_tile_without_its_margin_is_what_the_whole_tile_has_inside(small, film):
    engine, size = HalideEngine(HALIDE, network=small, statistics=film), (300, 300)
    for margin in (7 * engine.align, engine.overlap(size) + engine.align):
        side = 2 * margin + 4 * engine.align
        photo, key = mx.array(picture(side, side)), mx.random.key(3)
        whole = np.array(engine(photo, key, (-7, 9), size))
        inside = engine(photo, key, (-7, 9), size, margin=margin)
        np.testing.assert_allclose(inside, whole[margin:-margin, margin:-margin], rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_size_and_type_are_the_photos(model, film, dtype):
    photo = picture(17, 26, dtype)
    before = photo.copy()
    out = develop(photo, reconstructor=model, statistics=film)
    assert (out.shape, out.dtype) == (photo.shape, photo.dtype)
    assert (out != photo).mean() > 0.5
    np.testing.assert_array_equal(photo, before)


def test_integers_and_floats_get_the_same_film(run):
    photo = picture(20, 30, np.uint16)
    exact = run(photo.astype(np.float32) / 65535)
    np.testing.assert_allclose(run(photo) / 65535, exact, rtol=0, atol=0.5 / 65535 + ROUNDING)
    eight = picture(20, 30, np.uint8)
    exact = run(eight.astype(np.float32) / 255)
    np.testing.assert_allclose(run(eight) / 255, exact, rtol=0, atol=0.5 / 255 + ROUNDING)


@pytest.mark.parametrize("form", ["list of float64", "float16", "mx.array", "str", "path"])
def test_a_photo_may_be_pixels_or_a_file(run, tmp_path, form):
    photo = picture(20, 30, np.uint8)
    images.write(tmp_path / "photo.png", photo)
    floats = photo / 255
    given, expected = {
        "list of float64": (floats, run(floats.astype(np.float32))),
        "float16": (floats.astype(np.float16), run(floats.astype(np.float16).astype(np.float32))),
        "mx.array": (mx.array(photo), run(photo)),
        "str": (str(tmp_path / "photo.png"), run(photo)),
        "path": (tmp_path / "photo.png", run(photo)),
    }[form]
    np.testing.assert_array_equal(run(given), expected)


def test_strength_zero_returns_the_photo(model, film):
    for dtype in (np.uint8, np.uint16, np.float32):
        photo = picture(19, 23, dtype)
        out = develop(photo, reconstructor=model, statistics=film, strength=0)
        np.testing.assert_array_equal(out, photo)


def test_strength_scales_the_grain(run):
    photo = 0.4 + 0.2 * picture(40, 50)  # far from black and white, where it would be clipped
    grain = run(photo) - photo
    np.testing.assert_allclose(run(photo, strength=0.5) - photo, grain / 2, rtol=0, atol=ROUNDING)


def without_network(config):
    """A reconstructor that shows its prior: halides and what is spread from them."""
    model = Reconstructor(config)
    model.network.head.update({"weight": mx.zeros_like(model.network.head.weight)})
    return model


def test_the_same_key_gives_the_same_film(run):
    photo = picture(40, 50)
    np.testing.assert_array_equal(run(photo, key=5), run(photo, key=5))
    np.testing.assert_array_equal(run(photo, key=5), run(photo, key=mx.random.key(5)))


@pytest.mark.parametrize(
    "other",
    [
        6,
        1000,
    ],
)
def test_another_key_gives_unrelated_grain(film, other):
    photo = np.full((64, 64, 3), 0.5, np.float32)
    model = without_network(ReconstructorConfig("dianet", width=24))
    one, two = (develop(photo, reconstructor=model, statistics=film, key=key).reshape(-1, 3).T for key in (5, other))
    # 4096 values, of which ten or so hang together: the standard error is near 0.05.
    assert np.abs(np.corrcoef(one, two)[:3, 3:]).max() < 0.2


@pytest.mark.parametrize("way", ["residual", "absolute"])
def test_where_every_pixel_is_a_halide_the_grain_is_the_films(film, way):
    photo = np.full((96, 96, 3), 102 / 255, np.float32)
    model = without_network(ReconstructorConfig("dianet", way, width=24))
    grain = develop(photo, reconstructor=model, statistics=film, density_scale=9) - photo
    # Five or so of the 9216 values hang together: the standard error is below 2 percent.
    np.testing.assert_allclose(grain.std((0, 1)), film.sigma[102 // 16] / 255, rtol=0.08)
    assert np.abs(grain.mean((0, 1))).max() < 0.003


def grain_of(film, **options):
    """Deviation of plain grey, each pixel a halide, in levels."""
    model = without_network(ReconstructorConfig("dianet", width=24))
    photo = np.full((96, 96, 3), 102 / 255, np.float32)
    return 255 * (develop(photo, reconstructor=model, density_scale=9, **options) - photo).std((0, 1))


def test_halides_have_the_grain_of_the_stock(film):
    """At 6 um; with five or so of the 9216 values hanging together the standard error is below 2 percent."""
    slow, fast, at_6_um = "kodak-vision3-50d", "kodak-tri-x-400", 36000 / 96 / 6.0
    found = {name: grain_of(film, stock=name, enlargement=at_6_um) for name in (slow, fast)}
    for name, sigma in found.items():
        expected = film_halides(scanned_grain(FilmStock.load(name), 6.0), film).sigma[102 // 16]
        np.testing.assert_allclose(sigma, expected, rtol=0.08)
    pushed = grain_of(film, stock=FilmStock.load(slow), enlargement=at_6_um, exposure_index=200)
    # The same field, but rounded to levels, of which the slow film's sigma has four.
    np.testing.assert_allclose(pushed / found[slow], 4**0.27, rtol=0.04)


def test_a_stocks_halides_are_those_of_its_own_grain():
    """Where every pixel is a halide, nothing but rounding and the local mean is between the two engines."""
    photo = np.full((96, 96, 3), 102 / 255, np.float32)
    like = {"stock": "kodak-vision3-500t", "enlargement": 36000 / 96 / 6.0, "key": 3}
    model = without_network(ReconstructorConfig("dianet", width=24))
    ours = develop(photo, reconstructor=model, density_scale=9, **like) - photo
    gaussian = develop(photo, grain="gaussian", **like) - photo
    for c in range(3):
        assert np.corrcoef(ours[..., c].ravel(), gaussian[..., c].ravel())[0, 1] > 0.98
    np.testing.assert_allclose(ours.std((0, 1)), gaussian.std((0, 1)), rtol=0.03)


def test_the_bundled_network_develops_with_a_stock():
    photo = picture(40, 56, np.uint8)
    with_stock = develop(photo, stock="kodak-tri-x-400", enlargement=60)
    assert (with_stock.shape, with_stock.dtype) == (photo.shape, photo.dtype)
    grain = with_stock.astype(float) - photo
    assert 2 < grain.std() < 30
    assert (with_stock != develop(photo)).mean() > 0.5


def test_more_halides_leave_less_to_the_network(film):
    photo = np.full((64, 64, 3), 0.5, np.float32)
    model = without_network(ReconstructorConfig("dianet", width=24))
    steps = [develop(photo, reconstructor=model, statistics=film, density_scale=s) for s in (0.1, 1.0, 3.0)]
    # The prior between few halides is smooth: neighbours differ less.
    rough = [np.abs(np.diff(film_picture, axis=1)).mean() for film_picture in steps]
    assert rough[0] < rough[1] < rough[2]


def test_a_developer_develops_many(small, film):
    developer = Developer(replace(HALIDE, tile=32), network=small, statistics=film)
    for size in ((20, 30), (40, 25)):
        photo = picture(*size)
        expected = develop(photo, reconstructor=small, statistics=film, key=2, tile=32)
        np.testing.assert_array_equal(developer(photo, key=2), expected)


def test_progress_counts_tiles(run):
    told = []
    run(picture(40, 70), tile=32, progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 6) for i in range(1, 7)]


@pytest.fixture
def no_work(monkeypatch):
    """Fail where tiles are cut although the arguments are wrong."""
    monkeypatch.setattr(images, "map_tiles", lambda *_, **__: pytest.fail("work was begun"))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"expects a photo \(H, W, 3\), got shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"got shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.int32), "expects uint8, uint16 or float pixels, got int32"),
        (np.full((4, 4, 3), np.nan, np.float32), "expects finite pixels"),
        (np.full((4, 4, 3), np.inf, np.float32), "expects finite pixels"),
        ("missing.jpg", r"^missing\.jpg: "),
    ],
)
def test_what_is_no_photo_is_refused(run, photo, message):
    with pytest.raises(ValueError, match=message):
        run(photo)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "expects a precision of float32, bfloat16, float16"),
        ({"precision": "bfloat16", "grain": "gaussian", "statistics": None}, "for a precision"),
        ({"density_scale": 0}, r"expects density_scale in \(0, 9\], got 0"),
        ({"density_scale": 9.5}, "expects density_scale"),
        ({"density_scale": float("nan")}, "expects density_scale"),
        ({"strength": -0.1}, r"expects strength in \[0, 4\], got -0.1"),
        ({"strength": 5}, "expects strength"),
        ({"tile": -1}, "expects a tile from 0 to 2048 pixels, got -1"),
        ({"reconstructor": "kodak"}, "^kodak: neither a folder"),
        ({"grain": "perlin"}, "expects grain to be one of halide, gaussian, boolean, got 'perlin'"),
        ({"stock": "kodak-portra-400"}, "expects a stock or halide statistics, got both"),
        ({"stock": "kodak-portra", "statistics": None}, "did you mean kodak-portra-"),
        ({"film_format": "135"}, "expects a stock with a film_format, an enlargement or an exposure_index"),
        ({"enlargement": 2}, "expects a stock with a film_format, an enlargement or an exposure_index"),
        ({"exposure_index": 800}, "expects a stock with a film_format, an enlargement or an exposure_index"),
    ],
)
def test_bad_options_are_refused(run, options, message):
    with pytest.raises(ValueError, match=message):
        run(picture(4, 4), **options)


@pytest.mark.usefixtures("no_work")
def test_a_stock_without_a_speed_cannot_be_pushed(small):
    stock = replace(FilmStock.load("kodak-portra-400"), iso=None)
    with pytest.raises(ValueError, match="kodak-portra-400 has no speed"):
        develop(picture(4, 4), reconstructor=small, stock=stock, exposure_index=800)


def test_a_trained_folder_develops_with_its_own_film(small, film, tmp_path):
    grainier = HalideStatistics(**{**vars(film), "sigma": 3 * film.sigma})
    checkpoint.save(tmp_path, small, grainier)
    photo = picture(20, 30)
    expected = develop(photo, reconstructor=small, statistics=grainier)
    np.testing.assert_array_equal(develop(photo, reconstructor=tmp_path), expected)
    np.testing.assert_array_equal(develop(photo, reconstructor=str(tmp_path)), expected)
    assert np.abs(expected - develop(photo, reconstructor=tmp_path, statistics=film)).max() > 100 * ROUNDING


def test_half_precision_and_numpy_keys_are_taken(film):
    photo = mx.full((24, 32, 3), 0.5, mx.bfloat16)
    model = without_network(ReconstructorConfig("dianet", width=24))
    one, two = (develop(photo, reconstructor=model, statistics=film, key=key) for key in (7, np.int64(7)))
    np.testing.assert_array_equal(one, two)
    assert one.dtype == np.float32
    assert develop(photo, reconstructor=model, statistics=film, key=-7).shape == photo.shape


def test_floats_of_another_range_are_refused(film):
    photo = np.full((24, 32, 3), 128.0)
    with pytest.raises(ValueError, match=r"float pixels in \[0, 1\], got up to 128"):
        develop(photo, reconstructor=without_network(ReconstructorConfig("dianet", width=24)), statistics=film)


def test_a_developer_follows_its_networks_weights(film):
    model = Reconstructor(ReconstructorConfig("dianet", width=24))
    developer = Developer(HALIDE, network=model, statistics=film)
    photo = np.full((24, 32, 3), 0.5, np.float32)
    before = developer(photo)
    model.update(tree_map(lambda weights: weights * 3, model.parameters()))
    assert np.any(developer(photo) != before)


def test_a_developer_works_in_another_thread():
    developer = Developer(replace(HALIDE, reconstructor="dianet"))
    photo = np.full((24, 32, 3), 0.5, np.float32)
    with ThreadPoolExecutor(1) as pool:
        there = pool.submit(developer, photo).result()
    np.testing.assert_array_equal(there, developer(photo))


@pytest.mark.parametrize("name", ["unet", "dianet"])
def test_bundled_networks_keep_a_photos_tones_and_give_it_films_density(name):
    skimage = pytest.importorskip("skimage")
    photo = skimage.data.astronaut()[:224, 64:320]
    grain = Developer(replace(HALIDE, reconstructor=name))(photo)
    moved = grain.astype(np.float32) - photo
    for c in range(3):
        for band in range(8):
            inside = moved[photo[..., c] // 32 == band, c]
            assert len(inside) < 500 or abs(inside.mean()) < 2
    found = np.array(density(peaks(mx.array(grain))))
    assert np.all((found > 0.08) & (found < 0.17)), found


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["unet", "dianet"])
def test_half_precision_moves_pixels_by_less_than_a_level(name, precision):
    photo = np.random.default_rng(0).uniform(0.2, 0.8, (1, 1, 3)).astype(np.float32).repeat(96, 0).repeat(96, 1)
    network = checkpoint.from_pretrained(name)
    full, half = (
        develop(photo, grain="halide", colour="photo", reconstructor=network, precision=p)
        for p in ("float32", precision)
    )
    moved = 255 * np.abs(half - full)
    assert 0 < moved.max() < 0.5  # levels of 255; at most 0.17 and 0.34 in bfloat16 on a photograph of 512 x 512
    assert np.std(half - photo) == pytest.approx(np.std(full - photo), rel=0.005)
    assert {array.dtype for _, array in tree_flatten(network.parameters())} == {mx.float32}
