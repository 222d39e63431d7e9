"""What an evaluation of boxes tells."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from avkd.pipeline.evaluation.box_scores import GroupScores, Number
from avkd.pipeline.report_json import report_to_json
from avkd.stages.metrics.boxes import Reference
from avkd.stages.metrics.classification import SeedSummary, summarise_seeds


@dataclass(frozen=True, kw_only=True)
class BoxScores:
    """How well a student, or a stored teacher, says where things are."""

    name: str
    """``student``, or the name of the teacher."""
    num_rows: int
    num_left_out: int
    """Rows of the split that lack what is needed to say anything."""
    num_unjudged_frames: int
    """Steps of which the reference says nothing."""
    metrics: Mapping[str, Number]
    """Of all recordings, the one to compare by first."""
    groups: tuple[GroupScores, ...]
    """All recordings first."""
    details: Mapping[str, object]

    def find(self, group: str) -> GroupScores | None:
        """The numbers of a group; None where no recording is of it."""
        return next((each for each in self.groups if each.group == group), None)


@dataclass(frozen=True, kw_only=True)
class BoxesReport:
    """What a student scored on the rows of a split, and stored teachers on the same.

    AP is a fraction, center distances are in percent of the picture.
    """

    run: str
    seed: int
    name: str
    """Of the evaluation: its files are ``evaluation-<name>.json`` and ``<name>.parquet``."""
    store: str
    """As an absolute path, or its URL."""
    split: str
    """Empty: all rows."""
    kind: str
    """``boxes``."""
    label_column: str
    """What the boxes are held to, in words."""
    trials: str
    """Empty: these are no trials."""
    reference: Reference
    against: str
    """The table of the truth, or the name of the teacher."""
    min_visible: float | None
    """Vehicles of the truth that are seen to a smaller share are neither hits nor misses."""
    min_score: float
    """From which boxes count where boxes are counted, and continue tracks."""
    classes: tuple[str, ...]
    """Those told apart."""
    scores: tuple[BoxScores, ...]
    """The student's, then those of the teachers that were asked for."""
    notes: tuple[str, ...]
    """What a reader should know of these numbers."""

    @property
    def student(self) -> BoxScores:
        """The student's own scores."""
        return self.scores[0]

    def to_json(self) -> str:
        """Indented JSON; numbers that do not exist are null."""
        return report_to_json(asdict(self))


def summarise_boxes(
    reports: Sequence[BoxesReport],
) -> dict[str, dict[str, SeedSummary]]:
    """By group and metric: mean and sd over runs of what the student scored in all of them."""
    groups = [each.group for each in reports[0].student.groups]
    return {group: _summarise_group(reports, group) for group in groups}


def _summarise_group(reports: Sequence[BoxesReport], group: str) -> dict[str, SeedSummary]:
    found = [report.student.find(group) for report in reports]
    metrics = [each.metrics if each else {} for each in found]
    values = {name: [one.get(name) for one in metrics] for name in metrics[0]}
    return {
        name: summarise_seeds([float(value) for value in each if value is not None])
        for name, each in values.items()
        if all(value is not None for value in each)
    }
