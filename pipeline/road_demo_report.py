"""The road demo's page: the general report with the road's own story and numbers on top.

AP is a fraction, as ``avkd evaluate`` prints it; only the table beside the papers is in percent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avkd.pipeline.demo_box_scores import SHOWN, BoxMeans, tabulate_box_scores, write_mean
from avkd.pipeline.report.content import Headline, ReportContent, Table
from avkd.pipeline.report.gathering import gather_report
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.report.report import write_report

AP = "AP@0.5"
SEER = "teacher rgb"
"""How the teacher is called beside the students."""
WHO = {
    "phase": "hears two microphones, with an ear for phase",
    "mono": "the same, but hears one microphone twice",
    SEER: "sees the pictures",
}
AS_PAPERS = {
    "mAP@avg": "as_released_AP@avg",
    "mAP@0.5": "as_released_AP@0.5",
    "mAP@0.75": "as_released_AP@0.75",
    "CDx": "cd_released_x_percent",
    "CDy": "cd_released_y_percent",
    "MOTA": "MOTA",
    "ID switches": "id_switches",
}
"""Columns in percent but for the switches, and our numbers by the same rules."""
PAPER = ("44.05", "62.38", "41.46", "3.00", "2.24", "16.94", "1327")
PAPER_ROW = "StereoSoundNet on MAVD, by MM-DistillNet's authors"
PAPER_NOTE = (
    "Not comparable: the first row is of real streets (MAVD), heard by eight microphones and held "
    "to what a teacher saw. It is Gan et al.'s method (ICCV 2019) as MM-DistillNet's authors "
    "re-implemented it; Gan et al.'s own table could not be read [U]. AP and center distances are "
    "from the README of their code [S], MOTA and switches from their paper [S]. Our rows are of "
    "simulated drives, held to the truth, by the rules of that code [S]: AP averaged over IoU 0.50 "
    "to 0.90, no empty pictures, and as center distance one of widths and heights. Switches grow "
    "with the length of what is tracked."
)


@dataclass(frozen=True, kw_only=True)
class RoadStory:
    """What a demo made and measured."""

    store: Path
    truth: Path
    """Table of true boxes."""
    runs: Mapping[str, Sequence[Path]]
    """By variant, one a seed; the first variant is the one to look at."""
    scores: Mapping[str, BoxMeans]
    """By variant."""
    teacher: BoxMeans
    seconds: Mapping[str, float]

    @property
    def everyone(self) -> dict[str, BoxMeans]:
        """Scores of the students, then of the detector."""
        return {**self.scores, SEER: self.teacher}


def write_road_report(file: Path, story: RoadStory) -> str:
    """Write the page and return its absolute path."""
    runs = [str(run) for each in story.runs.values() for run in each]
    content = gather_report(str(story.store), runs, simulated=True, truth=str(story.truth))
    return write_report(tell_road(content, story), str(file))


def tell_road(content: ReportContent, story: RoadStory) -> ReportContent:
    """Put the road's story on top of a general report."""
    return replace(
        content,
        title="Students that hear where vehicles are, in pictures that they never saw",
        sentences=tuple(_sentences(content, story)),
        headlines=tuple(
            Headline(
                value=_mean(means, "all"),
                label=f"{AP}, {who}",
                detail=_describe_headline(who, means),
            )
            for who, means in story.everyone.items()
        ),
        tables=(_table_scores(story), _table_papers(story)),
        seconds=story.seconds,
    )


def _sentences(content: ReportContent, story: RoadStory) -> Iterator[str]:
    facts = content.store
    assert facts is not None  # a demo has a store
    yield (
        f"avkd made {counted(facts.num_recordings, 'drive')} past a camera with two microphones. "
        "A small detector learned from the boxes of some of them, then looked at all pictures "
        "once, and what it found was stored."
    )
    num_runs = sum(map(len, story.runs.values()))
    yield (
        f"{counted(num_runs, 'student')} ({', '.join(story.runs)}) then learned, from the sound of "
        "other drives alone, to say where the detector had found vehicles. They saw no picture and "
        "no true box."
    )
    for group, where in (("all", "all"), ("light=day", "day"), ("light=night", "night")):
        told = ", ".join(f"{who} {_mean(means, group)}" for who, means in story.everyone.items())
        yield f"Held to the truth of {where} test drives, {AP}: {told}."


def _describe_headline(who: str, means: BoxMeans) -> str:
    lights = f"by day {_mean(means, 'light=day')}, by night {_mean(means, 'light=night')}"
    return f"{WHO[who]}; {lights}" if who in WHO else lights


def _table_scores(story: RoadStory) -> Table:
    return Table(
        title="Students that hear beside the detector that sees, held to the truth",
        header=("test drives", "who", *SHOWN),
        rows=tuple(tabulate_box_scores(story.everyone)),
        note="Mean, and in brackets the standard deviation over seeds where there are several. "
        "CDx, in percent of the picture's width, is that of the share of vehicles that were "
        "matched (match_rate); MOTA and switches of identity by TrackEval. A number that does not "
        "exist is a dash. All other numbers stand above.",
    )


def _table_papers(story: RoadStory) -> Table:
    ours = (
        (f"{who}, simulated", *(_in_percent(means, name) for name in AS_PAPERS.values()))
        for who, means in story.everyone.items()
    )
    return Table(
        title="Beside the papers, in percent: other data, not comparable",
        header=("", *AS_PAPERS),
        rows=((PAPER_ROW, *PAPER), *ours),
        note=PAPER_NOTE,
    )


def _mean(means: BoxMeans, group: str) -> str:
    return write_mean(AP, means.get(group, {}).get(AP))


def _in_percent(means: BoxMeans, metric: str) -> str:
    is_fraction = metric == "MOTA" or "AP" in metric
    scale = 100.0 if is_fraction else 1.0
    return write_mean(metric, means["all"].get(metric), digits=2, scale=scale)
