"""What an extraction has to do: the corpus held against the store. Reads and probes, no writes.

Quick where there is nothing to do: recordings are known by their id, so a file that changed under
the id of a stored recording is not looked at again, and one of another place is only told of.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from avkd.errors import InvalidValueError, StoreNotFoundError
from avkd.pipeline.cores import default_decode_workers
from avkd.pipeline.extraction.choices import choose_policy, choose_rows_per_shard, choose_vectors
from avkd.pipeline.extraction.known import find_known
from avkd.pipeline.extraction.plan import count_bytes, count_shards, plan_clips
from avkd.pipeline.extraction.policy import policy_fields
from avkd.pipeline.extraction.probing import ProbedRecordings, probe_recordings
from avkd.pipeline.extraction.request import ExtractForecast, ExtractRequest
from avkd.pipeline.extraction.retrying import (
    find_failed,
    plan_again,
    recordings_to_probe,
    stored_recordings,
)
from avkd.pipeline.extraction.roster import Roster, settle_roster
from avkd.stages.types import ClipPolicy
from avkd.storage.corpus import read_corpus
from avkd.storage.schema import ClipRow, ProducerSpec, Recording
from avkd.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class ExtractPlan:
    """An extraction with every choice settled."""

    url: str
    store: Store | None
    """None where there is none yet."""
    policy: ClipPolicy | None
    """None where the recordings have no files."""
    rows_per_shard: int
    roster: Roster
    num_new_recordings: int
    new_clips: tuple[ClipRow, ...]
    num_removed_recordings: int = 0
    """Of the corpus: removed from the store, and so not new."""
    notes: tuple[str, ...] = ()
    """What a user should know before anything is computed, one line each."""

    @property
    def producers(self) -> tuple[ProducerSpec, ...]:
        """All that take part, each after those it looks at."""
        return self.roster.producers


def plan_extraction(
    request: ExtractRequest, *, on_recording: Callable[[int, int], None]
) -> ExtractPlan:
    """Read the corpus, settle the choices, and cut the recordings that the store does not know.

    Recordings that were removed from the store are known to it, until they are let in again. For a
    retry the corpus is the store itself, and what is new are failed clips, planned once more.
    """
    url = request.store if "://" in request.store else str(Path(request.store).absolute())
    store = _open_if_there(url)
    stored = {} if store is None else dict(store.producers())
    rows_per_shard = choose_rows_per_shard(request, store)
    recordings = _read_recordings(request, store, stored)
    policy = choose_policy(request, store, recordings)
    roster = settle_roster(request, store, stored, policy, recordings)
    removed = frozenset[str]() if store is None else store.removals().recordings
    held = None if store is None else find_known(store, recordings)
    known = removed if held is None else removed | held.ids
    new = [each for each in recordings if each.recording_id not in known]
    first_row = 0 if store is None else store.next_row()
    if store is not None and request.retry_statuses:
        new_clips = _plan_again(request, store, policy, on_recording)
    else:
        new_clips = _cut_new(request, new, policy, first_row, rows_per_shard, on_recording)
    plan = ExtractPlan(
        url=url,
        store=store,
        policy=policy,
        rows_per_shard=rows_per_shard,
        roster=roster,
        num_new_recordings=len(new),
        new_clips=new_clips,
        num_removed_recordings=sum(each.recording_id in removed for each in recordings),
        notes=(held.note,) if held and held.note else (),
    )
    _refuse_missing_inputs(plan)
    return plan


def write_plan(plan: ExtractPlan) -> Store:
    """Make the store know the producers and the new clips.

    Raises:
        FingerprintMismatchError: before any row is added, if a name stands for another teacher.
    """
    store = plan.store or Store.create(
        plan.url, clip_policy=policy_fields(plan.policy), rows_per_shard=plan.rows_per_shard
    )
    for spec in _note_requests(plan):
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
        num_removed_recordings=plan.num_removed_recordings,
        runtimes={
            spec.name: "{runtime} on {device} in {precision}".format_map(spec.fingerprint)
            for spec in plan.producers
            if {"runtime", "device", "precision"} <= spec.fingerprint.keys()
        },
    )


def _read_recordings(
    request: ExtractRequest, store: Store | None, stored: Mapping[str, ProducerSpec]
) -> Sequence[Recording]:
    if request.retry_statuses:
        if store is None:
            raise StoreNotFoundError(f"no store at {request.store} to retry anything of")
        return stored_recordings(store)
    return read_corpus(
        request.corpus,
        path_column=request.path_column,
        id_column=request.id_column,
        vectors=choose_vectors(request, stored),
        more_streams=tuple(each.stream for each in request.class_maps),
    )


def _note_requests(plan: ExtractPlan) -> Iterator[ProducerSpec]:
    """Keep how teachers were asked for, so that `avkd retry` can ask for them again.

    But not that a file was trusted to run code: that is said anew each time.
    """
    requests = (*plan.roster.teachers, *(run.request for run in plan.roster.trained))
    by_name = {each.name: asdict(each) for each in requests}
    for spec in plan.producers:
        asked = {**by_name.get(spec.name, {})}
        asked.pop("is_trusted", None)
        yield replace(spec, about={"request": asked}) if asked else spec


def _count_old_clips(plan: ExtractPlan) -> dict[int, int]:
    parts = {} if plan.store is None else plan.store.planned_parts()
    removed = {} if plan.store is None else {s: plan.store.removed_rows(s) for s in parts}
    return {shard: part.num_clips - len(removed[shard]) for shard, part in parts.items()}


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


def _refuse_missing_inputs(plan: ExtractPlan) -> None:
    """A trained teacher looks at what is committed, or will be in the same shard's task."""
    in_hand = {spec.name for spec in plan.producers}
    for run in plan.roster.trained:
        needed = _find_missing(plan, run.name)
        for stream in run.streams:
            if stream in in_hand:
                continue
            lacking = len(needed & _find_missing(plan, stream))
            lacking += count_shards(len(plan.new_clips), plan.rows_per_shard)
            if lacking:
                raise InvalidValueError(
                    f"teacher {run.name!r} looks at {stream!r}, which lacks {lacking} of the "
                    f"shards to compute; give --teacher {stream}=FAMILY in the same command"
                )


def _plan_again(
    request: ExtractRequest,
    store: Store,
    policy: ClipPolicy | None,
    on_recording: Callable[[int, int], None],
) -> tuple[ClipRow, ...]:
    failed = find_failed(store, request.retry_statuses)
    probed = _probe(request, recordings_to_probe(failed), on_recording)
    return plan_again(
        failed,
        probed.recordings,
        probed.unreadable,
        policy,
        first_row=store.next_row(),
        rows_per_shard=store.rows_per_shard,
    )


def _cut_new(
    request: ExtractRequest,
    recordings: Sequence[Recording],
    policy: ClipPolicy | None,
    first_row: int,
    rows_per_shard: int,
    on_recording: Callable[[int, int], None],
) -> tuple[ClipRow, ...]:
    if policy is None:
        return plan_clips(recordings, None, first_row=first_row, rows_per_shard=rows_per_shard)
    probed = _probe(request, recordings, on_recording)
    return plan_clips(
        probed.recordings,
        policy,
        first_row=first_row,
        rows_per_shard=rows_per_shard,
        unreadable=probed.unreadable,
    )


def _probe(
    request: ExtractRequest,
    recordings: Sequence[Recording],
    on_recording: Callable[[int, int], None],
) -> ProbedRecordings:
    return probe_recordings(
        recordings,
        num_workers=request.num_decode_workers or default_decode_workers(num_workers=1),
        limits=request.decode_limits,
        on_recording=on_recording,
    )
