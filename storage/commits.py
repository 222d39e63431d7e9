"""Commits: the files that say a shard of a producer is whole.

The digest covers all that must be equal whoever computes the shard; timings and the host stand
apart, under the file's seal only.
"""

import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from avkd.errors import CorruptStoreError
from avkd.storage import layout, objects
from avkd.storage.digest import RowSum
from avkd.storage.fault_points import pass_point
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
    is_new: bool = field(default=False, compare=False)
    """Whether this process has just written it; not stored."""
    generation: int = 0
    """How often the shard was written again without removed rows (``rewriting.py``)."""
    former_files: tuple[StoredFile, ...] = field(default=(), compare=False)
    """Of earlier generations that are still there: the shard is being written again, and each of
    its files is as one of the generations says."""
    removed: frozenset[int] = field(default=frozenset(), compare=False)
    """Rows that readers are not shown, left out of counts, failures and content."""

    @property
    def digest(self) -> str:
        """The sha256 of all but timings and host."""
        return json_digest(_content_document(self))

    def versions(self, path: str) -> tuple[StoredFile, ...]:
        """Return what a file may be, the newest first."""
        return tuple(file for file in (*self.files, *self.former_files) if file.path == path)


def create_commit(url: str, commit: Commit) -> Commit:
    """Write a commit and return it, or return the one that another worker wrote first."""
    generations = list_generations(url, commit.producer).get(commit.shard, ())
    if generations[-1:] > (commit.generation,):  # another worker's, written again since
        return read_newest_commit(url, commit.producer, commit.shard, generations)
    about = {
        "timings": dict(commit.timings),
        "host": commit.host,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    document = {"commit": _content_document(commit), "digest": commit.digest, "about": about}
    try:
        path = layout.commit_path(commit.producer, commit.shard, commit.generation)
        pass_point("before-commit")
        objects.create_exclusive(objects.join(url, path), seal(document))
        pass_point("after-commit")
    except FileExistsError:
        return read_commit(url, commit.producer, commit.shard, commit.generation)
    return replace(commit, is_new=True)


def read_newest_commit(url: str, name: str, shard: int, generations: Sequence[int]) -> Commit:
    """Read the commit that counts, with the files of earlier generations that are still there.

    Args:
        url: of the store.
        name: of the producer.
        shard: of the commit.
        generations: that were there a moment ago, ascending.

    Raises:
        FileNotFoundError: the newest is gone by now, for a newer one.
        CorruptStoreError: the file is damaged.
    """
    newest = read_commit(url, name, shard, generations[-1])
    former: list[StoredFile] = []
    for generation in reversed(generations[:-1]):
        with suppress(FileNotFoundError):  # the shard is whole by now
            former += read_commit(url, name, shard, generation).files
    return replace(newest, former_files=tuple(former))


def read_commit(url: str, name: str, shard: int, generation: int = 0) -> Commit:
    """Read one commit.

    Raises:
        FileNotFoundError: the shard is not committed.
        CorruptStoreError: the file is damaged.
    """
    path = layout.commit_path(name, shard, generation)
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
        generation=content.get("generation", 0),
    )
    if commit.digest != document["digest"]:
        raise CorruptStoreError(f"{path}: the digest does not match the commit; restore the file")
    if path != layout.commit_path(commit.producer, commit.shard, commit.generation):
        raise CorruptStoreError(
            f"{path}: this is the commit of {commit.producer} shard {commit.shard}; restore it"
        )
    return commit


def committed_shards(url: str, name: str) -> tuple[int, ...]:
    """Return the shards that a producer has committed, ascending, by listing alone."""
    return tuple(list_generations(url, name))


def list_generations(url: str, name: str) -> dict[int, tuple[int, ...]]:
    """Return the generations of every commit of a producer, ascending, by listing alone.

    Mostly one; while a shard is written again, the old and the new.
    """
    names = objects.list_names(objects.join(url, layout.COMMITS_FOLDER, name))
    return layout.find_generations(names)


def _content_document(commit: Commit) -> dict[str, object]:
    later = {"generation": commit.generation} if commit.generation else {}
    return {
        **later,
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
