"""One shard from its clips to its commits: the function that every executor runs."""

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from avkd.errors import FingerprintMismatchError
from avkd.pipeline.decoding.jobs import decode_clips
from avkd.pipeline.extraction.buffers import (
    USABLE_STATUSES,
    ShardBuffer,
    ShardContent,
    TeacherBuffer,
    WaveformBuffer,
)
from avkd.pipeline.extraction.producers import WAVEFORM, describe_teacher, stored_sparse_top_k
from avkd.pipeline.extraction.stopwatch import Stopwatch
from avkd.pipeline.extraction.worker import keep_teachers, lend_decode_pool, limit_threads
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, DecodedClip, WaveformFormat
from avkd.storage.digest import fingerprint_digest
from avkd.storage.schema import ProducerSpec
from avkd.storage.store import Store

OnClip: TypeAlias = Callable[[bool], None]
"""Told after every clip whether it failed."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """A shard to compute: small, and the same for every executor."""

    store: str
    shard: int
    teachers: tuple[TeacherRequest, ...] = ()
    """Resolved; those that lack this shard."""
    waveform: WaveformFormat | None = None
    """Given where the cached waveform lacks this shard."""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """Producer name to the digest that a worker must find."""
    num_decode_workers: int = 1
    decode_limit_seconds: float = 60.0
    num_threads: int = 0
    """Of the teachers' libraries; 0 leaves it to them."""

    def __str__(self) -> str:
        return f"shard {self.shard}"


@dataclass(frozen=True, kw_only=True)
class ShardReceipt:
    """What became of a shard."""

    shard: int
    num_clips: int
    num_failed: int
    """Clips that at least one producer has neither whole nor in part."""
    seconds: Mapping[str, float]
    """``load`` of teachers, ``decode`` (waiting for pictures and sound), ``model``, ``write``."""


def extract_shard(task: ShardTask, on_clip: OnClip = lambda is_failed: None) -> ShardReceipt:
    """Decode the clips of a shard once for all producers that lack it, and commit each.

    Raises:
        FingerprintMismatchError: if a teacher is not, on this machine, what the store declares.
    """
    watch = Stopwatch()
    store = Store.open(task.store)
    clips = store.read_clips(task.shard)
    first_row = task.shard * store.rows_per_shard
    policy = ClipPolicy(**store.clip_policy)  # type: ignore[arg-type]
    teachers = _load_teachers(task, store.producers(), policy)
    buffers = _build_buffers(task, store, policy, teachers)
    watch.lap("load")
    # Teachers of one format share the scaled frames.
    formats = tuple(dict.fromkeys(teacher.declaration.frame_format for teacher in teachers))
    with lend_decode_pool(task.num_decode_workers, task.decode_limit_seconds) as pool:
        for clip, decoded in decode_clips(pool, clips, policy, formats, task.waveform):
            watch.lap("decode")
            for buffer in buffers:
                buffer.put(clip.row - first_row, decoded)
            on_clip(_is_failed(decoded, task))
            watch.lap("model")
    contents = {buffer.name: buffer.finish() for buffer in buffers}
    watch.lap("model")
    for name, content in contents.items():
        failures = {first_row + row: failure for row, failure in content.failures.items()}
        store.write_shard(
            name, task.shard, content.arrays, failures=failures, timings=watch.seconds
        )
    watch.lap("write")
    return ShardReceipt(
        shard=task.shard,
        num_clips=len(clips),
        num_failed=len(_failed_rows(contents.values())),
        seconds=watch.seconds,
    )


def _load_teachers(
    task: ShardTask, producers: Mapping[str, ProducerSpec], policy: ClipPolicy
) -> tuple[Teacher, ...]:
    if not task.teachers:
        return ()
    limit_threads(task.num_threads)
    teachers = keep_teachers(
        [(request, task.fingerprints[request.name]) for request in task.teachers]
    )
    for teacher in teachers:
        name = teacher.declaration.name
        _check_fingerprint(teacher, producers[name], task.fingerprints[name], policy)
    return teachers


def _check_fingerprint(
    teacher: Teacher, spec: ProducerSpec, expected: str, policy: ClipPolicy
) -> None:
    found = fingerprint_digest(
        describe_teacher(
            teacher.declaration, policy, sparse_top_k=stored_sparse_top_k(spec)
        ).fingerprint
    )
    if found != expected:
        raise FingerprintMismatchError(
            f"teacher {spec.name!r} has the fingerprint {found} on {platform.node()}, the run "
            f"began with {expected}; give every worker the same weights and libraries"
        )


def _build_buffers(
    task: ShardTask, store: Store, policy: ClipPolicy, teachers: Sequence[Teacher]
) -> list[ShardBuffer]:
    producers, num_rows = store.producers(), store.rows_per_shard
    buffers: list[ShardBuffer] = [
        TeacherBuffer(teacher, producers[teacher.declaration.name], policy, num_rows)
        for teacher in teachers
    ]
    if task.waveform is not None:
        buffers.append(WaveformBuffer(producers[WAVEFORM], num_rows))
    return buffers


def _is_failed(decoded: DecodedClip, task: ShardTask) -> bool:
    fails_teachers = bool(task.teachers) and decoded.frames_status not in USABLE_STATUSES
    fails_input = task.waveform is not None and decoded.waveform_status not in USABLE_STATUSES
    return fails_teachers or fails_input


def _failed_rows(contents: Iterable[ShardContent]) -> set[int]:
    return {
        row
        for content in contents
        for row, (status, _) in content.failures.items()
        if status not in USABLE_STATUSES
    }
