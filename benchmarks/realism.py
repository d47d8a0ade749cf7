"""Grain against real film, roll by roll: the engines beside the film itself, clean pictures and plain Gaussian noise.

    python benchmarks/realism.py rolls/cold_solitude --sheet kodak-portra-400 --film-format 6x6 --json realism.json

Every scan of a roll is cut into its left and its right half. `film, other half` says how far the two halves are from
each other; the engines were fitted to the left halves. All other rows are the right halves again, denoised (guided
filter over 21 pixels) and given grain by the engine or the noise that the row names, then compared with the right
halves as they were: the same scenes, the same brightness, only the grain is another. With --photos digital
photographs are given grain instead.

The sheet's rows know of the film what plain noise is told too: its mean variance (one factor for all channels; noise is
told each channel's) and its lag-1 correlation (the scanner's spread). Brightness, the spectrum's shape and correlation
are the data sheet's and the default scanner's. `*` marks what is within the limits of
`d2f_mlx.evaluate.INDISTINGUISHABLE`, all measured on flat blocks of 32 x 32 pixels (`d2f_mlx.grain.STRICT`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from d2f_mlx import images
from d2f_mlx.develop import DevelopConfig, Developer, Grain
from d2f_mlx.evaluate import FIGURES, INDISTINGUISHABLE, compare
from d2f_mlx.evaluate.anchors import mean_sigma, noises
from d2f_mlx.film import FORMATS, FilmStock, Scanner, pitch_of, scanned_grain
from d2f_mlx.grain import STRICT, GrainMeasurement, guided_base

import mlx.core as mx
import numpy as np

from report import add_json, publish

ENGINES: tuple[Grain, ...] = ("gaussian", "boolean", "halide")
SHOWN = [*INDISTINGUISHABLE, "residual_divergence"]
_ROUNDS = 4


def halves(paths: Iterable[Path]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Cut every scan down the middle."""
    left, right = [], []
    for path in paths:
        pixels = images.read(path).pixels
        middle = pixels.shape[1] // 2
        left.append(np.ascontiguousarray(pixels[:, :middle]))
        right.append(np.ascontiguousarray(pixels[:, middle:]))
    return left, right


def denoised(pixels: np.ndarray) -> np.ndarray:
    """Take the grain off a scan: float32 in [0, 1]."""
    return np.array(mx.clip(guided_base(mx.array(images.to_float(pixels))[None], 10), 0, 1))[0]


def grained(developer: Developer, pictures: Sequence[np.ndarray], seed: int = 0) -> Iterator[np.ndarray]:
    """Develop pictures and round them to 8 bits as scans are."""
    keys = range(1000 * seed, 1000 * seed + len(pictures))
    return (images.from_float(developer(picture, key=key)) for key, picture in zip(keys, pictures, strict=True))


def measured(pictures: Iterable[np.ndarray]) -> GrainMeasurement:
    return GrainMeasurement.of(pictures, rule=STRICT)


def calibrated(
    stock: FilmStock, film: GrainMeasurement, base: Sequence[np.ndarray], pitch_um: float, grain: Grain
) -> tuple[list[np.ndarray], float]:
    """Give pictures a sheet's grain, with the film's lag-1 correlation and mean variance; and the factor it took."""
    wanted, lag = mean_sigma(film), float(film.autocorrelation[1].mean())
    factor = used = 1.0
    neighbours, out = lag, []
    for _ in range(_ROUNDS):
        scanner = Scanner(blur=_matching_blur(stock, pitch_um, neighbours))
        scaled = replace(stock, granularity=factor * stock.granularity)
        out = []
        for index, picture in enumerate(base):
            enlargement = pitch_of(picture.shape[:2], "135") / pitch_um
            config = DevelopConfig(grain=grain, colour="photo", film_format="135", enlargement=enlargement)
            out.append(images.from_float(Developer(config, stock=scaled, scanner=scanner)(picture, key=index)))
        found = measured(out)
        used = factor
        factor *= float(np.exp(np.log(wanted / mean_sigma(found)).mean()))
        neighbours += lag - float(found.autocorrelation[1].mean())
    return out, used


def _matching_blur(stock: FilmStock, pitch_um: float, neighbours: float) -> float:
    """Find the scanner's spread that gives a stock's grain a correlation between neighbouring pixels."""
    low, high = 0.0, 2 * pitch_um
    for _ in range(20):
        middle = (low + high) / 2
        found = scanned_grain(stock, pitch_um, Scanner(blur=middle)).neighbours.mean()
        low, high = (middle, high) if found < neighbours else (low, middle)
    return low


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("roll", help="a folder of scans of one roll")
    parser.add_argument("--photos", help="digital photographs to give grain to in place of the denoised right halves")
    parser.add_argument("--sheet", help="the data sheet's stock of this film (d2f stocks)")
    parser.add_argument("--film-format", choices=FORMATS, default="135", help="of the scans (default: 135)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--networks", nargs="+", default=[DevelopConfig.reconstructor], help="for the halide engine")
    parser.add_argument("--seed", type=int, default=0, help="of the grain (default: 0)")
    add_json(parser)
    arguments = parser.parse_args()

    paths = images.find([arguments.roll])
    left, right = halves(paths)
    film = measured(right)
    if arguments.photos:
        base = [images.to_float(images.read(path).pixels) for path in images.find([arguments.photos])]
    else:
        base = [denoised(pixels) for pixels in right]
    engines: Sequence[Grain] = arguments.engines
    stock = None
    try:
        stock = FilmStock.fit(left, name=Path(arguments.roll).name, film_format=arguments.film_format)
    except ValueError as error:
        print(f"no fitted rows: {error}")

    rows: list[dict[str, object]] = []

    def add(name: str, pictures: Iterable[np.ndarray]) -> None:
        try:
            found = compare(measured(pictures), film)
        except ValueError as error:
            print(f"no row for {name}: {error}")
            return
        summary, met = found.summary(), found.met()
        cells = {FIGURES[key].title: f"{summary[key]:.4f}{'*' if met.get(key) else ' '}" for key in SHOWN}
        rows.append({"": name, **cells, "blocks": found.blocks[0], "all": "yes" if found.indistinguishable else "no"})

    add("film, other half", left)
    for grain in engines if stock else ():
        for network in arguments.networks if grain == "halide" else ("",):
            config = DevelopConfig(grain=grain, colour="photo", reconstructor=network or DevelopConfig.reconstructor)
            name = f"{grain} ({Path(network).name})" if network else grain
            add(f"{name}, fitted", grained(Developer(config, stock=stock), base, arguments.seed))
    if arguments.sheet:
        sheet = FilmStock.load(arguments.sheet)
        pitch_um = pitch_of(images.size(paths[0]), arguments.film_format)
        stochastic: list[Grain] = [grain for grain in engines if grain != "halide"]
        for grain in stochastic:
            pictures, factor = calibrated(sheet, film, base, pitch_um, grain)
            add(f"{grain}, {sheet.name} x {factor:.2f}", pictures)
    add("without grain", (images.from_float(picture) for picture in base))
    for name, noise in noises(film, STRICT.size).items():
        add(name, noise(picture * 255 for picture in base))
    publish(f"{arguments.roll}: {film.blocks} flat blocks of film, {film.pictures} scans", rows, arguments.json)


if __name__ == "__main__":
    main()
