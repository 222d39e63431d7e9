"""Digests of logical content: what is stored, not where, when or by whom.

A row's hash is xxh3-128 over length-prefixed fields (producer, fingerprint, output, dtype, shape,
clip_id, status, bytes). Hashes add up modulo 2^128, beside a count, so that sums over rows, outputs
and shards combine in any order.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import xxhash

from avkd.storage.schema import OutputSpec
from avkd.storage.sealed import json_digest

Pieces: TypeAlias = Sequence[bytes | memoryview]
"""The logical bytes of a row, in pieces."""

_MODULUS = 1 << 128


@dataclass(frozen=True, kw_only=True)
class RowSum:
    """Row hashes added up."""

    count: int = 0
    total: int = 0
    """Modulo 2^128."""

    def __add__(self, other: "RowSum") -> "RowSum":
        return RowSum(count=self.count + other.count, total=(self.total + other.total) % _MODULUS)

    def __sub__(self, other: "RowSum") -> "RowSum":
        return RowSum(count=self.count - other.count, total=(self.total - other.total) % _MODULUS)

    def __str__(self) -> str:
        return f"{self.total:032x}-{self.count}"

    @staticmethod
    def parse(text: str) -> "RowSum":
        """Return the sum that ``str`` rendered."""
        total, count = text.split("-")
        return RowSum(count=int(count), total=int(total, 16))


def fingerprint_digest(fingerprint: Mapping[str, object]) -> str:
    """Return the sha256 of a fingerprint's canonical JSON, in hex."""
    return json_digest(fingerprint)


def sum_rows(
    producer: str,
    fingerprint: str,
    output: OutputSpec,
    rows: Iterable[tuple[str, str, Pieces]],
) -> RowSum:
    """Return the sum over rows of (clip_id, status, pieces of little-endian bytes)."""
    prefix = xxhash.xxh3_128()
    shape = ",".join(str(size) for size in output.shape)
    for field in (producer, fingerprint, output.name, stored_dtype(output), shape):
        prefix.update(_prefixed(field.encode()))
    total = count = 0
    for clip_id, status, pieces in rows:
        row = prefix.copy()
        row.update(_prefixed(clip_id.encode()) + _prefixed(status.encode()))
        row.update(sum(len(piece) for piece in pieces).to_bytes(8, "little"))
        for piece in pieces:
            row.update(piece)
        total += row.intdigest()
        count += 1
    return RowSum(count=count, total=total % _MODULUS)


def stored_dtype(output: OutputSpec) -> str:
    """Return the dtype field of a row's hash: the dtype, and the layout if it is not dense."""
    if output.layout == "sparse_logits":
        return f"{output.dtype} sparse_logits {output.num_kept}"
    return output.dtype if output.layout == "dense" else output.layout


def clip_ids_digest(clip_ids: Iterable[str]) -> str:
    """Return the sha256 of length-prefixed clip ids in row order, in hex."""
    digest = hashlib.sha256()
    for clip_id in clip_ids:
        digest.update(_prefixed(clip_id.encode()))
    return digest.hexdigest()


def _prefixed(field: bytes) -> bytes:
    return len(field).to_bytes(8, "little") + field
