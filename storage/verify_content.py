"""The files of one committed shard against the commit's hashes and row sums."""

from collections.abc import Iterator, Sequence

from avkd.errors import CorruptStoreError
from avkd.storage import layout
from avkd.storage.arrays import AnyArray, decode_object, object_name, object_shape, stored_arrays
from avkd.storage.boxes import box_pieces
from avkd.storage.clips import read_part
from avkd.storage.commits import Commit
from avkd.storage.digest import Pieces, RowSum, sum_rows
from avkd.storage.producers import Producer
from avkd.storage.reading import read_any
from avkd.storage.schema import REMOVED, ClipRow, OutputSpec
from avkd.storage.shown import blank_rows, drop_boxes
from avkd.storage.writing import row_pieces, shard_files

Damage = tuple[str, str]
"""A file and what is wrong with it."""


def check_content(
    url: str,
    producer: Producer,
    commit: Commit,
    rows_per_shard: int,
    clips: Sequence[ClipRow] | None,
) -> Iterator[Damage]:
    """Yield what is wrong with the files of a committed shard, reading each once.

    Args:
        url: of the store.
        producer: whose shard it is.
        commit: of the shard.
        rows_per_shard: of the store.
        clips: of the shard; without them row sums cannot be recomputed.
    """
    expected = {
        path
        for output in producer.spec.outputs
        for path in shard_files(producer, output, commit.shard, rows_per_shard)
    }
    if {file.path for file in commit.files} != expected:
        path = layout.commit_path(commit.producer, commit.shard)
        yield path, f"{path} lists other files than the declaration asks for; restore both"
        return
    for output in producer.spec.outputs:
        if output.layout == "boxes":
            checked = _check_boxes(url, producer, output, commit, clips)
        else:
            checked = _check_arrays(url, producer, output, commit, clips, rows_per_shard)
        yield from checked


def _check_boxes(
    url: str,
    producer: Producer,
    output: OutputSpec,
    commit: Commit,
    clips: Sequence[ClipRow] | None,
) -> Iterator[Damage]:
    path = layout.boxes_part(producer.spec.name, output.name, commit.shard)
    removed = _removed_rows(commit)
    try:
        table = read_part(read_any(url, commit.versions(path)), path)
    except CorruptStoreError as error:
        yield path, str(error)
        return
    if commit.former_files:  # removed rows are just being written out
        table = drop_boxes(table, removed).combine_chunks()
    if clips is not None:
        pieces = box_pieces(table, (clip.row for clip in clips))
        total = _sum(producer, output, commit, clips, pieces)
        yield from _compare(output, commit, total, path)


def _check_arrays(
    url: str,
    producer: Producer,
    output: OutputSpec,
    commit: Commit,
    clips: Sequence[ClipRow] | None,
    rows_per_shard: int,
) -> Iterator[Damage]:
    folder = f"{producer.folder}/{output.name}"
    arrays = {array.name: producer.arrays[array.name] for array in stored_arrays(output)}
    object_rows = object_shape(next(iter(arrays.values())))[0]
    first_row = commit.shard * rows_per_shard
    total, is_whole = RowSum(), True
    for first in range(0, rows_per_shard, object_rows):
        values: list[AnyArray] = []
        for name, metadata in arrays.items():
            number = (first_row + first) // object_rows
            path = f"{producer.folder}/{name}/{object_name(metadata, number)}"
            try:
                data = read_any(url, commit.versions(path))
                read = decode_object(metadata, data, path)
                values.append(_without(read, commit, first_row + first))
            except CorruptStoreError as error:
                is_whole = False
                yield path, str(error)
        if is_whole and clips is not None:
            some = clips[first : first + object_rows]
            total += _sum(producer, output, commit, some, row_pieces(values))
    if is_whole and clips is not None:
        yield from _compare(output, commit, total, folder)


def _removed_rows(commit: Commit) -> set[int]:
    return {row for row, (status, _) in commit.failures.items() if status == REMOVED}


def _without(values: AnyArray, commit: Commit, first_row: int) -> AnyArray:
    """Of a shard that removed rows are just being written out of: as the file will be."""
    if not commit.former_files:
        return values
    rows = _removed_rows(commit) & set(range(first_row, first_row + len(values)))
    blanked: AnyArray = blank_rows(values, first_row, rows)
    return blanked


def _sum(
    producer: Producer,
    output: OutputSpec,
    commit: Commit,
    clips: Sequence[ClipRow],
    pieces: Iterator[Pieces],
) -> RowSum:
    statuses = (commit.failures.get(clip.row, ("ok", ""))[0] for clip in clips)
    rows = zip((clip.clip_id for clip in clips), statuses, pieces, strict=False)
    return sum_rows(producer.spec.name, producer.digest, output, rows)


def _compare(output: OutputSpec, commit: Commit, total: RowSum, path: str) -> Iterator[Damage]:
    if total != commit.content.get(output.name):
        yield path, f"{path}: the rows of shard {commit.shard} do not add up to the commit's digest"
