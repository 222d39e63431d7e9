"""The plot of precision over recall: a panel a group of recordings."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avkd.pipeline.report.content import PrecisionRecall
from avkd.pipeline.report.numbers import name_group
from avkd.pipeline.report.plots import Draw, Plot, Theme, draw_legend, draw_panels, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUM_COLUMNS = 4
RECALL_TICKS = (0.0, 0.5, 1.0)
ALONE_INCHES = (6.0, 4.2)
WIDTH_INCHES = 10.4
PANEL_INCHES = (WIDTH_INCHES / NUM_COLUMNS, 2.5)
LEGEND_INCHES = 0.4
TEACHER_DASHES = (0, (4, 1.6))


def recall_plot(curves: Sequence[PrecisionRecall]) -> Plot:
    """Draw every group's curves: teachers dashed, seeds of a student thin and their mean strong."""
    names = tuple(dict.fromkeys(curve.name for curve in curves))
    groups = tuple(dict.fromkeys(curve.group for curve in curves))
    num_columns = min(len(groups), NUM_COLUMNS)
    draws = [_panel(place, groups, curves, names) for place in range(len(groups))]
    num_rows = -(-len(groups) // num_columns)
    panels = (PANEL_INCHES[0] * num_columns, PANEL_INCHES[1] * num_rows + LEGEND_INCHES)
    inches = panels if len(groups) > 1 else ALONE_INCHES
    return draw_panels(draws, inches, _describe(curves, names, groups), num_columns=num_columns)


def _panel(
    place: int, groups: Sequence[str], curves: Sequence[PrecisionRecall], names: Sequence[str]
) -> Draw:
    group = groups[place]

    def draw(axes: "Axes", theme: Theme) -> None:
        for name in names:
            own = [curve for curve in curves if (curve.group, curve.name) == (group, name)]
            if own:
                _draw_curves(axes, own, series_colour(name, names, theme))
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.03)
        axes.set_xticks(RECALL_TICKS)
        if place + NUM_COLUMNS >= len(groups):  # nothing below
            axes.set_xlabel("recall")
            axes.tick_params(labelbottom=True)
        if place % NUM_COLUMNS == 0:
            axes.set_ylabel("precision")
        if len(groups) > 1:
            axes.set_title(name_group(group), color=theme.ink, fontsize=10)
        else:
            draw_legend(axes, theme, len(names))

    return draw


def _draw_curves(axes: "Axes", curves: Sequence[PrecisionRecall], colour: str) -> None:
    """Those of one name, which are its seeds."""
    precisions = np.array([curve.precisions for curve in curves])
    recalls = np.linspace(0, 1, precisions.shape[1])
    if len(curves) > 1:
        axes.plot(recalls, precisions.T, color=colour, linewidth=0.7, alpha=0.35)
    axes.plot(
        recalls,
        precisions.mean(axis=0),
        color=colour,
        linewidth=1.8,
        linestyle=TEACHER_DASHES if curves[0].is_teacher else "solid",
        label=curves[0].name,
    )


def _describe(
    curves: Sequence[PrecisionRecall], names: Sequence[str], groups: Sequence[str]
) -> str:
    told = []
    for group in groups:
        means = {
            name: [c.average_precision for c in curves if (c.group, c.name) == (group, name)]
            for name in names
        }
        numbers = ", ".join(f"{name} {np.mean(each):.3f}" for name, each in means.items() if each)
        told.append(f"{name_group(group)}: {numbers}")
    return f"Precision over recall. Mean precision of {'; of '.join(told)}."
