"""Fits to pictures whose grain is known: they were rendered from a bundled stock."""

import importlib
from dataclasses import fields, replace
from functools import cache, partial
from typing import NamedTuple

import d2f_mlx as d2f
from d2f_mlx import images
from d2f_mlx.develop import DevelopConfig, Developer
from d2f_mlx.film import FilmStock, Palette, Scans, colours_of, fit, survey
from d2f_mlx.grain import GrainMeasurement, HalideStatistics

import numpy as np
import pytest
from PIL import Image

module = importlib.import_module("d2f_mlx.film.fit")  # the package has a function of that name
PITCH_UM = 9.0
HEIGHT, WIDTH = 256, 384
SCANS = 5
BANDS = range(2, 14, 2)  # of 16 levels, one plain area each
SIGMA = 0.03  # relative
MEASURING = 0.005  # of sigma: what blocks take away
DECIBELS = 0.4
CORRELATION = 0.02
ENLARGEMENT = 36000 / WIDTH / PITCH_UM
FRAME = {"film_format": "135", "enlargement": ENLARGEMENT}
GRAIN_ALONE = {"grain": "gaussian", "colour": "photo"}


def photo(seed):
    """Six plain areas with a slight shading, one in the middle of each band."""
    levels = np.random.default_rng(seed).permutation((np.array(BANDS) + 0.5) / 16).reshape(2, 3)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shading = 0.003 * (np.sin(x / 90 + seed) + np.cos(y / 70))
    plain = np.kron(levels, np.ones((HEIGHT // 2, WIDTH // 3))) + shading
    return np.repeat(plain[..., None], 3, 2).astype(np.float32)


def eight_bits(picture):
    return np.rint(picture * 255).astype(np.uint8)


class Roll(NamedTuple):
    film: Developer
    scans: list[np.ndarray]
    fitted: FilmStock


@cache
def film():
    return Developer(DevelopConfig(**GRAIN_ALONE, stock="kodak-vision3-500t", **FRAME))


@cache
def scan(seed):
    return eight_bits(film()(photo(seed), key=seed))


@pytest.fixture(scope="module")
def roll():
    scans = [scan(seed) for seed in range(SCANS)]
    with pytest.MonkeyPatch.context() as patch:  # smaller plain fields than its own, to be quick
        patch.setattr(module, "_PLAIN_COLUMNS", 2**11)
        patch.setattr(module, "_LEAST_COLUMNS", 128)
        return Roll(film(), scans, fit(scans, name="mine", film_format="135"))


@pytest.fixture(scope="module")
def fields_of_both(roll):
    """Plain fields by band, before rounding, of the film and of the fit: what neither measured."""
    refilm = Developer(DevelopConfig(**GRAIN_ALONE), stock=roll.fitted)
    shades = [np.full((HEIGHT, WIDTH, 3), (band + 0.5) / 16, np.float32) for band in BANDS]
    return [[255 * engine(shade, key=1000 + i) for i, shade in enumerate(shades)] for engine in (roll.film, refilm)]


def test_the_strength_by_brightness_comes_back(fields_of_both):
    true, found = (np.array([field.std((0, 1)) for field in fields]) for fields in fields_of_both)
    np.testing.assert_allclose(found, true, rtol=SIGMA)


def test_the_strength_lies_in_the_interval_that_the_fit_states(roll, fields_of_both):
    true = np.array([field.std((0, 1)) for field in fields_of_both[0]])
    low, high = (np.array([roll.fitted.report[end][band] for band in BANDS]) for end in ("sigma low", "sigma high"))
    inside = (low * (1 - MEASURING) <= true) & (true <= high * (1 + MEASURING))
    assert inside.mean() >= 0.9
    assert ((high - low) / true).max() < 0.1


def radial_power(field):
    blocks = field.reshape(-1, 32, WIDTH // 32, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)
    window = np.hanning(33)[:32, None, None] * np.hanning(33)[:32, None]
    waves = (np.abs(np.fft.fft2((blocks - field.mean((0, 1))) * window, axes=(1, 2))) ** 2).mean(0)
    radius = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    power = np.array([waves[(radius >= low) & (radius < low + 0.1)].mean(0) for low in np.arange(0.03, 0.6, 0.1)])
    return power / waves.mean((0, 1))


def test_the_spectrum_comes_back(fields_of_both):
    true, found = (np.mean([radial_power(field) for field in fields], 0) for fields in fields_of_both)
    assert np.abs(10 * np.log10(found / true)).max() < DECIBELS
    assert 10 * np.log10(true[0] / true[-1]).max() > 3 * DECIBELS  # it is not flat


def test_the_channels_correlation_comes_back(roll, fields_of_both):
    true = np.mean([np.corrcoef(field.reshape(-1, 3).T) for field in fields_of_both[0]], 0)
    np.testing.assert_allclose(roll.fitted.correlation, true, atol=CORRELATION)
    found = np.mean([np.corrcoef(field.reshape(-1, 3).T) for field in fields_of_both[1]], 0)
    np.testing.assert_allclose(found, true, atol=CORRELATION)


def test_what_the_fit_renders_measures_as_the_scans_do(roll):
    refilm = Developer(DevelopConfig(**GRAIN_ALONE), stock=roll.fitted)
    rendered = [eight_bits(refilm(photo(seed), key=50 + seed)) for seed in range(SCANS)]
    ours, theirs = GrainMeasurement.of(rendered), GrainMeasurement.of(roll.scans)
    known = np.isfinite(ours.sigma) & np.isfinite(theirs.sigma)
    assert known.sum() == 3 * len(BANDS)
    assert np.sqrt((np.log(ours.sigma[known] / theirs.sigma[known]) ** 2).mean()) < SIGMA
    both = [np.einsum("kcc->kc", m.cross_spectrum) for m in (ours, theirs)]
    assert np.abs(10 * np.log10(both[0] / both[1])).max() < DECIBELS
    np.testing.assert_allclose(ours.correlation, theirs.correlation, atol=CORRELATION)
    np.testing.assert_allclose(ours.autocorrelation[1], theirs.autocorrelation[1], atol=0.02)
    np.testing.assert_allclose(ours.kurtosis, theirs.kurtosis, atol=0.1)
    np.testing.assert_allclose(ours.peaks, theirs.peaks, atol=0.008)


def test_a_fit_says_what_it_is_and_what_it_was_made_of(roll):
    stock = roll.fitted
    assert (stock.name, stock.kind, stock.iso) == ("mine", "scan", None)
    assert stock.pitch_um == 36000 / WIDTH
    assert stock.sources["granularity"] == f"scans: {SCANS}"
    assert stock.report["pictures"] == SCANS
    assert stock.report["blocks"] > 500
    assert stock.report["skipped"] == stock.report["notes"] == []
    assert stock.halides.pictures == SCANS


def test_a_fit_survives_its_file(roll, tmp_path):
    stock = replace(roll.fitted, tail=np.array([0.01, 0.0, -0.005]))
    stock.save(tmp_path / "mine.json")
    again = FilmStock.load(tmp_path / "mine.json")
    assert again.report == stock.report
    for field in fields(FilmStock):
        if field.name != "halides":
            np.testing.assert_array_equal(getattr(again, field.name), getattr(stock, field.name), strict=True)
    for field in fields(HalideStatistics):
        np.testing.assert_array_equal(getattr(again.halides, field.name), getattr(stock.halides, field.name))


@pytest.mark.parametrize("engine", ["gaussian", "boolean"])
def test_a_fits_file_develops(roll, fields_of_both, tmp_path, engine):
    path = tmp_path / "mine.json"
    roll.fitted.save(path)
    grey = np.full((128, 128, 3), 6.5 / 16, np.float32)
    developed = d2f.develop(grey, stock=path, grain=engine, colour="photo", key=3)
    true = fields_of_both[0][BANDS.index(6)].std((0, 1))
    np.testing.assert_allclose(255 * developed.std((0, 1)), true, rtol=0.05)  # of 16384 pixels


def test_the_halide_engine_takes_a_fits_own_grain(roll, tmp_path):
    path = tmp_path / "mine.json"
    roll.fitted.save(path)
    grey = np.full((64, 64, 3), 128, np.uint8)
    develop = partial(d2f.develop, grey, grain="halide", colour="photo")
    by_name = develop(stock=path)
    np.testing.assert_array_equal(by_name, develop(stock=FilmStock.load(path)))
    ours, gaussian = (film.astype(float) - grey for film in (by_name, develop(stock=path, grain="gaussian")))
    assert 0.7 < (ours.std() / gaussian.std()) < 1.3
    assert np.corrcoef(ours.ravel(), gaussian.ravel())[0, 1] > 0.7  # the same field, rebuilt from its extrema
    assert (by_name != develop()).any()


def changed(picture):
    """A look that is known: lifted blacks, less contrast in blue, less colour."""
    return (0.06 + 0.88 * picture ** np.array([0.8, 1.0, 1.2])) @ (0.75 * np.eye(3) + 0.25 / 3)


PLACES = 5e-6  # that a stock's palette is rounded to
NEAR = 0.02  # of display
LEARNED = 0.5  # of the colour difference, what pairs leave at most


@cache
def coloured():
    """Six photographs with plain areas of some colour, and scans of them on a film of that look."""
    photos = []
    for seed in range(6):
        tint = 0.12 * np.random.default_rng(seed).uniform(-1, 1, (1, 3, 3)).repeat(WIDTH // 3, 1)
        photos.append((photo(seed) + tint).clip(0, 1))
    scans = [eight_bits(film()(changed(p).astype(np.float32), key=i)) for i, p in enumerate(photos)]
    return [eight_bits(p) for p in photos], scans


@pytest.fixture
def quick(monkeypatch):
    """Grain as it is measured, which is not asked for here, and few looks to choose from."""
    monkeypatch.setattr(module, "_ROUNDS", 0)
    for name in ("pairs", "palette"):
        learner = importlib.import_module(f"d2f_mlx.film.{name}")
        monkeypatch.setattr(learner, "SMOOTHNESS", learner.SMOOTHNESS[:1])
        monkeypatch.setattr(learner, "_FOLDS", 2)
        monkeypatch.setattr(learner, "_ROUNDS", 2)


@pytest.fixture
def learned(monkeypatch):
    """What looks were learned from, with what options, and what came of it."""
    calls = []

    def recording(learn):
        def call(*given, **options):
            calls.append((given, options, learn(*given, **options)))
            return calls[-1][2]

        return call

    for name in ("fit_pairs", "fit_palette"):
        monkeypatch.setattr(module, name, recording(getattr(module, name)))
    return calls


def test_pairs_give_the_look(quick, learned, tmp_path):
    photos, scans = coloured()
    pairs, said = list(zip(photos, scans, strict=True)), []
    stock = fit(scans, name="mine", pairs=pairs, progress=said.append)
    ((given, options, palette),) = learned
    assert (given, options) == ((pairs,), {})
    np.testing.assert_allclose(stock.palette, palette.table, atol=PLACES)
    assert stock.report["look"] == palette.report
    assert stock.report["look"]["pairs"] == 6
    assert stock.report["look"]["CIEDE2000 after"] < LEARNED * stock.report["look"]["CIEDE2000 before"]
    assert stock.report["notes"] == []
    assert said.index("look") < said.index("halides")
    plain = np.array([[[0.3, 0.4, 0.5], [0.5, 0.5, 0.5], [0.6, 0.5, 0.4]]], np.float32)
    np.testing.assert_allclose(d2f.develop(plain, stock=stock, strength=0), changed(plain), atol=NEAR)
    stock.save(tmp_path / "mine.json")
    np.testing.assert_array_equal(FilmStock.load(tmp_path / "mine.json").palette, stock.palette)


def test_without_pairs_the_look_is_that_of_the_scans_that_belong(quick, learned):
    photos, scans = coloured()
    torn = np.zeros((8, 8, 3), np.uint8)
    stock = fit([torn, *scans], name="mine", photos=photos, look_strength=0.5)
    (((film, others), options, palette),) = learned
    assert options == {"strength": 0.5}
    for found, pictures in ((film, scans), (others, photos)):
        np.testing.assert_array_equal(found, [colours_of(picture) for picture in pictures])
    np.testing.assert_allclose(stock.palette, palette.table, atol=PLACES)
    assert stock.report["look"] == palette.report
    assert (stock.report["look"]["scans"], stock.report["look"]["strength"]) == (6, 0.5)
    assert [line.split(":")[0] for line in stock.report["skipped"]] == ["scan 1"]


def test_grain_alone_has_the_grain_and_no_look(quick):
    _, scans = coloured()
    alone = fit(scans, name="mine", look=False)
    assert alone.palette is None
    assert "look" not in alone.report
    assert alone.report["notes"] == []
    grey = np.full((8, 8, 3), 99, np.uint8)
    np.testing.assert_array_equal(d2f.develop(grey, stock=alone, strength=0), grey)


NONE = "it has no look: beyond their scenes the scans do not agree on one; add scans, or pairs; photos keep theirs"


@pytest.mark.parametrize(
    ("found", "note"),
    [
        ({"chosen": "no change", "strength": 0.9}, NONE),
        ({"chosen": "curves", "strength": 0.0}, NONE),
        (
            ValueError("3 scans or more with colour, got 2"),
            "it has no look: 3 scans or more with colour, got 2; photos",
        ),
    ],
)
def test_a_look_that_scans_do_not_give_is_noted(quick, monkeypatch, found, note):
    def answer(film, photos, *, strength):
        if isinstance(found, ValueError):
            raise found
        assert (len(film), photos, strength) == (6, None, None)
        return Palette(np.zeros((9, 9, 9, 3)), found)

    monkeypatch.setattr(module, "fit_palette", answer)
    stock = fit(coloured()[1], name="mine")
    assert stock.palette is None
    assert "look" not in stock.report
    assert len(stock.report["notes"]) == 1
    assert stock.report["notes"][0].startswith(note)


def test_two_scans_are_too_few_for_a_look_and_enough_for_grain(quick, monkeypatch):
    monkeypatch.setattr(module, "fit_palette", lambda *_, **__: pytest.fail("of two scans"))
    stock = fit([scan(seed) for seed in range(2)], name="mine")
    assert stock.palette is None
    assert stock.report["notes"] == ["it has no look, which takes 3 scans; photos keep theirs"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "a name for the stock, got an empty one"),
        ({"look": False, "photos": [1]}, "look=True for photos or pairs, got look=False"),
        ({"look": False, "pairs": [(1, 2)]}, "look=True for photos or pairs, got look=False"),
        ({"photos": [1], "pairs": [(1, 2)]}, "photos or pairs, got both"),
        ({"look_strength": 1.01}, "look_strength from 0 to 1, and a look without pairs, got 1.01"),
        ({"look_strength": float("nan")}, "look_strength from 0 to 1, and a look without pairs, got nan"),
        ({"look_strength": 0.5, "pairs": [(1, 2)]}, "a look without pairs, got 0.5"),
        ({"look_strength": 0.5, "look": False}, "a look without pairs, got 0.5"),
    ],
)
def test_what_contradicts_itself_is_told_before_any_work(monkeypatch, options, message):
    monkeypatch.setattr(module, "survey", lambda *_, **__: pytest.fail("it had begun"))
    with pytest.raises(ValueError, match=message):
        fit([scan(0)], **{"name": "mine", **options})


def test_a_pair_of_other_shapes_is_told(quick):
    photos, scans = coloured()
    with pytest.raises(ValueError, match=r"the same frame, got 256x300 and 256x384 pixels in pair 1"):
        fit(scans, name="mine", pairs=[(photos[0][:, :300], scans[0])])


def named(found: Scans):
    return {line.split(":")[0]: line for line in found.skipped}


def test_what_does_not_belong_is_left_out_and_named(tmp_path):
    folder = tmp_path
    for seed in range(4):
        images.write(folder / f"good-{seed}.png", scan(seed))
    doubled = Developer(DevelopConfig(**GRAIN_ALONE, stock="kodak-vision3-500t", strength=2.0, **FRAME))
    images.write(folder / "doubled.png", eight_bits(doubled(photo(8), key=8)))
    clean = photo(9) * 255 + np.random.default_rng(0).normal(0, 0.5, (HEIGHT, WIDTH, 3))
    images.write(folder / "digital.png", np.rint(clean).astype(np.uint8))
    faint = np.rint(photo(9) * 255).astype(np.uint8)
    faint[::5, ::7] += 1  # less than half a level from a plane
    images.write(folder / "faint.png", faint)
    images.write(folder / "white.png", np.full((HEIGHT, WIDTH, 3), 255, np.uint8))
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    found = survey(images.find([folder]))
    assert sorted(path.name for path in found.used) == [f"good-{seed}.png" for seed in range(4)]
    lines = named(found)
    assert sorted(lines) == ["digital.png", "doubled.png", "faint.png", "torn.jpg", "white.png"]
    assert "its grain is 2 times the others'" in lines["doubled.png"]
    assert "its grain is 0." in lines["digital.png"]
    assert "flat blocks" in lines["white.png"]
    assert found.measurement.pictures == 4
    assert found.notes == ()


def test_a_bright_scan_belongs_though_its_grain_is_weaker():
    bright = np.full((HEIGHT, WIDTH, 3), 0.92, np.float32)
    scans = [*(scan(seed) for seed in range(4)), eight_bits(film()(bright, key=5))]
    middle = film()(np.full((HEIGHT, WIDTH, 3), 0.4, np.float32))
    assert 2 * scans[4].std() < 255 * middle.std()
    assert survey(scans).skipped == ()


def test_arrays_are_named_by_their_place():
    floats, grey = photo(0), scan(0)[..., :1]
    found = survey([scan(0), floats, grey, scan(1)])
    lines = named(found)
    assert "expects uint8 or uint16 pictures (H, W, 3), got float32" in lines["scan 2"]
    assert "got uint8 (256, 384, 1)" in lines["scan 3"]


def test_nothing_to_go_by_is_an_error():
    with pytest.raises(ValueError, match="expects scans with flat areas, got none\n  scan 1: "):
        fit([np.full((HEIGHT, WIDTH, 3), 255, np.uint8)], name="none")


def test_too_few_blocks_are_counted():
    part = scan(0)[:96, :96]  # one plain area
    with pytest.raises(
        ValueError,
        match=r"at least 200 flat blocks, and 3 bands of brightness with 30 each, got \d+ and [01] from 1 scan",
    ):
        fit([part], name="few")
    plain = [film()(np.full((HEIGHT, WIDTH, 3), shade, np.float32)) for shade in (0.4, 0.6)]
    with pytest.raises(ValueError, match=r"got \d{3,} and 2 from 2 scan"):
        fit([eight_bits(picture) for picture in plain], name="few")


def test_scans_of_different_pitch_are_noted():
    found = survey([scan(0), scan(1), scan(2)[: HEIGHT // 2, : WIDTH // 2]])
    (note,) = found.notes
    assert note == "scans differ in pitch, from 93.8 to 187.5 um a pixel; the median counts"
    assert found.pitch_um == 36000 / WIDTH


def test_subsampled_colour_is_noted(tmp_path):
    paths = [tmp_path / f"{seed}.jpg" for seed in range(3)]
    for seed, path in enumerate(paths):
        Image.fromarray(scan(seed)).save(path, quality=95, subsampling=2 if seed else 0)
    assert survey(paths).notes == ("2 of 3 scans are JPEG with subsampled colour: correlation reads high",)


def test_independent_fields_are_found_that_have_the_channels_spectra():
    """M diag(W) M^T of three fields that are known: their channels' correlation and cross-spectra come out."""
    split = module._modes
    frequency = np.linspace(0.05, 0.6, 9)
    power = np.stack([np.exp(-((frequency / width) ** 2)) for width in (0.2, 0.35, 0.6)], 1)
    power /= power.mean(0)  # any weights would do: the diagonal of the mean is that of the correlation
    mixing = np.array([[0.8, 0.6, 0], [0.36, 0.48, 0.8], [0.6, 0, 0.8]])
    spectrum = np.einsum("cm,km,dm->kcd", mixing, power, mixing)
    found, modes = split(mixing @ mixing.T, spectrum, frequency)
    np.testing.assert_allclose(found @ found.T, mixing @ mixing.T, atol=1e-9)
    np.testing.assert_allclose(np.einsum("cm,km,dm->kcd", found, modes, found), spectrum, atol=2e-3)


def test_grey_scans_have_one_field_in_effect():
    split = module._modes
    frequency = np.linspace(0.05, 0.6, 9)
    spectrum = np.exp(-((frequency / 0.3) ** 2))[:, None, None] * np.ones((3, 3))
    mixing, modes = split(np.ones((3, 3)), spectrum, frequency)
    np.testing.assert_allclose(mixing @ mixing.T, 1, atol=1e-3)
    through = (mixing**2) @ modes.T
    np.testing.assert_allclose(through, np.einsum("kcc->ck", spectrum), rtol=0.01)
