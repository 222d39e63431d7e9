"""What a store holds, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avkd.storage import writing
from avkd.storage.producers import Producer
from avkd.storage.schema import SCHEMA_VERSION, STATUSES, OutputSpec

if TYPE_CHECKING:
    from avkd.storage.store import Store

# A clip takes the worst state that any producer gave it; waiting is worse than done, any failure is
# worse than waiting.
STATES = ("ok", "partial", "pending", *(status for status in STATUSES[2:]))


@dataclass(frozen=True, kw_only=True)
class OutputSummary:
    """One output of a producer."""

    name: str
    shape: tuple[int, ...]
    """Of one row."""
    dtype: str
    axes: tuple[str, ...]
    layout: str
    num_bytes: int
    """Stored, of committed shards."""


@dataclass(frozen=True, kw_only=True)
class ProducerSummary:
    """One teacher or student input."""

    name: str
    fingerprint: str
    """Its digest."""
    outputs: tuple[OutputSummary, ...]
    num_committed_shards: int
    num_bytes: int
    status: Mapping[str, int]
    """Committed rows by status."""


@dataclass(frozen=True, kw_only=True)
class StoreSummary:
    """A whole store."""

    url: str
    schema_version: int
    clip_policy: Mapping[str, object]
    rows_per_shard: int
    num_recordings: int
    num_clips: int
    num_shards: int
    num_bytes: int
    status: Mapping[str, int]
    """Clips by the worst state over producers; ``pending`` where a commit is missing."""
    teachers: tuple[ProducerSummary, ...]
    inputs: tuple[ProducerSummary, ...]
    content_digest: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``json.dumps``."""
        return asdict(self)


def summarise(store: "Store") -> StoreSummary:
    """Count everything in a store; reads commits and clip tables, no arrays."""
    of_kind: dict[str, list[ProducerSummary]] = {"teacher": [], "input": []}
    for name, spec in store.producers().items():
        of_kind[spec.kind].append(_summarise_producer(store, store.producer(name)))
    rows, states = _clip_states(store)
    counts = Counter(STATES[code] for code in states.tolist())
    return StoreSummary(
        url=store.url,
        schema_version=SCHEMA_VERSION,
        clip_policy=dict(store.clip_policy),
        rows_per_shard=store.rows_per_shard,
        num_recordings=len(store.recording_ids()),
        num_clips=len(rows),
        num_shards=len(store.shards()),
        num_bytes=sum(each.num_bytes for kind in of_kind.values() for each in kind),
        status={state: counts[state] for state in STATES if counts[state]},
        teachers=tuple(of_kind["teacher"]),
        inputs=tuple(of_kind["input"]),
        content_digest=store.content_digest(),
    )


def _summarise_producer(store: "Store", producer: Producer) -> ProducerSummary:
    sizes: Counter[str] = Counter()
    status: Counter[str] = Counter()
    num_shards = 0
    for commit in store.commits(producer.spec.name):
        num_shards += 1
        status.update(commit.counts)
        by_path = {file.path: file.size for file in commit.files}
        for output in producer.spec.outputs:
            paths = writing.shard_files(producer, output, commit.shard, store.rows_per_shard)
            sizes[output.name] += sum(by_path.get(path, 0) for path in paths)
    return ProducerSummary(
        name=producer.spec.name,
        fingerprint=producer.digest,
        outputs=tuple(_summarise_output(o, sizes[o.name]) for o in producer.spec.outputs),
        num_committed_shards=num_shards,
        num_bytes=sizes.total(),
        status=dict(status),
    )


def _summarise_output(output: OutputSpec, num_bytes: int) -> OutputSummary:
    return OutputSummary(
        name=output.name,
        shape=output.shape,
        dtype=output.dtype,
        axes=output.axes,
        layout=output.layout,
        num_bytes=num_bytes,
    )


def _clip_states(store: "Store") -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    committed = {name: store.committed_shards(name) for name in store.producers()}
    all_rows, all_states = [np.empty(0, np.int64)], [np.empty(0, np.int8)]
    for shard, part in sorted(store.planned_parts().items()):
        first = shard * store.rows_per_shard
        worst = np.full(part.num_clips, 0 if committed else STATES.index("pending"), np.int8)
        for name, shards in committed.items():
            states = np.full(part.num_clips, STATES.index("pending"), np.int8)
            if shard in shards:
                states = _committed_states(store, name, shard, part.num_clips)
            worst = np.maximum(worst, states)
        all_rows.append(np.arange(first, first + part.num_clips))
        all_states.append(worst)
    rows, states = np.concatenate(all_rows), np.concatenate(all_states)
    last = store.last_attempts(rows)
    return last, states[np.searchsorted(rows, last)]


def _committed_states(
    store: "Store", name: str, shard: int, num_clips: int
) -> npt.NDArray[np.int8]:
    states = np.zeros(num_clips, np.int8)
    for row, (status, _) in store.read_commit(name, shard).failures.items():
        states[row - shard * store.rows_per_shard] = STATES.index(status)
    return states
