"""A film stock measured from scans of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from .. import images
from ..grain import STRICT, FlatBlocks, HalideStatistics
from ..grain.gaussian import unit_grain
from ..grain.measure import BANDS, RESIDUAL_REACH, GrainMeasurement
from ..grain.overlay import add_grain, density_sigma, scan_density
from .look import Palette
from .pairs import fit_pairs
from .palette import FEWEST, fit_palette
from .samples import Source, colours_of
from .scan import pitch_of, scanned_grain
from .stock import FilmStock, radial_power

FEWEST_BLOCKS = 200
"""Flat blocks that a fit asks for in all."""
_FEWEST_IN_BAND = 30
_FEWEST_BANDS = 3
_FEWEST_SCANS = 3  # that a scan can be judged against
_OUTLIER = 4.0  # median absolute deviations of log sigma that a scan may lie from the others,
_LEAST_OUTLIER = np.log(1.75)  # and this factor at least
_ROUNDING = 1 / 12  # variance that whole levels have
_ROUNDS = 3
_KURTOSIS = 24.0  # of a unit of tail, to first order
_LIGHTEST, _HEAVIEST = -0.01, 0.08  # n + h (n^3 - 3 n) rises to 5.9 deviations at least
_LOW = 0.2  # cycles a pixel
_GREY = 1e-4  # below 1, a correlation of channels that are one: a black-and-white scan
_CORNER = 0.71  # beyond the highest frequency of a square lattice
_PLAIN_ROWS, _PLAIN_COLUMNS, _LEAST_COLUMNS = 128, 2**14, 256  # of the plain fields a fit is checked on
_CENTRES = (np.arange(BANDS) + 0.5) / BANDS


@dataclass(frozen=True)
class Scans:
    """What a fit took of the scans it was given.

    Args:
        used: Pictures that were measured.
        skipped: Why others were not, a line each.
        notes: What makes the result less sure, a line each.
        measurement: What the used ones measure.
        pitch_um: Their pixel pitch on the film.
        dtype: Of the pixels; the coarser one if there are both.
    """

    used: tuple[np.ndarray | Path, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    measurement: GrainMeasurement
    pitch_um: float
    dtype: np.dtype

    @property
    def bands(self) -> np.ndarray:
        """Which bands of brightness have blocks enough in every channel."""
        return np.asarray((self.measurement.band_blocks >= _FEWEST_IN_BAND).all(1))

    @property
    def enough(self) -> bool:
        """Whether a stock can be fitted."""
        return self.measurement.blocks >= FEWEST_BLOCKS and int(self.bands.sum()) >= _FEWEST_BANDS


def fit(
    scans: Sequence[str | Path | np.ndarray],
    *,
    name: str,
    film_format: str = "135",
    rule: FlatBlocks | None = None,
    look: bool = True,
    photos: Sequence[Source] = (),
    pairs: Sequence[tuple[Source, Source]] = (),
    look_strength: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> FilmStock:
    """Measure a stock from scans of it (positives as a lab gives them): grain, halides, and the look.

    Only flat areas count. Granularity by density is the root mean variance in bands of brightness; the channels'
    correlation is split into three independent fields, each with its own spectrum; scans of three equal channels give a
    black-and-white stock, of one field. What measuring itself takes away (a plane from each block, the rounding to
    whole levels) is put back: grain is synthesised, measured in the same way, and the stock corrected until the scans'
    own figures come back.

    The look, tone and palette as a table, is learned from the scans' colours against those of digital photographs
    (`fit_palette`), or from pairs (`fit_pairs`); ``report`` has the distance to held-out scans before and after.

    Files that cannot be read, hold no flat areas, or whose grain differs from the others' at the same brightness by a
    factor of 1.75 or more (and by more than most do) are left out and named in ``report``.

    Args:
        scans: Files or decoded pictures, uint8 or uint16 (H, W, 3).
        name: What to call the stock.
        film_format: The frame that a scan's long side covers; gives the pixel pitch.
        rule: What counts as flat; by default `grain.STRICT`, and where that leaves too little, `FlatBlocks` as it is.
        look: Whether to learn tone and palette too; without them a photo keeps its colours.
        photos: Digital photographs as one takes them, to compare the scans' colours with; by default bundled figures.
        pairs: Digital photographs and scans of the same frames, which replace that comparison.
        look_strength: How much of the look to keep, 0 to 1; by default as much as the scans agree on.
        progress: Told what is being done.

    Raises: ValueError if too little is left: fewer than 200 flat blocks, or than 3 bands of brightness with 30 each;
        or for photos or pairs that cannot be used.
    """
    if not name:
        raise ValueError("a fit expects a name for the stock, got an empty one")
    if not look and (photos or pairs):
        raise ValueError("a fit expects look=True for photos or pairs, got look=False")
    if photos and pairs:
        raise ValueError("a fit expects photos or pairs, got both")
    if look_strength is not None and (pairs or not look or not 0 <= look_strength <= 1):
        raise ValueError(f"a fit expects a look_strength from 0 to 1, and a look without pairs, got {look_strength}")
    found = survey(scans, film_format=film_format, rule=rule or STRICT, progress=progress)
    if rule is None and not found.enough:
        rule = FlatBlocks()
        found = survey(scans, film_format=film_format, rule=rule, progress=progress)
        found = replace(found, notes=(*found.notes, "few areas are quite flat, so some texture may count as grain"))
    rule = rule or STRICT
    film = found.measurement
    if not found.enough:
        raise ValueError(
            f"a fit expects at least {FEWEST_BLOCKS} flat blocks, and {_FEWEST_BANDS} bands of brightness with "
            f"{_FEWEST_IN_BAND} each, got {film.blocks} and {found.bands.sum()} from {len(found.used)} scan(s): "
            "add scans with sky, walls or other plain areas, dark and bright"
        )
    palette = None
    if look:
        _tell(progress, "look")
        palette, found = _palette(found, photos, pairs, look_strength)
    known = film.band_blocks >= _FEWEST_IN_BAND
    sigma = _filled(film.sigma, known)
    shares = film.band_blocks.mean(1) / film.blocks
    correlation, spectrum, tail = film.correlation, film.cross_spectrum, np.zeros(3)
    stock = _stock(found, name, sigma, correlation, spectrum, tail)
    for _ in range(_ROUNDS):
        _tell(progress, "synthesise and measure")
        back = _measured(stock, shares, rule, found.dtype)
        sigma = _filled(sigma * film.sigma / back.sigma, known & np.isfinite(back.sigma))
        correlation = correlation + (film.correlation - back.correlation)
        spectrum = spectrum + (film.cross_spectrum - back.cross_spectrum)
        tail = (tail + (film.kurtosis - back.kurtosis) / _KURTOSIS).clip(_LIGHTEST, _HEAVIEST)
        stock = _stock(found, name, sigma, correlation, spectrum, tail)
    halides = None
    _tell(progress, "halides")
    try:
        halides = HalideStatistics.measure(_pixels(scan) for scan in found.used)
    except ValueError as error:
        found = replace(found, notes=(*found.notes, f"its halides stay unknown: {error}"))
    report = _report(found)
    if palette is not None:
        report["look"] = palette.report
        return replace(stock, halides=halides, palette=palette.table.astype(float).round(5), report=report)
    return replace(stock, halides=halides, report=report)


def _palette(
    found: Scans, photos: Sequence[Source], pairs: Sequence[tuple[Source, Source]], strength: float | None
) -> tuple[Palette | None, Scans]:
    """Learn a look; where the scans alone do not give one, say so in the notes."""
    if pairs:
        return fit_pairs(pairs), found
    others = [colours_of(photo) for photo in photos]
    note = f"it has no look, which takes {FEWEST} scans"
    if photos or len(found.used) >= FEWEST:
        note = "it has no look: beyond their scenes the scans do not agree on one; add scans, or pairs"
        try:
            palette = fit_palette([colours_of(scan) for scan in found.used], others or None, strength=strength)
            if palette.report["chosen"] != "no change" and palette.report["strength"] > 0:
                return palette, found
        except ValueError as error:
            if photos:
                raise
            note = f"it has no look: {error}"
    return None, replace(found, notes=(*found.notes, f"{note}; photos keep theirs"))


def _tell(progress: Callable[[str], None] | None, what: str) -> None:
    if progress:
        progress(what)


def survey(
    scans: Sequence[str | Path | np.ndarray],
    *,
    film_format: str = "135",
    rule: FlatBlocks = STRICT,
    progress: Callable[[str], None] | None = None,
) -> Scans:
    """Measure scans, leaving out those that cannot be used or do not belong; see `fit`.

    Raises: ValueError if none is left, for an unknown format, or for a single name in place of a list.
    """
    if isinstance(scans, str | Path):
        raise ValueError(f"a fit expects a list of scans, got {str(scans)!r} (images.find lists a folder's)")
    pitch_of((1, 1), film_format)  # refuses an unknown format before any work
    kept: list[_Scan] = []
    skipped: list[str] = []
    for index, scan in enumerate(scans):
        scan = Path(scan) if isinstance(scan, str) else scan
        label = scan.name if isinstance(scan, Path) else f"scan {index + 1}"
        _tell(progress, label)
        try:
            pixels = _pixels(scan)
            alone = GrainMeasurement.of([pixels], rule=rule)
        except ValueError as error:
            skipped.append(f"{label}: {error}")
        else:
            kept.append(_Scan(scan, label, alone, pitch_of(pixels.shape[:2], film_format), pixels.dtype))
    levels = _levels([scan.alone for scan in kept])
    inside = _belong(levels)
    for index in np.flatnonzero(~inside):
        skipped.append(f"{kept[index].label}: its grain is {np.exp(levels[index]):.2g} times the others'")
    kept = [scan for scan, belongs in zip(kept, inside, strict=True) if belongs]
    used = tuple(scan.source for scan in kept)
    if not used:
        raise ValueError("a fit expects scans with flat areas, got none" + "".join(f"\n  {line}" for line in skipped))
    notes = []
    subsampled = sum(isinstance(scan, Path) and images.subsampled(scan) for scan in used)
    if subsampled:
        notes.append(f"{subsampled} of {len(used)} scans are JPEG with subsampled colour: correlation reads high")
    pitches = [scan.pitch_um for scan in kept]
    if max(pitches) > 1.2 * min(pitches):
        notes.append(
            f"scans differ in pitch, from {min(pitches):.1f} to {max(pitches):.1f} um a pixel; the median counts"
        )
    pitch_um = float(np.median(pitches))
    _tell(progress, "all together")
    measurement = GrainMeasurement.of((_pixels(scan) for scan in used), pitch_um=pitch_um, rule=rule)
    dtype = min((scan.dtype for scan in kept), key=lambda dtype: dtype.itemsize)
    return Scans(used, tuple(skipped), tuple(notes), measurement, pitch_um, dtype)


class _Scan(NamedTuple):
    source: np.ndarray | Path
    label: str
    alone: GrainMeasurement
    pitch_um: float
    dtype: np.dtype


def _pixels(scan: np.ndarray | Path) -> np.ndarray:
    pixels = images.read(scan).pixels if isinstance(scan, Path) else np.asarray(scan)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"a fit expects uint8 or uint16 pictures (H, W, 3), got {pixels.dtype} {pixels.shape}")
    return pixels


def _levels(alone: Sequence[GrainMeasurement]) -> np.ndarray:
    """Say how much grain each scan has against the others: log ratios, about a median of 0.

    A scan's blocks are compared with what is usual in their bands of brightness, as grain varies with it; bands that
    few scans have count like their neighbours.
    """
    if not alone:
        return np.zeros(0)
    log = np.log(np.stack([m.sigma for m in alone]))
    common = np.isfinite(log).sum(0) >= _FEWEST_SCANS
    usual = np.ma.median(np.ma.masked_invalid(log), axis=0).filled(0)
    usual = _filled(usual, common) if common.any(0).all() else np.zeros_like(usual)
    step = np.arange(-RESIDUAL_REACH, RESIDUAL_REACH + 1)
    found = np.stack([m.residual @ step**2 for m in alone]) + _ROUNDING
    expected = np.stack([(m.band_blocks / m.blocks * np.exp(2 * usual)).sum(0) for m in alone]) + _ROUNDING
    levels = (np.log(found / expected) / 2).mean(1)
    return levels - np.median(levels)


def _belong(levels: np.ndarray) -> np.ndarray:
    """Tell which scans' log sigma lies near the others' median, which is 0."""
    if len(levels) < _FEWEST_SCANS:
        return np.ones(len(levels), bool)
    return np.abs(levels) <= max(_OUTLIER * 1.4826 * np.median(np.abs(levels)), _LEAST_OUTLIER)


def _filled(table: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate over the bands that are not known; constant beyond the outermost that are.

    Shape: (BANDS, C) -> the same
    """
    bands = np.arange(BANDS)
    columns = [np.interp(bands, bands[k], t[k]) for t, k in zip(table.T, known.T, strict=True)]
    return np.stack(columns, -1)


def _stock(
    found: Scans, name: str, sigma: np.ndarray, correlation: np.ndarray, spectrum: np.ndarray, tail: np.ndarray
) -> FilmStock:
    """Put a stock together from display figures: sigma (BANDS, 3) in levels, and per-pixel spectra (K, 3, 3)."""
    grey = bool(found.measurement.correlation.min() > 1 - _GREY)
    mixing, modes = (_one_mode if grey else _modes)(correlation, spectrum, found.measurement.frequency)
    frequency = np.concatenate([[0], found.measurement.frequency, [_CORNER]]) * (1000 / found.pitch_um)
    modes = np.concatenate([modes[:1], modes, modes[-1:]])
    density = scan_density(_CENTRES)[::-1]
    return FilmStock(
        name=name,
        title=name,
        maker="",
        year=None,
        iso=None,
        kind="scan",
        medium="photo",
        black_and_white=grey,
        log_exposure=np.linspace(-3, 0, 2),
        curves=np.repeat([[3.0], [0.0]], 3, 1),
        base=np.zeros(3),
        grain_density=density,
        granularity=density_sigma(_CENTRES[:, None], sigma / 255)[::-1],
        aperture_um=0.0,
        frequency=frequency,
        spectrum=modes / radial_power(frequency, modes),
        mixing=mixing,
        tail=tail,
        pitch_um=found.pitch_um,
        sources={"curves": "guess: density of the positive", **dict.fromkeys(_MEASURED, f"scans: {len(found.used)}")},
    )


def _modes(correlation: np.ndarray, spectrum: np.ndarray, frequency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split correlated channels into independent fields, each with its own spectrum.

    The mixing M reproduces two matrices exactly, the correlation, M M^T, and the cross-spectrum at low frequencies,
    M diag M^T (their generalised eigenvectors); the rest of the cross-spectra as far as M diagonalises them.

    Shape: (3, 3), (K, 3, 3), (K,) -> (3, 3), (K, 3)
    """
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(values.clip(1e-4))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    inverse = np.linalg.inv(root)
    low = np.average(spectrum, axis=0, weights=frequency * (frequency < _LOW))
    rotation = np.linalg.eigh(inverse @ low @ inverse.T)[1]
    mixing = root @ rotation
    unmix = np.linalg.inv(mixing)
    return mixing, np.einsum("mc,kcd,md->km", unmix, spectrum, unmix).clip(1e-4)


def _one_mode(_: np.ndarray, spectrum: np.ndarray, __: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give all channels one field; arguments and shapes as for `_modes`."""
    mean = np.einsum("kcc->k", spectrum)[:, None] / 3
    return np.repeat([[1.0, 0.0, 0.0]], 3, 0), np.repeat(mean.clip(1e-4), 3, 1)


_MEASURED = ("granularity", "spectrum", "correlation")


def _measured(stock: FilmStock, shares: np.ndarray, rule: FlatBlocks, dtype: np.dtype) -> GrainMeasurement:
    """Synthesise a stock's grain on plain fields and measure it as the scans were.

    Args:
        stock: The stock.
        shares: Of the scans' flat areas in each band of brightness, so that what varies with it is weighted alike.
        rule: What counts as flat.
        dtype: The scans', to whose levels the fields are rounded.
    """
    grain = scanned_grain(stock, stock.pitch_um)
    widths = [_LEAST_COLUMNS + int(share * _PLAIN_COLUMNS) // 64 * 64 for share in shares]
    unit = unit_grain(grain.field, mx.random.key(0), (0, 0), (max(_PLAIN_ROWS, 4 * rule.size), sum(widths)))
    levels = mx.array(np.repeat(_CENTRES, widths), mx.float32)[None, :, None]
    film = images.from_float(np.array(add_grain(mx.broadcast_to(levels, unit.shape), unit, grain.tone)), dtype)
    fields = np.split(film, np.cumsum(widths)[:-1], 1)
    return GrainMeasurement.of(fields, pitch_um=stock.pitch_um, rule=rule)


def _report(found: Scans) -> dict[str, object]:
    """Say how sure a fit is, in figures as measured on the scans."""
    film = found.measurement.as_dict()
    names = {"pictures": "pictures", "blocks": "blocks", "blocks by brightness": "band_blocks", "kurtosis": "kurtosis"}
    names |= {"sigma": "sigma", "sigma low": "sigma_low", "sigma high": "sigma_high"}
    return {
        **{name: film[key] for name, key in names.items()},
        "skipped": list(found.skipped),
        "notes": list(found.notes),
    }
