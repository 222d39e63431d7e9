"""One shard from its clips to its commits: the function that every executor runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from avkd.pipeline.extraction.box_tables import tabulate_boxes
from avkd.pipeline.extraction.buffers import USABLE_STATUSES, ShardContent
from avkd.pipeline.extraction.decoded import gather_decoded, refuse_other_fingerprint
from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.extraction.retrying import held_places, skip_held
from avkd.pipeline.extraction.stopwatch import Stopwatch
from avkd.pipeline.extraction.task import ShardReceipt, ShardTask
from avkd.pipeline.extraction.turns import leave_out_committed, list_producers
from avkd.pipeline.extraction.vectors import gather_vectors
from avkd.pipeline.extraction.worker import MODEL_THREAD, STALLS, keep_trained
from avkd.pipeline.task_hooks import check_not_given_up
from avkd.storage import objects
from avkd.storage.commits import Commit
from avkd.storage.schema import ClipRow, ProducerSpec
from avkd.storage.store import Store

OnClip: TypeAlias = Callable[[bool], None]
"""Told after every clip whether it failed."""


def extract_shard(task: ShardTask, on_clip: OnClip = lambda is_failed: None) -> ShardReceipt:
    """Decode the clips of a shard once for all producers that lack it, and commit each.

    What is committed by now, by another run or by a worker that died after it, is left alone.
    Trained teachers come last: they read what the others committed of this shard.

    Raises:
        FingerprintMismatchError: if a teacher is not, on this machine, what the store declares.
    """
    with STALLS.shard_in_hand():
        receipt = _extract(task, on_clip, Stopwatch())
    return replace(receipt, stalls=STALLS.take())


def _extract(task: ShardTask, on_clip: OnClip, watch: Stopwatch) -> ShardReceipt:
    store = Store.open(task.store)
    clips = store.read_clips(task.shard)
    asked, task = list_producers(task), leave_out_committed(task, store)
    if not list_producers(task):
        return _tell_committed(store, task.shard, asked, clips, on_clip)
    producers = store.producers()
    contents = {
        name: gather_vectors(producers[name], clips, store.rows_per_shard) for name in task.vectors
    }
    failed = _failed_places(contents.values())
    if task.needs_decoding:
        contents |= _gather_decoded(task, store, producers, clips, watch, failed, on_clip)
    commits = []
    for name, content in chain(_release(contents), _predict(task, store, clips, watch)):
        held = held_places(name, clips, store.rows_per_shard)
        commits.append(_write(store, task.shard, name, skip_held(content, held), watch))
        failed |= _failed_places([content]) - held
    if not task.needs_decoding:
        for clip in clips:
            on_clip(clip.row % store.rows_per_shard in failed)
    return ShardReceipt(
        shard=task.shard,
        num_clips=len(clips),
        num_failed=len(failed),
        seconds=watch.seconds,
        # Of two runs that write the same commits in the same order, one is faster with the first.
        was_raced=not commits[0].is_new,
    )


def _release(contents: dict[str, ShardContent]) -> Iterator[tuple[str, ShardContent]]:
    """Give each content and hold it no longer: the next shard is in memory already."""
    for name in tuple(contents):
        yield name, contents.pop(name)


def _tell_committed(
    store: Store, shard: int, names: Sequence[str], clips: Sequence[ClipRow], on_clip: OnClip
) -> ShardReceipt:
    failures = chain.from_iterable(store.read_commit(n, shard).failures.items() for n in names)
    failed = {row for row, (status, _) in failures if status not in USABLE_STATUSES}
    for clip in clips:
        on_clip(clip.row in failed)
    return ShardReceipt(
        shard=shard, num_clips=len(clips), num_failed=len(failed), seconds={}, was_there=True
    )


def _gather_decoded(
    task: ShardTask,
    store: Store,
    producers: Mapping[str, ProducerSpec],
    clips: Sequence[ClipRow],
    watch: Stopwatch,
    failed: frozenset[int],
    on_clip: OnClip,
) -> Mapping[str, ShardContent]:
    policy = read_policy(store)
    assert policy is not None, "recordings without files have nothing to decode"
    return gather_decoded(
        task,
        producers,
        policy,
        clips,
        store.rows_per_shard,
        watch,
        lambda clip, is_failed: on_clip(is_failed or clip.row % store.rows_per_shard in failed),
    )


def _predict(
    task: ShardTask, store: Store, clips: Sequence[ClipRow], watch: Stopwatch
) -> Iterator[tuple[str, ShardContent]]:
    if not task.trained:
        return
    # It imports torch, which a worker that only caches inputs does without.
    from avkd.pipeline.extraction.trained_network import gather_predictions, load_trained

    producers = store.producers()
    teachers = keep_trained(
        [(request, task.fingerprints[request.name]) for request in task.trained],
        lambda request: load_trained(request, producers),
    )
    watch.lap("load")
    for teacher in teachers:
        refuse_other_fingerprint(teacher.spec, task.fingerprints[teacher.spec.name])
        look = partial(gather_predictions, teacher, store, task.shard, clips)
        content = MODEL_THREAD.call(look)
        watch.lap("model")
        yield teacher.spec.name, content


def _write(store: Store, shard: int, name: str, content: ShardContent, watch: Stopwatch) -> Commit:
    check_not_given_up()
    first_row = shard * store.rows_per_shard
    failures = {first_row + place: failure for place, failure in content.failures.items()}
    arrays: dict[str, Any] = dict(content.arrays)
    with STALLS.during("encode"):
        for output in store.producer(name).spec.outputs:
            if output.layout == "boxes":
                arrays[output.name] = tabulate_boxes(arrays[output.name], first_row)
        with objects.telling_writes(partial(STALLS.during, "disk")):
            commit = store.write_shard(
                name, shard, arrays, failures=failures, timings=watch.seconds
            )
    watch.lap("write")
    return commit


def _failed_places(contents: Iterable[ShardContent]) -> frozenset[int]:
    return frozenset(
        place
        for content in contents
        for place, (status, _) in content.failures.items()
        if status not in USABLE_STATUSES
    )
