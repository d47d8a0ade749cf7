"""Can a judge tell developed pictures from real film? Engine by engine, on scans that it never learned from.

    python benchmarks/judged.py rolls/steel_city rolls/lomo_metropolis --photos photos --json judged.json

Roll by roll, as in realism.py, every scan is cut into its left and its right half, and a stock is fitted to the left
halves. Real film is the right halves. Against them stand

- of the same scenes: the right halves denoised (guided filter over 21 pixels) and given the grain that the row names.
  Denoising took some of the scene's own detail away too, which a judge may see: no row is free of that;
- with --photos, photographs, or the middle of large ones, in their own colours, given that grain. Their scenes, lenses
  and sharpness are others, which a judge may see as well.

`AUC` is how often a patch of real film scores above a developed one as film, with its 95 % interval by bootstrap over
pictures (in pairs where scenes are the same). 1: the judge can always tell. 0.5: it cannot, the goal, starred where the
interval holds it. Below 0.5 developed pictures are more film-like to it than film: as far from the goal as above. It is
not folded into max(AUC, 1 - AUC): even of grain that nobody could tell, that would be above 0.5 by chance.

A judge that looks at scenes more than at grain has AUCs near 0.5 whatever the grain is: what `nothing` gets, no grain
at all, says what the others are worth. `same patch` does not depend on scenes: how often a patch scores above the very
same patch developed; 0.5 is the goal again. `film, other half` is what real film gets, of other scenes; `film-like` is
the share of a row's patches that are called film. With few pictures, intervals are too narrow; and what one judge
cannot tell, another may.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from d2f_mlx import checkpoint, images
from d2f_mlx.data import grid_crops
from d2f_mlx.develop import DevelopConfig, Developer, Grain
from d2f_mlx.evaluate.anchors import noises
from d2f_mlx.evaluate.judgement import PATCH, film_logits
from d2f_mlx.film import FilmStock
from d2f_mlx.grain import STRICT
from d2f_mlx.scores import accuracy_interval, auc, auc_interval

import numpy as np
from tqdm import tqdm

from realism import denoised, grained, halves, measured
from report import add_json, publish

Grained = Callable[[Sequence[np.ndarray]], Iterable[np.ndarray]]
SCENES, PHOTOS = "same scenes", "photographs"
STOCHASTIC: tuple[Grain, ...] = ("boolean", "gaussian")


def grains(left: list[np.ndarray], networks: Sequence[str], engines: Sequence[Grain], name: str) -> dict[str, Grained]:
    """Return what gives pictures grain, by name: all that can be fitted to one side of a roll."""
    found: dict[str, Grained] = {"nothing": lambda base: map(images.from_float, base)}
    try:
        stock = FilmStock.fit(left, name=name)
        for network in networks:
            config = DevelopConfig(network, grain="halide", colour="photo")
            found[f"halide, {network}"] = partial(grained, Developer(config, stock=stock))
        for grain in engines:
            config = DevelopConfig(grain=grain, colour="photo")
            found[grain] = partial(grained, Developer(config, stock=stock))
    except ValueError as error:
        print(f"{name}: no engine can be fitted: {error}")
    try:
        for noise, add in noises(measured(left), STRICT.size).items():
            found[noise] = lambda base, add=add: add(picture * 255 for picture in base)
    except ValueError as error:
        print(f"{name}: no noise can be fitted: {error}")
    return found


def middle(path: Path, side: int) -> np.ndarray:
    """Read the middle of a picture."""
    pixels = images.read(path).pixels
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def row(roll: str, ground: str, grain: str, film: list[np.ndarray], found: list[np.ndarray]) -> dict[str, object]:
    """Sum up how a judge's logits, picture by picture, part real film from what was found."""
    low, high = auc_interval(film, found, np.random.default_rng(0), paired=ground != PHOTOS)
    same = ""
    if ground == SCENES:
        above = [one > other for one, other in zip(film, found, strict=True)]
        ends = accuracy_interval([above], np.random.default_rng(0))
        same = f"{np.concatenate(above).mean():.3f} ({ends[0]:.3f}-{ends[1]:.3f})"
    return {
        "roll": roll,
        "ground": ground,
        "grain": grain,
        "AUC": auc(np.concatenate(film), np.concatenate(found)),
        "95 %": f"{low:.3f}-{high:.3f}",
        "0.5 in it": "*" if low <= 0.5 <= high else "",
        "same patch": same,
        "film-like": float((np.concatenate(found) > 0).mean()),
        "pictures": len(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rolls", nargs="+", help="folders of scans, a roll each, that the judge did not learn from")
    parser.add_argument("--photos", nargs="+", help="digital photographs to give grain to")
    parser.add_argument("--judge", default="judge", help="a bundled name or a folder (default: judge)")
    parser.add_argument("--networks", nargs="*", default=list(checkpoint.bundled()), help="of the halide engine")
    parser.add_argument("--engines", nargs="*", choices=STOCHASTIC, default=STOCHASTIC, help="beside it")
    parser.add_argument("--patch", type=int, default=PATCH, help=f"side of a patch in pixels (default: {PATCH})")
    parser.add_argument("--patches", type=int, default=9, help="from each picture (default: 9)")
    parser.add_argument("--side", type=int, default=1024, help="of what is taken of a photograph (default: 1024)")
    add_json(parser)
    arguments = parser.parse_args()
    network = checkpoint.judge(arguments.judge)

    photos = [images.to_float(middle(path, arguments.side)) for path in images.find(arguments.photos or [])]
    rows: list[dict[str, object]] = []

    def scores(pictures: Iterable[np.ndarray]) -> list[np.ndarray]:
        return [film_logits(grid_crops(pixels, arguments.patch, arguments.patches), network) for pixels in pictures]

    for roll in arguments.rolls:
        name = Path(roll).name
        left, right = halves(images.find([roll]))
        film = scores(right)
        rows.append(row(name, "film", "other half", film, scores(left)))
        every = grains(left, arguments.networks, arguments.engines, name)
        grounds = {SCENES: [denoised(pixels) for pixels in right], PHOTOS: photos}
        for ground, base in grounds.items():
            for grain, give in tqdm(every.items() if base else (), desc=f"{name}, {ground}", disable=None):
                rows.append(row(name, ground, grain, film, scores(give(base))))
    title = f"Real film or developed? To {arguments.judge}, {arguments.patches} patches a picture"
    publish(title, rows, arguments.json, patch=arguments.patch)


if __name__ == "__main__":
    main()
