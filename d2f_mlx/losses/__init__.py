"""Losses: pure functions (prediction, target, ...) -> scalar mean, and how they are weighed against each other."""

from .schedule import NOTES, WeightSchedule, normalised, running_scale, weighted

__all__ = [
    "NOTES",
    "WeightSchedule",
    "normalised",
    "running_scale",
    "weighted",
]
