"""Clip tables: one Parquet part a shard, with page checksums written and checked.

Columns: row, clip_id, recording_id, streams (map of stream to URI), start_seconds,
duration_seconds, num_steps, attempt, metadata (a JSON object as text).
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import xxhash

from avkd.errors import CorruptStoreError
from avkd.storage.arrow_memory import open_bytes
from avkd.storage.schema import ClipRow

if TYPE_CHECKING:
    import pyarrow


def clip_id(recording_id: str, start_seconds: float, duration_seconds: float) -> str:
    """Return the id of a span of a recording: 32 hex digits, equal in every store.

    Times count to the microsecond.
    """
    digest = xxhash.xxh3_128(recording_id.encode())
    for seconds in (start_seconds, duration_seconds):
        digest.update(round(seconds * 1_000_000).to_bytes(8, "little", signed=True))
    return digest.hexdigest()


def encode_clips(clips: Sequence[ClipRow]) -> bytes:
    """Return the Parquet part of clips; equal clips give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "row": [clip.row for clip in clips],
            "clip_id": [clip.clip_id for clip in clips],
            "recording_id": [clip.recording_id for clip in clips],
            "streams": [sorted(clip.streams.items()) for clip in clips],
            "start_seconds": [clip.start_seconds for clip in clips],
            "duration_seconds": [clip.duration_seconds for clip in clips],
            "num_steps": [clip.num_steps for clip in clips],
            "attempt": [clip.attempt for clip in clips],
            "metadata": [_metadata_text(clip) for clip in clips],
        },
        schema=_schema(),
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def decode_clips(data: bytes, name: str) -> tuple[ClipRow, ...]:
    """Return the clips of a Parquet part.

    Raises:
        CorruptStoreError: a checksum does not match.
    """
    table = read_part(data, name)
    return tuple(
        ClipRow(**{**row, "streams": dict(row["streams"]), "metadata": json.loads(row["metadata"])})
        for row in table.to_pylist()
    )


def read_part(data: bytes, name: str, columns: Iterable[str] | None = None) -> "pyarrow.Table":
    """Return the table of a Parquet part, its page checksums checked.

    Raises:
        CorruptStoreError: the bytes are damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        chosen = None if columns is None else list(columns)
        # Not pq.read_table, which takes three times as long for a part of a few rows.
        with pq.ParquetFile(open_bytes(data), page_checksum_verification=True) as file:
            return file.read(columns=chosen)
    except (OSError, pa.ArrowException) as error:
        raise CorruptStoreError(f"{name}: {error}; restore the file") from error


def _metadata_text(clip: ClipRow) -> str:
    return json.dumps(dict(clip.metadata), sort_keys=True, default=str)


def _schema() -> "pyarrow.Schema":
    import pyarrow as pa

    return pa.schema(
        [
            ("row", pa.int64()),
            ("clip_id", pa.string()),
            ("recording_id", pa.string()),
            ("streams", pa.map_(pa.string(), pa.string())),
            ("start_seconds", pa.float64()),
            ("duration_seconds", pa.float64()),
            ("num_steps", pa.int32()),
            ("attempt", pa.int32()),
            ("metadata", pa.string()),
        ]
    )
