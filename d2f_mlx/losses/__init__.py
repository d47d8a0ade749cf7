"""Losses: pure functions (prediction, target, ...) -> scalar mean, and how they are weighed against each other."""

from .adversarial import paired_hinge, relativistic_hinge, wasserstein_critic, wasserstein_generator
from .colour import delta_e_76, histogram_distance, sliced_wasserstein
from .frequency import fourier
from .grain import covariance, deviation, spectrum
from .metric import triplet_margin
from .penalty import (
    adapted,
    gradient_norms,
    gradient_penalty,
    interpolates,
    one_sided_penalty,
    penalty_weight,
    r1,
)
from .perceptual import FIDELITY, LPIPS_LAYERS, content_distance, fidelity, gram, gram_distance, lpips
from .pixel import charbonnier, mse, psnr, total_variation
from .schedule import NOTES, WeightSchedule, normalised, running_scale, weighted
from .structure import ms_ssim, ssim

__all__ = [
    "FIDELITY",
    "LPIPS_LAYERS",
    "NOTES",
    "WeightSchedule",
    "adapted",
    "charbonnier",
    "content_distance",
    "covariance",
    "delta_e_76",
    "deviation",
    "fidelity",
    "fourier",
    "gradient_norms",
    "gradient_penalty",
    "gram",
    "gram_distance",
    "histogram_distance",
    "interpolates",
    "lpips",
    "ms_ssim",
    "mse",
    "normalised",
    "one_sided_penalty",
    "paired_hinge",
    "penalty_weight",
    "psnr",
    "r1",
    "relativistic_hinge",
    "running_scale",
    "sliced_wasserstein",
    "spectrum",
    "ssim",
    "total_variation",
    "triplet_margin",
    "wasserstein_critic",
    "wasserstein_generator",
    "weighted",
]
