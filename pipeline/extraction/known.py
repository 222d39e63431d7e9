"""Recordings of a corpus that a store knows already: by their id, wherever their files lie.

Ids are paths below a folder, so other files of another folder may have them, and so have the same
files where they were moved to. Nobody can tell these apart without reading them all, so a note
tells of both.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from avkd.pipeline.report.numbers import counted
from avkd.storage.objects import local_path
from avkd.storage.schema import Recording
from avkd.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class KnownRecordings:
    """What a store knows of a corpus."""

    ids: frozenset[str]
    """Of all recordings that the store holds."""
    note: str
    """How many of the corpus it holds from another place; empty where there are none."""


def find_known(store: Store, recordings: Iterable[Recording]) -> KnownRecordings:
    """Hold a corpus against what a store holds, in one pass over its clip tables.

    Places are compared stream by stream, where both have the stream: local ones as absolute paths
    without ``..``, symbolic links not followed; URLs as they are.
    """
    asked = {each.recording_id: each.streams for each in recordings}
    ids: set[str] = set()
    num_elsewhere, first = 0, ""
    for shard in store.shards():
        table = store.read_clip_columns(shard, "recording_id", "streams")
        for recording_id, pairs in zip(table["recording_id"], table["streams"], strict=True):
            if recording_id in ids:
                continue
            ids.add(recording_id)
            if moved := _find_other_place(dict(pairs), asked.get(recording_id, {})):
                num_elsewhere += 1
                first = first or "{!r}: {!r} there, {!r} in the corpus".format(recording_id, *moved)
    note = _tell(num_elsewhere, first) if num_elsewhere else ""
    return KnownRecordings(ids=frozenset(ids), note=note)


def _find_other_place(
    stored: Mapping[str, str], asked: Mapping[str, str]
) -> tuple[str, str] | None:
    if stored == asked:  # the usual case, and a quick one
        return None
    for stream, place in stored.items():
        other = asked.get(stream, place)
        if other != place and _normalise(other) != _normalise(place):
            return place, other
    return None


def _normalise(uri: str) -> str:
    path = local_path(uri)
    return uri if path is None else os.path.abspath(path)  # noqa: PTH100  (Path keeps ``..``)


def _tell(num_elsewhere: int, first: str) -> str:
    is_known = "is known" if num_elsewhere == 1 else "are known"
    return (
        f"{counted(num_elsewhere, 'recording')} of the corpus {is_known} to the store under the "
        f"same id from another place, and read from there, the first {first}; if they are others, "
        "give a corpus table with ids of their own, or another store"
    )
