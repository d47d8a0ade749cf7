"""A film's tone and palette, learned from scans that are no pairs of any photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .look import Look, Palette, bake, greys
from .samples import checked, reference, without_colour
from .tone import film_curves, lab_of, neutral_cast, rgb_of, straight, through, tone_curve
from .transport import rotations, sliced_displacement, sliced_wasserstein
from .warp import CONTROLS, SplineFit, spline_basis

FEWEST = 3
"""Scans, and photographs, that a palette is learned from."""
SMOOTHNESS = (30.0, 0.3)
"""Of the displacements that are tried, beside none."""
_FOLDS = 5
_DOUBT = 2.0  # squared errors that a look is weakened by
_PULL = 0.1
_ANCHOR, _ANCHORS = 2.0, 64  # weight and number of the greys that stay as the curves have them
_ROUNDS, _ROTATIONS = 8, 4
_EACH, _ALL = 300, 4000  # colours of a picture, of all pictures
_NEUTRAL = 10.0  # chroma below which a colour belongs to the greys
_HUES, _NARROWNESS = 6, 6.0
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
    film: Sequence[np.ndarray],
    photos: Sequence[np.ndarray] | None = None,
    *,
    points: int = 17,
    strength: float | None = None,
    seed: int = 0,
) -> Palette:
    """Learn how a film renders tone and colour from colours of scans and of unrelated digital photographs.

    Two steps: a curve a channel (lightness matched to lightness, and the cast of neutrals as far as scans agree on
    it), then a smooth displacement of colours, found by moving the photographs' colours along sliced optimal transport
    and refitting splines to where they went, again and again. Greys stay nearly as the curves have them. What scans
    show more of than photographs do, or less (sky, grass), is weighted towards what they have in common.

    Scenes differ, and looks that are learned from a few of them are of the scenes in part. So a look is weakened by how
    much it changes when a fifth of the pictures is left out: by the factor ``1 - 2 e^2 / d^2`` for the jackknife's mean
    squared error e^2 and the look's own mean square d^2, 0 where this is negative. This cannot see what all pictures
    share: a roll of nothing but snow looks like a film that makes everything white.

    Which steps, and how smooth, is chosen by cross-validation over pictures, with "no change" among the choices: the
    least mean sliced Wasserstein distance in L*a*b* between held-out photographs, changed, and held-out scans. The
    distance after is that of the choice, so it is slightly optimistic.

    Args:
        film: Colours of each scan (`colours_of`), of one stock. Black-and-white ones among them are left out; where
            most are, only tone and tint are learned.
        photos: Colours of digital photographs, by default of the bundled ones.
        points: Of the table, along each axis.
        strength: How much of the look to keep, 0 to 1, in place of that factor.
        seed: Of all that is random.

    Shape: film and photos (N_i, 3) each
    Range: encoded sRGB, [0, 1]
    Raises: ValueError for fewer than 3 scans or photographs, or colours of another shape or range.
    Reference: Pitie, Kokaram & Dahyot 2007, doi:10.1016/j.cviu.2006.11.011; Bonneel et al. 2015, section 3,
        doi:10.1007/s10851-014-0506-3; Efron & Stein 1981, doi:10.1214/aos/1176345462 (the jackknife)
    """
    film = checked("fit_palette", "scans' colours", film, FEWEST)
    photos = checked("fit_palette", "photographs' colours", reference() if photos is None else photos, FEWEST)
    if strength is not None and not 0 <= strength <= 1:
        raise ValueError(f"fit_palette expects a strength from 0 to 1, got {strength}")
    plain = [without_colour(lab_of(colours)) for colours in film]
    grey = 2 * sum(plain) > len(film)
    kept = [colours for colours, without in zip(film, plain, strict=True) if without == grey]
    if len(kept) < FEWEST:
        raise ValueError(
            f"fit_palette expects {FEWEST} scans or more {'without' if grey else 'with'} colour, got {len(kept)}"
        )
    if grey:
        photos = [greys(colours) for colours in photos]
    folds = _folds(kept, photos, seed, grey)
    full = _looks(kept, photos, np.random.default_rng(seed), grey)
    probe = _Cloud.of(photos, np.random.default_rng(seed))
    sure = {name: _sure([fold.looks[name] for fold in folds], full[name], probe) for name in full}
    used = {name: value if strength is None else strength for name, value in sure.items()}
    distances = {name: [fold.distance(fold.looks[name].weakened(used[name])) for fold in folds] for name in full}
    means = {name: float(np.mean(values)) for name, values in distances.items()}
    chosen = min(means, key=lambda name: means[name])
    report = {
        "black and white": grey,
        "scans": len(kept),
        "scans left out": len(film) - len(kept),
        "scan colours": sum(map(len, kept)),
        "photographs": len(photos),
        "chosen": chosen,
        "strength": round(used[chosen], 3),
        "evidence": {name: round(value, 3) for name, value in sure.items()},
        "distance before": round(means[_NO_CHANGE], 3),
        "distance after": round(means[chosen], 3),
        "distances before": [round(value, 3) for value in distances[_NO_CHANGE]],
        "distances after": [round(value, 3) for value in distances[chosen]],
        "distance of each choice": {name: round(value, 3) for name, value in means.items()},
    }
    return bake(full[chosen].weakened(used[chosen]), points, report)


_NO_CHANGE = "no change"


@dataclass(frozen=True)
class _Fold:
    """What was learned without some pictures, and those."""

    looks: dict[str, Look]
    photos: _Cloud
    film: _Cloud

    def distance(self, look: Look) -> float:
        """Return the distance from held-out photographs, changed, to held-out scans, in L*a*b*."""
        changed, film = lab_of(look(self.photos.colours)), lab_of(self.film.colours)
        return sliced_wasserstein(changed, film, self.photos.weight, self.film.weight)


def _folds(film: list[np.ndarray], photos: list[np.ndarray], seed: int, grey: bool) -> list[_Fold]:
    """Fit without every k-th scan and photograph, k times."""
    count = min(_FOLDS, len(film), len(photos))
    found = []
    for fold in range(count):
        rng = np.random.default_rng([seed, fold])
        (train, test), (photo_train, photo_test) = (_split(pictures, fold, count) for pictures in (film, photos))
        found.append(_Fold(_looks(train, photo_train, rng, grey), _Cloud.of(photo_test, rng), _Cloud.of(test, rng)))
    return found


def _sure(folds: list[Look], full: Look, probe: _Cloud) -> float:
    """Return how much of a look to keep, by how it depends on which pictures it was learned from.

    Reference: Efron & Stein 1981, doi:10.1214/aos/1176345462
    """
    start = lab_of(probe.colours)
    changes = np.stack([lab_of(look(probe.colours)) - start for look in folds])
    error = (len(folds) - 1) * changes.var(0).sum(1) @ probe.weight
    size = ((lab_of(full(probe.colours)) - start) ** 2).sum(1) @ probe.weight
    return float(max(0.0, 1 - _DOUBT * error / size)) if size > 0 else 0.0


def _split(pictures: list[np.ndarray], fold: int, folds: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    held = pictures[fold::folds]
    return [colours for index, colours in enumerate(pictures) if index % folds != fold], held


def _looks(film: list[np.ndarray], photos: list[np.ndarray], rng: np.random.Generator, grey: bool) -> dict[str, Look]:
    """Fit the candidates, from no change to the most supple one."""
    start, goal = _Cloud.of(photos, rng), _Cloud.of(film, rng)
    turns = rotations(_ROUNDS * _ROTATIONS, rng).reshape(_ROUNDS, _ROTATIONS, 3, 3)
    curves = _curves(film, photos, start, goal)
    looks = {_NO_CHANGE: Look(grey=grey), "curves": Look(curves, grey=grey)}
    for smooth, fit in () if grey else _splines(start).items():
        looks[f"displacement at smoothness {smooth:g}"] = _displaced(straight(), start, goal, fit, turns)
        looks[f"curves, displacement at smoothness {smooth:g}"] = _displaced(curves, start, goal, fit, turns)
    return looks


def _curves(film: list[np.ndarray], photos: list[np.ndarray], start: _Cloud, goal: _Cloud) -> np.ndarray:
    """Fit a curve a channel. Shape: (NODES, 3)."""
    photo_lab, film_lab = lab_of(start.colours), lab_of(goal.colours)
    photo_weight, film_weight = _in_common(photo_lab, film_lab, start.weight, goal.weight)
    tone = tone_curve(photo_lab[:, 0], film_lab[:, 0], photo_weight, film_weight)
    return film_curves(tone, neutral_cast([lab_of(c) for c in film], [lab_of(c) for c in photos]))


def _splines(start: _Cloud) -> dict[float, SplineFit]:
    """Prepare splines of each smoothness for the photographs' colours, and for greys, which are to stay."""
    grey = np.repeat(np.linspace(0, 1, _ANCHORS)[:, None], 3, 1)
    basis = spline_basis(np.concatenate([start.colours, grey]))
    weight = np.concatenate([start.weight, np.full(_ANCHORS, _ANCHOR / _ANCHORS)])
    return {smooth: SplineFit.at(basis, weight, smooth, _PULL) for smooth in SMOOTHNESS}


def _displaced(curves: np.ndarray, start: _Cloud, goal: _Cloud, fit: SplineFit, turns: np.ndarray) -> Look:
    """Move photographs' colours towards the film's, as far as a smooth displacement can.

    Args:
        curves: What comes before. Shape (NODES, 3)
        start: The photographs' colours.
        goal: The film's colours.
        fit: Of splines to displacements of the photographs' colours and of greys.
        turns: Rotations for each round. Shape (rounds, K, 3, 3)
    """
    curved, film_lab = through(curves, start.colours), lab_of(goal.colours)
    controls, wanted = np.zeros((CONTROLS**3, 3)), np.zeros((len(fit.weight), 3))
    photo_weight, film_weight = _in_common(lab_of(curved), film_lab, start.weight, goal.weight)
    for axes in turns:
        now = lab_of(curved + fit.basis[: len(curved)] @ controls)
        move = sliced_displacement(now, film_lab, axes, photo_weight, film_weight)
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
