"""Extraction: teachers look at a corpus once, and a store keeps what they saw."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from avkd.errors import InterruptedRunError, TooManyFailuresError
from avkd.pipeline.cores import cores_per_worker, default_decode_workers
from avkd.pipeline.executor import build_executor
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
from avkd.pipeline.extraction.task import ShardReceipt, ShardTask
from avkd.pipeline.extraction.worker import closing_worker, release_decode_pool
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.signals import StopRequest, watch_signals
from avkd.storage.digest import fingerprint_digest
from avkd.storage.store import Store
from avkd.storage.writing import DATA_STATUSES


def extract_teacher(
    request: ExtractRequest, *, on_progress: OnProgress = lambda event: None
) -> ExtractReport:
    """Give every clip of a corpus its targets and inputs in a store; what is there is left alone.

    Ctrl-C or SIGTERM ends the run after the shards in hand, a second one at once; the same request
    goes on from there.

    Raises:
        InvalidValueError: an option is wrong, or differs from what the store was made with.
        FingerprintMismatchError: a teacher is another than the store holds under its name.
        InterruptedRunError: a signal ended the run.
        TooManyFailuresError: all is committed, but more clips failed than the request allows.
    """
    began = time.perf_counter()
    with watch_signals() as stop, closing_worker():
        tally = Tally(stop, on_progress)
        plan = plan_extraction(request, on_recording=tally.count_probed)
        forecast = make_forecast(plan)
        if request.dry_run:
            return ExtractReport(forecast=forecast, is_dry_run=True)
        store = write_plan(plan)
        tasks = build_tasks(request, plan, store)
        receipts = _run_tasks(request, plan, tasks, forecast.num_clips, stop, tally)
    if len(receipts) < len(tasks):
        raise _describe_interruption(store, plan)
    report = _build_report(store, plan, forecast, receipts, time.perf_counter() - began)
    _check_failures(report, request.max_failure_rate)
    return report


def build_tasks(request: ExtractRequest, plan: ExtractPlan, store: Store) -> tuple[ShardTask, ...]:
    """Make a task of every shard that any of the producers lacks."""
    roster = plan.roster
    missing = {spec.name: set(store.missing_shards(spec.name)) for spec in plan.producers}
    num_threads, num_decode_workers = _share_cores(request)
    return tuple(
        ShardTask(
            store=plan.url,
            shard=shard,
            teachers=tuple(each for each in roster.teachers if shard in missing[each.name]),
            waveform=roster.waveform if shard in missing.get(WAVEFORM, ()) else None,
            frames=roster.frames if shard in missing.get(FRAMES, ()) else None,
            pictures=tuple(each for each in roster.pictures if shard in missing[each.name]),
            vectors=tuple(name for name in roster.vectors if shard in missing[name]),
            trained=tuple(run.request for run in roster.trained if shard in missing[run.name]),
            fingerprints={
                spec.name: fingerprint_digest(spec.fingerprint) for spec in plan.producers
            },
            num_decode_workers=num_decode_workers,
            decode_limit_seconds=request.decode_limit_seconds,
            num_threads=num_threads,
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
    executor = build_executor(
        request.executor,
        num_workers=request.num_workers,
        scheduler=request.scheduler,
        needs_gpu=any(teacher.device == "cuda" for teacher in plan.roster.teachers),
    )
    is_serial = request.executor == "serial"
    if not is_serial:
        release_decode_pool()  # which probed the corpus
    extract: Callable[[ShardTask], ShardReceipt] = extract_shard
    if is_serial:
        extract = partial(extract_shard, on_clip=lambda failed: tally.count(1, failed, num_clips))
    receipts = []
    try:
        for receipt in executor.run(extract, stop.until_received(tasks)):
            receipts.append(receipt)
            if not is_serial:
                tally.count(receipt.num_clips, receipt.num_failed, num_clips)
    except KeyboardInterrupt:
        pass  # the second signal: what is in hand is dropped
    return receipts


def _share_cores(request: ExtractRequest) -> tuple[int, int]:
    """Give threads for the teachers and decode children of a worker; 0 threads is no limit."""
    if request.scheduler:
        # The workers' machines are not known here: whoever started them shared their cores out.
        return 0, request.num_decode_workers or 1
    num_workers = 1 if request.executor == "serial" else request.num_workers
    num_threads = 0 if request.executor == "serial" else cores_per_worker(num_workers)
    return num_threads, request.num_decode_workers or default_decode_workers(num_workers)


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
    wall_seconds: float,
) -> ExtractReport:
    summary = store.summary()
    names = {spec.name for spec in plan.producers}
    seconds = Counter[str]()
    for receipt in receipts:
        seconds.update(receipt.seconds)
    return ExtractReport(
        forecast=forecast,
        num_recordings=summary.num_recordings,
        num_clips=summary.num_clips,
        num_shards_done=len(receipts),
        num_shards_skipped=summary.num_shards - len(receipts),
        status={
            each.name: each.status
            for each in (*summary.teachers, *summary.inputs)
            if each.name in names
        },
        seconds=dict(seconds),
        wall_seconds=wall_seconds,
        content_digest=summary.content_digest,
        notes=tuple(
            _tell_first_failure(store, each.name, sum(each.status.values()))
            for each in (*summary.teachers, *summary.inputs)
            if each.name in names and each.status and not set(each.status) & set(DATA_STATUSES)
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
