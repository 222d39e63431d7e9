"""One shard of one producer, from arrays to its commit."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError, StoreUnwritableError
from avkd.storage import layout, objects
from avkd.storage.arrays import AnyArray, encode_object, object_name, object_shape, stored_arrays
from avkd.storage.boxes import arrange_boxes, box_pieces, encode_boxes
from avkd.storage.commits import Commit, StoredFile, create_commit
from avkd.storage.digest import Pieces, RowSum, clip_ids_digest, sum_rows
from avkd.storage.fault_points import pass_point
from avkd.storage.producers import Producer
from avkd.storage.schema import DATA_STATUSES, REMOVED, STATUSES, ClipRow, OutputSpec
from avkd.storage.sparse import encode_sparse

if TYPE_CHECKING:
    import pyarrow

Failures = Mapping[int, tuple[str, str]]


def write_shard(
    url: str,
    producer: Producer,
    shard: int,
    rows_per_shard: int,
    clips: Sequence[ClipRow],
    arrays: Mapping[str, Any],
    *,
    failures: Failures,
    timings: Mapping[str, float],
    removed: Collection[int] = (),
) -> Commit:
    """Encode, put and commit; see ``Store.write_shard``.

    Rows that were removed meanwhile are written without data, whatever was computed for them.
    """
    _check_arguments(producer, clips, arrays, failures)
    failures = {**failures, **dict.fromkeys(removed, (REMOVED, ""))}
    statuses = [failures[clip.row][0] if clip.row in failures else "ok" for clip in clips]
    files: list[StoredFile] = []
    content: dict[str, RowSum] = {}
    for output in producer.spec.outputs:
        if output.layout == "boxes":
            written, pieces = _write_boxes(url, producer, output, shard, clips, statuses, arrays)
        else:
            has_data = np.zeros(rows_per_shard, dtype=bool)
            has_data[: len(clips)] = [status in DATA_STATUSES for status in statuses]
            stored = stored_values(output, arrays[output.name], has_data)
            written = _write_arrays(url, producer, output, shard, stored)
            pieces = row_pieces(stored)
        files += written
        rows = zip((clip.clip_id for clip in clips), statuses, pieces, strict=False)
        content[output.name] = sum_rows(producer.spec.name, producer.digest, output, rows)
    commit = Commit(
        producer=producer.spec.name,
        shard=shard,
        num_rows=len(clips),
        counts=Counter(statuses),
        failures={row: failures[row] for row in sorted(failures)},
        clip_ids_digest=clip_ids_digest(clip.clip_id for clip in clips),
        fingerprint_digest=producer.digest,
        files=tuple(sorted(files, key=lambda file: file.path)),
        content=content,
        timings=timings,
    )
    _refuse_swept(url, files)
    return create_commit(url, commit)


def stored_values(
    output: OutputSpec, values: AnyArray, has_data: npt.NDArray[np.bool_]
) -> tuple[AnyArray, ...]:
    """Return what an output's arrays hold for a whole shard, zero where a row has no data.

    float16 saturates at its largest finite value.

    Args:
        output: dense or sparse.
        values: (rows_per_shard, *output.shape).
        has_data: (rows_per_shard,).

    Raises:
        InvalidValueError: the shape is another, the dtype would lose its kind, or a value is no
            class of the output.
    """
    expected = (len(has_data), *output.shape)
    source = np.dtype("float32") if output.layout == "sparse_logits" else np.dtype(output.dtype)
    if values.shape != expected or not np.can_cast(values.dtype, source, "same_kind"):
        raise InvalidValueError(
            f"output {output.name!r} is stored as {output.dtype} {expected}; "
            f"got {values.dtype} {values.shape}"
        )
    if output.layout == "sparse_logits":
        sparse = encode_sparse(values, output.num_kept)
        stored: tuple[AnyArray, ...] = (sparse.values, sparse.ids, sparse.lse)
    else:
        stored = (_cast(values, source),)
    blanked = tuple(_blank(each, ~has_data) for each in stored)
    if output.holds_classes:
        _check_classes(output, blanked[0])
    return blanked


def row_pieces(stored: Sequence[AnyArray]) -> Iterator[Pieces]:
    """Yield the logical bytes of each row: those of its arrays, one after the other."""
    flat = [np.ascontiguousarray(each).reshape(len(each), -1).view(np.uint8) for each in stored]
    for row in range(len(flat[0])):
        yield [each[row].data for each in flat]


def shard_files(
    producer: Producer, output: OutputSpec, shard: int, rows_per_shard: int
) -> list[str]:
    """Return the paths of an output's files for one shard, relative to the store."""
    if output.layout == "boxes":
        return [layout.boxes_part(producer.spec.name, output.name, shard)]
    return [
        f"{producer.folder}/{array.name}/{object_name(metadata, index)}"
        for array in stored_arrays(output)
        for metadata in [producer.arrays[array.name]]
        for index in object_range(metadata, shard, rows_per_shard)
    ]


def object_range(metadata: Mapping[str, Any], shard: int, rows_per_shard: int) -> range:
    """Return the numbers of the objects that hold a shard's rows in one array."""
    per_shard = rows_per_shard // object_shape(metadata)[0]
    return range(shard * per_shard, (shard + 1) * per_shard)


def _write_arrays(
    url: str, producer: Producer, output: OutputSpec, shard: int, stored: Sequence[AnyArray]
) -> list[StoredFile]:
    files = []
    for array, values in zip(stored_arrays(output), stored, strict=True):
        metadata = producer.arrays[array.name]
        num_rows = object_shape(metadata)[0]
        for place, index in enumerate(object_range(metadata, shard, len(values))):
            data = encode_object(metadata, values[place * num_rows : (place + 1) * num_rows])
            path = f"{producer.folder}/{array.name}/{object_name(metadata, index)}"
            files.append(_put(url, path, data))
    return files


def _write_boxes(
    url: str,
    producer: Producer,
    output: OutputSpec,
    shard: int,
    clips: Sequence[ClipRow],
    statuses: Sequence[str],
    arrays: Mapping[str, "pyarrow.Table"],
) -> tuple[list[StoredFile], Iterator[Pieces]]:
    kept = [c.row for c, status in zip(clips, statuses, strict=True) if status in DATA_STATUSES]
    table = arrange_boxes(arrays[output.name], kept)
    path = layout.boxes_part(producer.spec.name, output.name, shard)
    return [_put(url, path, encode_boxes(table))], box_pieces(table, (clip.row for clip in clips))


def _put(url: str, path: str, data: bytes) -> StoredFile:
    pass_point("before-shard-object")
    objects.put_durable(objects.join(url, path), data)
    pass_point("after-shard-object")
    return StoredFile(path=path, size=len(data), sha256=sha256(data).hexdigest())


def _refuse_swept(url: str, files: Sequence[StoredFile]) -> None:
    """Of a worker that slept so long that its files were taken for a dead one's."""
    for file in files:
        place = objects.join(url, file.path)
        if objects.local_path(place) and not objects.exists(place):
            raise StoreUnwritableError(
                f"{url}: {file.path} was swept before its shard was committed; run the same "
                "command again"
            )


def _cast(values: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    if dtype == np.float16 and values.dtype != np.float16:
        limits = np.finfo(np.float16)
        values = np.clip(values, limits.min, limits.max)
    return values.astype(dtype, copy=False)


def _check_classes(output: OutputSpec, values: AnyArray) -> None:
    highest = int(values.max(initial=0))
    if highest >= len(output.class_names):
        raise InvalidValueError(
            f"output {output.name!r} holds the class {highest}, but its classes are 0 to "
            f"{len(output.class_names) - 1}"
        )


def _blank(values: AnyArray, rows: npt.NDArray[np.bool_]) -> AnyArray:
    if not values[rows].any():  # the usual case, without a copy of the shard
        return values
    values = values.copy()
    values[rows] = 0
    return values


def _check_arguments(
    producer: Producer, clips: Sequence[ClipRow], arrays: Mapping[str, object], failures: Failures
) -> None:
    names = {output.name for output in producer.spec.outputs}
    if set(arrays) != names:
        raise InvalidValueError(
            f"{producer.spec.name} stores {', '.join(sorted(names))}; "
            f"got {', '.join(sorted(arrays)) or 'nothing'}"
        )
    strangers = set(failures) - {clip.row for clip in clips}
    if strangers:
        raise InvalidValueError(f"row {min(strangers)} failed but holds no clip of this shard")
    for row, (status, _) in failures.items():
        if status not in STATUSES or status == "ok":
            raise InvalidValueError(
                f"row {row}: status {status!r} must be one of {', '.join(STATUSES[1:])}"
            )
