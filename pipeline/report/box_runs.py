"""What ``avkd evaluate`` said of the boxes of runs, seeds of one student together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from avkd.pipeline.report.facts import read_box_reports
from avkd.pipeline.report.run_names import find_all_runs, name_students

Report: TypeAlias = Mapping[str, Any]
"""An ``evaluation-boxes-....json``: the fields of ``BoxesReport``."""


@dataclass(frozen=True, kw_only=True)
class BoxRun:
    """The seeds of one student."""

    name: str
    reports: Mapping[str, tuple[Report, ...]]
    """By what was asked (``evaluation_key``), the truth first: one of each seed that was asked."""


def read_box_runs(runs: Sequence[str]) -> tuple[BoxRun, ...]:
    """Those of the runs, or of folders of seeds, that were evaluated by their boxes.

    Raises:
        StoreNotFoundError: There is no run somewhere.
    """
    found: dict[str, dict[str, list[Report]]] = {}
    measured = {run: reports for run in find_all_runs(runs) if (reports := read_box_reports(run))}
    for run, name in name_students(tuple(measured)).items():
        for report in measured[run]:
            # A run that was moved says where it was.
            report = {**report, "run": run}
            asked = found.setdefault(name, {})
            asked.setdefault(evaluation_key(report), []).append(report)
    return tuple(
        BoxRun(name=name, reports={key: tuple(asked[key]) for key in sorted(asked)})
        for name, asked in found.items()
    )


def evaluation_key(report: Report) -> str:
    """What makes numbers comparable: reference, rows and rules; the truth before agreement."""
    is_agreement = report["reference"] != "truth"
    against = Path(report["against"]).name
    return "\n".join([str(int(is_agreement)), report["name"], against, report["store"]])
