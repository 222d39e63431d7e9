"""A report about a store and any runs that learned from it."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from avkd import __version__
from avkd.pipeline.report.content import (
    NUM_STILLS,
    NUM_VIDEOS,
    BoxesContent,
    LossCurve,
    ProbeResult,
    ReportContent,
    StoreFacts,
    Table,
)
from avkd.pipeline.report.facts import (
    gather_probes,
    read_box_reports,
    read_class_map_reports,
    read_confusion,
    read_evaluations,
    read_loss_curve,
    read_row_reports,
    read_store_facts,
)
from avkd.pipeline.report.gallery import gather_gallery
from avkd.pipeline.report.numbers import counted, labels, percent
from avkd.pipeline.report.run_names import find_all_runs, name_students
from avkd.storage.store import Store

LIBRARIES = ("torch", "onnxruntime", "av", "decord", "zarr", "numpy")


def gather_report(
    store: str,
    runs: Sequence[str] = (),
    *,
    num_frames: int = 12,
    simulated: bool = False,
    truth: str | None = None,
    num_stills: int = NUM_STILLS,
    num_videos: int = NUM_VIDEOS,
) -> ReportContent:
    """Read all that a page tells.

    ``runs`` may be folders of seeds. ``truth``, stills and videos are of runs that were evaluated
    by their boxes (``gather_boxes``).

    Raises:
        StoreNotFoundError: there is no such store or run.
        CorpusError: ``truth`` is no table of boxes.
    """
    runs = find_all_runs(runs)
    opened = Store.open(store)
    facts = read_store_facts(opened)
    evaluations = tuple(one for run in runs for one in read_evaluations(run))
    datasets = tuple(dict.fromkeys(one["dataset"] for one in evaluations))
    main = [one for one in evaluations if one["dataset"] == datasets[0]] if datasets else []
    probes = gather_probes(main)
    return ReportContent(
        title=f"avkd: {Path(store).name or store}",
        simulated=simulated,
        sentences=tuple(_sentences(facts, probes, datasets, len(runs))),
        probes=probes,
        chance=1 / len(main[0]["class_names"]) if main else None,
        losses=tuple(_read_losses(runs)),
        store=facts,
        gallery=gather_gallery(opened, num_items=num_frames),
        confusion=read_confusion(main[0]) if main else None,
        tables=(
            *_tables(evaluations),
            *_row_tables([one for run in runs for one in read_row_reports(run)]),
            *_class_map_tables([one for run in runs for one in read_class_map_reports(run)]),
        ),
        boxes=_gather_boxes(store, runs, truth, num_stills, num_videos),
        provenance={**describe_software(), "store": opened.url, **_name_runs(runs)},
    )


def _gather_boxes(
    store: str, runs: Sequence[str], truth: str | None, num_stills: int, num_videos: int
) -> BoxesContent | None:
    if not any(read_box_reports(run) for run in runs):
        return None
    # Not before: what it needs of evaluation imports torch.
    from avkd.pipeline.report.boxes import gather_boxes

    return gather_boxes(store, runs, truth=truth, num_stills=num_stills, num_videos=num_videos)


def _read_losses(runs: Sequence[str]) -> Iterator[LossCurve]:
    """Seeds of several students share a name and a colour; those of one are told apart."""
    names = name_students(runs)
    is_one = len(set(names.values())) == 1
    for run in runs:
        curve = read_loss_curve(run, "" if is_one else names[run])
        if curve is not None:
            yield curve


def describe_software() -> dict[str, str]:
    """Give the versions that decide results."""
    found = {"avkd": __version__, "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # decord is not everywhere
            continue
    return found


def _name_runs(runs: Sequence[str]) -> Mapping[str, str]:
    return {"runs": ", ".join(runs)} if runs else {}


def _sentences(
    facts: StoreFacts, probes: Sequence[ProbeResult], datasets: Sequence[str], num_runs: int
) -> Iterator[str]:
    num_ok = facts.statuses.get("ok", 0)
    yield (
        f"{counted(facts.num_recordings, 'recording')} became {counted(facts.num_clips, 'clip')}; "
        f"{num_ok} of them are whole for every teacher and input."
    )
    if facts.failures:
        yield "The others are rows with a status and a reason, listed below; none is lost."
    if probes:
        best = max(probe.labels_per_class for probe in probes)
        asked = 0 if any(probe.labels_per_class == 0 for probe in probes) else best
        told = ", ".join(
            f"{probe.name} {percent(probe.mean)}"
            for probe in probes
            if probe.labels_per_class == asked
        )
        yield f"On {datasets[0]}, with {labels(asked)}, over {counted(num_runs, 'run')}: {told}."


def _tables(evaluations: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    for evaluation in evaluations:
        yield Table(
            title=f"{Path(evaluation['run']).name} on {evaluation['dataset']}",
            header=("features", "layer", "labels", "accuracy", "sd", "95 % of resampled tests"),
            rows=tuple(
                (
                    score["features"],
                    score["layer"],
                    labels(score["labels_per_class"]),
                    percent(score["mean"]),
                    percent(score["sd"]) if len(score["accuracies"]) > 1 else "\N{EN DASH}",
                    f"{percent(score['low'])} to {percent(score['high'])}",
                )
                for score in evaluation["scores"]
            ),
            note=f"{evaluation['num_clips']} clips of {len(evaluation['class_names'])} classes; "
            f"left out in turn: {', '.join(evaluation['trials'])}.",
        )


def _row_tables(reports: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Scores on stored rows: the student's, and those of teachers beside it."""
    for report in reports:
        metrics = tuple(report["scores"][0]["metrics"])
        yield Table(
            title=f"{Path(report['run']).name} on the rows of {report['split'] or 'all splits'}",
            header=("who", "rows", *metrics),
            rows=tuple(
                (
                    score["name"],
                    str(score["num_rows"]),
                    *(_number(score["metrics"].get(name)) for name in metrics),
                )
                for score in report["scores"]
            ),
            note=" ".join(report["notes"]),
        )


def _class_map_tables(reports: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """What pixels are said to be: the student's scores, and those of teachers, by group."""
    for report in reports:
        metrics = tuple(report["scores"][0]["metrics"])
        of_split = report["split"] or "all splits"
        held_to = "the truth" if report["is_truth"] else report["against"]
        yield Table(
            title=f"{Path(report['run']).name}: class maps of {of_split}, held to {held_to}",
            header=("who", "where", "rows", *metrics),
            rows=tuple(
                (
                    score["name"],
                    group["group"],
                    str(group["num_rows"]),
                    *(_number(group["metrics"].get(name)) for name in metrics),
                )
                for score in report["scores"]
                for group in score["groups"]
            ),
            note=" ".join(report["notes"]),
        )


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.3f}"
