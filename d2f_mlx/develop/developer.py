"""One door for photographs: pixels in, a film's colours and grain out, whichever engine makes the grain."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import cycle
from pathlib import Path
from typing import Any, overload

import mlx.core as mx
import numpy as np

from .. import images
from ..color import SPACES, SRGB, Lut3D, RGBSpace, convert, managed
from ..film import DEFAULT, Darkroom, FilmStock, Scanner
from ..grain import HalideStatistics
from ..models import Reconstructor
from .colour import Colour, FilmColour, TableColour
from .config import Colours, DevelopConfig, Grain, Precision
from .engine import Engine, tile_side
from .halide import HalideEngine
from .photo import TO_TYPE, blaming, checked, floats, opened
from .stochastic import StochasticEngine


class Developer:
    """An engine ready to develop pictures: load once, develop many.

    Args:
        config: How; it names the engine, the stock and the reconstructor.
        stock: A loaded stock in place of the named one.
        darkroom: How the film is exposed and printed.
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
        darkroom: Darkroom | None = None,
        scanner: Scanner | None = None,
        network: Reconstructor | None = None,
        statistics: HalideStatistics | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._config = config or DevelopConfig()
        self._again = partial(
            Developer,
            config,
            stock=stock,
            darkroom=darkroom,
            scanner=scanner,
            network=network,
            statistics=statistics,
            engine=engine,
        )
        if not isinstance(darkroom, Darkroom | None):
            raise ValueError(f"develop expects a Darkroom, such as Darkroom(print='scan'), got {darkroom!r}")
        if stock is None and self._config.stock:
            stock = FilmStock.load(self._config.stock)
        self._colour = lru_cache(maxsize=4)(self._colours(stock, darkroom, scanner))
        self._colour(SRGB, SRGB)  # what cannot be printed is told before any work
        if engine is None and self._config.grain == "halide":
            engine = HalideEngine(self._config, stock=stock, scanner=scanner, network=network, statistics=statistics)
        elif engine is None:
            for name in ("reconstructor", "density_scale", "precision"):
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

    def __reduce__(self) -> tuple[Callable[[], Developer], tuple[()]]:
        """Pickle what it was made of: another process makes its own."""
        return self._again, ()

    def _colours(
        self, stock: FilmStock | None, darkroom: Darkroom | None, scanner: Scanner | None
    ) -> Callable[[RGBSpace, RGBSpace], Colour | None]:
        """Say what gives a picture in one space the film's colour in another."""
        plain = darkroom in (None, Darkroom())

        def make(space: RGBSpace, out_space: RGBSpace) -> Colour | None:
            if self._config.colour == "photo":
                if not plain:
                    raise ValueError(
                        "with colour='photo' nothing is exposed or printed: it takes no print, exposure or other "
                        "setting of the darkroom"
                    )
                return None
            film = stock or FilmStock.load(DEFAULT)
            if self._config.lut and not plain:
                raise ValueError(
                    "a lut takes the place of the film's colours: it takes no print, exposure or other setting of the "
                    "darkroom"
                )
            if self._config.lut:
                return TableColour(Lut3D.load(self._config.lut), space, out_space)
            if film.kind != "scan":
                return FilmColour(film, self._config, darkroom or Darkroom(), scanner or Scanner(), space, out_space)
            if not plain:
                raise ValueError(f"{film.name} was fitted to scans, which hold its colours: it takes no darkroom")
            return None if film.palette is None else TableColour(Lut3D(film.palette), space, out_space)

        return make

    @overload
    def __call__(
        self,
        photo: images.Picture,
        *,
        key: int | mx.array = 0,
        origin: tuple[int, int] = (0, 0),
        space: RGBSpace | str = SRGB,
        progress: Callable[[int, int], None] | None = None,
    ) -> images.Picture: ...

    @overload
    def __call__(
        self,
        photo: str | Path | np.ndarray | mx.array,
        *,
        key: int | mx.array = 0,
        origin: tuple[int, int] = (0, 0),
        space: RGBSpace | str = SRGB,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray: ...

    def __call__(
        self,
        photo: str | Path | images.Picture | np.ndarray | mx.array,
        *,
        key: int | mx.array = 0,
        origin: tuple[int, int] = (0, 0),
        space: RGBSpace | str = SRGB,
        progress: Callable[[int, int], None] | None = None,
    ) -> images.Picture | np.ndarray:
        """Develop one picture; see `develop`."""
        if isinstance(space, str):
            if space not in SPACES:
                raise ValueError(f"develop expects a space of {', '.join(SPACES)}, got {space!r}")
            space = SPACES[space]
        if isinstance(photo, images.Picture):
            pixels, space, icc = managed(photo.pixels, photo.icc)
            film = self._developed(pixels, space, space, key, origin, progress)
            return images.Picture(film, photo.exif, icc)
        if isinstance(photo, str | Path):
            return self._developed(*opened(photo), SRGB, key, origin, progress)
        return self._developed(checked(photo), space, space, key, origin, progress)

    def file(
        self,
        photo: str | Path,
        out: str | Path,
        *,
        key: int | mx.array = 0,
        quality: int = 95,
        bits: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        large: int = images.LARGE,
    ) -> None:
        """Develop one file into another, whatever its size, whole or not at all.

        A picture of more than ``large`` pixels is read, developed and written by bands of rows, in memory that grows
        with its width and not with its height, to the very same pixels. That takes OpenImageIO (``d2f_mlx[deep]``), a
        photo that `images.open_rows` can read, and a TIFF or PNG to write.

        Args:
            photo: The photograph.
            out: Where the film goes; its suffix names the format, its folder exists.
            key: As for `develop`.
            quality: As for `images.write`.
            bits: As for `images.write`.
            progress: As for `develop`.
            large: Pixels.

        Raises: ValueError for bad arguments and `images.ImageFileError` for bad files, before any work is done.
        """
        photo, out = Path(photo), Path(out)
        images.check_target(out, quality=quality, bits=bits)
        height, width = images.size(photo)
        if height * width <= large:
            picture = images.read(photo)
            with blaming(photo):
                film = self(picture, key=key, progress=progress)
            images.write(out, film.pixels, exif=film.exif, icc=film.icc, quality=quality, bits=bits)
            return
        with images.open_rows(photo) as rows:
            with blaming(photo):
                _, space, icc = managed(rows.read(0, 1), rows.icc)

            def read(top: int, bottom: int) -> np.ndarray:
                with blaming(photo):
                    return managed(rows.read(top, bottom), rows.icc)[0]

            size = (height, width)
            process, side, overlap = self._process(size, rows.dtype, space, space, key, (0, 0))
            ahead, block = self._engine.parallel - 1, rows.block
            bands = images.map_rows(
                process, read, size, size=side, overlap=overlap, block=block, progress=progress, ahead=ahead
            )
            images.write_bands(out, bands, size, rows.dtype, exif=rows.exif, icc=icc, bits=bits)

    def _developed(
        self,
        pixels: np.ndarray,
        space: RGBSpace,
        out_space: RGBSpace,
        key: int | mx.array,
        origin: tuple[int, int],
        progress: Callable[[int, int], None] | None,
    ) -> np.ndarray:
        size = (pixels.shape[0], pixels.shape[1])
        process, side, overlap = self._process(size, pixels.dtype, space, out_space, key, origin)
        ahead = self._engine.parallel - 1
        return images.map_tiles(process, pixels, size=side, overlap=overlap, progress=progress, ahead=ahead)

    def _process(
        self,
        size: tuple[int, int],
        dtype: np.dtype,
        space: RGBSpace,
        out_space: RGBSpace,
        key: int | mx.array,
        origin: tuple[int, int],
    ) -> tuple[Callable[[np.ndarray, images.Tile], mx.array], int, int]:
        """Return what develops one tile of a picture of this height and width, the tiles' size and their overlap."""
        words = key if isinstance(key, mx.array) else mx.random.key(operator.index(key) % 2**64)
        if words.shape != (2,):
            raise ValueError(f"develop expects a seed or a random key of two words, got shape {words.shape}")
        engine = self._engine
        colour = self._colour(space, out_space)
        reach = engine.overlap(size) + (colour.reach(max(size)) if colour else 0)
        overlap = -(-reach // engine.align) * engine.align

        top, left = (operator.index(place) for place in origin)
        streams = cycle([mx.default_stream(mx.default_device()), *self._streams])

        def process(tile_pixels: np.ndarray, tile: images.Tile) -> mx.array:
            with mx.stream(next(streams)):
                values = floats(mx.array(tile_pixels))
                if colour is None and space != out_space:
                    values = mx.clip(convert(values, space, out_space), 0, 1)
                film = engine(values, words, (tile.top + top, tile.left + left), size, colour, overlap)
                film = TO_TYPE[dtype.name](film)
                mx.async_eval(film)
            return film

        return process, tile_side(engine, size, overlap, self._config.tile), overlap


def develop(
    photo: str | Path | images.Picture | np.ndarray | mx.array,
    *,
    grain: Grain = DevelopConfig.grain,
    colour: Colours = DevelopConfig.colour,
    stock: str | Path | FilmStock = DevelopConfig.stock,
    darkroom: Darkroom | None = None,
    film_format: str = DevelopConfig.film_format,
    enlargement: float = DevelopConfig.enlargement,
    exposure_index: float = DevelopConfig.exposure_index,
    scanner: Scanner | None = None,
    reconstructor: str | Path | Reconstructor = DevelopConfig.reconstructor,
    statistics: HalideStatistics | None = None,
    density_scale: float = DevelopConfig.density_scale,
    precision: Precision = DevelopConfig.precision,
    strength: float = DevelopConfig.strength,
    key: int | mx.array = 0,
    origin: tuple[int, int] = (0, 0),
    lut: str | Path = DevelopConfig.lut,
    space: RGBSpace | str = SRGB,
    tile: int = DevelopConfig.tile,
    progress: Callable[[int, int], None] | None = None,
) -> Any:
    """Turn a digital photograph into film: its colours, and its grain.

    Colour is a chain of what happens to light: the scene exposes the film's layers, they develop densities, the
    negative is printed (or scanned), and the print is looked at; all from the stock's data sheets (`film.Darkroom` has
    the settings). A stock fitted to scans has their palette, if it was fitted, else the photo's colours stay.

    Grain comes from one of three engines. "gaussian": a random field with the stock's spectrum, channel correlation
    and granularity, added to the film's density before it is printed; fast, and exact in those figures. "boolean": the
    grains of the stock's layers one by one (Newson et al. 2017), to the same granularity; slow. Where its grains are
    too small against the pixels to tell, it is the gaussian engine. "halide": halides with the film's statistics are
    scattered over the positive and a network, which learned from positives, rebuilds the film picture between them.

    With colour="photo" colours stay the photo's own: the mean over a few dozen pixels hardly moves but where grain is
    clipped at black and white. Works by tiles, in memory that does not grow beyond the pictures themselves; on one
    device, the result depends neither on the tile size nor on where a tile was cut.

    Args:
        photo: A picture that `images.read` returned, or a file, or pixels: uint8, uint16, or float in [0, 1] (what lies
            a little outside is clipped, above 2 refused).
        grain: The engine.
        colour: "film" for the stock's tones and colours, "photo" for grain alone.
        stock: A bundled stock's name (`film.stocks`), a stock's file, or a loaded stock; "" is `film.DEFAULT`, and for
            the halide engine's grain the reconstructor's own film.
        darkroom: How the film is exposed and printed.
        film_format: The frame that the photo fills, a name in `film.FORMATS`: it says how many micrometres of film a
            pixel is. "" is 135 for a data sheet's stock, and one scan's pixel a pixel for a stock fitted to scans.
        enlargement: Above 1 the photo is that much of a crop from the frame, so its grain is larger.
        exposure_index: Speed at which the film is exposed and developed; 0 for its own.
        scanner: How the film is turned into a picture, for data sheets' stocks.
        reconstructor: A bundled name (`checkpoint.bundled`), a trained folder, or a loaded model.
        statistics: The film whose halides are scattered; by default the stock's, else the reconstructor's own.
        density_scale: Halides against the film's own density, in (0, 9]: the more there are, the more comes from the
            scattered field and the less from the network; far below 1 grain turns into blotches.
        precision: What the halide engine's network computes in; "bfloat16" or "float16" for GPUs.
        strength: Of the grain: 0 is none, 1 is the film's, up to 4 exaggerates.
        key: Seed or random key; the same one gives the same grain.
        origin: Row and column of the photo's first pixel in the picture that it was cut from: with the same key and
            pitch (``film_format``, ``enlargement``) a crop has the picture's grain.
        lut: A 3-D table (.cube) for sRGB whose colours take the place of the film's; "" for none.
        space: Of mere pixels, and of the result then: one of `color.SPACES`, or its name. A picture's is told by its
            colour profile.
        tile: Side of the tiles in pixels; 0 chooses.
        progress: Called with (tiles done, tiles in all).

    Returns: for a picture a picture, with the EXIF and the profile to write with it; else pixels, those of a file in
    sRGB.

    Shape: (H, W, 3) -> the same, in the photo's type (float32 for floats)
    Raises: ValueError for bad arguments, `images.ImageFileError` for a bad file, before any work is done.
    """
    network = reconstructor if isinstance(reconstructor, Reconstructor) else None
    film = stock if isinstance(stock, FilmStock) else None
    config = DevelopConfig(
        grain=grain,
        colour=colour,
        stock="" if film else str(stock),
        film_format=film_format,
        enlargement=enlargement,
        exposure_index=exposure_index,
        reconstructor=DevelopConfig.reconstructor if network else str(reconstructor),
        density_scale=density_scale,
        precision=precision,
        strength=strength,
        lut=str(lut),
        tile=tile,
    )
    developer = Developer(
        config, stock=film, darkroom=darkroom, scanner=scanner, network=network, statistics=statistics
    )
    return developer(photo, key=key, origin=origin, space=space, progress=progress)
