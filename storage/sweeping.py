"""What killed processes left behind, and what of it may go.

A file that nothing names yet may belong to somebody who is still at work, so age decides: nothing
younger than the lease is touched, and a lease is far longer than any step that leaves such a file.
What if somebody slept through it, on a paused machine?

- Temporary files: everybody gives each a name of its own, writes it, and renames or links it within
  seconds. Who wakes to find it gone fails to rename, has committed nothing, and says so.
- Clip parts without a plan: a planner lists its parts only while all of them are there, and takes
  over a dead planner's only by writing it again, which makes it young.
- Objects and box parts of a shard without a commit: all files of the shard must be old, so that a
  writer who still goes from file to file keeps all of them. Writers commit only while all their
  files are there.

Just before a file goes, both are looked up once more: whether it is named by now, and its age. So
harm takes a writer that writes the file again and commits within the microseconds after that look;
``avkd verify`` would name the shard, and without its commit it is done again. Ages are held to the
clock of the file system that tells them, whatever the machines say that share it: where all files
are of one date, nothing is old. Buckets have no temporary files: there nothing is swept.
"""

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avkd.errors import StoreUnwritableError
from avkd.storage import layout, objects, plans, producers
from avkd.storage.arrays import object_shape
from avkd.storage.commits import committed_shards
from avkd.storage.producers import Producer

DEFAULT_LEASE_SECONDS = 3600.0
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_CLIP_PART = re.compile(r"\d{5,}(\.\d+)?\.parquet")
_BOXES_PART = re.compile(r"(\d{5,})\.parquet")
_OBJECT = re.compile(r"c\.(\d+)(\.0)*")


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file that nothing names."""

    path: str
    """Relative to the store."""
    size: int
    is_wanted: Callable[[], bool]
    """Looks once more whether it is named by now, or young."""


def find_leftovers(url: str, rows_per_shard: int, *, lease_seconds: float) -> tuple[Leftover, ...]:
    """Find files older than the lease that no plan, declaration or commit names; none in a bucket.

    Only names that avkd itself gives: what else lies in a store is somebody's.

    Args:
        url: of the store.
        rows_per_shard: of the store.
        lease_seconds: how long a file may wait for who names it.
    """
    root = objects.local_path(url)
    if root is None:
        return ()
    oldest = _read_clock(root) - lease_seconds
    found = [*_find_temporaries(root, oldest), *_find_clip_parts(url, root, oldest)]
    for kind, name in producers.list_producers(url):
        producer = producers.read_producer(url, kind, name)
        found += _find_shard_files(url, root, producer, rows_per_shard, oldest)
    return tuple(sorted(found, key=lambda each: each.path))


def sweep(url: str, leftovers: tuple[Leftover, ...]) -> tuple[Leftover, ...]:
    """Delete leftovers, and return those that went: some may be named by now.

    Raises:
        StoreUnwritableError: one cannot be deleted.
    """
    swept = []
    for each in leftovers:
        if each.is_wanted():
            continue
        try:
            objects.remove(objects.join(url, each.path))
        except OSError as error:
            raise StoreUnwritableError(
                f"cannot delete {each.path} of {url}: {error.strerror or error}; sweep with write "
                "permission"
            ) from error
        swept.append(each)
    return tuple(swept)


def _find_temporaries(root: Path, oldest: float) -> Iterator[Leftover]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if _TEMPORARY.fullmatch(name) and (size := _size_if_old(path, oldest)) is not None:
                yield _leftover(root, path, size, oldest)


def _find_clip_parts(url: str, root: Path, oldest: float) -> Iterator[Leftover]:
    listed = _listed_parts(url)
    for name in objects.list_names(objects.join(url, layout.CLIPS_FOLDER)):
        path = root / layout.CLIPS_FOLDER / name
        relative = f"{layout.CLIPS_FOLDER}/{name}"
        if relative in listed or not _CLIP_PART.fullmatch(name):
            continue
        if (size := _size_if_old(path, oldest)) is not None:
            yield _leftover(root, path, size, oldest, partial(_is_listed, url, relative))


def _is_listed(url: str, path: str) -> bool:
    return path in _listed_parts(url)


def _is_committed(url: str, name: str, shard: int) -> bool:
    return shard in committed_shards(url, name)


def _listed_parts(url: str) -> set[str]:
    return {
        part.path
        for number, generation in plans.list_generations(url).items()
        for part in plans.read_plan(url, number, generation)
    }


def _find_shard_files(
    url: str, root: Path, producer: Producer, rows_per_shard: int, oldest: float
) -> Iterator[Leftover]:
    """Files of shards that a producer has not committed, where all files of the shard are old."""
    name = producer.spec.name
    committed = set(committed_shards(url, name))
    files: dict[int, list[Path]] = {}
    objects_there = _list_objects(root, producer, rows_per_shard)
    for shard, path in (*objects_there, *_list_boxes(root, producer)):
        if shard not in committed:
            files.setdefault(shard, []).append(path)
    for shard, paths in files.items():
        sizes = [_size_if_old(path, oldest) for path in paths]
        for path, size in zip(paths, sizes, strict=True):
            if size is not None and None not in sizes:
                is_named = partial(_is_committed, url, name, shard)
                yield _leftover(root, path, size, oldest, is_named)


def _list_objects(
    root: Path, producer: Producer, rows_per_shard: int
) -> Iterator[tuple[int, Path]]:
    for array, metadata in producer.arrays.items():
        folder = root / producer.folder / array
        rows_per_object = object_shape(metadata)[0]
        for name in objects.list_names(str(folder)):
            if match := _OBJECT.fullmatch(name):
                yield int(match[1]) * rows_per_object // rows_per_shard, folder / name


def _list_boxes(root: Path, producer: Producer) -> Iterator[tuple[int, Path]]:
    for output in producer.spec.outputs:
        folder = root / layout.BOXES_FOLDER / producer.spec.name / output.name
        for name in objects.list_names(str(folder)):
            if match := _BOXES_PART.fullmatch(name):
                yield int(match[1]), folder / name


def _size_if_old(path: Path, oldest: float) -> int | None:
    try:
        found = path.stat()
    except OSError:  # it went meanwhile
        return None
    return found.st_size if found.st_mtime < oldest else None


def _leftover(
    root: Path,
    path: Path,
    size: int,
    oldest: float,
    is_named: Callable[[], bool] = lambda: False,
) -> Leftover:
    return Leftover(
        path=path.relative_to(root).as_posix(),
        size=size,
        # Its age comes last: who writes it again has yet to name it.
        is_wanted=lambda: is_named() or _size_if_old(path, oldest) is None,
    )


def _read_clock(root: Path) -> float:
    """The time at which the file system says that a file was written now."""
    probe = root / f".clock.{uuid.uuid4().hex}{objects.TEMPORARY_SUFFIX}"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    except OSError:  # nothing can be deleted there either
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()
