"""Developing as a list of stages: what a `Developer` does to one tile, with the operations that each step asks for."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from d2f_mlx import images
from d2f_mlx.color import SRGB
from d2f_mlx.develop import Colour, DevelopConfig, Developer, FilmColour, HalideEngine, StochasticEngine
from d2f_mlx.develop.halide import _DRIFT
from d2f_mlx.develop.photo import TO_TYPE, floats
from d2f_mlx.film import DEFAULT, BooleanGrain, Darkroom, FilmStock, Optics, ScannedGrain, Scanner, boolean_grain
from d2f_mlx.grain import Halides, boolean_view, halide_mask, normalised_convolution, scatter
from d2f_mlx.grain.filters import averaged, correlate, gaussian_taps
from d2f_mlx.grain.gaussian import heavy_tailed, unit_grain, white_noise
from d2f_mlx.grain.interpolate import RADIUS
from d2f_mlx.grain.noise import normal_at
from d2f_mlx.grain.overlay import add_grain
from d2f_mlx.models import DIANet, UNet
from d2f_mlx.models.reconstructor import _GUIDE

import mlx.core as mx
import numpy as np

from grain import picture
from limits import Found, Limits, Stage, measure, together
from network_layers import by_kind
from report import median_ms

# Operations for a value, or a pixel of three, counted from the code; a function (log2, erfinv) as one.
_BELL, _NORMAL = 21, 16  # a hashed place, and four bytes of it added up, or one uniform number through erfinv
_FLOATS, _EXPOSE, _CURVES, _ADD, _TABLE, _TO_BYTES = 3, 27, 51, 21, 73, 6  # a pixel
_BEHIND, _OVERLAY, _MASK, _SCATTER = 12, 51, 57, 45  # a pixel


@dataclass(frozen=True)
class Engine:
    """An engine as it is measured.

    Args:
        options: Of `DevelopConfig`.
        part: Side of the part of the picture that is developed for the whole's time; 0 for all of it.
    """

    options: dict[str, Any]
    part: int = 0


ENGINES = {
    "gaussian, film's colour": Engine({"colour": "film"}),
    "gaussian, photo's colour": Engine({"colour": "photo"}),
    "halide unet, photo's colour": Engine({"grain": "halide", "colour": "photo"}, 1024),
    "halide dianet, photo's colour": Engine({"grain": "halide", "reconstructor": "dianet", "colour": "photo"}, 384),
    "boolean, photo's colour": Engine({"grain": "boolean", "stock": "kodak-vision3-500t", "colour": "photo"}, 512),
}


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut: so many squares of an edge, one of which is measured."""

    size: tuple[int, int]
    edge: int
    overlap: int
    tiles: int

    @classmethod
    def of(cls, engine: StochasticEngine | HalideEngine, colour: Colour | None, size: tuple[int, int]) -> Tiling:
        """Cut a picture as `Developer` does."""
        reach = engine.overlap(size) + (colour.reach(max(size)) if colour else 0)
        overlap = -(-reach // engine.align) * engine.align
        side = -(-min(engine.tile, engine.largest_tile, max(size)) // engine.align) * engine.align
        return cls(size, side + 2 * overlap, overlap, -(-size[0] // side) * -(-size[1] // side))

    @property
    def per_megapixel(self) -> float:
        """What a tile's milliseconds are multiplied by to have the picture's, by megapixel."""
        return self.tiles / (self.size[0] * self.size[1] / 1e6)

    def __str__(self) -> str:
        share = self.tiles * self.edge**2 / (self.size[0] * self.size[1])
        return f"{self.tiles} tiles of {self.edge} x {self.edge}, {share:.2f} times the picture's pixels"


def develop_table(name: str, size: tuple[int, int], limits: Limits, repeats: int) -> tuple[str, list[dict[str, Any]]]:
    """Time an engine's stages on a tile of a picture of this height and width, and the whole."""
    config = DevelopConfig(**ENGINES[name].options)
    stock = FilmStock.load(config.stock or DEFAULT)
    engine = HalideEngine(config) if config.grain == "halide" else StochasticEngine(config)
    film = config.colour == "film"
    colour = FilmColour(stock, config, Darkroom(), Scanner(), SRGB, SRGB) if film else None
    tiling = Tiling.of(engine, colour, size)
    edge, pixels, key = tiling.edge, tiling.edge**2, mx.random.key(0)
    tile = picture(edge, edge)
    photo = mx.array(tile).astype(mx.float32) / 255
    out = np.empty_like(tile)

    def into_place(film: mx.array) -> np.ndarray:
        out[:] = np.asarray(TO_TYPE["uint8"](film))
        return out

    stages = [Stage("tile to floats", lambda tile: floats(mx.array(tile)), [tile], _FLOATS * pixels)]
    if isinstance(engine, HalideEngine):
        stages += scatter_stages(engine, photo, key)
    else:
        grain = engine.grain(max(size))
        if colour:
            stages += colour_stages(colour, stock, config, photo, size)
            stages += grain_stages(grain, key, edge)
            add: Callable[..., mx.array] = grain.add_to
            stages += [
                Stage("grain onto the density", add, [photo, photo - 0.5], _ADD * pixels),
                Stage("print (65-point table)", colour.picture, [photo], _TABLE * pixels),
            ]
        else:
            stages.append(Stage("density behind the photo", grain.behind, [photo], _BEHIND * pixels))
            discs = boolean_grain(stock, grain) if config.grain == "boolean" else None
            if discs:
                stages += disc_stages(discs, grain.behind(photo), key)
            else:
                stages += grain_stages(grain, key, edge)
            put = mx.compile(add_grain)
            stages.append(Stage("grain onto the photo", put, [photo, photo - 0.5, grain.tone], _OVERLAY * pixels))
    stages.append(Stage("to 8 bits, into the picture", into_place, [photo], _TO_BYTES * pixels))
    found = [measure(stage, limits, repeats) for stage in stages]
    if isinstance(engine, HalideEngine):
        found[-1:-1] = rebuilding(engine, photo, key, limits, repeats)
    whole = together("sum", [each for each in found if not each.name.startswith(" ")])
    rows = [each.row(whole.ms, tiling.per_megapixel) for each in (*found, whole)]
    for row in rows:
        row["stage, by megapixel"] = row.pop("stage")
    order = ["stage, by megapixel", *list(rows[0])[:-1]]
    rows = [{column: row[column] for column in order} for row in rows]
    return f"{name}, {size[1]} x {size[0]}: {tiling}", [*rows, whole_row(order, name, config, engine.parallel, size)]


def whole_row(
    columns: list[str], name: str, config: DevelopConfig, parallel: int, size: tuple[int, int]
) -> dict[str, Any]:
    """Time a `Developer` on the picture, or on a part of it at its pitch."""
    side = ENGINES[name].part
    part = (min(size[0], side or size[0]), min(size[1], side or size[1]))
    if side and config.grain != "halide":
        config = replace(config, enlargement=max(size) / max(part))
    developer, photo = Developer(config), picture(*part)
    developer(photo)
    mx.reset_peak_memory()
    ms = median_ms(lambda: developer(photo), 1, 0) / (part[0] * part[1] / 1e6)
    what = f"whole, {parallel} at once" + (f" ({part[1]} x {part[0]} measured)" if side else "")
    return {**dict.fromkeys(columns, ""), columns[0]: what, "ms": ms, "peak MiB": mx.get_peak_memory() / 2**20}


def colour_stages(
    colour: FilmColour, stock: FilmStock, config: DevelopConfig, photo: mx.array, size: tuple[int, int]
) -> Iterator[Stage]:
    """List the film's chain up to density; the MTF's parts are what one takes without the other."""
    pixels, long_side = photo.shape[0] * photo.shape[1], max(size)
    plain = FilmColour(stock, config, Darkroom(mtf="off"), Scanner(), SRGB, SRGB)
    expose = Stage("light, exposure, curves", lambda photo: plain.densities(photo, (0, 0), long_side), [photo])
    yield expose._replace(flop=(_EXPOSE + _CURVES) * pixels)
    spread = colour._optics(long_side)
    if not spread:
        return
    near = 3 * pixels * (5 + sum(_separable(spread.taps.shape[2]) + 2 for _ in range(spread.taps.shape[1])))
    total, parts = near, []
    if spread.far:
        cell, places = spread.far.cell, spread.far.places(mx.array([0, 0], mx.int32), photo.shape[:2])
        # Averaged down, then across; filtered; interpolated across, then down.
        cells = 4 + 4 / cell + sum(_separable(taps.size) + 2 for taps in spread.far.taps) / cell**2 + 7 / cell + 7
        total = near + 3 * pixels * cells
        planes = mx.contiguous(photo.transpose(2, 0, 1))
        parts.append(Stage("  on cells", mx.compile(spread.far), [planes, places], 3 * pixels * cells))
    pixels_only: Optics = replace(spread, far=None)
    yield Stage("MTF", lambda exposure: spread(exposure, (0, 0)), [photo], total)
    yield Stage("  on pixels", lambda exposure: pixels_only(exposure, (0, 0)), [photo], near)
    yield from parts


def _separable(taps: int) -> int:
    """Operations for a value filtered down and across with symmetric taps."""
    return 2 * (1 + 3 * (taps // 2))


def grain_stages(grain: ScannedGrain, key: mx.array, edge: int) -> Iterator[Stage]:
    """List how unit grain is drawn on the pixels' own lattice, as at the pitches measured here."""
    field, origin = grain.field, mx.array([0, 0], mx.int32)
    modes, side, _ = field.kernels.shape
    noisy = (edge + side - 1, edge + side - 1)
    noise_flop = modes * noisy[0] * noisy[1] * (_BELL + 16 / 3)  # 16 sums and halves for 2 x 2 points, all levels 4/3
    filter_flop, mix_flop = modes * edge**2 * 2 * side**2, edge**2 * 3 * (2 * modes - 1 + 6)

    def noise(key: mx.array, origin: mx.array) -> list[mx.array]:
        return white_noise(key, field.level, origin, noisy, modes)

    def filtered(planes: list[mx.array], kernels: mx.array) -> list[mx.array]:
        return [correlate(p[None, :, :, None], kernels[m])[0, :, :, 0] for m, p in enumerate(planes)]

    def mixed(planes: list[mx.array], mixing: mx.array, tail: mx.array) -> mx.array:
        channels = [sum((mixing[c, m] * p for m, p in enumerate(planes)), mx.array(0.0)) for c in range(3)]
        return heavy_tailed(mx.stack(channels, -1), tail)

    planes = [mx.random.normal(noisy) for _ in range(modes)]
    run: Callable[..., mx.array] = lambda key: unit_grain(field, key, (0, 0), (edge, edge))  # noqa: E731
    yield Stage("unit grain", run, [key], noise_flop + filter_flop + mix_flop)
    yield Stage("  white noise", mx.compile(noise), [key, origin], noise_flop)
    yield Stage("  filtered", mx.compile(filtered), [planes, field.kernels], filter_flop)
    yield Stage(
        "  mixed, tails", mx.compile(mixed), [[p[:edge, :edge] for p in planes], field.mixing, field.tail], mix_flop
    )


def disc_stages(discs: BooleanGrain, density: mx.array, key: mx.array) -> Iterator[Stage]:
    """List how discs are thrown and looked at, and what each layer takes; what they ask for depends on the picture."""
    yield Stage("discs", partial(discs.unit, key=key, origin=(0, 0)), [density])
    side = math.ceil(density.shape[0] / discs.zoom)
    coverage = 1 - mx.power(10, -mx.maximum(density, 0))[:side, :side, :1]
    for layer in discs.layers:
        law = {"radius": layer.radius, "radius_sigma": layer.radius_sigma, "blur": layer.blur, "zoom": discs.zoom}
        view = partial(boolean_view, **law, key=key)
        yield Stage(f"  layer of radius {layer.radius:.2f}", view, [mx.clip(coverage, 0, 1)])


def scatter_stages(engine: HalideEngine, photo: mx.array, key: mx.array) -> Iterator[Stage]:
    """List how halides are scattered."""
    values, taps, origin = photo.size, engine._own.kernel.size, mx.array([0, 0], mx.int32)
    drawn = (photo.shape[0] + 8, photo.shape[1] + 8, 3)
    noise, filtered = drawn[0] * drawn[1] * 3 * (_NORMAL + 5), values * 2 * taps
    kernel, white = mx.array(engine._own.kernel), mx.random.normal((1, *drawn))
    film = (photo * 255).astype(mx.uint8)
    run: Callable[..., Halides] = lambda photo: engine.scattered(photo, key, (0, 0), (photo.shape[0], photo.shape[1]))  # noqa: E731
    rest = values / 3 * (_MASK + _SCATTER)
    yield Stage("halides scattered", run, [photo], noise + filtered + rest)
    yield Stage("  white noise", mx.compile(lambda key: normal_at(key, origin, drawn)), [key], noise)
    yield Stage("  filtered (9 x 9)", mx.compile(correlate), [white, kernel], filtered)
    yield Stage("  extrema", lambda film: halide_mask(film, engine.halides), [film], values / 3 * _MASK)


def rebuilding(engine: HalideEngine, photo: mx.array, key: mx.array, limits: Limits, repeats: int) -> Iterator[Found]:
    """Time the network's parts, what stands around it, and what is left of the whole."""
    network, values = engine._network.network, photo.size
    halides = scatter(photo, engine._own, kind=engine.halides, key=key)
    assert isinstance(network, UNet | DIANet)  # the bundled ones see the channels together
    base, one, origin = (2 * photo - 1)[None], mx.array(1.0), mx.array([0, 0], mx.int32)
    around = [
        Stage(
            f"  prior ({2 * RADIUS + 1} taps)",
            mx.compile(normalised_convolution),
            [halides.image[None], halides.mask[None]],
            values * (2 * 4 * (2 * RADIUS + 1) + 4),
        ),
        _average("  guide", gaussian_taps(_GUIDE), base),
        _average("  mean removed", np.ones(2 * _DRIFT + 1), base),
    ]
    parts = [measure(stage, limits, repeats) for stage in around]
    side = photo.shape[0] + -photo.shape[0] % engine.align
    parts += by_kind(network, 1, side, limits, max(repeats // 2, 1))
    flop = sum(part.flop or 0 for part in parts)

    def rebuilt(photo: mx.array, mask: mx.array, image: mx.array) -> mx.array:
        return engine._rebuild(photo, mask, image, key, origin, one, 0)  # no margin is left out

    rebuild = Stage("rebuilt", rebuilt, [photo, halides.mask, halides.image], flop, True)
    whole = measure(rebuild, limits, repeats)
    yield whole
    yield from parts
    rest = whole.ms - sum(part.ms for part in parts)
    yield Found("  rest (concatenation, pinning), by difference", rest, None, 0, 0, "", 0, 0)


def _average(name: str, taps: np.ndarray, picture: mx.array) -> Stage:
    flop = picture.size * (4 * len(taps) + 2)
    return Stage(f"{name} ({len(taps)} taps)", mx.compile(lambda picture: averaged(picture, taps)), [picture], flop)


def file_table(size: tuple[int, int], limits: Limits, repeats: int) -> list[dict[str, Any]]:
    """Time decoding and encoding a grainy picture; bytes are the file's and the pixels'."""
    noise = np.random.default_rng(0).normal(0, 5, (*size, 3))
    pixels = np.clip(picture(*size) + noise, 0, 255).astype(np.uint8)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("picture.jpg", "picture.png", "picture.tif"):
            path = Path(folder) / name

            def write(pixels: np.ndarray, path: Path = path) -> np.ndarray:
                images.write(path, pixels)
                return np.empty(path.stat().st_size, np.uint8)

            def read(encoded: np.ndarray, path: Path = path) -> np.ndarray:
                return images.read(path).pixels

            encode = measure(Stage(f"encode {path.suffix[1:]}", write, [pixels]), limits, repeats)
            decode = measure(Stage(f"decode {path.suffix[1:]}", read, [np.fromfile(path, np.uint8)]), limits, repeats)
            for found in (encode, decode):
                row = found.row(found.ms, 1e6 / (size[0] * size[1]))
                rows.append({"stage, by megapixel": row["stage"], **{k: row[k] for k in ("ms", "cores", "MB", "GB/s")}})
    return rows
