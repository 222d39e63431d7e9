"""Removed rows written out of the store, so that their bytes are gone.

What is committed is never written again, with this one exception. A shard goes through these steps,
and may stop between any two of them:

1. A new generation of its commit is created beside the old one (``00000.1.json``). It says that the
   removed rows are ``removed``, and has the hashes of files without them. While both are there,
   each file of the shard is as one of the two says, and removed rows are shown to nobody anyway: it
   reads and verifies as before.
2. Its files are replaced, one by one, each by a rename.
3. The old generation is deleted. From here on only the new files are right.

Whoever goes on after a kill reads what is there, by either generation, and ends with the same
bytes. Clip tables come after: rows keep their number, clip id and attempt, all else is erased; the
new part has a name of its own, a new generation of the plan lists it, and then the old part goes.
"""

import platform
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from avkd.errors import StoreUnwritableError
from avkd.storage import layout, objects, plans
from avkd.storage.arrays import AnyArray, decode_object, encode_object, object_name, stored_arrays
from avkd.storage.boxes import arrange_boxes, box_pieces, encode_boxes
from avkd.storage.clips import decode_clips, read_part
from avkd.storage.commits import Commit, StoredFile, create_commit, list_generations
from avkd.storage.digest import Pieces, RowSum, sum_rows
from avkd.storage.producers import Producer
from avkd.storage.reading import read_any
from avkd.storage.removals import ERASED, Removals
from avkd.storage.schema import REMOVED, ClipRow, OutputSpec
from avkd.storage.shown import status_of
from avkd.storage.stored import StoredRows
from avkd.storage.writing import object_range, row_pieces


@dataclass(frozen=True, kw_only=True)
class RemovedShard:
    """A committed shard that still holds removed rows."""

    producer: Producer
    commit: Commit
    clips: tuple[ClipRow, ...]
    removed: frozenset[int]
    """Every removed row of the shard."""


def find_removed_shards(
    stored: StoredRows, producers: Collection[Producer], removals: Removals
) -> Iterator[RemovedShard]:
    """Yield what ``rewrite_shard`` has to do, also what another began."""
    if not removals:
        return
    removed = {
        shard: removals.hide(table["recording_id"], table["row"])
        for shard in sorted(stored.planned_parts())
        for table in [stored.read_columns(shard, ("recording_id", "row"))]
    }
    for producer in producers:
        for shard, generations in list_generations(stored.url, producer.spec.name).items():
            commit = stored.read_commit(producer.spec.name, shard, generations)
            is_held = any(status_of(commit, row) != REMOVED for row in removed[shard])
            if is_held or commit.former_files:
                yield RemovedShard(
                    producer=producer,
                    commit=commit,
                    clips=stored.read_clips(shard),
                    removed=removed[shard],
                )


def rewrite_shard(url: str, shard: RemovedShard, rows_per_shard: int) -> None:
    """Write removed rows out of a committed shard.

    Raises:
        CorruptStoreError: a file is as no generation of the commit says.
        StoreUnwritableError: the place does not take the bytes.
    """
    commit, files = _leave_out(url, shard, rows_per_shard)
    if commit != shard.commit and not create_commit(url, commit).is_new:
        raise StoreUnwritableError(
            f"{url}: another process rewrites shard {commit.shard} of {commit.producer}"
        )
    for path, data in files.items():
        objects.put_durable(objects.join(url, path), data)
    name = commit.producer
    for generation in list_generations(url, name)[commit.shard]:
        if generation < commit.generation:
            path = layout.commit_path(name, commit.shard, generation)
            objects.remove(objects.join(url, path))


def erase_clips(url: str, removals: Removals) -> tuple[int, ...]:
    """Erase removed rows from the clip tables, but for their numbers and clip ids.

    Returns:
        The shards whose tables held any.
    """
    found: list[int] = []
    for number, generation in plans.list_generations(url).items():
        parts = plans.read_plan(url, number, generation)
        erased = {part.shard: _erase(url, part, removals) for part in parts}
        if changed := [shard for shard, clips in erased.items() if clips]:
            new_parts = [
                plans.claim_part(url, part.shard, erased[part.shard])
                if erased[part.shard]
                else part
                for part in parts
            ]
            plans.write_plan(url, number, new_parts, generation + 1)
            found += changed
        elif generation:  # of a process that died before it removed the old parts
            plans.remove_unlisted(url, parts)
    return tuple(found)


def find_unerased(url: str, removals: Removals) -> tuple[int, ...]:
    """Return the shards whose clip tables ``erase_clips`` would change."""
    return tuple(
        part.shard
        for number, generation in plans.list_generations(url).items()
        for part in plans.read_plan(url, number, generation)
        if _erase(url, part, removals)
    )


def _erase(url: str, part: plans.PlannedPart, removals: Removals) -> list[ClipRow]:
    """The clips of a part without what is removed; none where nothing is to be erased."""
    clips = decode_clips(plans.read_part_bytes(url, part), part.path)
    ids, rows = [clip.recording_id for clip in clips], [clip.row for clip in clips]
    removed = removals.hide(ids, rows)
    if not any(clip.row in removed and clip.recording_id != ERASED for clip in clips):
        return []
    return [_erase_clip(clip) if clip.row in removed else clip for clip in clips]


def _erase_clip(clip: ClipRow) -> ClipRow:
    return ClipRow(
        row=clip.row,
        clip_id=clip.clip_id,
        recording_id=ERASED,
        streams={},
        start_seconds=0.0,
        duration_seconds=0.0,
        num_steps=clip.num_steps,
        attempt=clip.attempt,
    )


def _leave_out(
    url: str, shard: RemovedShard, rows_per_shard: int
) -> tuple[Commit, dict[str, bytes]]:
    """The commit as it is to be, and the files that hold removed rows as they are to be."""
    old, clips = shard.commit, shard.clips
    failures = {**old.failures, **dict.fromkeys(sorted(shard.removed), (REMOVED, ""))}
    statuses = [failures[clip.row][0] if clip.row in failures else "ok" for clip in clips]
    files: dict[str, bytes] = {}
    content: dict[str, RowSum] = {}
    for output in shard.producer.spec.outputs:
        if output.layout == "boxes":
            written, pieces = _leave_out_boxes(url, shard, output)
        else:
            written, pieces = _leave_out_arrays(url, shard, output, rows_per_shard)
        files |= written
        rows = zip((clip.clip_id for clip in clips), statuses, pieces, strict=False)
        content[output.name] = sum_rows(old.producer, shard.producer.digest, output, rows)
    new = replace(
        old,
        generation=old.generation + 1,
        counts=dict(Counter(statuses)),
        failures=dict(sorted(failures.items())),
        files=tuple(_describe(file, files) for file in old.files),
        content=content,
        former_files=(),
        timings={},
        host=platform.node(),
    )
    is_begun = replace(new, generation=old.generation) == old
    return (old if is_begun else new), files


def _leave_out_boxes(
    url: str, shard: RemovedShard, output: OutputSpec
) -> tuple[dict[str, bytes], Iterator[Pieces]]:
    path = layout.boxes_part(shard.commit.producer, output.name, shard.commit.shard)
    table = read_part(read_any(url, shard.commit.versions(path)), path)
    rows = [clip.row for clip in shard.clips]
    # Arranged as at first: a worker that is late with the same shard writes the same bytes.
    kept = arrange_boxes(table, (row for row in rows if row not in shard.removed))
    return {path: encode_boxes(kept)}, box_pieces(kept, rows)


def _leave_out_arrays(
    url: str, shard: RemovedShard, output: OutputSpec, rows_per_shard: int
) -> tuple[dict[str, bytes], Iterator[Pieces]]:
    files: dict[str, bytes] = {}
    stored: list[AnyArray] = []
    for array in stored_arrays(output):
        metadata = shard.producer.arrays[array.name]
        numbers = object_range(metadata, shard.commit.shard, rows_per_shard)
        object_rows = rows_per_shard // len(numbers)
        pieces = []
        for number in numbers:
            path = f"{shard.producer.folder}/{array.name}/{object_name(metadata, number)}"
            data = read_any(url, shard.commit.versions(path))
            values = decode_object(metadata, data, path)
            first = number * object_rows
            places = _places(shard.removed, first, object_rows)
            if places:
                values = values.copy()
                values[places] = 0
                files[path] = encode_object(metadata, values)
            pieces.append(values)
        stored.append(np.concatenate(pieces))
    return files, row_pieces(stored)


def _places(rows: Collection[int], first: int, num_rows: int) -> Sequence[int]:
    return sorted(row - first for row in rows if first <= row < first + num_rows)


def _describe(file: StoredFile, files: dict[str, bytes]) -> StoredFile:
    data = files.get(file.path)
    if data is None:
        return file
    return StoredFile(path=file.path, size=len(data), sha256=sha256(data).hexdigest())
