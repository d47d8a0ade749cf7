"""A film's tone and palette, learned from scans that are no pairs of any photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .look import Look, Palette, bake, greys
from .samples import checked, reference, without_colour
from .tone import film_curves, lab_of, neutral_cast, rgb_of, straight, through, tone_curve
from .transport import rotations, sliced_displacement, sliced_wasserstein
from .warp import CONTROLS, SplineFit

FEWEST_SCANS = 3
STRENGTHS = (0.0, 0.5, 1.0)
"""Of the curves that are tried."""
SMOOTHNESS = (30.0, 3.0, 0.3)
"""Of the displacements that are tried, beside none."""
_FOLDS = 5
_PULL = 0.1
_ANCHOR, _ANCHORS = 2.0, 64  # weight and number of the greys that stay as the curves have them
_ROUNDS, _ROTATIONS = 8, 4
_EACH, _ALL = 300, 4000  # colours of a picture, of all pictures
_NEUTRAL = 10.0  # chroma below which a colour belongs to the greys
_HUES, _NARROWNESS = 6, 2.0
_PRIOR, _MOST = 0.02, 3.0  # share of a region that counts anyway; factor that colours are weighted by at most


@dataclass(frozen=True)
class _Cloud:
    """Colours of several pictures, each picture of the same total weight. Shape: (N, 3), (N,)."""

    colours: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, pictures: Sequence[np.ndarray], rng: np.random.Generator) -> _Cloud:
        """Draw colours at random."""
        count = min(_EACH, max(1, _ALL // len(pictures)))
        drawn = [colours[rng.permutation(len(colours))[:count]] for colours in pictures]
        weight = [np.full(len(colours), 1 / len(colours) / len(pictures)) for colours in drawn]
        return cls(np.concatenate(drawn), np.concatenate(weight))


def fit_palette(
    film: Sequence[np.ndarray], photos: Sequence[np.ndarray] | None = None, *, points: int = 17, seed: int = 0
) -> Palette:
    """Learn how a film renders tone and colour from colours of scans and of unrelated digital photographs.

    Two steps: a curve a channel (lightness matched to lightness, and the cast of neutrals as far as scans agree on
    it), then a smooth displacement of colours, found by moving the photographs' colours along sliced optimal transport
    and refitting splines to where they went, again and again. Greys stay as the curves have them. What scans show more
    of than photographs do, or less (sky, grass), is weighted towards what they have in common; assumes that what
    remains is the film and not the scenes.

    How strong and how smooth is chosen by cross-validation over pictures, with "no change" among the choices: the
    least mean sliced Wasserstein distance in L*a*b* between held-out photographs, changed, and held-out scans. The
    distance after is that of the choice, so it is slightly optimistic.

    Args:
        film: Colours of each scan (`colours_of`), of one stock. Black-and-white ones among them are left out; where
            most are, only tone and tint are learned.
        photos: Colours of digital photographs, by default of the bundled ones.
        points: Of the table, along each axis.
        seed: Of all that is random.

    Shape: film and photos (N_i, 3) each
    Range: encoded sRGB, [0, 1]
    Raises: ValueError for fewer than 3 scans, or colours of another shape or range.
    Reference: Pitie, Kokaram & Dahyot 2007, doi:10.1016/j.cviu.2006.11.011; Bonneel et al. 2015, section 3,
        doi:10.1007/s10851-014-0506-3
    """
    film = checked("fit_palette", "scans' colours", film, FEWEST_SCANS)
    photos = checked("fit_palette", "photographs' colours", reference() if photos is None else photos, 1)
    plain = [without_colour(lab_of(colours)) for colours in film]
    grey = 2 * sum(plain) > len(film)
    kept = [colours for colours, without in zip(film, plain, strict=True) if without == grey]
    if len(kept) < FEWEST_SCANS:
        raise ValueError(
            f"fit_palette expects {FEWEST_SCANS} scans or more {'without' if grey else 'with'} colour, got {len(kept)}"
        )
    if grey:
        photos = [greys(colours) for colours in photos]
    distances = _cross_validated(kept, photos, seed, grey)
    means = {name: float(np.mean(folds)) for name, folds in distances.items()}
    chosen = min(means, key=lambda name: means[name])
    look = dict(_looks(kept, photos, np.random.default_rng(seed), grey, only=chosen))[chosen]
    report = {
        "black and white": grey,
        "scans": len(kept),
        "scans left out": len(film) - len(kept),
        "scan colours": sum(map(len, kept)),
        "photographs": len(photos),
        "chosen": chosen,
        "distance before": round(means[_NO_CHANGE], 3),
        "distance after": round(means[chosen], 3),
        "distances before": [round(value, 3) for value in distances[_NO_CHANGE]],
        "distances after": [round(value, 3) for value in distances[chosen]],
        "distance of each choice": {name: round(value, 3) for name, value in means.items()},
    }
    return bake(look, points, report)


_NO_CHANGE = "no change"


def _cross_validated(film: list[np.ndarray], photos: list[np.ndarray], seed: int, grey: bool) -> dict[str, list[float]]:
    """Return each candidate's distances to held-out scans; photographs are held out too where there are enough."""
    folds = min(_FOLDS, len(film))
    distances: dict[str, list[float]] = {}
    for fold in range(folds):
        rng = np.random.default_rng([seed, fold])
        train, test = _split(film, fold, folds)
        photo_train, photo_test = _split(photos, fold, folds) if len(photos) >= 2 * folds else (photos, photos)
        goal, start = _Cloud.of(test, rng), _Cloud.of(photo_test, rng)
        goal_lab = lab_of(goal.colours)
        for name, look in _looks(train, photo_train, rng, grey):
            changed = lab_of(look(start.colours))
            distance = sliced_wasserstein(changed, goal_lab, start.weight, goal.weight)
            distances.setdefault(name, []).append(distance)
    return distances


def _split(pictures: list[np.ndarray], fold: int, folds: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    held = pictures[fold::folds]
    return [colours for index, colours in enumerate(pictures) if index % folds != fold], held


def _looks(
    film: list[np.ndarray], photos: list[np.ndarray], rng: np.random.Generator, grey: bool, only: str = ""
) -> Iterator[tuple[str, Look]]:
    """Fit the candidates one after the other, from no change to the most supple one, or only the one that is named."""
    start, goal = _Cloud.of(photos, rng), _Cloud.of(film, rng)
    full = _curves(film, photos, start, goal)
    shared = rotations(_ROUNDS * _ROTATIONS, rng).reshape(_ROUNDS, _ROTATIONS, 3, 3)
    splines = {} if grey else {smooth: _splines(start, smooth) for smooth in SMOOTHNESS}
    fits: dict[str, Callable[[], Look]] = {}
    for strength in STRENGTHS:
        curves = straight() + strength * (full - straight())
        name = f"curves at {strength:g}" if strength else _NO_CHANGE
        fits[name] = partial(Look, curves, grey=grey)
        for smooth, fit in splines.items():
            suppler = f"curves at {strength:g}, displacement at smoothness {smooth:g}"
            fits[suppler] = partial(_displaced, curves, start, goal, fit, shared)
    for name, look in fits.items():
        if only in ("", name):
            yield name, look()


def _curves(film: list[np.ndarray], photos: list[np.ndarray], start: _Cloud, goal: _Cloud) -> np.ndarray:
    """Fit a curve a channel. Shape: (NODES, 3)."""
    photo_lab, film_lab = lab_of(start.colours), lab_of(goal.colours)
    photo_weight, film_weight = _in_common(photo_lab, film_lab, start.weight, goal.weight)
    tone = tone_curve(photo_lab[:, 0], film_lab[:, 0], photo_weight, film_weight)
    return film_curves(tone, neutral_cast([lab_of(c) for c in film], [lab_of(c) for c in photos]))


def _splines(start: _Cloud, smooth: float) -> SplineFit:
    """Prepare splines for the photographs' colours, and for greys, which are to stay."""
    grey = np.repeat(np.linspace(0, 1, _ANCHORS)[:, None], 3, 1)
    weight = np.concatenate([start.weight, np.full(_ANCHORS, _ANCHOR / _ANCHORS)])
    return SplineFit.at(np.concatenate([start.colours, grey]), weight, smooth, _PULL)


def _displaced(curves: np.ndarray, start: _Cloud, goal: _Cloud, fit: SplineFit, turns: np.ndarray) -> Look:
    """Move photographs' colours towards the film's, as far as a smooth displacement can.

    Colours near grey are moved in lightness alone.

    Args:
        curves: What comes before. Shape (NODES, 3)
        start: The photographs' colours.
        goal: The film's colours.
        fit: Of splines to displacements of the photographs' colours and of greys.
        turns: Rotations for each round. Shape (rounds, K, 3, 3)
    """
    curved, film_lab = through(curves, start.colours), lab_of(goal.colours)
    chroma = np.hypot(*lab_of(start.colours)[:, 1:].T)
    coloured = 1 - np.exp(-((chroma / _NEUTRAL) ** 2) / 2)
    controls, wanted = np.zeros((CONTROLS**3, 3)), np.zeros((len(fit.weight), 3))
    photo_weight, film_weight = start.weight, goal.weight
    for index, axes in enumerate(turns):
        now = lab_of(curved + fit.basis[: len(curved)] @ controls)
        if index % 4 == 0:
            photo_weight, film_weight = _in_common(now, film_lab, start.weight, goal.weight)
        move = sliced_displacement(now, film_lab, axes, photo_weight, film_weight)
        move[:, 1:] *= coloured[:, None]
        wanted[: len(curved)] = rgb_of(now + move).clip(0, 1) - curved
        controls = fit(wanted)
    return Look(curves, controls)


def _in_common(
    first: np.ndarray, second: np.ndarray, first_weight: np.ndarray, second_weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight two clouds so that they have greys and hues in like parts: each part's geometric mean.

    Shape: L*a*b* (N, 3), (M, 3), weights (N,), (M,) -> (N,), (M,)
    """
    one, two = _regions(first), _regions(second)
    ratio = (second_weight @ two / second_weight.sum() + _PRIOR) / (first_weight @ one / first_weight.sum() + _PRIOR)
    factor = np.sqrt(ratio).clip(1 / _MOST, _MOST)
    return first_weight * (one @ factor), second_weight * (two @ (1 / factor))


def _regions(lab: np.ndarray) -> np.ndarray:
    """Say how far colours belong to the greys and to each of six hues. Shape: (N, 3) -> (N, 7); rows sum to 1."""
    grey = np.exp(-((np.hypot(lab[:, 1], lab[:, 2]) / _NEUTRAL) ** 2) / 2)
    hue = np.arctan2(lab[:, 2], lab[:, 1])
    near = np.exp(_NARROWNESS * np.cos(hue[:, None] - 2 * np.pi * np.arange(_HUES) / _HUES))
    near *= ((1 - grey) / near.sum(1))[:, None]
    return np.concatenate([grey[:, None], near], 1)
