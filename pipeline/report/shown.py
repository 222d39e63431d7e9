"""Recordings that are shown with boxes: their files, and the boxes of every step."""

from collections.abc import Sequence
from dataclasses import dataclass

from avkd.stages.metrics.boxes import FrameBoxes


@dataclass(frozen=True, kw_only=True)
class ShownStep:
    """One step, all of it on the recording's clock."""

    time_seconds: float
    said: FrameBoxes
    """Boxes from the evaluation's score on."""
    truth: FrameBoxes | None
    """Boxes that count; None where nobody looked."""
    teachers: tuple[FrameBoxes, ...]
    """Of those that were evaluated beside the student."""


@dataclass(frozen=True, kw_only=True)
class ShownRecording:
    """A recording whose pictures are there."""

    recording_id: str
    group: str
    """The value of the column by which pictures are chosen; empty without one."""
    pictures: str
    sound: str
    steps: tuple[ShownStep, ...]
    """In the order of time; of clips that the student heard."""


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """What one evaluation left to be drawn."""

    run: str
    split: str
    column: str
    """Of the corpus, by which pictures are chosen; empty without one."""
    teachers: tuple[str, ...]
    """Those that were evaluated beside the student."""
    teacher_min_score: float
    """From which their boxes are shown: those that the student learned from."""
    truth: str
    """The table of true boxes; empty without one."""
    step_seconds: float
    recordings: tuple[ShownRecording, ...]
    notes: tuple[str, ...]

    @property
    def groups(self) -> dict[str, tuple[ShownRecording, ...]]:
        """Day and night first: they are shown even where few pictures are."""
        names = {each.group for each in self.recordings}
        order = sorted(names, key=lambda name: (name != "day", name != "night", name))
        return {
            name: tuple(each for each in self.recordings if each.group == name) for name in order
        }


def share_out(number: int, most: Sequence[int]) -> list[int]:
    """So many in turn, until there are enough or none is left."""
    shares = [0] * len(most)
    while number > 0 and any(share < limit for share, limit in zip(shares, most, strict=True)):
        for place, limit in enumerate(most):
            if number > 0 and shares[place] < limit:
                shares[place] += 1
                number -= 1
    return shares
