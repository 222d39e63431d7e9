"""A corpus: recordings from a folder, a glob, or a CSV, JSONL or Parquet table; any fsspec URL.

In a table, one of these columns says where a recording lies: ``path`` (or ``file``), one file for
picture and sound; or one column a stream: ``rgb``, ``audio``, ``depth``, ``thermal``. The columns
``recording_id`` and ``duration_seconds`` are optional, every other one is metadata. Relative paths
are relative to the table's folder.

Columns named as vectors are inputs themselves (``vectors.py``); a table that has such a one may do
without files, and then needs ``recording_id``.
"""

import datetime
import glob
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from avkd.errors import CorpusError
from avkd.storage import objects
from avkd.storage.schema import Recording
from avkd.storage.tables import TABLE_SUFFIXES, is_table, read_table
from avkd.storage.vectors import plain_vectors

if TYPE_CHECKING:
    import pyarrow

__all__ = ["MEDIA_SUFFIXES", "read_corpus", "read_table"]

_VIDEO = "mp4 m4v mkv webm avi mov mpg mpeg ts mts m2ts wmv flv 3gp ogv"
_AUDIO = "wav flac mp3 ogg opus m4a aac"
MEDIA_SUFFIXES = tuple(f".{name}" for text in (_VIDEO, _AUDIO) for name in text.split(" "))
_PATH_COLUMNS = ("path", "file")
_ID_COLUMN = "recording_id"
_DURATION_COLUMN = "duration_seconds"
_STREAMS = ("rgb", "audio", "depth", "thermal")


def read_corpus(
    source: str,
    *,
    path_column: str = "path",
    id_column: str = "recording_id",
    vectors: Sequence[str] = (),
    more_streams: Sequence[str] = (),
) -> tuple[Recording, ...]:
    """Read the recordings of a corpus: a table's in its order, a folder's by name.

    Args:
        source: a folder (searched with all below it), a glob, a table, or the URL of one of these.
        path_column: of a table; where it is not named, ``file`` serves as well.
        id_column: of a table; where it is not named and missing, the path is the id.
        vectors: columns of a table, of numbers or lists of numbers; they are metadata as well.
        more_streams: columns of a table that name files as well, such as those of truth.

    Raises:
        CorpusError: the corpus is missing or empty, lacks a column, has an id twice, something else
            than numbers in a vector, or a folder that cannot be searched.
    """
    if is_table(source):
        streams = (*_STREAMS, *more_streams)
        recordings = _table_recordings(source, path_column, id_column, vectors, streams)
    elif vectors:
        raise CorpusError(
            f"{source} is no table, so it has no column {vectors[0]!r}; "
            f"give one that ends in {', '.join(TABLE_SUFFIXES)}"
        )
    else:
        recordings = _file_recordings(source)
    twice = [name for name, n in Counter(r.recording_id for r in recordings).items() if n > 1]
    if twice:
        raise CorpusError(
            f"{source}: recording ids must be distinct; {', '.join(map(repr, twice[:3]))} "
            f"{'come' if len(twice) > 1 else 'comes'} more than once"
        )
    return recordings


def _file_recordings(source: str) -> tuple[Recording, ...]:
    found = _find_local(source) if objects.local_path(source) else _find_remote(source)
    recordings = tuple(
        Recording(recording_id=name, streams={"rgb": uri, "audio": uri})
        for name, uri in sorted(found)
        if _is_media(name)
    )
    if not recordings:
        raise CorpusError(
            f"{source} holds no recordings; give a folder or glob of media files "
            f"({', '.join(MEDIA_SUFFIXES[:6])}, ...) or a table that ends in "
            f"{', '.join(TABLE_SUFFIXES)}"
        )
    return recordings


def _is_media(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in MEDIA_SUFFIXES and not any(
        part.startswith(".") for part in path.parts
    )


def _find_local(source: str) -> Iterable[tuple[str, str]]:
    root = objects.local_path(source)
    assert root is not None  # the caller asked
    if root.is_file():
        return [(root.name, str(root.absolute()))]
    if root.is_dir():
        files: Iterable[Path] = _walk(root)
    elif glob.has_magic(str(root)):
        files = map(Path, glob.glob(str(root), recursive=True))  # noqa: PTH207  (absolute patterns)
        root = Path(_fixed_part(str(root)))
    else:
        raise CorpusError(f"no corpus at {source}; there is no such folder, glob or table")
    return [
        (_text(f.relative_to(root).as_posix()), _text(str(f.absolute())))
        for f in files
        if not f.is_dir()  # a link to nothing or a pipe is a row with a reason, not a gap
    ]


def _walk(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise CorpusError(
            f"{error.filename} cannot be searched for recordings ({error.strerror}); "
            "mend its permissions, or give a glob or a table that leaves it out"
        )

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = (name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in names)


def _text(name: str) -> str:
    """A file's name, written out where it is none in UTF-8: its row says that there is no such."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _find_remote(source: str) -> Iterable[tuple[str, str]]:
    filesystem, root = objects.open_filesystem(source)
    if glob.has_magic(root):
        files = filesystem.glob(root)
        root = _fixed_part(root)
    elif filesystem.isfile(root):
        files, root = [root], str(PurePosixPath(root).parent)
    else:
        files = filesystem.find(root)
    prefix = root.rstrip("/") + "/"
    return [
        (str(f).removeprefix(prefix), str(filesystem.unstrip_protocol(f)))
        for f in files
        if filesystem.isfile(f)
    ]


def _fixed_part(pattern: str) -> str:
    parts = PurePosixPath(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return str(PurePosixPath(*parts[:fixed]))


@dataclass(frozen=True, kw_only=True)
class _Columns:
    path: str | None
    streams: tuple[str, ...]
    recording_id: str
    vectors: tuple[str, ...] = ()
    has_files: bool = True

    def are_metadata(self, name: str) -> bool:
        known = {self.path, *self.streams, self.recording_id, _DURATION_COLUMN, *self.vectors}
        return name not in known


def _table_recordings(
    source: str,
    path_column: str,
    id_column: str,
    vectors: Sequence[str],
    streams: tuple[str, ...],
) -> tuple[Recording, ...]:
    text = {path_column, id_column, *_PATH_COLUMNS, *streams} - set(vectors)
    table = read_table(source, text_columns=text)
    columns = _choose_columns(source, table, path_column, id_column, tuple(vectors), streams)
    folder = source.rpartition("/")[0] or ("/" if source.startswith("/") else ".")
    rows = table.to_pylist()
    plain = plain_vectors(source, rows, vectors)
    return tuple(
        _recording(f"{source} row {number}", row, columns, folder, plain[number - 1])
        for number, row in enumerate(rows, start=1)
    )


def _choose_columns(
    source: str,
    table: "pyarrow.Table",
    path_column: str,
    id_column: str,
    vectors: tuple[str, ...],
    streams: tuple[str, ...],
) -> _Columns:
    names = table.column_names
    for name in vectors:
        if name not in names:
            raise CorpusError(_no_column(source, name, names))
    file_columns = {path_column, *_PATH_COLUMNS, *streams} - set(vectors)
    has_files = not vectors or path_column != _PATH_COLUMNS[0] or bool(file_columns & set(names))
    if id_column not in names and (id_column != _ID_COLUMN or not has_files):
        raise CorpusError(_no_column(source, id_column, names))
    return _Columns(
        path=_choose_path_column(source, names, path_column, streams) if has_files else None,
        streams=tuple(name for name in streams if name in file_columns and _is_text(table, name)),
        recording_id=id_column,
        vectors=vectors,
        has_files=has_files,
    )


def _choose_path_column(
    source: str, columns: Sequence[str], path_column: str, streams: Sequence[str]
) -> str | None:
    if path_column in columns:
        return path_column
    if path_column == _PATH_COLUMNS[0]:
        if _PATH_COLUMNS[1] in columns:
            return _PATH_COLUMNS[1]
        if any(name in columns for name in streams):
            return None
    raise CorpusError(_no_column(source, path_column, columns))


def _no_column(source: str, wanted: str, columns: Sequence[str]) -> str:
    close = get_close_matches(wanted, columns, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{source} has no column {wanted!r}; its columns are {', '.join(columns)}{hint}"


def _is_text(table: "pyarrow.Table", name: str) -> bool:
    import pyarrow as pa

    if name not in table.column_names:
        return False
    kind = table.schema.field(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _recording(
    where: str,
    row: Mapping[str, Any],
    columns: _Columns,
    folder: str,
    vectors: Mapping[str, object],
) -> Recording:
    named = {name: str(row[name]) for name in columns.streams if row[name]}
    path = row[columns.path] if columns.path else None
    if path:
        named = {"rgb": str(path), "audio": str(path), **named}
    if not named and columns.has_files:
        raise CorpusError(f"{where} names no file; fill {columns.path or ' or '.join(_STREAMS)}")
    recording_id = row.get(columns.recording_id, path or next(iter(named.values()), None))
    if recording_id in (None, ""):
        raise CorpusError(f"{where} has no {columns.recording_id}; fill it or leave the column out")
    return Recording(
        recording_id=str(recording_id),
        streams={name: _resolve(path, folder) for name, path in named.items()},
        duration_seconds=_duration(where, row.get(_DURATION_COLUMN)),
        metadata={
            **vectors,
            **{
                name: _plain(value)
                for name, value in row.items()
                if columns.are_metadata(name) and value is not None
            },
        },
    )


def _resolve(path: str, folder: str) -> str:
    if "://" in path:
        return path
    base = objects.local_path(folder)
    if base is not None:
        return str((base / path).absolute())
    return path if path.startswith("/") else f"{folder}/{path}"


def _duration(where: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and math.isfinite(value) and value > 0:
        return float(value)
    raise CorpusError(f"{where}: {_DURATION_COLUMN} {value!r} must be a number of seconds above 0")


def _plain(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value if isinstance(value, str | int | float | list | dict) else str(value)
