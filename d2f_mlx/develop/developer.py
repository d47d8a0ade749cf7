"""A digital photograph becomes a film picture: halides are scattered over it, and a network rebuilds the film."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from . import checkpoint, images
from .grain import Halides, HalideStatistics, scatter
from .grain.filters import averaged
from .models import Reconstructor

_LARGEST_TILE = 2048  # MLX has been wrong, silently, beyond 2^31 elements
_BRIGHTEST = 2.0  # floats a little above white are clipped, floats in [0, 255] refused
_DRIFT = 16  # radius, in pixels, of the window over which developing leaves the mean where it was
_TILES = {"unet": 512, "dianet": 192}  # sides that keep a tile's activations well below a gigabyte
_LARGEST = {"unet": _LARGEST_TILE, "dianet": 1024}  # DIANet's deepest tensor has 1536 values a pixel


@dataclass(frozen=True)
class DevelopConfig:
    """How a photograph is developed.

    Args:
        reconstructor: A bundled network's name, or the folder of a trained one.
        density_scale: Halides against the film's own density, above 0 and up to 9.
        strength: How far to go from the photo (0) to the film (1); up to 4 exaggerates.
        tile: Side of the tiles in pixels; the result does not depend on it; 0 chooses what suits the network.
    """

    reconstructor: str = "unet"
    density_scale: float = 1.0
    strength: float = 1.0
    tile: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.density_scale <= 9:
            raise ValueError(f"develop expects density_scale in (0, 9], got {self.density_scale}")
        if not 0 <= self.strength <= 4:
            raise ValueError(f"develop expects strength in [0, 4], got {self.strength}")
        if not 0 <= self.tile <= _LARGEST_TILE:
            raise ValueError(f"develop expects a tile from 0 to {_LARGEST_TILE} pixels, got {self.tile}")


class Developer:
    """A reconstructor ready to develop pictures: load once, develop many.

    Args:
        config: How; it names the reconstructor.
        network: A loaded model in place of the named one.
        statistics: The film whose halides are scattered; by default the named reconstructor's own, and with a loaded
            model the bundled film's.

    Raises: ValueError for anything that cannot be loaded.
    """

    def __init__(
        self,
        config: DevelopConfig | None = None,
        *,
        network: Reconstructor | None = None,
        statistics: HalideStatistics | None = None,
    ) -> None:
        self._config = config or DevelopConfig()
        self._network = network or checkpoint.from_pretrained(self._config.reconstructor)
        if statistics is None:
            statistics = checkpoint.statistics_of(self._config.reconstructor if network is None else None)
        self._statistics = statistics
        self._rebuild = mx.compile(self._rebuilt, inputs=self._network.state)

    def __call__(
        self,
        photo: str | Path | np.ndarray | mx.array,
        *,
        key: int | mx.array = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Develop one picture; see `develop`."""
        pixels = images.read(photo).pixels if isinstance(photo, str | Path) else _checked(photo)
        floating = pixels.dtype == np.float32
        words = key if isinstance(key, mx.array) else mx.random.key(operator.index(key) % 2**64)
        if words.shape != (2,):
            raise ValueError(f"develop expects a seed or a random key of two words, got shape {words.shape}")
        strength = mx.array(self._config.strength, mx.float32)

        def process(tile_pixels: np.ndarray, tile: images.Tile) -> np.ndarray:
            picture = mx.array(tile_pixels if floating else images.to_float(tile_pixels))
            halides = self._scattered(picture, words, (tile.top, tile.left))
            film = np.array(self._rebuild(picture, halides.mask, halides.image, strength))
            return film if floating else images.from_float(film, pixels.dtype)

        align = self._network.network.multiple
        overlap = self._network.overlap + -(-_DRIFT // align) * align
        kind = self._network.config.network
        side = min(self._config.tile or _TILES[kind], _LARGEST[kind], max(pixels.shape[:2]))
        return images.map_tiles(process, pixels, size=-(-side // align) * align, overlap=overlap, progress=progress)

    def _scattered(self, picture: mx.array, key: mx.array, origin: tuple[int, int]) -> Halides:
        """Scatter halides over one tile."""
        return scatter(
            picture,
            self._statistics,
            kind=self._network.config.halides,
            density_scale=self._config.density_scale,
            key=key,
            origin=origin,
        )

    def _rebuilt(self, photo: mx.array, mask: mx.array, image: mx.array, strength: mx.array) -> mx.array:
        """Rebuild one tile: halides as differences from the photo (residual) or as they are (absolute)."""
        base = (2 * photo - 1)[None]
        halides, mask = (2 * image - 1)[None], mask[None]
        if self._network.config.way == "residual":
            residual = self._network(mx.where(mask, halides - base, 0), mask, base)
        else:
            residual = self._network(mx.where(mask, halides, 0), mask) - base
        grain = residual - averaged(residual, np.ones(2 * _DRIFT + 1))  # the photo's tones stay its own
        return mx.clip(photo + strength * grain[0] / 2, 0, 1)


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
    reconstructor: str | Path | Reconstructor = "unet",
    statistics: HalideStatistics | None = None,
    density_scale: float = 1.0,
    strength: float = 1.0,
    key: int | mx.array = 0,
    tile: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Give a digital photograph the grain of film.

    Halides with the film's statistics are scattered over the photo and a network rebuilds the film picture between
    them. Colour stays the photo's own: the mean over 33 pixels hardly moves but where grain is clipped at
    black and white.
    Works by tiles, in memory that does not grow beyond the pictures themselves; on one device, the result depends
    neither on the tile size nor on where a tile was cut. Grain has colour film's colours on a grey photo too.

    Args:
        photo: A picture file, or pixels: uint8, uint16, or float in [0, 1].
        reconstructor: A bundled name (`checkpoint.bundled`), a trained folder, or a loaded model.
        statistics: The film whose halides are scattered; by default the reconstructor's own.
        density_scale: Halides against the film's own density, in (0, 9]: the more there are, the more comes from the
            scattered field and the less from the network; far below 1 grain turns into blotches.
        strength: How far to go from the photo (0) to the film (1); up to 4 exaggerates.
        key: Seed or random key; the same one gives the same grain.
        tile: Side of the tiles in pixels; 0 chooses.
        progress: Called with (tiles done, tiles in all).

    Shape: (H, W, 3) -> the same, in the photo's type (float32 for floats)
    Raises: ValueError for bad arguments, `images.ImageFileError` for a bad file, before any work is done.
    """
    loaded = reconstructor if isinstance(reconstructor, Reconstructor) else None
    name = DevelopConfig.reconstructor if loaded else str(reconstructor)
    config = DevelopConfig(name, density_scale, strength, tile)
    return Developer(config, network=loaded, statistics=statistics)(photo, key=key, progress=progress)
