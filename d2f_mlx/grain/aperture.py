"""What pixels, discs and a scanner's spread leave of a noise power spectrum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Power = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def seen_power(frequency: np.ndarray, spectrum: np.ndarray, pitch_um: float, seen_um: float, blur_um: float) -> Power:
    """Return the power of a picture's grain before it is sampled, as a function of (f_y, f_x, mode), cycles/um.

    A pixel averages over its square; ``blur_um`` is the scanner's own spread before that. What a fitted spectrum holds
    already (it was seen through a pixel of ``seen_um``) is not applied twice, and nothing is invented beyond that
    scan's Nyquist frequency.

    Args:
        frequency: Cycles per millimetre, rising. Shape (F,)
        spectrum: Power of each mode at it. Shape (F, M)
        pitch_um: The picture's pixel pitch on the film.
        seen_um: Pixel pitch through which the spectrum was measured; 0 for the film's own.
        blur_um: Deviation of the scanner's Gaussian spread.
    """

    def power(f_y: np.ndarray, f_x: np.ndarray, mode: int) -> np.ndarray:
        radial = np.interp(np.hypot(f_y, f_x) * 1000, frequency, spectrum[:, mode], right=0.0)
        radial = radial * np.exp(-((2 * np.pi * blur_um) ** 2) * (f_y**2 + f_x**2))
        return radial * _aperture(f_y, pitch_um, seen_um) * _aperture(f_x, pitch_um, seen_um)

    return power


def pixel_variance(
    frequency: np.ndarray, spectrum: np.ndarray, *, pitch_um: float, seen_um: float = 0.0, blur_um: float = 0.0
) -> np.ndarray:
    """Integrate a spectrum through a pixel: the variance of each mode in a scan, in the spectrum's unit times mm^-2.

    Arguments as for `seen_power`.

    Shape: -> (M,)
    """
    power = seen_power(frequency, spectrum, pitch_um, seen_um, blur_um)
    return _integral(lambda f, angle, m: power(f * np.sin(angle), f * np.cos(angle), m), frequency, spectrum.shape[1])


def disc_variance(frequency: np.ndarray, spectrum: np.ndarray, *, diameter_um: float) -> np.ndarray:
    """Integrate a spectrum through a disc: sigma_A^2 = integral of W(f) [2 J1(pi d f) / (pi d f)]^2.

    Shape: -> (M,)
    Reference: Dainty and Shaw 1974, ch. 8
    """
    power = seen_power(frequency, spectrum, 1e-6, 0.0, 0.0)

    def seen(f: np.ndarray, angle: np.ndarray, mode: int) -> np.ndarray:
        return power(0 * angle, f + 0 * angle, mode) * disc_response(f * diameter_um) ** 2

    return _integral(seen, frequency, spectrum.shape[1])


def disc_response(cycles: np.ndarray) -> np.ndarray:
    """Give a disc's amplitude response 2 J1(pi x) / (pi x), x in cycles a diameter: cosines' mean over the disc."""
    t = (np.arange(256) + 0.5) * (np.pi / 256)  # across the disc: x = cos t, chord sin t, dx = sin t dt
    return (np.cos(np.pi * np.asarray(cycles)[..., None] * np.cos(t)) * np.sin(t) ** 2).mean(-1) * 2


def _integral(power, frequency: np.ndarray, modes: int) -> np.ndarray:
    """Integrate over the frequency plane in polar coordinates, in mm^-2."""
    f = (np.arange(1024) + 0.5) * (frequency[-1] / 1024 / 1000)
    angle = (np.arange(16) + 0.5) * (np.pi / 2 / 16)
    ring = [(power(f[:, None], angle[None], mode).mean(1) * f).sum() for mode in range(modes)]
    return np.array(ring) * 2 * np.pi * (f[1] - f[0]) * 1e6


def _aperture(f: np.ndarray, pitch_um: float, seen_um: float) -> np.ndarray:
    """Power response of a pixel in one direction, beyond what the spectrum was seen through."""
    if seen_um == 0:
        return np.sinc(f * pitch_um) ** 2
    cycles = f * seen_um
    inside = (cycles >= -0.5 - 1e-9) & (cycles < 0.5 - 1e-9)  # half open: two aliases meet at the Nyquist frequency
    if pitch_um <= seen_um:
        return np.where(inside, 1.0, 0.0)
    return np.where(inside, np.sinc(f * pitch_um) ** 2 / np.sinc(np.clip(cycles, -0.5, 0.5)) ** 2, 0.0)
