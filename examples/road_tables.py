"""What the experiments on the simulated road share: how runs are scored, and the tables of scores.

Scores are of `avkd evaluate --truth`, by groups of test drives; a table says mean (sd) over seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiment import avkd, mean_sd, table

GROUPED = ("--by=light", "--by=view_split")
PLACES = ("all", "view_split=seen", "view_split=unseen")
LIGHTS = ("light=day", "light=dusk", "light=rain", "light=night")
TRACKS = {"MOTA": 100.0, "IDF1": 100.0, "HOTA": 100.0, "id_switches": 1.0}
AS_RELEASED = {
    **{f"as_released_AP@{at}": (100.0, 1) for at in ("avg", "0.5", "0.75")},
    **{f"cd_released_{axis}_percent": (1.0, 2) for axis in ("x", "y")},
    "MOTA": (100.0, 1),
    "id_switches": (1.0, 1),
}
"""The columns of the papers' tables: a factor and digits of each."""
TEACHER_MIN_SCORE = 0.5
"""From which a detector's boxes count in distances and tracks, as they do in the recipes; of
students, 0.3. Both were chosen on another road, each where MOTA is best."""
Scores = Sequence[Mapping[str, Any]]
"""One of each seed: by name, groups with their metrics."""


@dataclass(frozen=True, kw_only=True)
class Road:
    """The drives, what is true of them, and what the detectors said."""

    folder: Path
    store: Path

    @property
    def truth(self) -> str:
        """The table that evaluations read."""
        return str(self.folder / "truth" / "boxes.csv")


def evaluate(run: Path, road: Road, *words: str) -> dict[str, Any]:
    """Hold a run to the truth of the test drives; what names folders of this machine is left."""
    report = avkd(
        "evaluate", run, road.store, f"--truth={road.truth}", *GROUPED, "--tracking", *words
    )
    return {name: report[name] for name in ("scores", "notes")}


def evaluate_teacher(teacher: str, beside: Path, road: Road) -> dict[str, Any]:
    """Hold a stored detector to the truth, beside any run."""
    report = evaluate(
        beside, road, f"--teacher-targets={teacher}", f"--min-score={TEACHER_MIN_SCORE}"
    )
    return {"scores": report["scores"][1:], "notes": report["notes"]}


def gather(reports: Sequence[Mapping[str, Any]]) -> Scores:
    """The scores of each report."""
    return [report["scores"][0] for report in reports]


def say(scores: Scores, group: str, metric: str, scale: float = 100.0, *, digits: int = 1) -> str:
    """Mean (sd) of a metric in a group."""
    found = [
        each["metrics"].get(metric)
        for one in scores
        for each in one["groups"]
        if each["group"] == group
    ]
    values = [value for value in found if value is not None]
    if len(values) < len(scores):
        return "-"
    if len(values) == 1:
        return f"{scale * values[0]:.{digits}f}"
    return mean_sd(values, scale, digits)


def by_place(found: Mapping[str, Scores]) -> str:
    """AP of everything, of places of training and of unseen ones."""
    metrics = ("AP@0.5", "AP@0.5:0.95")
    header = ["row", *(f"{m}, {g.split('=')[-1]}" for g in PLACES for m in metrics)]
    return table(
        header,
        [[title, *(say(s, g, m) for g in PLACES for m in metrics)] for title, s in found.items()],
    )


def by_light(found: Mapping[str, Scores]) -> str:
    """AP@0.5 of each light."""
    header = ["row", *(group.split("=")[-1] for group in LIGHTS)]
    rows = [[title, *(say(s, group, "AP@0.5") for group in LIGHTS)] for title, s in found.items()]
    return table(header, rows)


def by_track(found: Mapping[str, Scores], group: str = "all") -> str:
    """Distances and tracks."""
    header = ["row", "CDx", "CDy", "match rate, %", "MOTA", "IDF1", "HOTA", "ID switches"]
    return table(
        header,
        [
            [
                title,
                *(say(s, group, f"{name}_percent", 1.0, digits=2) for name in ("CDx", "CDy")),
                say(s, group, "match_rate"),
                *(say(s, group, name, scale) for name, scale in TRACKS.items()),
            ]
            for title, s in found.items()
        ],
    )


def as_released(found: Mapping[str, Scores], papers: Sequence[Sequence[str]]) -> str:
    """Our rows in the form of the papers', then theirs."""
    rows = [
        [
            f"{title} (simulated)",
            *(say(s, "all", name, scale, digits=n) for name, (scale, n) in AS_RELEASED.items()),
        ]
        for title, s in found.items()
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*rows, *papers])
