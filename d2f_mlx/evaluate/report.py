"""The realism report: developed pictures against real film, beside anchors measured in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..grain import STRICT, FlatBlocks, GrainMeasurement
from .anchors import Picture, halves, noises, pixels_of, plain_patches
from .distance import FEWEST_BLOCKS, FEWEST_IN_BAND, FIGURES, INDISTINGUISHABLE, Realism, compare

DEVELOPED, FLOOR, CEILING = "developed", "film (floor)", "undeveloped"
"""Names of rows of a report."""
_FORM = {"sigma_error": ".2f", "sigma_bias": "+.2f", "spectrum_error": ".2f", "kurtosis_gap": ".2f"}
_DIVERGENCES = ("nss_divergence", "residual_divergence", "peaks_gap", "valleys_gap", "extrema_gap")


@dataclass(frozen=True, eq=False)
class Report:
    """Realism of developed pictures and of anchors, against one film.

    Args:
        rows: By name: "developed"; "film (floor)", one side of the film against the other; "undeveloped", the
            photographs as they were; plain noise of the film's variance.
        measurements: What each row's pictures measure; that of the floor is the first side's.
        film: What the film measures, all of it.
        rule: What counted as flat, on every side.
        notes: What to bear in mind, a line each.
    """

    rows: dict[str, Realism]
    measurements: dict[str, GrainMeasurement]
    film: GrainMeasurement
    rule: FlatBlocks
    notes: tuple[str, ...]

    @property
    def indistinguishable(self) -> bool:
        """Whether the developed pictures keep to every limit at once, on enough blocks."""
        return self.rows[DEVELOPED].indistinguishable

    def table(self) -> str:
        """Lay out a line a row and a column a figure, those within their limit marked with a star; then notes."""
        header = ["", *(figure.title for figure in FIGURES.values()), "bands", "blocks"]
        units = ["", *(figure.unit for figure in FIGURES.values()), "", "found/film"]
        limits = ["limit", *(_cell(n, INDISTINGUISHABLE.get(n), False).replace("+", "") for n in FIGURES)]
        limits += ["", str(FEWEST_BLOCKS)]
        body = [self._line(name, row) for name, row in self.rows.items()]
        cells = [header, units, *body, limits]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
        within = sum(self.rows[DEVELOPED].met().values())
        verdict = "indistinguishable from the film" if self.indistinguishable else "not indistinguishable"
        rest = [f"* within the limit. {DEVELOPED}: {within} of {len(INDISTINGUISHABLE)} limits kept; {verdict}."]
        return "\n".join([*lines, "", *rest, *self.notes])

    def _line(self, name: str, row: Realism) -> list[str]:
        summary, met = row.summary(), row.met()
        values = [_cell(key, summary[key], met.get(key, False)) for key in FIGURES]
        return [name, *values, "/".join(map(str, row.bands)), "/".join(map(str, row.blocks))]

    def as_dict(self) -> dict[str, object]:
        """Return everything, with units, summaries and limits, as JSON can hold it."""
        return {
            "figures": {name: figure._asdict() for name, figure in FIGURES.items()},
            "rule": {name: getattr(self.rule, name) for name in self.rule.__dataclass_fields__},
            "indistinguishable": self.indistinguishable,
            "notes": list(self.notes),
            "rows": {name: row.as_dict() for name, row in self.rows.items()},
            "film": self.film.as_dict(),
            "measurements": {name: found.as_dict() for name, found in self.measurements.items()},
        }


def realism(
    developed: Iterable[Picture],
    film: Iterable[Picture],
    photos: Iterable[Picture] | None = None,
    *,
    rolls: Sequence[object] | None = None,
    rule: FlatBlocks = STRICT,
    pitch_um: float = 0.0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Compare developed pictures with a film, and beside them what is known to be good and bad.

    The floor is film against film: rolls in turn if there are several, else pictures in turn, on two sides. The ceiling
    is the photographs before development. Noise is Gaussian, of the film's mean variance in each channel: white and
    independent by channel, white and equal in all, and both low-passed to the film's lag-1 autocorrelation; it is added
    to the photographs, or to plain fields that are as bright as the film's flat blocks if there are none.

    Pictures are decoded one at a time if they are files. All must have one pixel pitch on the film to be comparable.

    Args:
        developed: Integers (H, W, C), or files.
        film: Scans of real film, likewise.
        photos: What was developed, as it was before.
        rolls: The roll of each scan, if they are from several.
        rule: What counts as flat.
        pitch_um: Micrometres a pixel of all pictures; only for the plots.
        progress: Told the name of each row before it is measured.

    Raises: ValueError that names the side that has too few flat blocks, or no picture.
    """
    developed, film = list(developed), list(film)
    photos = None if photos is None else list(photos)
    for name, side in (("developed pictures", developed), ("film scans", film), ("photos", photos)):
        if side is not None and not side:
            raise ValueError(f"realism expects {name}, got none")
    if rolls is not None and len(rolls) != len(film):
        raise ValueError(f"realism expects a roll for each of {len(film)} scans, got {len(rolls)}")

    def measure(name: str, pictures: Iterable[Picture]) -> GrainMeasurement:
        if progress:
            progress(name)
        try:
            return GrainMeasurement.of(map(pixels_of, pictures), pitch_um=pitch_um, rule=rule)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    reference = measure("film", film)
    measurements = {DEVELOPED: measure(DEVELOPED, developed)}
    rows = {DEVELOPED: compare(measurements[DEVELOPED], reference)}
    notes = []
    try:
        sides = [measure(FLOOR, side) for side in halves(film, rolls)]
        measurements[FLOOR], rows[FLOOR] = sides[0], compare(*sides)
    except ValueError as error:
        notes.append(f"no floor: one side of the film has too few flat blocks ({error})")
    if photos is not None:
        try:
            measurements[CEILING] = measure(CEILING, photos)
            rows[CEILING] = compare(measurements[CEILING], reference)
        except ValueError as error:
            notes.append(f"no ceiling: the photographs have too few flat blocks ({error})")
    for name, add in noises(reference, rule.size).items():
        grounds = plain_patches(reference) if photos is None else map(pixels_of, photos)
        measurements[name] = measure(name, add(grounds))
        rows[name] = compare(measurements[name], reference)
    both = _identities(developed) & _identities(film)
    if both:
        notes.append(f"{len(both)} picture(s) are both developed and film: what is compared with itself says nothing.")
    notes += _notes(rows, rule, rolls, photos is None)
    return Report(rows, measurements, reference, rule, tuple(notes))


def _identities(pictures: Sequence[Picture]) -> set[object]:
    return {id(p) if isinstance(p, np.ndarray) else Path(p).resolve() for p in pictures}


def _notes(rows: dict[str, Realism], rule: FlatBlocks, rolls: Sequence[object] | None, plain: bool) -> list[str]:
    several = len(set(rolls or [])) > 1
    notes = [
        f"Flat blocks: {rule.size}x{rule.size} every {rule.stride} pixels, structure up to {rule.max_structure:g}, "
        f"variance up to {rule.max_variance:g}, on all sides alike. Sigma: bands with {FEWEST_IN_BAND} blocks or more."
    ]
    if FLOOR in rows:
        notes.append(
            f"{FLOOR}: one half of the {'rolls' if several else 'scans'} against the other; all other rows are against "
            "the whole, which has more blocks, so the floor is no strict bound."
        )
        missed = [FIGURES[name].title for name, met in rows[FLOOR].met().items() if not met]
        if missed:
            notes.append(
                f"The film is not one with itself within the limits of {', '.join(missed)}: "
                "a more homogeneous set of scans would judge better."
            )
    ground = "plain fields as bright as the film's flat blocks" if plain else "the undeveloped photos"
    notes.append(f"Noise: Gaussian, of the film's mean variance, on {ground}; blurred to the film's lag-1.")
    few = [name for name, row in rows.items() if min(row.blocks) < FEWEST_BLOCKS]
    if few:
        notes.append(f"Below {FEWEST_BLOCKS} blocks a side, chance counts: {', '.join(few)}.")
    return notes


def _cell(name: str, value: float | None, met: bool) -> str:
    if value is None:
        return "- "
    form = _FORM.get(name, ".4f" if name in _DIVERGENCES else ".3f")
    return f"{value:{form}}{'*' if met else ' '}"


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    (name, *values), (first, *others) = line, widths
    return [name.ljust(first), *(value.rjust(width) for value, width in zip(values, others, strict=True))]
