"""What a page tells of runs that say where things are: curves, scores, stills and videos."""

from collections.abc import Sequence
from itertools import cycle

from avkd.errors import CorruptStoreError
from avkd.pipeline.report.box_recordings import read_shown
from avkd.pipeline.report.box_runs import BoxRun, Report, read_box_runs
from avkd.pipeline.report.box_stills import describe_choice, draw_stills
from avkd.pipeline.report.box_tables import tell_evaluations
from avkd.pipeline.report.box_videos import describe_videos, draw_videos
from avkd.pipeline.report.content import NUM_STILLS, NUM_VIDEOS, BoxesContent
from avkd.pipeline.report.overlays import TEACHERS
from avkd.pipeline.report.shown import ShownRun
from avkd.storage import objects
from avkd.storage.store import Store


def gather_boxes(
    store: str,
    runs: Sequence[str],
    *,
    truth: str | None = None,
    num_stills: int = NUM_STILLS,
    num_videos: int = NUM_VIDEOS,
) -> BoxesContent | None:
    """Read what ``avkd evaluate`` left in runs, and draw what was said on the store's recordings.

    ``runs`` may be folders of seeds. Stills and videos are of the first run that was evaluated on
    this store. ``truth`` is a table of true boxes to draw; by default that of its evaluation, where
    it is still there. None where no run was evaluated by its boxes.

    Raises:
        StoreNotFoundError: There is no such store or run.
        CorpusError: ``truth`` is no table of boxes.
    """
    found = read_box_runs(runs)
    if not found:
        return None
    evaluations = tell_evaluations(found)
    if not (num_stills or num_videos):
        return BoxesContent(evaluations=evaluations)
    opened = Store.open(store)
    chosen = _choose_report(found, opened.url)
    if chosen is None:
        elsewhere = f"no run was evaluated by its boxes on {store}, so that none are drawn"
        return BoxesContent(evaluations=evaluations, notes=(elsewhere,))
    run, report = chosen
    try:
        shown = read_shown(opened, report, truth)
    except CorruptStoreError as error:
        return BoxesContent(evaluations=evaluations, notes=(str(error),))
    stills, broken = draw_stills(shown, num_stills)
    videos, silent = draw_videos(shown, num_videos)
    whose = _name_student(run, report, shown)
    return BoxesContent(
        evaluations=evaluations,
        stills=stills,
        stills_note=f"{whose} {describe_choice(shown)}" if stills else "",
        videos=videos,
        videos_note=f"{whose} {describe_videos(shown)}" if videos else "",
        notes=(*shown.notes, *broken, *silent),
    )


def _choose_report(runs: Sequence[BoxRun], store: str) -> tuple[BoxRun, Report] | None:
    """Of the first run that was evaluated there: against the truth where it was."""
    return next(
        (
            (run, report)
            for run in runs
            for reports in run.reports.values()
            for report in reports
            if _absolute(report["store"]) == _absolute(store)
        ),
        None,
    )


def _name_student(run: BoxRun, report: Report, shown: ShownRun) -> str:
    """Whose boxes are drawn, and how."""
    several = any(len(reports) > 1 for reports in run.reports.values())
    seed = f", seed {report['seed']}," if several else ""
    others = ["thin and white what is true"] if shown.truth else []
    others += _name_teachers(shown.teachers, f"from {shown.teacher_min_score:g} on")
    said = (
        f"In colours, one a track: what {run.name}{seed} says from the sound alone, from a score "
        f"of {report['min_score']:g} on"
    )
    return f"{'; '.join([said, *others])}."


def _name_teachers(names: Sequence[str], scores: str) -> list[str]:
    if len(names) < 2:
        return [f"dashed what teacher {name} saw, {scores}" for name in names]
    told = [f"{name} ({colour})" for name, colour in zip(names, cycle(TEACHERS), strict=False)]
    return [f"dashed what teachers saw {scores}, {', '.join(told)}"]


def _absolute(url: str) -> str:
    local = objects.local_path(url)
    return url if local is None else str(local.resolve())
