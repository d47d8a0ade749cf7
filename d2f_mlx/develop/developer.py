"""One door for photographs: pixels in, the same pixels with a film's grain out, whichever engine makes it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import mlx.core as mx
import numpy as np

from .. import images
from ..film import FilmStock, Scanner
from ..grain import HalideStatistics
from ..models import Reconstructor
from .config import DevelopConfig, Grain
from .engine import Engine
from .halide import HalideEngine
from .stochastic import StochasticEngine

_BRIGHTEST = 2.0  # floats a little above white are clipped, floats in [0, 255] refused


class Developer:
    """An engine ready to develop pictures: load once, develop many.

    Args:
        config: How; it names the engine, the stock and the reconstructor.
        stock: A loaded stock in place of the named one.
        scanner: How the film is turned into a picture.
        network: A loaded model in place of the named one.
        statistics: The film whose halides are scattered; by default the stock's, else the reconstructor's own.
        engine: An engine of one's own in place of all this.

    Raises: ValueError for anything that cannot be loaded, or that the engine has no use for.
    """

    def __init__(
        self,
        config: DevelopConfig | None = None,
        *,
        stock: FilmStock | None = None,
        scanner: Scanner | None = None,
        network: Reconstructor | None = None,
        statistics: HalideStatistics | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._config = config or DevelopConfig()
        if engine is None and self._config.grain == "halide":
            engine = HalideEngine(self._config, stock=stock, scanner=scanner, network=network, statistics=statistics)
        elif engine is None:
            for name in ("reconstructor", "density_scale"):
                value = getattr(self._config, name)
                if value != getattr(DevelopConfig, name):
                    raise ValueError(f"develop expects grain='halide' for a {name}, got {value!r} with another engine")
            if network is not None or statistics is not None:
                raise ValueError(
                    f"develop expects grain='halide' for a network or statistics, got {self._config.grain!r}"
                )
            engine = StochasticEngine(self._config, stock=stock, scanner=scanner)
        self._engine = engine
        self._streams = [mx.new_stream(mx.default_device()) for _ in range(engine.parallel - 1)]

    def __call__(
        self,
        photo: str | Path | np.ndarray | mx.array,
        *,
        key: int | mx.array = 0,
        origin: tuple[int, int] = (0, 0),
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Develop one picture; see `develop`."""
        pixels = images.read(photo).pixels if isinstance(photo, str | Path) else _checked(photo)
        words = key if isinstance(key, mx.array) else mx.random.key(operator.index(key) % 2**64)
        if words.shape != (2,):
            raise ValueError(f"develop expects a seed or a random key of two words, got shape {words.shape}")
        engine, size = self._engine, (pixels.shape[0], pixels.shape[1])
        overlap = -(-engine.overlap(size) // engine.align) * engine.align
        side = min(self._config.tile or engine.tile, engine.largest_tile, max(size))

        top, left = (operator.index(place) for place in origin)
        streams = cycle([mx.default_stream(mx.default_device()), *self._streams])

        def process(tile_pixels: np.ndarray, tile: images.Tile) -> mx.array:
            with mx.stream(next(streams)):
                film = engine(_floats(mx.array(tile_pixels)), words, (tile.top + top, tile.left + left), size)
                film = _TO_TYPE[pixels.dtype.name](film)
                mx.async_eval(film)
            return film

        return images.map_tiles(
            process,
            pixels,
            size=-(-side // engine.align) * engine.align,
            overlap=overlap,
            progress=progress,
            ahead=engine.parallel - 1,
        )


@mx.compile
def _floats(pixels: mx.array) -> mx.array:
    """Scale decoded integers to [0, 1]; floats are there already."""
    tops = {mx.uint8: 255, mx.uint16: 65535}
    return pixels.astype(mx.float32) / tops[pixels.dtype] if pixels.dtype in tops else pixels


_TO_TYPE = {
    "uint8": mx.compile(lambda film: mx.round(film * 255).astype(mx.uint8)),
    "uint16": mx.compile(lambda film: mx.round(film * 65535).astype(mx.uint16)),
    "float32": lambda film: film,
}


def _checked(photo: np.ndarray | mx.array) -> np.ndarray:
    """Take integers as they are and floats as float32, refusing what is no photograph."""
    if isinstance(photo, mx.array) and mx.issubdtype(photo.dtype, mx.floating):
        photo = photo.astype(mx.float32)  # NumPy has no bfloat16
    pixels = np.asarray(photo)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"develop expects a photo (H, W, 3), got shape {pixels.shape}")
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"develop expects uint8, uint16 or float pixels, got {pixels.dtype}")
    if not np.isfinite(pixels).all():
        raise ValueError("develop expects finite pixels, got NaN or infinity")
    if pixels.max() > _BRIGHTEST:
        raise ValueError(f"develop expects float pixels in [0, 1], got up to {pixels.max():.4g}")
    return np.clip(pixels, 0, 1).astype(np.float32)


def develop(
    photo: str | Path | np.ndarray | mx.array,
    *,
    grain: Grain = DevelopConfig.grain,
    stock: str | Path | FilmStock = DevelopConfig.stock,
    film_format: str = DevelopConfig.film_format,
    enlargement: float = DevelopConfig.enlargement,
    exposure_index: float = DevelopConfig.exposure_index,
    scanner: Scanner | None = None,
    reconstructor: str | Path | Reconstructor = DevelopConfig.reconstructor,
    statistics: HalideStatistics | None = None,
    density_scale: float = DevelopConfig.density_scale,
    strength: float = DevelopConfig.strength,
    key: int | mx.array = 0,
    origin: tuple[int, int] = (0, 0),
    tile: int = DevelopConfig.tile,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Give a digital photograph the grain of film.

    Three engines. "halide": halides with the film's statistics are scattered over the photo and a network
    rebuilds the film picture between them. "gaussian": a random field with the stock's spectrum, channel
    correlation and granularity is added in density; fast, and exact in those figures. "boolean": the grains of
    the stock's layers one by one (Newson et al. 2017), to the same granularity; slow. Where its grains are too small
    against the pixels to tell, it is the gaussian engine.

    Colour stays the photo's own: the mean over a few dozen pixels hardly moves but where grain is clipped at black and
    white. Works by tiles, in memory that does not grow beyond the pictures themselves; on one device, the result
    depends neither on the tile size nor on where a tile was cut. Grain has colour film's colours on a grey photo too.

    Args:
        photo: A picture file, or pixels: uint8, uint16, or float in [0, 1].
        grain: The engine.
        stock: A bundled stock's name (`film.stocks`), a stock's file, or a loaded stock; "" leaves the halide
            engine to the reconstructor's own film and gives the others `film.DEFAULT`.
        film_format: The frame that the photo fills, a name in `film.FORMATS`: it says how many micrometres of film a
            pixel is. "" is 135 for a data sheet's stock, and one scan's pixel a pixel for a stock fitted to scans.
        enlargement: Above 1 the photo is that much of a crop from the frame, so its grain is larger.
        exposure_index: Speed at which the film is exposed and developed; 0 for its own.
        scanner: How the film is turned into a picture, for data sheets' stocks.
        reconstructor: A bundled name (`checkpoint.bundled`), a trained folder, or a loaded model.
        statistics: The film whose halides are scattered; by default the stock's, else the reconstructor's own.
        density_scale: Halides against the film's own density, in (0, 9]: the more there are, the more comes from the
            scattered field and the less from the network; far below 1 grain turns into blotches.
        strength: How far to go from the photo (0) to the film (1); up to 4 exaggerates.
        key: Seed or random key; the same one gives the same grain.
        origin: Row and column of the photo's first pixel in the picture that it was cut from: with the same key and
            pitch (``film_format``, ``enlargement``) a crop has the picture's grain.
        tile: Side of the tiles in pixels; 0 chooses.
        progress: Called with (tiles done, tiles in all).

    Shape: (H, W, 3) -> the same, in the photo's type (float32 for floats)
    Raises: ValueError for bad arguments, `images.ImageFileError` for a bad file, before any work is done.
    """
    network = reconstructor if isinstance(reconstructor, Reconstructor) else None
    film = stock if isinstance(stock, FilmStock) else None
    config = DevelopConfig(
        grain=grain,
        stock="" if film else str(stock),
        film_format=film_format,
        enlargement=enlargement,
        exposure_index=exposure_index,
        reconstructor=DevelopConfig.reconstructor if network else str(reconstructor),
        density_scale=density_scale,
        strength=strength,
        tile=tile,
    )
    developer = Developer(config, stock=film, scanner=scanner, network=network, statistics=statistics)
    return developer(photo, key=key, origin=origin, progress=progress)
