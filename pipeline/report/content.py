"""What a report tells, as plain values: nothing here knows HTML or plots.

Conventions: accuracies and probabilities are fractions in [0, 1]; pictures are uint8 RGB, height by
width by channel, or the bytes of a PNG or JPEG file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

NUM_STILLS, NUM_VIDEOS = 9, 2
"""With boxes drawn on them, unless others are asked for."""


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """The accuracy of one kind of features at one number of labels."""

    name: str
    """``distilled``, ``scratch``, ``random``, ``teacher``, ``mfcc``; anything else works too."""
    accuracies: tuple[float, ...]
    """One a seed (or fold)."""
    labels_per_class: int = 0
    """0 stands for all."""

    def __post_init__(self) -> None:
        if not self.accuracies or not all(0 <= value <= 1 for value in self.accuracies):
            raise InvalidValueError(
                f"probe {self.name!r} needs accuracies between 0 and 1, got {self.accuracies}"
            )

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return fmean(self.accuracies)

    @property
    def sd(self) -> float:
        """Sample standard deviation over the seeds, 0 for one seed."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """The training loss of one run."""

    name: str
    """Curves of one name (the seeds of one student) share a colour."""
    updates: tuple[float, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class OutputFact:
    """One stored array."""

    producer: str
    kind: str
    output: str
    shape: tuple[int, ...]
    """Of one row."""
    dtype: str
    num_rows: int
    """Rows that hold a value."""
    num_bytes: int = 0
    """Stored bytes, compressed; 0 where they are not known."""
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class StoreFacts:
    """What a store holds."""

    num_recordings: int
    num_clips: int
    num_shards: int
    statuses: Mapping[str, int]
    """Rows by state, such as ``ok`` and ``decode_error``, over all producers."""
    outputs: tuple[OutputFact, ...]
    content_digest: str
    failures: tuple[tuple[str, str, str], ...] = ()
    """Recording, status and reason of clips that are not ok."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The classes that one teacher finds likeliest in a frame, best first."""

    teacher: str
    classes: tuple[tuple[str, float], ...]
    """Class name and probability."""


@dataclass(frozen=True, kw_only=True)
class GalleryItem:
    """A frame beside what the teachers say of it."""

    picture: bytes | npt.NDArray[np.uint8]
    recording_id: str
    at_seconds: float
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True, kw_only=True)
class ConfusionMatrix:
    """How often each class was taken for each; rows are the true classes."""

    class_names: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    of: str = ""
    """Whose predictions these are, in words."""

    def __post_init__(self) -> None:
        num_classes = len(self.class_names)
        if self.counts.shape != (num_classes, num_classes):
            raise InvalidValueError(
                f"a confusion matrix of {num_classes} classes cannot be {self.counts.shape}"
            )


@dataclass(frozen=True, kw_only=True)
class Table:
    """Any further results; cells are text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """How precise somebody is at every recall, on some of the recordings."""

    name: str
    """Curves of one name (the seeds of one student) share a colour."""
    group: str
    """``all``, or what is common to the recordings, such as ``light=night``."""
    precisions: tuple[float, ...]
    """At recalls from 0 to 1 in equal steps; 0 beyond the largest recall reached."""
    is_teacher: bool = False
    """Whether this is what a teacher saw, not what a student heard."""

    def __post_init__(self) -> None:
        if len(self.precisions) < 2 or not all(0 <= value <= 1 for value in self.precisions):
            raise InvalidValueError(
                f"curve {self.name!r} needs two precisions or more between 0 and 1"
            )

    @property
    def average_precision(self) -> float:
        """The mean of the precisions, which is COCO's AP."""
        return fmean(self.precisions)


@dataclass(frozen=True, kw_only=True)
class BoxEvaluation:
    """Scores that are held to one reference: a panel of curves and a table for each group."""

    title: str
    """Says whether this is against the truth, or agreement with a teacher."""
    curves: tuple[PrecisionRecall, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Still:
    """A picture with boxes drawn on it."""

    picture: bytes | npt.NDArray[np.uint8]
    caption: str


@dataclass(frozen=True, kw_only=True)
class OverlayVideo:
    """A short video with boxes drawn on it, and the sound that they were heard in."""

    data: bytes = field(repr=False)
    """Of an mp4 file."""
    caption: str


@dataclass(frozen=True, kw_only=True)
class BoxesContent:
    """Where things are, as students heard it; what is empty is left out of the page."""

    evaluations: tuple[BoxEvaluation, ...] = ()
    stills: tuple[Still, ...] = ()
    stills_note: str = ""
    """Whose boxes these are, and how the pictures were chosen."""
    videos: tuple[OverlayVideo, ...] = ()
    videos_note: str = ""
    notes: tuple[str, ...] = ()
    """What is missing here, and why."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A number worth a large type."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """All of one report; what is empty is left out of the page."""

    title: str
    simulated: bool
    """Whether the recordings are made up; the page then says so wherever it gives a result."""
    sentences: tuple[str, ...] = ()
    """What happened, in plain words with the numbers."""
    headlines: tuple[Headline, ...] = ()
    probes: tuple[ProbeResult, ...] = ()
    chance: float | None = None
    losses: tuple[LossCurve, ...] = ()
    store: StoreFacts | None = None
    gallery: tuple[GalleryItem, ...] = ()
    confusion: ConfusionMatrix | None = None
    tables: tuple[Table, ...] = ()
    boxes: BoxesContent | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Versions, seeds, digests, commands."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of each stage."""
