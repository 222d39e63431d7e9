"""Names, dtypes and axes of everything that a store holds.

A *producer* fills arrays over the rows: a teacher (under ``targets/``) or a student input (under
``inputs/``). Its outputs are declared once, before the first shard is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Layout: TypeAlias = Literal["dense", "sparse_logits", "boxes"]
ProducerKind: TypeAlias = Literal["teacher", "input"]

SCHEMA_VERSION = 2
"""The newest that is known: 2 is a store from which recordings were removed."""
FIRST_SCHEMA_VERSION = 1
"""Of a new store, so that an older avkd reads what holds nothing new."""
MAX_MAPPED_CLASSES = 255
"""Of values that are classes: 255 itself stands for what is to be ignored, and is never stored."""
SPARSE_TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
STATUSES = (
    "ok",
    "partial",
    "no_video",
    "no_audio",
    "too_short",
    "decode_error",
    "timeout",
    "crashed",
    "not_finite",
    "skipped",
)
DATA_STATUSES = ("ok", "partial")
"""Of rows that hold data; all others are zero."""
REMOVED = "removed"
"""What a commit says of a row whose recording was removed before, or that was written out of it
since; readers are never shown it, and it is no status of a clip."""


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """One output of a producer, as it is stored for every row."""

    name: str
    shape: tuple[int, ...]
    """Of one row, such as (4, 1000) for 4 steps of 1000 classes."""
    dtype: str
    """``float16``, ``float32``, ``int16`` or ``uint8``; of the values, for sparse logits."""
    axes: tuple[str, ...]
    layout: Layout = "dense"
    num_kept: int = 0
    """For sparse logits: how many of the largest are kept."""
    class_names: tuple[str, ...] = ()
    attributes: Mapping[str, object] = field(default_factory=dict)
    """What a reader must know beside the array: sample_rate, activation, channel rule, ..."""

    @property
    def holds_classes(self) -> bool:
        """Whether its values are places in ``class_names``, as those of a class map are."""
        return self.layout == "dense" and self.dtype == "uint8" and bool(self.class_names)


@dataclass(frozen=True, kw_only=True)
class ProducerSpec:
    """A teacher or a student input: its outputs and the fingerprint of what makes them."""

    kind: ProducerKind
    name: str
    outputs: tuple[OutputSpec, ...]
    fingerprint: Mapping[str, object]
    """All that decides the bytes: weights digest, preprocessing, outputs, runtime, precision, batch
    size, extraction_version. Two fingerprints under one name are refused."""
    about: Mapping[str, object] = field(default_factory=dict, compare=False)
    """What decides nothing: how it was asked for by whoever declared it first."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recording of a corpus: where its streams lie and what is known of it."""

    recording_id: str
    streams: Mapping[str, str]
    """Stream name (``rgb``, ``audio``, ``depth``, ...) to URI; one file may carry several. Empty
    where all there is to a recording are its metadata."""
    duration_seconds: float | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """One row of the row space: a clip of a recording."""

    row: int
    clip_id: str
    recording_id: str
    streams: Mapping[str, str]
    start_seconds: float
    duration_seconds: float
    num_steps: int
    attempt: int = 0
    metadata: Mapping[str, object] = field(default_factory=dict)
