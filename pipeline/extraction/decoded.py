"""One decoding pass over a shard's files for all that looks or listens."""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from avkd.errors import FingerprintMismatchError
from avkd.pipeline.decoding.jobs import View, decode_clips
from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.extraction.buffers import (
    USABLE_STATUSES,
    FramesBuffer,
    ShardBuffer,
    ShardContent,
    TeacherBuffer,
    WaveformBuffer,
)
from avkd.pipeline.extraction.model_thread import QueuedLooking
from avkd.pipeline.extraction.partial_rule import apply_partial_rule
from avkd.pipeline.extraction.pictures import StoredPicturesBuffer
from avkd.pipeline.extraction.plan import planned_failure
from avkd.pipeline.extraction.producers import (
    FRAMES,
    WAVEFORM,
    describe_teacher,
    stored_sparse_top_k,
)
from avkd.pipeline.extraction.retrying import held_by, show_held
from avkd.pipeline.extraction.sound_buffer import SoundTeacherBuffer
from avkd.pipeline.extraction.stopwatch import Stopwatch
from avkd.pipeline.extraction.task import ShardTask
from avkd.pipeline.extraction.views import STUDENT_STREAM, list_views
from avkd.pipeline.extraction.worker import (
    MODEL_THREAD,
    STALLS,
    Key,
    begin_loading,
    lend_decode_pool,
)
from avkd.pipeline.task_hooks import (
    begin_in_earnest,
    check_not_given_up,
    current_check,
    let_next_begin,
)
from avkd.stages.media.wire import DecodeJob
from avkd.stages.teachers.audio_declaration import (
    AnyTeacher,
    listens,
    looks,
)
from avkd.stages.types import ClipPolicy, DecodedClip, FrameFormat
from avkd.storage.digest import fingerprint_digest
from avkd.storage.schema import ClipRow, ProducerSpec

OnDecoded: TypeAlias = Callable[[ClipRow, bool], None]
"""Told after every clip, and whether its pictures or its sound failed."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where what is decoded belongs."""

    producers: Mapping[str, ProducerSpec]
    policy: ClipPolicy
    clips: Sequence[ClipRow]
    num_rows: int

    def count_steps(self, name: str) -> Mapping[int, int]:
        """Give, by row of the shard, the steps that a producer may be shown anything of.

        By the plan alone: what happens to clips and who computes them changes nothing.
        """
        return {
            clip.row % self.num_rows: clip.num_steps
            for clip in self.clips
            if planned_failure(clip) is None and name not in held_by(clip)
        }


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
    views = list_views(task)
    place = _Place(producers=producers, policy=policy, clips=clips, num_rows=rows_per_shard)
    failed: set[int] = set()
    loading = begin_loading(_list_keys(task), task.num_threads)
    with (
        lend_decode_pool(task.num_decode_workers, task.decode_limits) as pool,
        closing(decode_clips(_OfferingPool(pool), clips, policy, views)) as decoding,
    ):
        # The children decode ahead while the teachers are loaded.
        each = _await(decoding)
        watch.lap("decode")
        teachers = loading()
        _check_fingerprints(teachers, task, producers, policy)
        buffers = _build_buffers(task, place, teachers, views)
        watch.lap("load")
        begin_in_earnest()
        while each is not None:
            clip, view, found = each
            decoded = apply_partial_rule(found, task.on_partial)
            check_not_given_up()
            with STALLS.during("transfer"):
                for buffer in buffers[view]:
                    shown = show_held(buffer.name, clip, decoded)
                    buffer.put(clip.row % rows_per_shard, shown)
            if _is_failed(decoded, view):
                failed.add(clip.row)
            if view is views[-1]:
                on_decoded(clip, clip.row in failed)
            watch.lap("model")
            each = _await(decoding)
            watch.lap("decode")
    contents = {buffer.name: buffer.finish() for of_view in buffers.values() for buffer in of_view}
    watch.lap("model")
    return contents


def _await(
    decoding: Iterator[tuple[ClipRow, View, DecodedClip]],
) -> tuple[ClipRow, View, DecodedClip] | None:
    with STALLS.during("decode"):
        return next(decoding, None)


class _OfferingPool:
    """A pool that lets the next shard begin when the last job of this one is handed out."""

    def __init__(self, pool: DecodePool) -> None:
        self._pool = pool

    def decode(self, jobs: Iterable[DecodeJob]) -> Iterator[DecodedClip]:
        return self._pool.decode(self._announce_end(jobs))

    @staticmethod
    def _announce_end(jobs: Iterable[DecodeJob]) -> Iterator[DecodeJob]:
        yield from jobs
        let_next_begin()


def _list_keys(task: ShardTask) -> list[Key]:
    return [(request, task.fingerprints[request.name]) for request in task.teachers]


def _check_fingerprints(
    teachers: Sequence[AnyTeacher],
    task: ShardTask,
    producers: Mapping[str, ProducerSpec],
    policy: ClipPolicy,
) -> None:
    for declared in (teacher.declaration for teacher in teachers):
        top_k = stored_sparse_top_k(producers[declared.name])
        described = describe_teacher(declared, policy, sparse_top_k=top_k)
        refuse_other_fingerprint(described, task.fingerprints[declared.name])


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
    task: ShardTask, place: _Place, teachers: Sequence[AnyTeacher], views: Sequence[View]
) -> Mapping[View, Sequence[ShardBuffer]]:
    producers, num_rows = place.producers, place.num_rows
    buffers: dict[View, list[ShardBuffer]] = {view: [] for view in views}
    for teacher in teachers:
        spec = producers[teacher.declaration.name]
        rows = num_rows, place.count_steps(spec.name)
        looking = QueuedLooking(MODEL_THREAD, current_check())
        if listens(teacher):
            heard = SoundTeacherBuffer(teacher, spec, place.policy, *rows, looking)
            buffers[views[0]].append(heard)
        elif looks(teacher):
            declared = teacher.declaration
            view = _find_view(views, declared.stream, declared.frame_format)
            buffers[view].append(TeacherBuffer(teacher, spec, place.policy, *rows, looking))
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


def _is_failed(decoded: DecodedClip, view: View) -> bool:
    fails_frames = bool(view.frame_formats) and decoded.frames_status not in USABLE_STATUSES
    heard = () if view.waveform is None else (view.waveform, *view.more_waveforms)
    fails_sound = any(decoded.sound(each).status not in USABLE_STATUSES for each in heard)
    return fails_frames or fails_sound
