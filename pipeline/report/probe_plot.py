"""The plot of probe accuracies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avkd.pipeline.report.content import ProbeResult
from avkd.pipeline.report.numbers import labels
from avkd.pipeline.report.plots import Plot, Theme, draw_legend, draw_twice, series_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
            _draw_bars(axes, theme, chosen, places, width, series_colour(name, names, theme))
        axes.set_xticks(range(len(groups)), [labels(group) for group in groups])
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.set_ylim(0, 100)
        axes.set_ylabel("accuracy, %")
        if chance is not None:
            axes.axhline(100 * chance, color=theme.faint, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(-0.58, 100 * chance + 1, "chance", color=theme.faint, fontsize=8)
        draw_legend(axes, theme, len(names))

    return draw_twice(draw, (8.4, 3.9), f"Probe accuracy. {alt}.")


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
