"""How real developed pictures are: measured against real film, with anchors; what judges and features say; plots."""

from .distance import FIGURES, INDISTINGUISHABLE, Realism, compare
from .features import CONTENT, STYLE, FeatureComparison, Likeness, compare_features
from .figures import plot_measurement, plot_report
from .judgement import Judgement, judge
from .palette_figure import plot_palette
from .report import Report, realism

__all__ = [
    "CONTENT",
    "FIGURES",
    "INDISTINGUISHABLE",
    "STYLE",
    "FeatureComparison",
    "Judgement",
    "Likeness",
    "Realism",
    "Report",
    "compare",
    "compare_features",
    "judge",
    "plot_measurement",
    "plot_palette",
    "plot_report",
    "realism",
]
