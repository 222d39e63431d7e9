"""The plots of a report, each drawn for a light and a dark page.

Matplotlib's figures are used without pyplot: no global state, no display.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avkd.pipeline.report.content import ConfusionMatrix, LossCurve, ProbeResult
from avkd.pipeline.report.numbers import labels
from avkd.pipeline.report.thumbnails import data_uri

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS_PER_INCH = 160


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


def probe_plot(probes: Sequence[ProbeResult], chance: float | None) -> Plot:
    """Draw bars of mean accuracy by number of labels, with sd and a dot for every seed."""
    names = tuple(dict.fromkeys(probe.name for probe in probes))
    groups = sorted({probe.labels_per_class for probe in probes}, key=lambda n: (n == 0, n))
    alt = "; ".join(
        f"{probe.name}, {labels(probe.labels_per_class)}: {100 * probe.mean:.1f} percent"
        for probe in probes
    )

    def draw(axes: "Axes", theme: Theme) -> None:
        width = min(0.8 / len(names), 0.25)
        for name in names:
            offset = (names.index(name) - (len(names) - 1) / 2) * width
            chosen = [probe for probe in probes if probe.name == name]
            places = [groups.index(probe.labels_per_class) + offset for probe in chosen]
            _draw_bars(axes, theme, chosen, places, width, _colour(name, names, theme))
        axes.set_xticks(range(len(groups)), [labels(group) for group in groups])
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy, %")
        if chance is not None:
            axes.axhline(100 * chance, color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(-0.58, 100 * chance + 1, "chance", color=theme.faint, fontsize=8)
        _legend(axes, theme, len(names))

    return _draw_twice(draw, (8.4, 3.9), f"Probe accuracy. {alt}.")


def _draw_bars(
    axes: "Axes",
    theme: Theme,
    probes: Sequence[ProbeResult],
    places: Sequence[float],
    width: float,
    colour: str,
) -> None:
    axes.bar(
        places,
        [100 * probe.mean for probe in probes],
        width * 0.88,
        color=colour,
        label=probes[0].name,
        zorder=2,
    )
    for probe, place in zip(probes, places, strict=True):
        values = [100 * value for value in probe.accuracies]
        top = max(max(values), 100 * (probe.mean + probe.sd))
        if len(values) > 1:
            axes.errorbar(
                place, 100 * probe.mean, 100 * probe.sd, color=theme.ink, capsize=3, zorder=3
            )
            spread = np.linspace(-0.18, 0.18, len(values)) * width
            axes.scatter(place + spread, values, s=7, color=theme.ink, alpha=0.55, zorder=4)
        axes.text(
            place,
            min(top + 1.5, 101),
            f"{100 * probe.mean:.0f}",
            ha="center",
            color=theme.ink,
            fontsize=8.5,
        )


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
            colour = _colour(curve.name, names, theme)
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
        _legend(axes, theme, len(names))

    return _draw_twice(draw, (8.4, 3.5), f"Training loss by update. {ends}.")


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
    return _draw_twice(draw, (side, side * 0.94), alt)


def _draw_twice(draw: Draw, inches: tuple[float, float], alt: str) -> Plot:
    return Plot(light=_draw_once(draw, inches, LIGHT), dark=_draw_once(draw, inches, DARK), alt=alt)


def _draw_once(draw: Draw, inches: tuple[float, float], theme: Theme) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _calm(axes, theme)
    draw(axes, theme)
    stream = BytesIO()
    # No version or time in the file: the same content gives the same bytes.
    figure.savefig(
        stream, format="png", dpi=DOTS_PER_INCH, transparent=True, metadata={"Software": None}
    )
    return data_uri(stream.getvalue(), "image/png")


def _calm(axes: "Axes", theme: Theme) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(theme.grid)
    axes.tick_params(colors=theme.faint, labelcolor=theme.ink, length=0, labelsize=9)
    axes.grid(axis="y", color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.label.set_color(theme.faint)
    axes.yaxis.label.set_color(theme.faint)


def _legend(axes: "Axes", theme: Theme, num_columns: int) -> None:
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=min(num_columns, 6),
        frameon=False,
        labelcolor=theme.ink,
        fontsize=9,
        handlelength=1.2,
        columnspacing=1.6,
    )


def _colour(name: str, names: Sequence[str], theme: Theme) -> str:
    """Give a series its colour: a known one always the same, the others what is left."""
    if name in KNOWN_SERIES:
        return theme.series[KNOWN_SERIES.index(name)]
    taken = {KNOWN_SERIES.index(other) for other in names if other in KNOWN_SERIES}
    free = [colour for place, colour in enumerate(theme.series) if place not in taken]
    others = [other for other in names if other not in KNOWN_SERIES]
    return free[others.index(name) % len(free)]
