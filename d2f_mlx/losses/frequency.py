"""Losses of spectra."""

from __future__ import annotations

import math

import mlx.core as mx

from .pixel import alike, average


def fourier(prediction: mx.array, target: mx.array, amplitude_only: bool = False) -> mx.array:
    """Return the mean absolute difference of spectra, mean |F p - F t|.

    F is the orthonormal two-dimensional Fourier transform of each channel, of which the half that `rfft2` returns is
    averaged. The difference is complex and its size the modulus, as in DeepRFT (MIMO-UNet adds up the sizes of the real
    and the imaginary part).

    Args:
        prediction: Pictures.
        target: What they should be.
        amplitude_only: Compare only how strong frequencies are, not where they lie: mean ||F p| - |F t||.

    Shape: (B, H, W, C), (B, H, W, C) -> ()
    Reference: Mao et al. 2021, 'Deep residual Fourier transformation for single image deblurring'. arXiv:2111.11745;
        Cho et al. 2021, 'Rethinking coarse-to-fine approach in single image deblurring'. arXiv:2108.05054
    """
    prediction, target = alike(prediction, target)
    if amplitude_only:
        return average(mx.abs(mx.abs(_transformed(prediction)) - mx.abs(_transformed(target))))
    return average(mx.abs(_transformed(prediction - target)))


def _transformed(pictures: mx.array) -> mx.array:
    return mx.fft.rfft2(pictures, axes=(1, 2)) * (1 / math.sqrt(pictures.shape[1] * pictures.shape[2]))
