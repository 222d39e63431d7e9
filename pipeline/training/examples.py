"""Which clips a student can learn from: rows that the needed producers have, met by clip id."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from avkd.pipeline.training.labels import parse_label
from avkd.storage.store import Store

UNSEEN = -1
"""In place of a row: the producer has none of the clip, and need not."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Clips with their row under every producer; a clip that was retried may have several rows."""

    clip_ids: tuple[str, ...]
    recording_ids: tuple[str, ...]
    num_steps: npt.NDArray[np.int64]
    """(clips,)"""
    rows: Mapping[str, npt.NDArray[np.int64]]
    """By producer: (clips,); ``UNSEEN`` where one that a clip may lack has none."""
    labels: tuple[str, ...]
    """Human truth, as a text of classes (labels.py); empty where there is none."""
    clip_rows: npt.NDArray[np.int64]
    """(clips,): the row whose entry in the clip table describes the clip; ascending."""

    def __len__(self) -> int:
        return len(self.clip_ids)

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> "Examples":
        """The examples at those places."""
        indices = np.asarray(places, np.int64)
        return Examples(
            clip_ids=tuple(self.clip_ids[i] for i in indices),
            recording_ids=tuple(self.recording_ids[i] for i in indices),
            num_steps=self.num_steps[indices],
            labels=tuple(self.labels[i] for i in indices),
            rows={name: rows[indices] for name, rows in self.rows.items()},
            clip_rows=self.clip_rows[indices],
        )


NO_CONDITION: Mapping[str, Sequence[str]] = MappingProxyType({})


def find_examples(
    store: Store,
    producers: Sequence[str],
    split: str | None = None,
    label_column: str | None = None,
    *,
    any_of: Sequence[str] = (),
    optional: Sequence[str] = (),
    keep_unlabelled: bool = False,
    where: Mapping[str, Sequence[str]] = NO_CONDITION,
) -> Examples:
    """Every clip that is ok for all those producers, in the order of the clip table.

    And for one of ``any_of`` at least, if there are any; their rows are known too, and those of
    ``optional`` producers, which any clip may lack.

    With a ``split``, only clips of recordings whose metadata has that split; with a
    ``label_column``, only those whose metadata has a label there, unless ``keep_unlabelled``; with
    ``where``, only those whose metadata has one of the values of every column there.
    """
    needs_label = bool(label_column) and not keep_unlabelled
    names = tuple(dict.fromkeys((*producers, *any_of, *optional)))
    ok = {name: _whole_rows(store, name) for name in names}
    rows: dict[str, dict[str, int]] = {name: {} for name in names}
    clips: dict[str, tuple[int, str, int, str]] = {}
    for row, clip_id, recording_id, num_steps, label in _table_rows(
        store, split, label_column, where
    ):
        if needs_label and not label:
            continue
        clips[clip_id] = (row, recording_id, num_steps, label)
        for name in names:
            if row in ok[name]:
                rows[name][clip_id] = row
    met = [key for key in clips if all(key in rows[name] for name in producers)]
    if any_of:
        met = [key for key in met if any(key in rows[name] for name in any_of)]
    met.sort(key=lambda key: clips[key][0])
    return Examples(
        clip_ids=tuple(met),
        recording_ids=tuple(clips[key][1] for key in met),
        num_steps=np.array([clips[key][2] for key in met], np.int64),
        labels=tuple(clips[key][3] for key in met),
        rows={
            name: np.array([known.get(key, UNSEEN) for key in met], np.int64)
            for name, known in rows.items()
        },
        clip_rows=np.array([clips[key][0] for key in met], np.int64),
    )


def _whole_rows(store: Store, name: str) -> set[int]:
    """Rows to learn from: of a ``partial`` one some steps are zero, which is no target."""
    rows = set(store.ok_rows(name).tolist())
    for commit in store.commits(name):
        rows -= commit.failures.keys()
    return rows


def _table_rows(
    store: Store,
    split: str | None,
    label_column: str | None,
    where: Mapping[str, Sequence[str]],
) -> Iterator[tuple[int, str, str, int, str]]:
    """Row, clip id, recording id, steps and label of every clip that is wanted."""
    names = ("row", "clip_id", "recording_id", "num_steps")
    for shard in store.shards():
        table = store.read_clip_columns(shard, *names, "metadata")
        rows = zip(*(table[name] for name in names), strict=True)
        for row, text in zip(rows, table["metadata"], strict=True):
            metadata = json.loads(text)
            label = parse_label(metadata.get(label_column)) if label_column else ""
            # A recording with an empty cell has none of its values, not even "None".
            is_wanted = all(
                metadata.get(name) is not None and str(metadata[name]) in values
                for name, values in where.items()
            )
            if is_wanted and (split is None or metadata.get("split") == split):
                yield (*row, label)


def split_validation(examples: Examples, fraction: float) -> tuple[Examples, Examples]:
    """Training and validation clips; a recording is wholly in one of them, whatever the seed."""
    held_out = np.array([is_held_out(name, fraction) for name in examples.recording_ids], np.bool_)
    return examples.take(np.flatnonzero(~held_out)), examples.take(np.flatnonzero(held_out))


def is_held_out(recording_id: str, fraction: float) -> bool:
    """Whether a recording is for validation: a fixed hash, so that more data moves none."""
    digest = sha256(recording_id.encode()).digest()
    return int.from_bytes(digest[:8]) < fraction * 2**64
