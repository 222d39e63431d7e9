"""Extraction: teachers look at a corpus once, and a store keeps what they saw."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from avkd.errors import InterruptedRunError, TooManyFailuresError
from avkd.pipeline.cores import CoreShare, share_of_cores
from avkd.pipeline.executor import Executor, build_executor
from avkd.pipeline.extraction.disk_space import check_space
from avkd.pipeline.extraction.partial_rule import refuse_partial
from avkd.pipeline.extraction.planning import (
    ExtractPlan,
    make_forecast,
    plan_extraction,
    write_plan,
)
from avkd.pipeline.extraction.producers import FRAMES, WAVEFORM
from avkd.pipeline.extraction.progress import OnProgress, Tally
from avkd.pipeline.extraction.request import ExtractForecast, ExtractReport, ExtractRequest
from avkd.pipeline.extraction.shard import extract_shard
from avkd.pipeline.extraction.shard_memory import refuse_large_shards
from avkd.pipeline.extraction.stalls import order_parts
from avkd.pipeline.extraction.task import ShardReceipt, ShardTask
from avkd.pipeline.extraction.turns import Turns, list_producers
from avkd.pipeline.extraction.worker import closing_worker, release_decode_pool
from avkd.pipeline.overlapping_executor import OverlappingExecutor
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.signals import StopRequest, watch_signals
from avkd.pipeline.task_hooks import call_in_run
from avkd.storage.digest import fingerprint_digest
from avkd.storage.plans import RaceLostError
from avkd.storage.schema import DATA_STATUSES
from avkd.storage.store import Store

PLAN_ATTEMPTS = 10
"""Each is lost only to another run that has planned something meanwhile."""


def extract_teacher(
    request: ExtractRequest, *, on_progress: OnProgress = lambda event: None
) -> ExtractReport:
    """Give every clip of a corpus its targets and inputs in a store; what is there is left alone.

    SIGINT, SIGTERM or SIGUSR1 ends the run after the shards in hand, which have ``stop_seconds``
    to finish; a second SIGINT ends it at once. The same request goes on from there. Several runs
    may fill one store at the same time.

    Raises:
        InvalidValueError: an option is wrong, or differs from what the store was made with, or a
            shard does not fit into memory.
        FingerprintMismatchError: a teacher is another than the store holds under its name.
        StoreUnwritableError: the place takes no files, or its disk is full or too small.
        InterruptedRunError: a signal ended the run.
        TooManyFailuresError: all is committed, but more clips failed than the request allows.
    """
    began = time.perf_counter()
    with watch_signals(request.stop_seconds) as stop, closing_worker():
        tally = Tally(stop, on_progress)
        plan, forecast, store = _plan(request, tally)
        if store is None:
            return ExtractReport(forecast=forecast, is_dry_run=True, notes=plan.notes)
        tasks = build_tasks(request, plan, store)
        receipts = _run_tasks(request, plan, tasks, forecast.num_clips, stop, tally)
    if len(receipts) < len(tasks) and _is_unfinished(store, tasks):
        raise _describe_interruption(store, plan)
    num_computed = len(tasks) - sum(receipt.was_there for receipt in receipts)
    wall_seconds = time.perf_counter() - began
    report = _build_report(store, plan, forecast, receipts, num_computed, wall_seconds)
    _check_failures(report, request.max_failure_rate)
    refuse_partial(store, report.status, request.on_partial)
    return report


def _plan(
    request: ExtractRequest, tally: Tally
) -> tuple[ExtractPlan, ExtractForecast, Store | None]:
    """Plan what is to come and write it down, unless it is a dry run.

    Whoever is overtaken by the planning of another run looks again at what is left to plan.
    """
    num_attempts = 0
    while True:
        num_attempts += 1
        plan = plan_extraction(request, on_recording=tally.count_probed)
        forecast = make_forecast(plan)
        if request.dry_run:
            return plan, forecast, None
        if not request.scheduler:  # the memory of whose workers is not known here
            to_come = (spec for spec in plan.producers if forecast.bytes_to_come[spec.name])
            refuse_large_shards(to_come, plan.rows_per_shard)
        if request.check_space:
            tally.tell(check_space(plan.url, forecast.bytes_to_come))
        try:
            return plan, forecast, write_plan(plan)
        except RaceLostError:
            if num_attempts == PLAN_ATTEMPTS:
                raise


def build_tasks(request: ExtractRequest, plan: ExtractPlan, store: Store) -> tuple[ShardTask, ...]:
    """Make a task of every shard that any of the producers lacks."""
    roster = plan.roster
    missing = {spec.name: set(store.missing_shards(spec.name)) for spec in plan.producers}
    share = _share_cores(request)
    return tuple(
        ShardTask(
            store=plan.url,
            shard=shard,
            teachers=tuple(each for each in roster.teachers if shard in missing[each.name]),
            shown={name: each for name, each in roster.shown.items() if shard in missing[name]},
            waveform=roster.waveform if shard in missing.get(WAVEFORM, ()) else None,
            frames=roster.frames if shard in missing.get(FRAMES, ()) else None,
            pictures=tuple(each for each in roster.pictures if shard in missing[each.name]),
            vectors=tuple(name for name in roster.vectors if shard in missing[name]),
            trained=tuple(run.request for run in roster.trained if shard in missing[run.name]),
            fingerprints={
                spec.name: fingerprint_digest(spec.fingerprint) for spec in plan.producers
            },
            num_decode_workers=share.num_decode_workers,
            decode_limits=request.decode_limits,
            on_partial=request.on_partial,
            num_threads=share.num_threads,
        )
        for shard in sorted(set().union(*missing.values()))
    )


def _run_tasks(
    request: ExtractRequest,
    plan: ExtractPlan,
    tasks: Sequence[ShardTask],
    num_clips: int,
    stop: StopRequest,
    tally: Tally,
) -> list[ShardReceipt]:
    """Run tasks until all are done, or those in hand when a signal came."""
    if not tasks:
        return []
    executor = _choose_executor(request, plan, tasks, stop)
    is_serial = request.executor == "serial"
    if not is_serial:
        release_decode_pool()  # which probed the corpus
    extract: Callable[[ShardTask], ShardReceipt] = extract_shard
    if is_serial:

        def tell(is_failed: bool) -> None:
            call_in_run(lambda: tally.count(1, is_failed, num_clips))

        extract = partial(extract_shard, on_clip=tell)
    receipts = []
    turns = Turns(tasks)
    try:
        with closing(executor.run(extract, stop.until_received(turns))) as running:
            for receipt in running:
                receipts.append(receipt)
                if receipt.was_raced:
                    turns.lose_race()
                if not is_serial:
                    tally.count(receipt.num_clips, receipt.num_failed, num_clips)
    except KeyboardInterrupt:
        pass  # the deadline or a second signal: what is in hand is dropped
    return receipts


def _choose_executor(
    request: ExtractRequest, plan: ExtractPlan, tasks: Sequence[ShardTask], stop: StopRequest
) -> Executor:
    if request.executor == "serial" and any(task.needs_decoding for task in tasks):
        return OverlappingExecutor(
            give_up=release_decode_pool,
            is_stopping=lambda: stop.received,
            stop_seconds=request.stop_seconds,
        )
    return build_executor(
        request.executor,
        num_workers=request.num_workers,
        scheduler=request.scheduler,
        needs_gpu=any(teacher.device == "cuda" for teacher in plan.roster.teachers),
        stop_seconds=request.stop_seconds,
    )


def _share_cores(request: ExtractRequest) -> CoreShare:
    """Give every worker its share of a machine."""
    if request.scheduler:
        # The workers' machines are not known here: whoever started them shared their cores out.
        return CoreShare(num_threads=0, num_decode_workers=request.num_decode_workers or 1)
    if request.executor == "serial":
        # The libraries' own choice, which is all cores or OMP_NUM_THREADS.
        share = replace(share_of_cores(1), num_threads=0)
    else:
        share = share_of_cores(request.num_workers)
    asked = request.num_decode_workers
    return share if asked is None else replace(share, num_decode_workers=asked)


def _is_unfinished(store: Store, tasks: Sequence[ShardTask]) -> bool:
    """Ask the store: a receipt may be lost after the last commit, or a shard be another run's."""
    return any(
        not store.is_committed(name, task.shard) for task in tasks for name in list_producers(task)
    )


def _describe_interruption(store: Store, plan: ExtractPlan) -> InterruptedRunError:
    num_shards = len(store.shards())
    missing = (store.missing_shards(spec.name) for spec in plan.producers)
    num_whole = num_shards - len(set().union(*missing))
    return InterruptedRunError(
        f"stopped by a signal: {num_whole} of {num_shards} shards are committed in {store.url}; "
        "the same command goes on from there"
    )


def _build_report(
    store: Store,
    plan: ExtractPlan,
    forecast: ExtractForecast,
    receipts: Sequence[ShardReceipt],
    num_computed: int,
    wall_seconds: float,
) -> ExtractReport:
    summary = store.summary()
    names = {spec.name for spec in plan.producers}
    seconds, stalls = Counter[str](), Counter[str]()
    for receipt in receipts:
        seconds.update(receipt.seconds)
        stalls.update(receipt.stalls)
    return ExtractReport(
        forecast=forecast,
        num_recordings=summary.num_recordings,
        num_clips=summary.num_clips,
        num_shards_done=num_computed,
        num_shards_skipped=summary.num_shards - num_computed,
        status={
            each.name: each.status
            for each in (*summary.teachers, *summary.inputs)
            if each.name in names
        },
        seconds=dict(seconds),
        stalls=order_parts(stalls) if stalls else {},
        wall_seconds=wall_seconds,
        content_digest=summary.content_digest,
        notes=(
            *plan.notes,
            *(
                _tell_first_failure(store, each.name, sum(each.status.values()))
                for each in (*summary.teachers, *summary.inputs)
                if each.name in names and each.status and not set(each.status) & set(DATA_STATUSES)
            ),
        ),
    )


def _tell_first_failure(store: Store, name: str, num_rows: int) -> str:
    """Why a producer has nothing at all: mostly for one reason, which an option or a column is."""
    failures = {row: why for commit in store.commits(name) for row, why in commit.failures.items()}
    reason = failures[min(failures)][1] if failures else "no row was computed"
    return f"{name}: none of {counted(num_rows, 'clip')} is ok, the first because {reason}"


def _check_failures(report: ExtractReport, max_failure_rate: float) -> None:
    for name, status in report.status.items():
        num_rows = sum(status.values())
        num_failed = sum(count for each, count in status.items() if each not in DATA_STATUSES)
        if num_failed > max_failure_rate * num_rows:
            raise TooManyFailuresError(
                f"{num_failed} of {num_rows} clips failed for {name}, more than the allowed share "
                f"of {max_failure_rate:g}; all is committed: `avkd inspect` tells the reasons"
            )
