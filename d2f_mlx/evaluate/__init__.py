"""How real developed grain is: measured against real film, with anchors; data sheets; what a judge network says."""

from .distance import FIGURES, INDISTINGUISHABLE, Realism, compare
from .figures import plot_measurement, plot_report
from .judgement import Judgement, judge
from .palette_figure import plot_palette
from .report import Report, realism

__all__ = [
    "FIGURES",
    "INDISTINGUISHABLE",
    "Judgement",
    "Realism",
    "Report",
    "compare",
    "judge",
    "plot_measurement",
    "plot_palette",
    "plot_report",
    "realism",
]
