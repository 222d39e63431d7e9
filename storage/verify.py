"""Verification: every byte of a store against its digests, and the digests against the content.

Files that no plan, declaration or commit names (temporary files, clip parts of a killed planner,
arrays of a shard that was never committed) are leftovers, not problems. Every row is looked at,
also one whose recording was removed: its bytes are there until they are written out, and while they
are, a file may be as the old commit of its shard says, or as the new one. What was replaced while
it was looked at is looked at again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from avkd.errors import CorruptStoreError, SchemaVersionError, StoreUnwritableError
from avkd.storage import layout, objects, plans, producers
from avkd.storage.arrays import array_file, put_array_file
from avkd.storage.clips import decode_clips
from avkd.storage.commits import Commit, committed_shards, list_generations, parse_commit
from avkd.storage.digest import clip_ids_digest
from avkd.storage.producers import Producer
from avkd.storage.reading import read_present
from avkd.storage.removals import parse_removal
from avkd.storage.schema import REMOVED, ClipRow
from avkd.storage.sealed import unseal_exactly
from avkd.storage.store import Store
from avkd.storage.verify_content import check_content

Seen = TypeVar("Seen")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something in a store that is not as it was written."""

    what: str
    file: str
    """Relative to the store."""
    producer: str | None = None
    shard: int | None = None
    """None for a file that belongs to no shard."""

    def __str__(self) -> str:
        of = [f"shard {self.shard}"] if self.shard is not None else []
        of += [f"of {self.producer}"] if self.producer else []
        return f"{' '.join(of)}: {self.what}" if of else self.what


def verify_store(
    url: str, *, on_shard: Callable[[str, int], None] | None = None
) -> tuple[Problem, ...]:
    """Check a whole store; reads all of it, one object at a time.

    An array whose growth was lost with a killed planner is mended in passing.

    Args:
        url: of the store.
        on_shard: told the producer and shard that comes next.

    Raises:
        StoreNotFoundError: there is no store.
        SchemaVersionError: a newer avkd made it.
    """
    try:
        store = _open_exactly(url)
    except CorruptStoreError as error:
        return (Problem(what=str(error), file=layout.STORE_FILE),)
    found: list[Problem] = []
    planned = _Planned(parts={}, lengths=[0])
    found += _check_again_if_replaced(
        partial(_list_plans, url), lambda generations: _check_plans(store, planned, generations)
    )
    found += _check_removals(url)
    for name in _producer_names(url):
        found += _check_producer(store, planned, name, on_shard or (lambda name, shard: None))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """What the undamaged plans say; filled while they are checked."""

    parts: dict[int, plans.PlannedPart]
    lengths: list[int]
    """Rows of an array after each plan."""


def _open_exactly(url: str) -> Store:
    try:
        store = Store.open(url)
    except SchemaVersionError as error:
        try:  # a flip in the version itself must not pass for a newer schema
            _read_exactly(url, layout.STORE_FILE)
        except CorruptStoreError as damage:
            raise CorruptStoreError(f"{damage} (or: {error})") from None
        raise
    _read_exactly(url, layout.STORE_FILE)
    return store


def _check_again_if_replaced(
    look: Callable[[], Seen], check: Callable[[Seen], Iterator[Problem]], seen: Seen | None = None
) -> list[Problem]:
    """Check generations of a file; again if others were found instead of what was to be checked."""
    seen = look() if seen is None else seen
    while found := list(check(seen)):
        now = look()
        if now == seen:
            break
        seen = now
    return found


def _list_plans(url: str) -> dict[int, tuple[int, ...]]:
    return layout.find_generations(objects.list_names(objects.join(url, layout.PLANS_FOLDER)))


def _check_plans(
    store: Store, planned: _Planned, generations: Mapping[int, Sequence[int]]
) -> Iterator[Problem]:
    planned.lengths[1:] = []
    for number in range(max(generations, default=-1) + 1):
        parts = None
        for generation in generations.get(number, (0,)):
            path = layout.plan_file(number, generation)
            try:
                parts = plans.parse_plan(_read_exactly(store.url, path), path)
            except CorruptStoreError as error:
                parts = None
                yield Problem(what=str(error), file=path)
        if parts is None:  # the newest is what counts
            continue
        planned.parts.update({part.shard: part for part in parts})
        planned.lengths.append((max(planned.parts) + 1) * store.rows_per_shard)
        for part in parts:
            yield from _check_clip_part(store.url, part)


def _check_removals(url: str) -> Iterator[Problem]:
    names = objects.list_names(objects.join(url, layout.REMOVALS_FOLDER))
    numbers = [number for number in map(layout.number_of, names) if number is not None]
    for number in range(max(numbers, default=-1) + 1):
        path = layout.removal_file(number)
        try:
            parse_removal(_read_exactly(url, path), path)
        except CorruptStoreError as error:
            yield Problem(what=str(error), file=path)


def _check_clip_part(url: str, part: plans.PlannedPart) -> Iterator[Problem]:
    try:
        _read_clips(url, part)
    except CorruptStoreError as error:
        yield Problem(what=str(error), file=part.path, shard=part.shard)


def _producer_names(url: str) -> list[str]:
    declared = {name for _, name in producers.list_producers(url)}
    commits = objects.list_names(objects.join(url, layout.COMMITS_FOLDER))
    return sorted(declared | {name for name in commits if committed_shards(url, name)})


def _check_producer(
    store: Store, planned: _Planned, name: str, on_shard: Callable[[str, int], None]
) -> Iterator[Problem]:
    kinds: Mapping[str, str] = {name: kind for kind, name in producers.list_producers(store.url)}
    kind = kinds.get(name)
    if kind is None:
        path = f"{layout.COMMITS_FOLDER}/{name}"
        what = f"{path} has commits but no {layout.PRODUCER_FILE} declares {name}; restore it"
        yield Problem(what=what, file=path, producer=name)
        return
    path = layout.producer_file("teacher" if kind == "teacher" else "input", name)
    try:
        producer = producers.parse_producer(_read_exactly(store.url, path), path)
    except CorruptStoreError as error:
        yield Problem(what=str(error), file=path, producer=name)
        return
    shards = list_generations(store.url, name)
    yield from _check_array_files(store.url, producer, planned.lengths, bool(shards))
    for shard, generations in shards.items():
        on_shard(name, shard)
        yield from _check_again_if_replaced(
            partial(_list_commits, store.url, name, shard, generations),
            partial(_check_shard, store, planned, producer, shard),
            generations,
        )


def _list_commits(url: str, name: str, shard: int, known: tuple[int, ...]) -> tuple[int, ...]:
    return list_generations(url, name).get(shard, known)


def _check_array_files(
    url: str, producer: Producer, lengths: list[int], is_used: bool
) -> Iterator[Problem]:
    for name, metadata in producer.arrays.items():
        folder = f"{producer.folder}/{name}"
        path = f"{folder}/{layout.ARRAY_FILE}"
        try:
            data = read_present(url, path)
        except CorruptStoreError as error:
            if is_used:  # else the declaring process was killed, and the next one writes it
                yield Problem(what=str(error), file=path, producer=producer.spec.name)
            continue
        if data == array_file(metadata, lengths[-1]):
            continue
        what = f"{path} differs from what was written; restore the file"
        if data in (array_file(metadata, length) for length in lengths):
            try:
                put_array_file(url, folder, metadata, lengths[-1])
                continue
            except StoreUnwritableError as error:
                what = f"{path} hides rows that were planned later ({error})"
        yield Problem(what=what, file=path, producer=producer.spec.name)


def _check_shard(
    store: Store,
    planned: _Planned,
    producer: Producer,
    shard: int,
    generations: tuple[int, ...],
) -> Iterator[Problem]:
    paths = [layout.commit_path(producer.spec.name, shard, each) for each in generations]
    path = paths[-1]

    def problem(what: str, file: str = path) -> Problem:
        return Problem(what=what, file=file, producer=producer.spec.name, shard=shard)

    part = planned.parts.get(shard)
    if part is None:
        yield problem(f"{path} commits a shard that no readable plan lists; restore the plan")
        return
    read: dict[str, Commit] = {}
    for each in paths:
        try:
            read[each] = parse_commit(_read_exactly(store.url, each), each)
        except CorruptStoreError as error:
            yield problem(str(error), each)
    if path not in read:
        return
    newest, *former = reversed(read.values())
    former_files = tuple(file for commit in former for file in commit.files)
    commit = replace(newest, former_files=former_files)
    try:
        clips = _read_clips(store.url, part)
    except CorruptStoreError:  # told already, with the plan
        clips = None
    for what in _contradictions(producer, commit, part, clips):
        yield problem(f"{path} {what}; restore the file")
    if not _is_removed(store, commit):
        yield problem(f"{path} says {REMOVED} of rows that no removal names; restore the removals")
    for file, what in check_content(store.url, producer, commit, store.rows_per_shard, clips):
        yield problem(what, file)


def _contradictions(
    producer: Producer,
    commit: Commit,
    part: plans.PlannedPart,
    clips: tuple[ClipRow, ...] | None,
) -> Iterator[str]:
    if commit.fingerprint_digest != producer.digest:
        yield "has another fingerprint than the declaration"
    if commit.num_rows != part.num_clips or sum(commit.counts.values()) != commit.num_rows:
        yield "counts other rows than the plan"
    if clips and commit.clip_ids_digest != clip_ids_digest(clip.clip_id for clip in clips):
        yield "was made for other clips"


def _is_removed(store: Store, commit: Commit) -> bool:
    """Whether all rows that a commit calls removed are: else a removal was lost."""
    rows = {row for row, (status, _) in commit.failures.items() if status == REMOVED}
    try:
        return not rows or rows <= store.removed_rows(commit.shard)
    except CorruptStoreError:  # told already, with the removals or the plan
        return True


def _read_clips(url: str, part: plans.PlannedPart) -> tuple[ClipRow, ...]:
    return decode_clips(plans.read_part_bytes(url, part), part.path)


def _read_exactly(url: str, path: str) -> bytes:
    data = read_present(url, path)
    unseal_exactly(data, path)
    return data
