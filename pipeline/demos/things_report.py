"""The demo's page: the general report with the demo's own story and numbers on top."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from avkd.pipeline.demos.probe_scores import SeedMeans, gather_scores
from avkd.pipeline.report.content import Headline, ProbeResult, ReportContent
from avkd.pipeline.report.facts import read_loss_curve
from avkd.pipeline.report.gathering import gather_report
from avkd.pipeline.report.numbers import percent
from avkd.pipeline.report.report import write_report

Scores = Mapping[str, Mapping[str, SeedMeans]]

DETAILS = {
    "distilled": "a student that never got a label",
    "scratch": "the same network, trained on the labels alone",
    "random": "the same network, untrained",
    "teacher": "what the teachers said of the pictures",
}


def write_demo_report(
    file: Path,
    store: Path,
    runs: Sequence[Path],
    evaluations: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> str:
    """Write the page and return its absolute path."""
    content = gather_report(str(store), [str(run) for run in runs], num_frames=12, simulated=True)
    return write_report(_tell_demo(content, runs, evaluations, seconds), str(file))


def _tell_demo(
    content: ReportContent,
    runs: Sequence[Path],
    evaluations: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> ReportContent:
    scores = gather_scores(evaluations)
    curves = (read_loss_curve(str(run), name="distilled") for run in runs)
    return replace(
        content,
        title="A student that learned to hear from what teachers saw",
        sentences=_sentences(content, scores["all"], len(runs)),
        headlines=tuple(
            Headline(value=percent(scores["all"][name].mean), label=name, detail=detail)
            for name, detail in DETAILS.items()
            if name in scores["all"]
        ),
        probes=tuple(
            ProbeResult(
                name=name,
                accuracies=row[name].values,
                labels_per_class=0 if labels == "all" else int(labels),
            )
            for labels, row in scores.items()
            for name in DETAILS
            if name in row
        ),
        losses=tuple(curve for curve in curves if curve),
        tables=(),
        seconds=seconds,
    )


def _sentences(
    content: ReportContent, scores: Mapping[str, SeedMeans], num_runs: int
) -> tuple[str, ...]:
    facts = content.store
    assert facts is not None  # a demo has a store
    students = "One student" if num_runs == 1 else f"{num_runs} students"
    return (
        f"avkd made {facts.num_recordings} short videos of twelve kinds of things, each with its "
        "sound. Two ImageNet teachers looked at the pictures once, and what they said was stored.",
        f"{students} then learned from the sound of the unlabelled videos alone to say what the "
        "teachers had said. No label was used, and no teacher ran.",
        "Then every student was frozen, and a linear probe was fitted to a few labelled sounds, "
        "beside controls: the same network trained on those labels, and untrained. Tested once on "
        f"recordings of their own, with all labels: distilled {percent(scores['distilled'].mean)}, "
        f"scratch {percent(scores['scratch'].mean)}, random {percent(scores['random'].mean)}.",
    )
