"""What a network sees between film and digital pictures, layer by layer, beside what it sees between film and film."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np

from ..data import grid_crops
from ..film.samples import srgb_pixels
from ..losses import gram
from ..losses.perceptual import Trunk
from .anchors import Picture, halves

CONTENT = ("conv4_2", "conv5_2")
STYLE = ("relu1_1", "relu2_1", "relu3_1")
"""Layers that tell what there is in a picture, and early ones that tell of its colours and textures."""

Sums = tuple[dict[str, np.ndarray], int]


@dataclass(frozen=True)
class Likeness:
    """How alike two sides' features are in one layer.

    Args:
        cosine: Of the angle between the two mean features, over all pixels; 1 for equal ones.
        gram: Gatys' distance of the two mean Gram matrices, sum (G - A)^2 / (4 C^2); 0 for equal ones.
        relative: The same difference over the film's own matrix, |G - A| / |A|, which can be compared between layers.
    """

    cosine: float
    gram: float
    relative: float


@dataclass(frozen=True)
class FeatureComparison:
    """Film against digital pictures in the layers of a network, and film against film.

    Args:
        digital: By layer, digital pictures against the film.
        floor: By layer, one half of the film against the other.
        pictures: How many there were of film, and digital ones.
        crops: Of each picture.
        crop: Their side in pixels.
    """

    digital: Mapping[str, Likeness]
    floor: Mapping[str, Likeness]
    pictures: tuple[int, int]
    crops: int
    crop: int

    def table(self) -> str:
        """Lay out a line a layer: film against digital, film against film, and the ratio of the two distances."""
        film, digital = self.pictures
        heads = ["cosine", "floor", "Gram", "floor", "relative", "floor", "ratio"]
        lines = [f"{'layer':<9}" + "".join(f"{head:>11}" for head in heads)]
        for name, found in self.digital.items():
            floor = self.floor[name]
            cells = [f"{found.cosine:.4f}", f"{floor.cosine:.4f}", f"{found.gram:.3g}", f"{floor.gram:.3g}"]
            ratio = f"{found.relative / floor.relative:.2f}" if floor.relative else "-"
            cells += [f"{found.relative:.4f}", f"{floor.relative:.4f}", ratio]
            lines.append(f"{name:<9}" + "".join(f"{cell:>11}" for cell in cells))
        lines += [
            "",
            f"{film} film and {digital} digital picture(s), up to {self.crops} crops of {self.crop}x{self.crop} each.",
            "floor: one half of the film against the other; it has fewer pictures, so it is no strict bound.",
            "ratio: of the relative distances; above 1, digital pictures differ from the film more than its halves do.",
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return everything as JSON can hold it."""
        layers = {name: {"digital": vars(self.digital[name]), "floor": vars(self.floor[name])} for name in self.digital}
        film, digital = self.pictures
        counts = {"film": film, "digital": digital, "crops": self.crops, "crop": self.crop}
        return {**counts, "layers": layers}


def compare_features(
    film: Sequence[Picture],
    digital: Sequence[Picture],
    network: Trunk,
    layers: Sequence[str] = (*STYLE, *CONTENT),
    *,
    rolls: Sequence[object] | None = None,
    crop: int = 256,
    crops: int = 4,
    progress: Callable[[Picture], None] | None = None,
) -> FeatureComparison:
    """Compare film with digital pictures by the features a network finds in them, and film with film.

    For each side, features (cosine) and their Gram matrices (distance) are averaged over the pixels of evenly spaced
    crops of all its pictures, one crop at a time, which bounds the memory. Pictures are not resized: grain lives at
    the pixel. Scenes count too, above all in content layers: compare many pictures of like subjects, or the same
    scenes, whose distances are what film did to them and lie below the floor, which has different ones.

    Args:
        film: Scans; a single one is cut into its left and its right half for the floor.
        digital: Photographs, or developed ones.
        network: `models.VGG`, or another of its kind.
        layers: Of the network.
        rolls: The roll of each scan, if they are from several; the floor is then between rolls.
        crop: Side of a crop in pixels.
        crops: The most crops of a picture; fewer where they have no room beside each other.
        progress: Told of each picture before it is looked at.

    Raises: ValueError for no pictures on a side, or one that is smaller than a crop.
    Reference: d2f notes, measurements; Gram matrices after Gatys et al. 2015, arXiv:1508.06576
    """
    film, digital, layers = list(film), list(digital), tuple(layers)
    for name, given in (("film", film), ("digital pictures", digital)):
        if not given:
            raise ValueError(f"compare_features expects {name}, got none")
    if rolls is not None and len(rolls) != len(film):
        raise ValueError(f"compare_features expects a roll for each of {len(film)} scans, got {len(rolls)}")

    def side(pictures: Sequence[Picture]) -> Sums:
        sums, count = {name: np.zeros(()) for name in layers}, 0
        for picture in pictures:
            if progress:
                progress(picture)
            for pixels in _crops(picture, crop, crops):
                found = network(mx.array(pixels[None]).astype(mx.float32) / 255, layers)
                seen = {name: _seen(found[name]) for name in layers}
                mx.eval(seen)
                sums = {name: total + np.array(seen[name], np.float64) for name, total in sums.items()}
                count += 1
        return sums, count

    film = [srgb_pixels(film[0])] if len(film) == 1 else film  # its halves are pixels without a profile
    one, two = map(side, halves(film, rolls))
    both = {name: one[0][name] + two[0][name] for name in layers}, one[1] + two[1]
    other = side(digital)
    return FeatureComparison(
        _likenesses(other, both), _likenesses(one, two), (len(film), len(digital)), crops=crops, crop=crop
    )


def _crops(picture: Picture, crop: int, crops: int) -> np.ndarray:
    """Cut crops from a picture in sRGB, no more than have room beside each other."""
    pixels = srgb_pixels(picture)
    room = (pixels.shape[0] // crop) * (pixels.shape[1] // crop)
    try:
        return grid_crops(pixels, crop, max(min(crops, room), 1))
    except ValueError as error:
        name = "a picture" if isinstance(picture, np.ndarray) else Path(picture).name
        raise ValueError(f"{name}: {error}") from None


def _seen(features: mx.array) -> mx.array:
    """Return the mean features of a picture, and below them their Gram matrix: (1, H, W, C) -> (1 + C, C)."""
    return mx.concatenate([features.mean((0, 1, 2))[None], gram(features)[0]])


def _likenesses(found: Sums, film: Sums) -> dict[str, Likeness]:
    (sums, count), (film_sums, film_count) = found, film
    return {name: _likeness(sums[name] / count, film_sums[name] / film_count) for name in sums}


def _likeness(found: np.ndarray, film: np.ndarray) -> Likeness:
    (mean, *matrix), (film_mean, *film_matrix) = found, film
    cosine = mean @ film_mean / (np.linalg.norm(mean) * np.linalg.norm(film_mean))
    gap = np.subtract(matrix, film_matrix)
    relative = np.linalg.norm(gap) / np.linalg.norm(film_matrix)
    return Likeness(float(cosine), float(np.square(gap).mean() / 4), float(relative))
