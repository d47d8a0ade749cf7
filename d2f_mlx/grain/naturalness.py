"""How far a picture's statistics are from those of real film: histograms, and the distances between them."""

from __future__ import annotations

from functools import cache

import mlx.core as mx
import numpy as np

from .filters import correlate, gaussian_taps

NSS_BINS = 149
NSS_RANGE = 3.0
_REACH = 3  # the window is 7x7
_FLOOR = 1e-6


def nss_histogram(levels: mx.array | np.ndarray) -> np.ndarray:
    """Count the products of diagonal neighbours in locally normalised pictures.

    i = (I - mu) / (s + 1), mu = w * I, s = sqrt(w * I^2 - mu^2), with w a Gaussian window of 7x7 pixels and sigma 1
    that sums to one; products i(r, c) i(r + 1, c + 1), down the main diagonal, in 149 equal bins on [-3, 3). Only
    pixels around which the whole window fits are used, so blocks are measured without their surroundings; products
    beyond the range (they need s and contrasts that no grain has) are left out.

    Shape: (B, H, W, C), at least 8x8 -> (C, 149) counts
    Range: levels of 255, which the constant 1 rests on
    Raises: ValueError for another shape.
    Reference: Mittal, Moorthy and Bovik 2012, 'No-reference image quality assessment in the spatial domain',
        equations 1 to 3 and 10. doi:10.1109/TIP.2012.2214050
    """
    if levels.ndim != 4 or min(levels.shape[1:3]) < 2 * _REACH + 2:
        raise ValueError(f"nss_histogram expects levels (B, H, W, C), 8x8 or more, got shape {levels.shape}")
    bins = np.array(_nss_bins()(mx.array(levels).astype(mx.float32)))
    return np.stack(
        [np.bincount(bins[..., c].ravel(), minlength=NSS_BINS + 1)[:NSS_BINS] for c in range(bins.shape[-1])]
    )


@cache
def _nss_bins():
    taps = mx.array(gaussian_taps(1.0), mx.float32)  # three sigma: seven taps

    def window(x: mx.array) -> mx.array:
        return correlate(correlate(x, taps[:, None]), taps[None, :])

    def bins(levels: mx.array) -> mx.array:
        x = levels - levels.mean(axis=(1, 2), keepdims=True)  # changes nothing but the rounding
        mean = window(x)
        deviation = mx.sqrt(mx.maximum(window(x * x) - mean * mean, 0))
        normalised = (x[:, _REACH:-_REACH, _REACH:-_REACH] - mean) / (deviation + 1)
        product = normalised[:, :-1, :-1] * normalised[:, 1:, 1:]
        index = mx.floor((product + NSS_RANGE) * (NSS_BINS / (2 * NSS_RANGE)))
        return mx.where((index >= 0) & (index < NSS_BINS), index, NSS_BINS).astype(mx.int32)

    return mx.compile(bins)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the squared Jensen-Shannon distance of histograms, in nats: 0 for equal ones, ln 2 for disjoint ones.

    D = KL(p || m) / 2 + KL(q || m) / 2, m = (p + q) / 2. With two histograms of `nss_histogram` this is JSD-NSS.

    Shape: two of (..., bins), counts or shares -> (...)
    Raises: ValueError for unequal shapes, negative entries or an empty histogram.
    Reference: Lin 1991, 'Divergence measures based on the Shannon entropy'. doi:10.1109/18.61115
    """
    p, q = _shares("jensen_shannon", p, q)
    middle = (p + q) / 2
    return np.maximum(_relative_entropy(p, middle) + _relative_entropy(q, middle), 0) / 2


def kullback_leibler(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the Kullback-Leibler divergence KL(p || q) of histograms, in nats.

    Both get 1e-6 added to the share of every bin and are brought to a sum of one again, so that an empty bin of ``q``
    costs much but not everything. ``p`` is the film, ``q`` what is compared with it.

    Shape: two of (..., bins), counts or shares -> (...)
    Raises: ValueError for unequal shapes, negative entries or an empty histogram.
    Reference: Kullback and Leibler 1951, 'On information and sufficiency'. doi:10.1214/aoms/1177729694
    """
    p, q = (x + _FLOOR for x in _shares("kullback_leibler", p, q))
    return _relative_entropy(p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True))


def _shares(caller: str, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if p.shape != q.shape or not p.ndim:
        raise ValueError(f"{caller} expects two histograms of one shape, got {p.shape} and {q.shape}")
    for x in (p, q):
        if not (x >= 0).all() or not (x.sum(-1) > 0).all():
            raise ValueError(f"{caller} expects histograms of counts or shares, none negative, not all zero")
    return p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    present = p > 0
    return np.where(present, p * np.log(np.where(present, p, 1) / np.where(present, q, 1)), 0).sum(-1)
