"""A comparison as a picture: a point for every seed, a line for every mean.

Matplotlib's figures are used without pyplot: no global state, no display.
"""

from io import BytesIO
from math import isfinite
from typing import TYPE_CHECKING

from avkd.pipeline.report.plots import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from avkd.pipeline.compare import Comparison, GroupScores

WIDTH_INCHES = 7.5
BAR = 0.28
"""Half the length of the line of a mean; groups are 1 apart."""


def draw_comparison(comparison: "Comparison") -> bytes:
    """The tested metric of every group as SVG; equal comparisons give equal bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    lines = (*comparison.groups, *comparison.teachers)
    with rc_context({"svg.hashsalt": "avkd", "svg.fonttype": "none"}):
        figure = Figure(figsize=(WIDTH_INCHES, 1.1 + 0.42 * len(lines)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        for place, scores in enumerate(lines):
            _draw_line(axes, scores, comparison.metric, place)
        _label(axes, comparison, [scores.name for scores in lines])
        stream = BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _draw_line(axes: "Axes", scores: "GroupScores", metric: str, place: int) -> None:
    colour = LIGHT.series[place % len(LIGHT.series)]
    values = [value for value in scores.values[metric] if isfinite(value)]
    axes.scatter(values, [place] * len(values), s=26, color=colour, alpha=0.7, zorder=3)
    summary = scores.summarise(metric)
    if summary is not None:
        axes.vlines(summary.mean, place - BAR, place + BAR, color=LIGHT.ink, linewidth=2, zorder=2)


def _label(axes: "Axes", comparison: "Comparison", names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(comparison.metric)
    axes.set_title(str(comparison.protocol), fontsize=9, color=LIGHT.faint, loc="left")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LIGHT.grid)
    axes.set_axisbelow(True)
