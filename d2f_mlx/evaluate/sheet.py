"""A data sheet of measured grain: what a laboratory would print of some scans."""

from __future__ import annotations

import numpy as np

from ..grain import GrainMeasurement
from ..grain.granularity import APERTURE_UM, aperture_sigma
from ..grain.overlay import density_sigma, scan_density
from ..grain.spectrum import correlation_length
from .distance import plain

DENSITY = 1.0
"""The density that data sheets state RMS granularity at."""
COHERENCE_AT = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Cycles a pixel that the channels' coherence is printed for."""


def band_density(measurement: GrainMeasurement) -> np.ndarray:
    """Return the density of a positive in the middle of each band of brightness, from dark to light, (16,)."""
    bands = len(measurement.sigma)
    return scan_density((np.arange(bands) + 0.5) / bands)


def rms_granularity(measurement: GrainMeasurement, aperture_um: float = APERTURE_UM) -> np.ndarray:
    """Work out RMS granularity by brightness: the deviation of the positive's density through a circular aperture.

    sigma_A^2 = integral of W(f) [2 J1(pi d f) / (pi d f)]^2, with W the scan's noise power spectrum: flat blocks are
    too small for apertures to be laid on them. Below two cycles a block, where the plane fit took power away, ln W is
    carried on as a parabola in f. What the scan's pixels took away, and all beyond them, stays away, so the value is
    below an aperture's laid on a large plain area (`grain.granularity.rms_granularity`): of white grain by 2 % at
    pixels of an eighth of the aperture, 4 % at a quarter and 8 % at a half; at a lag-1 correlation of 0.4 to 0.6, by
    some 10 % in blocks of 16 pixels. Assumes that the spectrum's shape does not depend on the density.

    Shape: -> (16, C), NaN where sigma is
    Raises: ValueError if the pitch is not known.
    Reference: Dainty & Shaw 1974, ch. 8
    """
    if not measurement.pitch_um:
        raise ValueError("rms_granularity expects a measurement with a pitch_um, got 0 (unknown)")
    pitch = measurement.pitch_um
    frequency, shape = _down_to_zero(measurement)
    share = aperture_sigma(frequency / pitch, shape * pitch**2, aperture_um)
    middle = (np.arange(len(measurement.sigma)) + 0.5) / len(measurement.sigma)
    return density_sigma(middle[:, None], measurement.sigma / 255) * share


def _down_to_zero(measurement: GrainMeasurement) -> tuple[np.ndarray, np.ndarray]:
    """Return spectra with their lowest ring replaced: ln W is a parabola there, through the next two rings."""
    frequency = measurement.frequency
    power = np.einsum("kcc->kc", measurement.cross_spectrum).clip(1e-9)
    square, log = frequency[1:3] ** 2, np.log(power[1:3])
    low = np.linspace(0, frequency[1], 8)[:-1]
    slope = (log[1] - log[0]) / (square[1] - square[0])
    carried = np.exp(log[0] + (low[:, None] ** 2 - square[0]) * slope)
    return np.concatenate([low, frequency[1:]]), np.concatenate([carried, power[1:]])


def at_density(measurement: GrainMeasurement, by_band: np.ndarray, density: float = DENSITY) -> np.ndarray:
    """Interpolate a figure by brightness (16, C) at one density; NaN beyond the bands that are known, (C,)."""
    dark_first = band_density(measurement)
    values = []
    for column in by_band.T:
        known = np.flatnonzero(np.isfinite(column))[::-1]  # density rises as brightness falls
        inside = len(known) and dark_first[known[0]] <= density <= dark_first[known[-1]]
        values.append(np.interp(density, dark_first[known], column[known]) if inside else np.nan)
    return np.array(values)


def selwyn(sigma: np.ndarray, aperture_um: float = APERTURE_UM) -> np.ndarray:
    """Return Selwyn's constant of deviations through a circular aperture, G = sigma sqrt(2 A), in density um.

    Reference: Selwyn 1935, 'A theory of graininess', Photographic Journal 75, 571-580
    """
    return sigma * np.sqrt(2 * np.pi / 4 * aperture_um**2)


def figures(measurement: GrainMeasurement) -> dict[str, object]:
    """Return the data sheet as JSON can hold it: the measurement, and what follows from it."""
    found = measurement.as_dict()
    pitch = measurement.pitch_um
    found["correlation_length_px"] = plain(correlation_length(measurement.autocorrelation))
    if pitch:
        rms = rms_granularity(measurement)
        found["correlation_length_um"] = plain(correlation_length(measurement.autocorrelation, pitch))
        found["band_density"] = plain(band_density(measurement))
        found["aperture_um"] = APERTURE_UM
        found["rms_granularity_by_band"] = plain(1000 * rms)
        found["rms_granularity"] = plain(1000 * at_density(measurement, rms))
        found["selwyn_um"] = plain(selwyn(at_density(measurement, rms)))
    return found


def text(measurement: GrainMeasurement) -> str:
    """Lay out the data sheet: a line a figure, a column a channel."""
    m, pitch = measurement, measurement.pitch_um
    channels = m.sigma.shape[1]
    names, pairs = channel_names(channels), np.triu_indices(channels, 1)

    def row(name: str, values: np.ndarray, form: str = ".3f") -> str:
        return f"{name:<34}" + "".join(f"{'-' if np.isnan(v) else format(v, form):>9}" for v in values)

    lines = [f"{m.pictures} picture(s), {m.blocks} flat blocks, {f'{pitch:.2f} um' if pitch else 'pitch of'} a pixel"]
    lines[0] = lines[0].replace("pitch of a pixel", "pitch unknown (--format or --pitch)")
    lines += ["", f"{'':<34}" + "".join(f"{name:>9}" for name in names)]
    if pitch:
        rms = at_density(m, rms_granularity(m))
        lines.append(row(f"RMS granularity x1000 at density {DENSITY}", 1000 * rms, ".1f"))
        lines.append(row("Selwyn's G, density um", selwyn(rms), ".2f"))
    unit = "um" if pitch else "pixels"
    lines.append(row(f"correlation length, {unit}", correlation_length(m.autocorrelation, pitch or 1.0), ".2f"))
    lines += [
        row("lag-1 autocorrelation", m.autocorrelation[1]),
        row("excess kurtosis", m.kurtosis, ".2f"),
        row("peaks, share of pixels", m.peaks, ".4f"),
        row("valleys", m.valleys, ".4f"),
        row("extrema", m.extrema, ".4f"),
        row("high-frequency energy ratio", m.high_frequency),
    ]
    if channels > 1:
        lines += ["", f"{'':<34}" + "".join(f"{names[a] + '-' + names[b]:>9}" for a, b in zip(*pairs, strict=True))]
        lines.append(row("correlation", m.correlation[pairs]))
        for frequency in COHERENCE_AT:
            ring = np.abs(m.frequency - frequency).argmin()
            where = f"{m.frequency[ring] * 1000 / pitch:.0f} cycles/mm" if pitch else f"{m.frequency[ring]:.2f} /pixel"
            lines.append(row(f"coherence at {where}", m.coherence[ring][pairs]))
    states = "  ".join(f"{name} {share:.3f}" for name, share in zip(state_names(channels), m.occupancy, strict=True))
    lines += ["", f"joint occupancy of peaks: {states}", "", *_sigma_lines(m, names)]
    if pitch:
        lines += ["", *_notes(m)]
    return "\n".join(line.rstrip() for line in lines)


def _sigma_lines(m: GrainMeasurement, names: list[str]) -> list[str]:
    """List sigma with its interval, and granularity, by brightness, for bands that some channel has."""
    step = 256 // len(m.sigma)
    rms = 1000 * rms_granularity(m) if m.pitch_um else np.full_like(m.sigma, np.nan)
    width, more = (34, ", RMS x1000") if m.pitch_um else (28, "")
    lines = [f"grain by brightness: sigma in levels of 255 (95 % interval), blocks{more}"]
    lines.append(f"{'levels':<9}{'density':>8}" + "".join(f"{name:>{width}}" for name in names))
    for band in np.flatnonzero(np.isfinite(m.sigma).any(1)):
        cells = []
        for c in range(len(names)):
            if np.isnan(m.sigma[band, c]):
                cells.append("-".rjust(width))
                continue
            ends = f"({m.sigma_low[band, c]:.2f}-{m.sigma_high[band, c]:.2f})".replace("(nan-nan)", "( - )")
            last = f"{rms[band, c]:>6.1f}" if m.pitch_um else ""
            cells.append(f"{m.sigma[band, c]:.2f} {ends:<13}{m.band_blocks[band, c]:>7}{last}".rjust(width))
        lines.append(f"{band * step:>3}-{band * step + step - 1:<5}{band_density(m)[band]:>8.2f}" + "".join(cells))
    return lines


def _notes(m: GrainMeasurement) -> list[str]:
    return [
        f"RMS granularity: {APERTURE_UM:.0f} um aperture, of the positive's density (-log10 of sRGB light), integrated",
        "over the noise power spectrum of flat blocks. It holds the scanner's blur and sharpening and the laboratory's",
        f"contrast, and pixels of {m.pitch_um:.1f} um blur it as well, so it is not a data sheet's.",
    ]


def channel_names(channels: int) -> list[str]:
    """Name the channels: R, G, B, or grey."""
    return ["R", "G", "B"] if channels == 3 else ["grey"] * channels


def state_names(channels: int) -> list[str]:
    """Name the joint states r + 2 g + 4 b of the channels' peaks: none, R, G, RG, ..."""
    names = channel_names(channels)
    states = ("".join(name for bit, name in enumerate(names) if state >> bit & 1) for state in range(2**channels))
    return [state or "none" for state in states]
