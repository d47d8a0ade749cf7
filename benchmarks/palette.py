"""How near digital photographs come to film's colours: palettes learned from some scans, judged by other scans.

    python benchmarks/scans_by_roll.py DATA rolls
    python benchmarks/palette.py rolls/* --photos DATA/digital --json palette.json

Sliced Wasserstein distance in L*a*b* between scans that nothing was learned from and photographs that nothing was
learned from, over four folds: the photographs as they are, with the palette of the other scans (`fit_palette`, which
chooses its strength by holding out scans of those), and with two rivals in the same run: means and standard deviations
of L*a*b* (Reinhard et al. 2001) and scikit-image's histogram matching by channel, which sees the held-out photographs'
own histograms. `ratio` is the distance after over the distance before. Without --photos the bundled colours are used.

    python benchmarks/palette.py --reference d2f_mlx/film/photo_colours.npz --photos DATA/digital

writes those, from a folder of photographs and the four that scikit-image ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from d2f_mlx import images
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
EACH = 512
REFERENCE_EACH = 256
Pictures = Sequence[np.ndarray]


def ours(film: Pictures, photos: Pictures) -> Callable[[np.ndarray], np.ndarray]:
    palette = fit_palette(film, photos)
    return lambda colours: np.array(palette(mx.array(colours.astype(np.float32))))


def reinhard(film: Pictures, photos: Pictures) -> Callable[[np.ndarray], np.ndarray]:
    goal, start = (lab_of(np.concatenate(pictures)) for pictures in (film, photos))
    scale = goal.std(0) / start.std(0)
    return lambda colours: rgb_of((lab_of(colours) - start.mean(0)) * scale + goal.mean(0)).clip(0, 1)


def histograms(film: Pictures, photos: Pictures) -> Callable[[np.ndarray], np.ndarray]:
    goal = np.concatenate(film)[None]
    return lambda colours: match_histograms(colours[None], goal, channel_axis=-1)[0]


METHODS = {"d2f_mlx": ours, "Reinhard": reinhard, "histograms": histograms}


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
    add_json(parser)
    arguments = parser.parse_args()
    paths = images.find([arguments.photos]) if arguments.photos else []
    photos = [colours_of(path) for path in paths] or list(reference())
    if arguments.reference:
        write_reference(photos, arguments.reference)
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
