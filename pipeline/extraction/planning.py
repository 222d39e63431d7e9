"""What an extraction has to do: the corpus held against the store. Reads and probes, no writes.

Quick where there is nothing to do: recordings are known by their id, so a file that changed under
the id of a stored recording is not looked at again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from avkd.errors import StoreNotFoundError
from avkd.pipeline.cores import default_decode_workers
from avkd.pipeline.extraction.choices import choose_policy, choose_rows_per_shard, choose_waveform
from avkd.pipeline.extraction.plan import count_bytes, count_shards, plan_clips
from avkd.pipeline.extraction.probing import probe_recordings
from avkd.pipeline.extraction.producers import (
    adopt_stored,
    describe_teacher,
    describe_waveform,
    stored_sparse_top_k,
)
from avkd.pipeline.extraction.request import ExtractForecast, ExtractRequest
from avkd.stages.teachers.registry import declare_teacher
from avkd.stages.teachers.request import TeacherRequest, resolve
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.corpus import read_corpus
from avkd.storage.schema import ClipRow, ProducerSpec, Recording
from avkd.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class ExtractPlan:
    """An extraction with every choice settled."""

    url: str
    store: Store | None
    """None where there is none yet."""
    policy: ClipPolicy
    rows_per_shard: int
    teachers: tuple[TeacherRequest, ...]
    """Resolved."""
    waveform: WaveformFormat | None
    producers: tuple[ProducerSpec, ...]
    """Of the teachers and of the waveform."""
    num_new_recordings: int
    new_clips: tuple[ClipRow, ...]


def plan_extraction(
    request: ExtractRequest, *, on_recording: Callable[[int, int], None]
) -> ExtractPlan:
    """Read the corpus, settle the choices, and cut the recordings that the store does not know."""
    url = request.store if "://" in request.store else str(Path(request.store).absolute())
    store = _open_if_there(url)
    stored = {} if store is None else dict(store.producers())
    policy = choose_policy(request, store)
    rows_per_shard = choose_rows_per_shard(request, store)
    waveform = choose_waveform(request, store, stored)
    teachers = tuple(_settle(teacher, stored) for teacher in request.teachers)
    specs = [_describe(teacher, policy, request.sparse_top_k, stored) for teacher in teachers]
    if waveform is not None:
        specs.append(describe_waveform(waveform, policy))
    recordings = read_corpus(
        request.corpus, path_column=request.path_column, id_column=request.id_column
    )
    known = frozenset[str]() if store is None else store.recording_ids()
    new = [each for each in recordings if each.recording_id not in known]
    first_row = 0 if store is None else store.next_row()
    clips = _cut_new(request, new, policy, first_row, rows_per_shard, on_recording)
    return ExtractPlan(
        url=url,
        store=store,
        policy=policy,
        rows_per_shard=rows_per_shard,
        teachers=teachers,
        waveform=waveform,
        producers=tuple(specs),
        num_new_recordings=len(new),
        new_clips=clips,
    )


def write_plan(plan: ExtractPlan) -> Store:
    """Make the store know the producers and the new clips.

    Raises:
        FingerprintMismatchError: before any row is added, if a name stands for another teacher.
    """
    store = plan.store or Store.create(
        plan.url, clip_policy=asdict(plan.policy), rows_per_shard=plan.rows_per_shard
    )
    for spec in plan.producers:
        store.declare(spec)
    if plan.new_clips:
        store.plan_clips(plan.new_clips)
    return store


def make_forecast(plan: ExtractPlan) -> ExtractForecast:
    """Count what is to come, before anything is written."""
    num_new = len(plan.new_clips)
    num_clips_of = _count_old_clips(plan)
    missing = {spec.name: _find_missing(plan, spec.name) for spec in plan.producers}
    to_compute = set().union(*missing.values())
    return ExtractForecast(
        num_new_recordings=plan.num_new_recordings,
        num_new_clips=num_new,
        num_clips=num_new + sum(num_clips_of[shard] for shard in to_compute),
        num_shards=count_shards(num_new, plan.rows_per_shard) + len(to_compute),
        bytes_to_come={
            spec.name: count_bytes(
                spec, num_new + sum(num_clips_of[shard] for shard in missing[spec.name])
            )
            for spec in plan.producers
        },
    )


def _count_old_clips(plan: ExtractPlan) -> dict[int, int]:
    parts = {} if plan.store is None else plan.store.planned_parts()
    return {shard: part.num_clips for shard, part in parts.items()}


def _find_missing(plan: ExtractPlan, name: str) -> frozenset[int]:
    """Find the shards that were planned before and that a producer lacks."""
    if plan.store is None:
        return frozenset()
    is_declared = name in plan.store.producers()
    return frozenset(plan.store.missing_shards(name) if is_declared else plan.store.shards())


def _open_if_there(url: str) -> Store | None:
    try:
        return Store.open(url)
    except StoreNotFoundError:
        return None


def _settle(teacher: TeacherRequest, stored: Mapping[str, ProducerSpec]) -> TeacherRequest:
    is_known = teacher.name in stored
    return resolve(adopt_stored(teacher, stored[teacher.name]) if is_known else teacher)


def _describe(
    teacher: TeacherRequest,
    policy: ClipPolicy,
    sparse_top_k: int | None,
    stored: Mapping[str, ProducerSpec],
) -> ProducerSpec:
    if sparse_top_k is None and teacher.name in stored:
        sparse_top_k = stored_sparse_top_k(stored[teacher.name])
    return describe_teacher(declare_teacher(teacher), policy, sparse_top_k=sparse_top_k or 0)


def _cut_new(
    request: ExtractRequest,
    recordings: Sequence[Recording],
    policy: ClipPolicy,
    first_row: int,
    rows_per_shard: int,
    on_recording: Callable[[int, int], None],
) -> tuple[ClipRow, ...]:
    probed = probe_recordings(
        recordings,
        num_workers=request.num_decode_workers or default_decode_workers(num_workers=1),
        time_limit_seconds=request.decode_limit_seconds,
        on_recording=on_recording,
    )
    return plan_clips(
        probed.recordings,
        policy,
        first_row=first_row,
        rows_per_shard=rows_per_shard,
        unreadable=probed.unreadable,
    )
