"""How far one grain is from another: the figures that together tell real film from an imitation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from ..grain import GrainMeasurement, jensen_shannon, kullback_leibler

FEWEST_IN_BAND = 30
"""Blocks that a band of brightness needs on both sides to count for sigma."""
FEWEST_BLOCKS = 1000
"""Blocks that each side needs before two grains may be called indistinguishable."""


class Figure(NamedTuple):
    """A figure of a realism report: what it is called, in what unit, how channels become one number, and its limit."""

    title: str
    unit: str
    summary: str
    limit: float | None = None


FIGURES = {
    "sigma_error": Figure("sigma", "ln", "RMS over channels", 0.15),
    "sigma_bias": Figure("bias", "ln", "worst channel", 0.05),
    "spectrum_error": Figure("spectrum", "dB", "RMS over channels", 0.4),
    "correlation_gap": Figure("rho", "", "worst pair of channels", 0.05),
    "peaks_gap": Figure("peaks", "of pixels", "mean over channels", 0.008),
    "nss_divergence": Figure("JSD-NSS", "bit", "mean over channels", 0.003),
    "lag_1_gap": Figure("lag-1", "", "mean over channels", 0.04),
    "kurtosis_gap": Figure("kurtosis", "", "mean over channels", 0.1),
    "residual_divergence": Figure("KLD", "nat", "mean over channels"),
    "valleys_gap": Figure("valleys", "of pixels", "mean over channels"),
    "extrema_gap": Figure("extrema", "of pixels", "mean over channels"),
    "occupancy_distance": Figure("occupancy", "TV", "joint over channels"),
    "high_frequency_gap": Figure("high freq.", "of energy", "mean over channels"),
}
"""Every figure of `Realism`, in the order of a report; 0 is the best of each."""
INDISTINGUISHABLE = {name: figure.limit for name, figure in FIGURES.items() if figure.limit is not None}
"""What all figures must keep to, at once, for grain to count as the film's own: limits somewhat above what two halves
of one homogeneous roll of real film have between them."""


@dataclass(frozen=True, eq=False)
class Realism:
    """How far the grain found in some pictures is from a film's; all zero for equal measurements.

    No figure suffices alone: white noise of the right variance passes sigma and JSD-NSS, one low-passed field passes
    the density of peaks. C channels, K rings of frequency, P pairs of channels (R-G, R-B, G-B).

    Args:
        blocks: Flat blocks of what was found, and of the film.
        bands: Bands of brightness that sigma is compared in: 30 blocks or more on both sides. Shape (C,).
        sigma_error: Root mean square over these bands of ln(sigma found / sigma of film). Shape (C,).
        sigma_bias: Mean of the same; positive if there is more grain than on film. NaN without bands. Shape (C,).
        spectrum_error: Root mean square over rings of `spectrum`, in dB. Shape (C,).
        spectrum: 10 log10 of the power spectra's shapes, found over film; both of unit power. Shape (K, C).
        correlation_gap: Absolute difference of the channels' correlations; empty for one channel. Shape (P,).
        nss_divergence: Squared Jensen-Shannon distance of the products of neighbours (JSD-NSS), in bits. Shape (C,).
        residual_divergence: Kullback-Leibler divergence of residuals, film against found, in nats. Shape (C,).
        lag_1_gap: Absolute difference of the autocorrelations at a distance of one pixel. Shape (C,).
        kurtosis_gap: Absolute difference of the excess kurtoses. Shape (C,).
        peaks_gap: Absolute difference of the shares of pixels that are 3x3 maxima. Shape (C,).
        valleys_gap: The same of minima.
        extrema_gap: The same of both.
        occupancy_distance: Total variation distance between the channels' joint states of peaks. Shape (1,).
        high_frequency_gap: Absolute difference of the shares of energy at high frequencies. Shape (C,).
    """

    blocks: tuple[int, int]
    bands: np.ndarray
    sigma_error: np.ndarray
    sigma_bias: np.ndarray
    spectrum_error: np.ndarray
    spectrum: np.ndarray
    correlation_gap: np.ndarray
    nss_divergence: np.ndarray
    residual_divergence: np.ndarray
    lag_1_gap: np.ndarray
    kurtosis_gap: np.ndarray
    peaks_gap: np.ndarray
    valleys_gap: np.ndarray
    extrema_gap: np.ndarray
    occupancy_distance: np.ndarray
    high_frequency_gap: np.ndarray

    def summary(self) -> dict[str, float]:
        """Return one number a figure, in the order of `FIGURES`, which says how channels become one.

        The bias keeps its sign. NaN where a figure is not known in some channel.
        """
        return {name: _one(getattr(self, name), figure.summary) for name, figure in FIGURES.items()}

    def met(self) -> dict[str, bool]:
        """Tell which limits of `INDISTINGUISHABLE` are kept to; a figure that is not known keeps to none."""
        summary = self.summary()
        return {name: bool(abs(summary[name]) <= limit) for name, limit in INDISTINGUISHABLE.items()}

    @property
    def indistinguishable(self) -> bool:
        """Whether all limits are kept to at once, on 1000 blocks or more of each side."""
        return min(self.blocks) >= FEWEST_BLOCKS and all(self.met().values())

    def as_dict(self) -> dict[str, object]:
        """Return summary, verdict and all channels as numbers and lists that JSON can hold; NaN becomes None."""
        channels = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        return {
            "summary": {name: plain(value) for name, value in self.summary().items()},
            "met": self.met(),
            "indistinguishable": self.indistinguishable,
            **channels,
        }


def compare(found: GrainMeasurement, film: GrainMeasurement) -> Realism:
    """Compare the grain found in some pictures with a film's.

    Both must be measured alike: by one rule for flat blocks, and at the pixel pitch that is being judged.

    Raises: ValueError for different block sizes or numbers of channels.
    """
    if found.sigma.shape != film.sigma.shape or found.frequency.shape != film.frequency.shape:
        raise ValueError(
            "compare expects measurements of equal block size and channels, got "
            f"{len(found.frequency)} and {len(film.frequency)} rings of frequency, "
            f"{found.sigma.shape[1]} and {film.sigma.shape[1]} channel(s)"
        )
    shared = (found.band_blocks >= FEWEST_IN_BAND) & (film.band_blocks >= FEWEST_IN_BAND)
    ratio = np.log(np.where(shared, found.sigma, 1.0) / np.where(shared, film.sigma, 1.0))
    bands = shared.sum(0)
    spectrum = 10 * np.log10(_power(found) / _power(film))
    pairs = np.triu_indices(found.sigma.shape[1], 1)
    return Realism(
        blocks=(found.blocks, film.blocks),
        bands=bands,
        sigma_error=np.sqrt(_mean(ratio**2, bands)),
        sigma_bias=_mean(ratio, bands),
        spectrum_error=np.sqrt((spectrum**2).mean(0)),
        spectrum=spectrum,
        correlation_gap=np.abs(found.correlation - film.correlation)[pairs],
        nss_divergence=jensen_shannon(found.nss, film.nss) / np.log(2),
        residual_divergence=kullback_leibler(film.residual, found.residual),
        lag_1_gap=np.abs(found.autocorrelation - film.autocorrelation)[1],
        kurtosis_gap=np.abs(found.kurtosis - film.kurtosis),
        peaks_gap=np.abs(found.peaks - film.peaks),
        valleys_gap=np.abs(found.valleys - film.valleys),
        extrema_gap=np.abs(found.extrema - film.extrema),
        occupancy_distance=np.abs(found.occupancy - film.occupancy).sum(keepdims=True) / 2,
        high_frequency_gap=np.abs(found.high_frequency - film.high_frequency),
    )


def _power(measurement: GrainMeasurement) -> np.ndarray:
    """Return the shape of each channel's power spectrum, (K, C)."""
    return np.einsum("kcc->kc", measurement.cross_spectrum).clip(1e-9)


def _mean(values: np.ndarray, number: np.ndarray) -> np.ndarray:
    return np.where(number > 0, values.sum(0) / number.clip(1), np.nan)


def _one(values: np.ndarray, summary: str) -> float:
    if not values.size:
        return 0.0
    if np.isnan(values).any():
        return float("nan")
    if summary.startswith("worst"):
        return float(values[np.abs(values).argmax()])
    if summary.startswith("RMS"):
        return float(np.sqrt((values**2).mean()))
    return float(values.mean())


def plain(value: object) -> object:
    """Turn arrays, NumPy's numbers and tuples into what JSON can hold; NaN becomes None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
