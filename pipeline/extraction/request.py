"""What an extraction is asked to do, and what it tells of itself."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.pipeline.executor import STOP_SECONDS, ExecutorName, check_executor
from avkd.pipeline.extraction.partial_rule import PartialRule
from avkd.pipeline.extraction.pictures import StoredClassMaps, StoredPictures
from avkd.stages.media.limits import DEFAULT_LIMITS, DecodeLimits
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import DecoderName, Tail, WaveformFormat
from avkd.storage.layout import check_name
from avkd.storage.schema import STATUSES

MEDIA_INPUTS = ("waveform", "frames")
"""Names that only these student inputs have."""


@dataclass(frozen=True, kw_only=True)
class ExtractRequest:
    """One extraction; where a field says None, the store decides, or the default of a new one."""

    corpus: str
    """Folder, glob, table or URL (storage/corpus.py)."""
    store: str
    teachers: tuple[TeacherRequest, ...] = ()
    """Teachers of pictures, and, with a run's folder as family, trained ones (trained.py)."""
    clip_seconds: float | None = None
    step_seconds: float | None = None
    frames_per_step: int | None = None
    tail: Tail | None = None
    decoder: DecoderName | None = None
    """Of 8-bit pictures, where it can be believed; one for all that a store holds."""
    rows_per_shard: int | None = None
    inputs: WaveformFormat | Literal["none"] | None = None
    """The waveform to cache beside the targets; a new store caches it unless told ``none``."""
    frames_size: tuple[int, int] | None = None
    """Width and height of pictures to cache for students."""
    pictures: tuple[StoredPictures, ...] = ()
    """Pictures of streams to cache for students, each stretched to its size."""
    class_maps: tuple[StoredClassMaps, ...] = ()
    """True class maps to store; their class names are those of the corpus."""
    vectors: tuple[str, ...] = ()
    """Columns of the corpus, of numbers or lists of numbers, to store as student inputs."""
    sparse_top_k: int | None = None
    """How many of the largest softmax logits are kept; 0 keeps all."""
    path_column: str = "path"
    id_column: str = "recording_id"
    executor: ExecutorName = "serial"
    num_workers: int = 1
    scheduler: str = ""
    """Address of a dask scheduler; empty starts a local cluster."""
    num_decode_workers: int | None = None
    """Decode children of each worker; by default its share of the cores, one with a scheduler."""
    decode_limits: DecodeLimits = DEFAULT_LIMITS
    """Of each decode child and each file."""
    on_partial: PartialRule = "keep"
    """What becomes of a clip whose pictures, or whose sound, could be decoded in part only."""
    max_failure_rate: float = 1.0
    stop_seconds: float = STOP_SECONDS
    """What a signal gives the shards in hand; those that take longer are dropped."""
    check_space: bool = True
    """Whether a disk is refused that has not even a quarter of the forecast free."""
    retry_statuses: tuple[str, ...] = ()
    """Statuses of clips to plan again. Then the store's recordings are all there are, and
    ``corpus`` is only a name for them; see retrying.py."""
    dry_run: bool = False

    def __post_init__(self) -> None:
        names = [teacher.name for teacher in self.teachers]
        if len(set(names)) < len(names):
            raise InvalidValueError(
                f"two teachers of one name among {', '.join(names)}; tell them apart by NAME=FAMILY"
            )
        has_inputs = self.inputs != "none" or self.frames_size or self.vectors
        if not (names or has_inputs or self.pictures or self.class_maps):
            raise InvalidValueError("neither teachers nor inputs are asked for; name a teacher")
        self._check_inputs(names)
        check_executor(self.executor, num_workers=self.num_workers, scheduler=self.scheduler)
        for field_name in ("rows_per_shard", "num_decode_workers"):
            value = getattr(self, field_name)
            if value is not None and value < 1:
                raise InvalidValueError(f"{field_name} {value} must be 1 or more")
        if self.sparse_top_k is not None and self.sparse_top_k < 0:
            raise InvalidValueError(f"sparse_top_k {self.sparse_top_k} must be 0 or more")
        if not 0 <= self.stop_seconds < math.inf:
            raise InvalidValueError(f"stop_seconds {self.stop_seconds} must be 0 or more")
        for status in self.retry_statuses:
            if status not in STATUSES[1:]:
                raise UnknownNameError("status to retry", status, STATUSES[1:])
        if not 0 <= self.max_failure_rate <= 1:
            raise InvalidValueError(f"max_failure_rate {self.max_failure_rate} is not in [0, 1]")

    def _check_inputs(self, teachers: Sequence[str]) -> None:
        if self.frames_size is not None and min(self.frames_size) < 1:
            width, height = self.frames_size
            raise InvalidValueError(f"frames {width}x{height} must be 1 pixel or more each way")
        for name in self.vectors:
            check_name("vector", name)
        pictures = [each.name for each in self.pictures]
        if len(set(pictures)) < len(pictures):
            raise InvalidValueError(
                f"two sizes or ranges of one stream among {', '.join(pictures)}; cache one"
            )
        maps = [each.name for each in self.class_maps]
        taken = Counter([*MEDIA_INPUTS, *pictures, *teachers, *maps, *self.vectors])
        for name in (*teachers, *maps, *self.vectors):
            if taken[name] > 1:
                raise InvalidValueError(
                    f"{name!r} names two things in one store; give a teacher another name by "
                    "NAME=FAMILY, a vector's column another name in the table"
                )


@dataclass(frozen=True, kw_only=True)
class ExtractForecast:
    """What a run has before it."""

    num_new_recordings: int
    num_new_clips: int
    num_clips: int
    """Clips of the shards to compute, new or not."""
    num_shards: int
    bytes_to_come: Mapping[str, int]
    """By producer, before compression."""
    num_removed_recordings: int = 0
    """Of the corpus: taken down from the store, and not planned again."""
    runtimes: Mapping[str, str] = field(default_factory=dict)
    """By teacher, what computes it, as the fingerprint says: ``onnxruntime on cpu in float32``."""


@dataclass(frozen=True, kw_only=True)
class ExtractReport:
    """What a run did, and how the store stands after it."""

    forecast: ExtractForecast
    is_dry_run: bool = False
    num_recordings: int = 0
    num_clips: int = 0
    num_shards_done: int = 0
    num_shards_skipped: int = 0
    """Shards that had every commit when a worker came to them: from before, of another run, or of
    a worker that died after it."""
    status: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By producer, the rows of the whole store by status."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Summed over shards: ``load`` of teachers, ``decode`` (waiting for pictures and sound),
    ``model``, ``write``; what goes on at the same time counts twice."""
    stalls: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the workers, each counted once: ``model`` (teachers were busy), and what they
    stood still for: ``transfer``, ``decode``, ``disk``, ``encode``, ``load``, ``other``."""
    wall_seconds: float = 0.0
    content_digest: str = ""
    notes: tuple[str, ...] = ()
    """What a user should know, one line each."""
