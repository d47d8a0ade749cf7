"""How near digital photographs come to film's colours: palettes learned from some scans, judged by other scans.

    python benchmarks/scans_by_roll.py DATA rolls
    python benchmarks/palette.py rolls/* --photos DATA/digital --json palette.json
    python benchmarks/palette.py --truth --json truth.json

Sliced Wasserstein distance in L*a*b* between scans that nothing was learned from and photographs that nothing was
learned from, over four folds: the photographs as they are, with the palette of the other scans (`fit_palette`, as far
as they agree on one, and at full strength), and with two rivals in the same run: means and standard deviations of
L*a*b* (Reinhard et al. 2001) and scikit-image's histogram matching by channel, which sees the held-out photographs'
own histograms. `ratio` is the distance after over the distance before. Without --photos the bundled colours are used.

A small distance is had by making every scene look like the roll's scenes, too. So --truth asks for the opposite: half
of the photographs, drawn five times, are given a known look (or none) and taken for film, the others are photographs,
and CIEDE2000 says how far the learned look is from the known one on the latter.

    python benchmarks/palette.py --reference d2f_mlx/film/photo_colours.npz --photos DATA/digital

writes the bundled colours, from a folder of photographs and the four that scikit-image ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from d2f_mlx import images
from d2f_mlx.color import delta_e_2000
from d2f_mlx.film.palette import FEWEST, fit_palette
from d2f_mlx.film.samples import colours_of, reference, without_colour
from d2f_mlx.film.tone import lab_of, rgb_of
from d2f_mlx.film.transport import sliced_wasserstein

import mlx.core as mx
import numpy as np
from skimage import data
from skimage.exposure import match_histograms
from tqdm import tqdm

from report import add_json, publish

FOLDS = 4
DRAWS = 5
EACH = 512
REFERENCE_EACH = 256
Pictures = Sequence[np.ndarray]


def ours(film: Pictures, photos: Pictures, strength: float | None = None) -> Callable[[np.ndarray], np.ndarray]:
    palette = fit_palette(film, photos, strength=strength)
    return lambda colours: np.array(palette(mx.array(colours.astype(np.float32))))


def reinhard(film: Pictures, photos: Pictures) -> Callable[[np.ndarray], np.ndarray]:
    goal, start = (lab_of(np.concatenate(pictures)) for pictures in (film, photos))
    scale = goal.std(0) / start.std(0)
    return lambda colours: rgb_of((lab_of(colours) - start.mean(0)) * scale + goal.mean(0)).clip(0, 1)


def histograms(film: Pictures, photos: Pictures) -> Callable[[np.ndarray], np.ndarray]:
    goal = np.concatenate(film)[None]
    return lambda colours: match_histograms(colours[None], goal, channel_axis=-1)[0]


METHODS = {
    "d2f_mlx": ours,
    "full strength": partial(ours, strength=1.0),
    "Reinhard": reinhard,
    "histograms": histograms,
}


def distances(film: Pictures, photos: Pictures) -> dict[str, float]:
    """Return each method's mean distance over the folds."""
    sums = dict.fromkeys(["before", *METHODS], 0.0)
    for fold in range(FOLDS):
        train, photo_train = (
            [colours for index, colours in enumerate(pictures) if index % FOLDS != fold] for pictures in (film, photos)
        )
        goal, start = (np.concatenate(pictures[fold::FOLDS]) for pictures in (film, photos))
        sums["before"] += sliced_wasserstein(lab_of(start), lab_of(goal)) / FOLDS
        for name, method in METHODS.items():
            changed = method(train, photo_train)(start)
            sums[name] += sliced_wasserstein(lab_of(changed), lab_of(goal)) / FOLDS
    return sums


def known_look(colours: np.ndarray) -> np.ndarray:
    """Lift blacks, bend the tone, turn hues by 12 degrees, take some colour away, warm darks and cool lights."""
    light = 0.04 + 0.9 * (0.6 * colours**1.15 + 0.4 * (3 * colours**2 - 2 * colours**3))
    lightness, a, b = np.moveaxis(lab_of(light), -1, 0)
    turned = 0.85 * np.exp(1j * np.radians(12)) * (a + 1j * b) + 2 + 4j * (1 - lightness / 60)
    return rgb_of(np.stack([lightness, turned.real, turned.imag], -1)).clip(0, 1)


def errors(look: Callable[[np.ndarray], np.ndarray], photos: Pictures) -> dict[str, float]:
    """Return each method's mean CIEDE2000 to a look's truth over draws of what it was learned from."""
    sums = dict.fromkeys(["before", *METHODS], 0.0)
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(photos))
        film, rest = ([photos[i] for i in part] for part in np.array_split(order, 2))
        colours = np.concatenate(rest)
        truth = lab_of(look(colours))
        sums["before"] += float(delta_e_2000(lab_of(colours), truth).mean()) / DRAWS
        for name, method in METHODS.items():
            changed = method([look(picture) for picture in film], rest)(colours)
            sums[name] += float(delta_e_2000(lab_of(changed), truth).mean()) / DRAWS
    return sums


def write_reference(photos: Pictures, out: Path) -> None:
    """Keep 256 colours of each photograph, in 8 bits."""
    shipped = [colours_of(picture) for picture in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())]
    kept = np.stack([colours[:REFERENCE_EACH] for colours in [*photos, *shipped]])
    with images.replacing(out) as file:
        np.savez_compressed(file, colours=np.rint(255 * kept).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rolls", nargs="*", type=Path, help="folders of scans, one a roll")
    parser.add_argument("--photos", help="digital photographs (default: the bundled colours)")
    parser.add_argument("--reference", type=Path, help="write the bundled colours here instead")
    parser.add_argument("--truth", action="store_true", help="learn a known look, and none, instead")
    add_json(parser)
    arguments = parser.parse_args()
    paths = images.find([arguments.photos]) if arguments.photos else []
    photos = [colours_of(path) for path in paths] or list(reference())
    if arguments.reference:
        write_reference(photos, arguments.reference)
        return
    if arguments.truth:
        looks = {"a known look": known_look, "no look": np.copy}
        truths: list[dict[str, object]] = [{"truth": name, **errors(look, photos)} for name, look in looks.items()]
        publish(f"CIEDE2000 to the truth, {len(photos)} photographs in two halves", truths, arguments.json)
        return
    rows: list[dict[str, object]] = []
    for roll in tqdm(arguments.rolls, disable=None):
        film = [colours_of(path)[:EACH] for path in images.find([roll])]
        film = [colours for colours in film if not without_colour(lab_of(colours))]
        if len(film) < FEWEST + 1:
            print(f"no row for {roll}: {len(film)} colour scans")
            continue
        found = distances(film, [colours[:EACH] for colours in photos])
        ratios = {f"{name}, ratio": found[name] / found["before"] for name in METHODS}
        rows.append({"roll": roll.name, "scans": len(film), **found, **ratios})
    if not rows:
        parser.error("expected folders of scans, four in colour or more in each")
    publish(f"Distance in L*a*b* to held-out scans, {len(photos)} photographs", rows, arguments.json)


if __name__ == "__main__":
    main()
