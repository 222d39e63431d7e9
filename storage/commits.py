"""Commits: the files that say a shard of a producer is whole.

The digest covers all that must be equal whoever computes the shard; timings and the host stand
apart, under the file's seal only.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects
from avkd.storage.digest import RowSum
from avkd.storage.sealed import json_digest, seal, unseal


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a shard."""

    path: str
    """Relative to the store."""
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Commit:
    """What one producer stored for one shard."""

    producer: str
    shard: int
    num_rows: int
    """Rows that hold a clip; the rest of the shard is empty."""
    counts: Mapping[str, int]
    """Rows by status."""
    failures: Mapping[int, tuple[str, str]]
    """Row to (status, reason), of the rows that are not ``ok``."""
    clip_ids_digest: str
    fingerprint_digest: str
    files: tuple[StoredFile, ...]
    content: Mapping[str, RowSum]
    """Output name to the sum of its rows."""
    timings: Mapping[str, float] = field(default_factory=dict, compare=False)
    """Stage name to seconds."""
    host: str = field(default_factory=platform.node, compare=False)

    @property
    def digest(self) -> str:
        """The sha256 of all but timings and host."""
        return json_digest(_content_document(self))


def create_commit(url: str, commit: Commit) -> Commit:
    """Write a commit and return it, or return the one that another worker wrote first."""
    about = {
        "timings": dict(commit.timings),
        "host": commit.host,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    document = {"commit": _content_document(commit), "digest": commit.digest, "about": about}
    try:
        path = layout.commit_path(commit.producer, commit.shard)
        objects.create_exclusive(objects.join(url, path), seal(document))
    except FileExistsError:
        return read_commit(url, commit.producer, commit.shard)
    return commit


def read_commit(url: str, name: str, shard: int) -> Commit:
    """Read one commit.

    Raises:
        FileNotFoundError: the shard is not committed.
        CorruptStoreError: the file is damaged.
    """
    path = layout.commit_path(name, shard)
    return parse_commit(objects.read_bytes(objects.join(url, path)), path)


def parse_commit(data: bytes, path: str) -> Commit:
    """Return the commit in a file's bytes.

    Raises:
        CorruptStoreError: the bytes are not those of a whole commit of that place.
    """
    document = unseal(data, path)
    content, about = document["commit"], document["about"]
    commit = Commit(
        producer=content["producer"],
        shard=content["shard"],
        num_rows=content["num_rows"],
        counts=content["counts"],
        failures=_failures(content["failures"]),
        clip_ids_digest=content["clip_ids_digest"],
        fingerprint_digest=content["fingerprint_digest"],
        files=tuple(StoredFile(path=p, **file) for p, file in content["files"].items()),
        content={name: RowSum.parse(text) for name, text in content["content"].items()},
        timings=about["timings"],
        host=about["host"],
    )
    if commit.digest != document["digest"]:
        raise CorruptStoreError(f"{path}: the digest does not match the commit; restore the file")
    if path != layout.commit_path(commit.producer, commit.shard):
        raise CorruptStoreError(
            f"{path}: this is the commit of {commit.producer} shard {commit.shard}; restore it"
        )
    return commit


def committed_shards(url: str, name: str) -> tuple[int, ...]:
    """Return the shards that a producer has committed, ascending, by listing alone."""
    names = objects.list_names(objects.join(url, layout.COMMITS_FOLDER, name))
    numbers = (layout.number_of(each) for each in names)
    return tuple(sorted(number for number in numbers if number is not None))


def _content_document(commit: Commit) -> dict[str, object]:
    return {
        "producer": commit.producer,
        "shard": commit.shard,
        "num_rows": commit.num_rows,
        "counts": dict(commit.counts),
        "failures": {str(row): list(failure) for row, failure in commit.failures.items()},
        "clip_ids_digest": commit.clip_ids_digest,
        "fingerprint_digest": commit.fingerprint_digest,
        "files": {f.path: {"size": f.size, "sha256": f.sha256} for f in commit.files},
        "content": {name: str(total) for name, total in commit.content.items()},
    }


def _failures(stored: Mapping[str, Sequence[str]]) -> dict[int, tuple[str, str]]:
    # Keys of JSON objects sort as text; rows come back in order of number.
    return {row: (stored[str(row)][0], stored[str(row)][1]) for row in sorted(map(int, stored))}
