"""The road demo's page: the general report with the road's own story and numbers on top.

AP is a fraction, as ``avkd evaluate`` prints it; only the table beside the papers is in percent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avkd.pipeline.demos.box_scores import SHOWN, BoxMeans, tabulate_box_scores, write_mean
from avkd.pipeline.demos.road_papers import COLUMNS, find_paper_rows
from avkd.pipeline.demos.road_presets import RING, STEREO
from avkd.pipeline.report.content import Headline, ReportContent, Table
from avkd.pipeline.report.gathering import gather_report
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.report.report import write_report

AP = "AP@0.5"
SMALL_NUMBERS = {1: "one", 2: "two", 3: "three", 8: "eight"}
SEES = "sees the pictures"


@dataclass(frozen=True, kw_only=True)
class RoadTale:
    """What is told of the demo of a recipe."""

    title: str
    who: Mapping[str, str]
    """What each student, and ``teacher NAME``, hears or sees."""
    headline_group: str
    """Whose number stands in large type: ``all`` or ``light=night``."""


TALES = {
    STEREO: RoadTale(
        title="Students that hear where vehicles are, in pictures that they never saw",
        who={
            "phase": "hears two microphones, with an ear for phase",
            "mono": "the same, but hears one microphone twice",
            "teacher rgb": SEES,
        },
        headline_group="all",
    ),
    RING: RoadTale(
        title="Hearing in the dark: students of detectors that see colours, distance and warmth",
        who={
            "ring": "hears eight microphones, taught by three detectors",
            "rgb": "hears the same, taught by the camera's detector alone",
            "teacher rgb": SEES,
            "teacher depth": "sees how far away things are",
            "teacher thermal": "sees how warm things are",
        },
        headline_group="light=night",
    ),
}
"""By recipe."""


@dataclass(frozen=True, kw_only=True)
class RoadStory:
    """What a demo made and measured."""

    recipe: str
    store: Path
    truth: Path
    """Table of true boxes."""
    num_microphones: int
    runs: Mapping[str, Sequence[Path]]
    """By variant, one a seed; the first variant is the one to look at."""
    scores: Mapping[str, BoxMeans]
    """By variant."""
    teachers: Mapping[str, BoxMeans]
    """By name."""
    seconds: Mapping[str, float]

    @property
    def everyone(self) -> dict[str, BoxMeans]:
        """Scores of the students, then of the detectors."""
        return name_everyone(self.scores, self.teachers)

    @property
    def tale(self) -> RoadTale:
        """What is told of its recipe."""
        return TALES[self.recipe]


def name_everyone(
    students: Mapping[str, BoxMeans], teachers: Mapping[str, BoxMeans]
) -> dict[str, BoxMeans]:
    """Give students, then teachers by names that tell them apart."""
    return {**students, **{f"teacher {name}": means for name, means in teachers.items()}}


def write_road_report(file: Path, story: RoadStory) -> str:
    """Write the page and return its absolute path."""
    runs = [str(run) for each in story.runs.values() for run in each]
    content = gather_report(str(story.store), runs, simulated=True, truth=str(story.truth))
    return write_report(tell_road(content, story), str(file))


def tell_road(content: ReportContent, story: RoadStory) -> ReportContent:
    """Put the road's story on top of a general report."""
    return replace(
        content,
        title=story.tale.title,
        sentences=tuple(_sentences(content, story)),
        headlines=tuple(_headline(story.tale, who, means) for who, means in story.everyone.items()),
        tables=(_table_scores(story), _table_papers(story)),
        seconds=story.seconds,
    )


def _sentences(content: ReportContent, story: RoadStory) -> Iterator[str]:
    facts = content.store
    assert facts is not None  # a demo has a store
    microphones = SMALL_NUMBERS.get(story.num_microphones, str(story.num_microphones))
    drives = counted(facts.num_recordings, "drive")
    yield (
        f"avkd made {drives} past a camera with {microphones} microphones. {_tell_teachers(story)}"
    )
    num_runs = sum(map(len, story.runs.values()))
    found = "the detector" if len(story.teachers) == 1 else "detectors"
    yield (
        f"{counted(num_runs, 'student')} ({', '.join(story.runs)}) then learned, from the sound of "
        f"other drives alone, to say where {found} had found vehicles. They saw no picture and "
        "no true box."
    )
    for group, where in (("all", "all"), ("light=day", "day"), ("light=night", "night")):
        told = ", ".join(f"{who} {_mean(means, group)}" for who, means in story.everyone.items())
        yield f"Held to the truth of {where} test drives, {AP}: {told}."


def _tell_teachers(story: RoadStory) -> str:
    if len(story.teachers) == 1:
        return (
            "A small detector learned from the boxes of some of them, then looked at all pictures "
            "once, and what it found was stored."
        )
    number = SMALL_NUMBERS.get(len(story.teachers), str(len(story.teachers)))
    return (
        f"{number.capitalize()} small detectors ({', '.join(story.teachers)}) learned from the "
        "boxes of some of them, each from pictures of its own stream, then looked at all pictures "
        "once, and what they found was stored."
    )


def _headline(tale: RoadTale, who: str, means: BoxMeans) -> Headline:
    group = tale.headline_group
    others = [("all", "in all"), ("light=day", "by day"), ("light=night", "by night")]
    told = [f"{words} {_mean(means, name)}" for name, words in others if name != group]
    when = "" if group == "all" else " by night"
    detail = ", ".join(told)
    return Headline(
        value=_mean(means, group),
        label=f"{AP}{when}, {who}",
        detail=f"{tale.who[who]}; {detail}" if who in tale.who else detail,
    )


def _table_scores(story: RoadStory) -> Table:
    several = len(story.teachers) > 1
    seers = "detectors that see" if several else "the detector that sees"
    return Table(
        title=f"Students that hear beside {seers}, held to the truth",
        header=("test drives", "who", *SHOWN),
        rows=tuple(tabulate_box_scores(story.everyone)),
        note="Mean, and in brackets the standard deviation over seeds where there are several. "
        "CDx, in percent of the picture's width, is that of the share of vehicles that were "
        "matched (match_rate); MOTA and switches of identity by TrackEval. A number that does not "
        "exist is a dash. All other numbers stand above.",
    )


def _table_papers(story: RoadStory) -> Table:
    paper = find_paper_rows(story.recipe)
    ours = (
        (f"{who}, simulated", *(_in_percent(means, name) for name in COLUMNS.values()))
        for who, means in story.everyone.items()
    )
    return Table(
        title="Beside the papers, in percent: other data, not comparable",
        header=("", *COLUMNS),
        rows=(*((who, *numbers) for who, numbers in paper.rows.items()), *ours),
        note=paper.note,
    )


def _mean(means: BoxMeans, group: str) -> str:
    return write_mean(AP, means.get(group, {}).get(AP))


def _in_percent(means: BoxMeans, metric: str) -> str:
    is_fraction = metric == "MOTA" or "AP" in metric
    scale = 100.0 if is_fraction else 1.0
    return write_mean(metric, means["all"].get(metric), digits=2, scale=scale)
