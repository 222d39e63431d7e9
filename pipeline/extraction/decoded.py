"""One decoding pass over a shard's files for all that looks or listens."""

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from avkd.errors import FingerprintMismatchError
from avkd.pipeline.decoding.jobs import decode_clips
from avkd.pipeline.extraction.buffers import (
    USABLE_STATUSES,
    FramesBuffer,
    ShardBuffer,
    ShardContent,
    TeacherBuffer,
    WaveformBuffer,
)
from avkd.pipeline.extraction.producers import (
    FRAMES,
    WAVEFORM,
    describe_teacher,
    stored_sparse_top_k,
)
from avkd.pipeline.extraction.stopwatch import Stopwatch
from avkd.pipeline.extraction.task import ShardTask
from avkd.pipeline.extraction.worker import keep_teachers, lend_decode_pool, limit_threads
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.types import ClipPolicy, DecodedClip, FrameFormat
from avkd.storage.digest import fingerprint_digest
from avkd.storage.schema import ClipRow, ProducerSpec

OnDecoded: TypeAlias = Callable[[ClipRow, bool], None]
"""Told after every clip, and whether its pictures or its sound failed."""


def gather_decoded(
    task: ShardTask,
    producers: Mapping[str, ProducerSpec],
    policy: ClipPolicy,
    clips: Sequence[ClipRow],
    rows_per_shard: int,
    watch: Stopwatch,
    on_decoded: OnDecoded,
) -> Mapping[str, ShardContent]:
    """Decode every clip once, and give the shard of each producer that looks or listens.

    Raises:
        FingerprintMismatchError: if a teacher is not, on this machine, what the store declares.
    """
    teachers = _load_teachers(task, producers, policy)
    buffers = _build_buffers(task, producers, policy, teachers, rows_per_shard)
    watch.lap("load")
    formats = _frame_formats(task, teachers)
    with lend_decode_pool(task.num_decode_workers, task.decode_limit_seconds) as pool:
        for clip, decoded in decode_clips(pool, clips, policy, formats, task.waveform):
            watch.lap("decode")
            for buffer in buffers:
                buffer.put(clip.row % rows_per_shard, decoded)
            on_decoded(clip, _is_failed(decoded, formats, task))
            watch.lap("model")
    contents = {buffer.name: buffer.finish() for buffer in buffers}
    watch.lap("model")
    return contents


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
    described = describe_teacher(
        teacher.declaration, policy, sparse_top_k=stored_sparse_top_k(spec)
    )
    refuse_other_fingerprint(described, expected)


def refuse_other_fingerprint(found: ProducerSpec, expected: str) -> None:
    """Refuse a teacher that is not, on this machine, what the run began with.

    Raises:
        FingerprintMismatchError: its digest is not the expected one.
    """
    digest = fingerprint_digest(found.fingerprint)
    if digest != expected:
        raise FingerprintMismatchError(
            f"teacher {found.name!r} has the fingerprint {digest} on {platform.node()}, the run "
            f"began with {expected}; give every worker the same weights and libraries"
        )


def _build_buffers(
    task: ShardTask,
    producers: Mapping[str, ProducerSpec],
    policy: ClipPolicy,
    teachers: Sequence[Teacher],
    num_rows: int,
) -> list[ShardBuffer]:
    buffers: list[ShardBuffer] = [
        TeacherBuffer(teacher, producers[teacher.declaration.name], policy, num_rows)
        for teacher in teachers
    ]
    if task.waveform is not None:
        buffers.append(WaveformBuffer(producers[WAVEFORM], num_rows))
    if task.frames is not None:
        buffers.append(FramesBuffer(producers[FRAMES], task.frames, num_rows))
    return buffers


def _frame_formats(task: ShardTask, teachers: Sequence[Teacher]) -> tuple[FrameFormat, ...]:
    """Teachers of one format share the scaled frames, and so do students."""
    formats = [teacher.declaration.frame_format for teacher in teachers]
    return tuple(dict.fromkeys([*formats, *([task.frames] if task.frames else [])]))


def _is_failed(decoded: DecodedClip, formats: Sequence[FrameFormat], task: ShardTask) -> bool:
    fails_frames = bool(formats) and decoded.frames_status not in USABLE_STATUSES
    fails_sound = task.waveform is not None and decoded.waveform_status not in USABLE_STATUSES
    return fails_frames or fails_sound
