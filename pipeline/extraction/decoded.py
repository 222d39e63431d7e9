"""One decoding pass over a shard's files for all that looks or listens."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from avkd.errors import FingerprintMismatchError
from avkd.pipeline.decoding.jobs import View, decode_clips
from avkd.pipeline.extraction.buffers import (
    USABLE_STATUSES,
    FramesBuffer,
    ShardBuffer,
    ShardContent,
    TeacherBuffer,
    WaveformBuffer,
)
from avkd.pipeline.extraction.pictures import StoredPicturesBuffer
from avkd.pipeline.extraction.producers import (
    FRAMES,
    WAVEFORM,
    describe_teacher,
    stored_sparse_top_k,
)
from avkd.pipeline.extraction.stopwatch import Stopwatch
from avkd.pipeline.extraction.task import ShardTask
from avkd.pipeline.extraction.worker import keep_teachers, lend_decode_pool, limit_threads
from avkd.stages.teachers.declaration import Teacher, TeacherDeclaration
from avkd.stages.types import ClipPolicy, DecodedClip, FrameFormat, Pixels
from avkd.storage.digest import fingerprint_digest
from avkd.storage.schema import ClipRow, ProducerSpec

STUDENT_STREAM = "rgb"
"""Of the pictures that are cached for students."""

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
    views = list_views(task, [teacher.declaration for teacher in teachers])
    buffers = _build_buffers(task, producers, policy, teachers, views, rows_per_shard)
    watch.lap("load")
    failed: set[int] = set()
    with lend_decode_pool(task.num_decode_workers, task.decode_limit_seconds) as pool:
        for clip, view, decoded in decode_clips(pool, clips, policy, views):
            watch.lap("decode")
            for buffer in buffers[view]:
                buffer.put(clip.row % rows_per_shard, decoded)
            if _is_failed(decoded, view):
                failed.add(clip.row)
            if view is views[-1]:
                on_decoded(clip, clip.row in failed)
            watch.lap("model")
    contents = {buffer.name: buffer.finish() for of_view in buffers.values() for buffer in of_view}
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
    views: Sequence[View],
    num_rows: int,
) -> Mapping[View, Sequence[ShardBuffer]]:
    buffers: dict[View, list[ShardBuffer]] = {view: [] for view in views}
    for teacher in teachers:
        declared = teacher.declaration
        buffer = TeacherBuffer(teacher, producers[declared.name], policy, num_rows)
        buffers[_find_view(views, declared.stream, declared.frame_format)].append(buffer)
    if task.waveform is not None:
        buffers[views[0]].append(WaveformBuffer(producers[WAVEFORM], num_rows))
    if task.frames is not None:
        view = _find_view(views, STUDENT_STREAM, task.frames)
        buffers[view].append(FramesBuffer(producers[FRAMES], task.frames, num_rows))
    for each in task.pictures:
        kept = StoredPicturesBuffer(producers[each.name], each, num_rows)
        buffers[_find_view(views, each.stream, each.frame_format)].append(kept)
    return buffers


def _find_view(views: Sequence[View], stream: str, frame_format: FrameFormat) -> View:
    return next(
        view for view in views if view.stream == stream and frame_format in view.frame_formats
    )


def list_views(task: ShardTask, teachers: Sequence[TeacherDeclaration]) -> tuple[View, ...]:
    """List what to decode: teachers of one stream and format share the scaled frames.

    Sound comes with the first view, that of ``rgb`` where there is one: mostly it lies in the same
    file.
    """
    wanted = [(teacher.stream, teacher.frame_format) for teacher in teachers]
    wanted += [(STUDENT_STREAM, task.frames)] if task.frames else []
    wanted += [(each.stream, each.frame_format) for each in task.pictures]
    formats: dict[tuple[str, Pixels], dict[FrameFormat, None]] = {}
    for stream, frame_format in sorted(wanted, key=lambda each: each[0] != STUDENT_STREAM):
        formats.setdefault((stream, frame_format.pixels), {})[frame_format] = None
    views = [
        View(stream=stream, frame_formats=tuple(each)) for (stream, _), each in formats.items()
    ]
    first, *rest = views or [View()]
    return (replace(first, waveform=task.waveform), *rest)


def _is_failed(decoded: DecodedClip, view: View) -> bool:
    fails_frames = bool(view.frame_formats) and decoded.frames_status not in USABLE_STATUSES
    fails_sound = view.waveform is not None and decoded.waveform_status not in USABLE_STATUSES
    return fails_frames or fails_sound
