"""One shard from its clips to its commits: the function that every executor runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias

from avkd.pipeline.extraction.box_tables import tabulate_boxes
from avkd.pipeline.extraction.buffers import USABLE_STATUSES, ShardContent
from avkd.pipeline.extraction.decoded import gather_decoded, refuse_other_fingerprint
from avkd.pipeline.extraction.policy import read_policy
from avkd.pipeline.extraction.stopwatch import Stopwatch
from avkd.pipeline.extraction.task import ShardReceipt, ShardTask
from avkd.pipeline.extraction.vectors import gather_vectors
from avkd.pipeline.extraction.worker import keep_trained
from avkd.storage.schema import ClipRow, ProducerSpec
from avkd.storage.store import Store

OnClip: TypeAlias = Callable[[bool], None]
"""Told after every clip whether it failed."""


def extract_shard(task: ShardTask, on_clip: OnClip = lambda is_failed: None) -> ShardReceipt:
    """Decode the clips of a shard once for all producers that lack it, and commit each.

    Trained teachers come last: they read what the others committed of this shard.

    Raises:
        FingerprintMismatchError: if a teacher is not, on this machine, what the store declares.
    """
    watch = Stopwatch()
    store = Store.open(task.store)
    clips = store.read_clips(task.shard)
    producers = store.producers()
    contents = {
        name: gather_vectors(producers[name], clips, store.rows_per_shard) for name in task.vectors
    }
    failed = _failed_places(contents.values())
    if task.needs_decoding:
        contents |= _gather_decoded(task, store, producers, clips, watch, failed, on_clip)
    for name, content in chain(contents.items(), _predict(task, store, clips, watch)):
        _write(store, task.shard, name, content, watch)
        failed |= _failed_places([content])
    if not task.needs_decoding:
        for clip in clips:
            on_clip(clip.row % store.rows_per_shard in failed)
    return ShardReceipt(
        shard=task.shard, num_clips=len(clips), num_failed=len(failed), seconds=watch.seconds
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
        content = gather_predictions(teacher, store, task.shard, clips)
        watch.lap("model")
        yield teacher.spec.name, content


def _write(store: Store, shard: int, name: str, content: ShardContent, watch: Stopwatch) -> None:
    first_row = shard * store.rows_per_shard
    failures = {first_row + place: failure for place, failure in content.failures.items()}
    arrays: dict[str, Any] = dict(content.arrays)
    for output in store.producer(name).spec.outputs:
        if output.layout == "boxes":
            arrays[output.name] = tabulate_boxes(arrays[output.name], first_row)
    store.write_shard(name, shard, arrays, failures=failures, timings=watch.seconds)
    watch.lap("write")


def _failed_places(contents: Iterable[ShardContent]) -> frozenset[int]:
    return frozenset(
        place
        for content in contents
        for place, (status, _) in content.failures.items()
        if status not in USABLE_STATUSES
    )
