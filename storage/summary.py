"""What a store holds, in numbers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from avkd.storage import writing
from avkd.storage.producers import Producer
from avkd.storage.schema import OutputSpec
from avkd.storage.states import count_states, find_states

if TYPE_CHECKING:
    from avkd.storage.store import Store


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
    """Committed clips by status; of several attempts at one, the one that counts."""


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
    states = find_states(store)
    for name, codes in states.codes.items():
        status = count_states(codes)
        status.pop("pending", None)
        producer = store.producer(name)
        of_kind[producer.spec.kind].append(_summarise_producer(store, producer, status))
    return StoreSummary(
        url=store.url,
        schema_version=store.schema_version,
        clip_policy=dict(store.clip_policy),
        rows_per_shard=store.rows_per_shard,
        num_recordings=len(store.recording_ids()),
        num_clips=len(states.rows),
        num_shards=len(store.shards()),
        num_bytes=sum(each.num_bytes for kind in of_kind.values() for each in kind),
        status=count_states(states.worst()),
        teachers=tuple(of_kind["teacher"]),
        inputs=tuple(of_kind["input"]),
        content_digest=store.content_digest(),
    )


def _summarise_producer(
    store: "Store", producer: Producer, status: Mapping[str, int]
) -> ProducerSummary:
    sizes: Counter[str] = Counter()
    num_shards = 0
    for commit in store.commits(producer.spec.name):
        num_shards += 1
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
        status=status,
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
