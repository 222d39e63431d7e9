"""The plots of a report, each drawn for a light and a dark page.

Matplotlib's figures are used without pyplot: no global state, no display.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avkd.pipeline.report.content import ConfusionMatrix, LossCurve
from avkd.pipeline.report.thumbnails import data_uri

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 160
LEGEND_COLUMNS = 6
PANEL_GAP = 0.08
"""In widths of a panel."""


@dataclass(frozen=True, kw_only=True)
class Theme:
    """The colours of a page; the series are told apart under the common colour blindnesses."""

    ink: str
    faint: str
    grid: str
    low: str
    high: str
    series: tuple[str, ...]


# The hues of Okabe and Ito (2008), lifted for the dark page.
LIGHT = Theme(
    ink="#24292f",
    faint="#6b7280",
    grid="#e5e7eb",
    low="#ffffff",
    high="#0b5c94",
    series=("#0072b2", "#e69f00", "#8f959e", "#009e73", "#cc79a7", "#d55e00", "#7b5ea7"),
)
DARK = Theme(
    ink="#e6e6e3",
    faint="#9aa0a8",
    grid="#33383f",
    low="#1c2026",
    high="#58b4ee",
    series=("#56b4e9", "#f0b429", "#9aa0a8", "#2bc59a", "#e39cc4", "#f08a4b", "#b39ddb"),
)
KNOWN_SERIES = ("distilled", "scratch", "random", "teacher", "mfcc")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot as two data URIs, and its text for those who do not see it."""

    light: str
    dark: str
    alt: str


Draw = Callable[["Axes", Theme], None]


def loss_plot(curves: Sequence[LossCurve]) -> Plot:
    """Draw every run's loss thinly and its running mean strongly."""
    names = tuple(dict.fromkeys(curve.name for curve in curves))
    ends = "; ".join(
        f"{curve.name} ends at {curve.losses[-1]:.3g}" for curve in curves if curve.losses
    )

    def draw(axes: "Axes", theme: Theme) -> None:
        from matplotlib.ticker import MaxNLocator

        named: set[str] = set()
        for curve in curves:
            colour = series_colour(curve.name, names, theme)
            label = None if curve.name in named else curve.name
            named.add(curve.name)
            axes.plot(curve.updates, curve.losses, color=colour, linewidth=0.8, alpha=0.3)
            axes.plot(
                curve.updates, running_mean(curve.losses), color=colour, linewidth=1.8, label=label
            )
        axes.set_xlabel("updates")
        axes.set_ylabel("training loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.01)
        draw_legend(axes, theme, len(names))

    return draw_twice(draw, (8.4, 3.5), f"Training loss by update. {ends}.")


def running_mean(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Average each value with its neighbours, over up to a tenth of the curve; shape (n,)."""
    numbers = np.asarray(values, dtype=np.float64)
    reach = len(numbers) // 20
    sums = np.concatenate([[0.0], np.cumsum(numbers)])
    places = np.arange(len(numbers))
    # As many neighbours before as after, or the ends of a falling curve would be drawn too low.
    reach_here = np.minimum(reach, np.minimum(places, len(numbers) - 1 - places))
    starts, ends = places - reach_here, places + reach_here + 1
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def confusion_plot(matrix: ConfusionMatrix) -> Plot:
    """Draw the counts over the share of each true class."""
    totals = np.maximum(matrix.counts.sum(axis=1, keepdims=True), 1)
    shares = matrix.counts / totals
    num_classes = len(matrix.class_names)
    right = int(np.trace(matrix.counts))

    def draw(axes: "Axes", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("share", [theme.low, theme.high])
        axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        for true, taken in zip(*np.nonzero(matrix.counts), strict=True):
            ink = theme.low if shares[true, taken] > 0.55 else theme.ink
            text = str(int(matrix.counts[true, taken]))
            axes.text(taken, true, text, ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(range(num_classes), matrix.class_names, rotation=40, ha="right")
        axes.set_yticks(range(num_classes), matrix.class_names)
        axes.set_xlabel("taken for")
        axes.set_ylabel("true class")
        axes.grid(visible=False)

    side = min(9.0, 2.6 + 0.42 * num_classes)
    alt = f"Confusion matrix: {right} of {int(matrix.counts.sum())} right."
    return draw_twice(draw, (side, side * 0.94), alt)


def draw_twice(draw: Draw, inches: tuple[float, float], alt: str) -> Plot:
    """One plot for both themes."""
    return draw_panels((draw,), inches, alt, num_columns=1)


def draw_panels(
    draws: Sequence[Draw], inches: tuple[float, float], alt: str, *, num_columns: int
) -> Plot:
    """Plots beside each other that share their axes, for both themes."""
    light, dark = (_draw_once(draws, inches, theme, num_columns) for theme in (LIGHT, DARK))
    return Plot(light=light, dark=dark, alt=alt)


def _draw_once(
    draws: Sequence[Draw], inches: tuple[float, float], theme: Theme, num_columns: int
) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches)
    figure.set_layout_engine("constrained", wspace=PANEL_GAP if num_columns > 1 else None)
    FigureCanvasAgg(figure)
    num_rows = -(-len(draws) // num_columns)
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharex=True, sharey=True).flat
    for axes, draw in zip_longest(grid, draws):
        if draw is None:
            axes.remove()
            continue
        _calm(axes, theme)
        draw(axes, theme)
    if len(draws) > 1:
        _share_legend(figure, theme)
    stream = BytesIO()
    # No version or time in the file: the same content gives the same bytes.
    figure.savefig(
        stream, format="png", dpi=DOTS_PER_INCH, transparent=True, metadata={"Software": None}
    )
    return data_uri(stream.getvalue(), "image/png")


def _share_legend(figure: "Figure", theme: Theme) -> None:
    """One legend for all panels, of every series once."""
    pairs = (zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes)
    handles = {label: handle for panel in pairs for handle, label in panel}
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=min(len(handles), LEGEND_COLUMNS),
        **_legend_style(theme),
    )


def _calm(axes: "Axes", theme: Theme) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.grid)
    axes.tick_params(colors=theme.faint, labelcolor=theme.ink, length=0, labelsize=9)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(theme.faint)
    axes.yaxis.label.set_color(theme.faint)


def draw_legend(axes: "Axes", theme: Theme, num_columns: int) -> None:
    """Name the series above a plot."""
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=min(num_columns, LEGEND_COLUMNS),
        **_legend_style(theme),
    )


def _legend_style(theme: Theme) -> dict[str, Any]:
    return {
        "frameon": False,
        "labelcolor": theme.ink,
        "fontsize": 9,
        "handlelength": 1.2,
        "columnspacing": 1.6,
    }


def series_colour(name: str, names: Sequence[str], theme: Theme) -> str:
    """Give a series its colour: a known one always the same, the others what is left."""
    if name in KNOWN_SERIES:
        return theme.series[KNOWN_SERIES.index(name)]
    taken = {KNOWN_SERIES.index(other) for other in names if other in KNOWN_SERIES}
    free = [colour for place, colour in enumerate(theme.series) if place not in taken]
    others = [other for other in names if other not in KNOWN_SERIES]
    return free[others.index(name) % len(free)]
