"""A corpus as a CSV table, made from the names of the files in a folder."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avkd.errors import CorpusError, InvalidValueError
from avkd.storage import objects
from avkd.storage.corpus import read_corpus
from avkd.storage.corpus_names import NamedRecording, find_layout, read_names
from avkd.storage.corpus_splits import SplitShares, assign_splits
from avkd.storage.tables import is_table


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """What a split holds."""

    num_recordings: int
    num_speakers: int
    """0 where the layout does not tell them."""
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class MadeCorpus:
    """A table that was written."""

    table: str
    splits: Mapping[str, SplitCounts]
    strangers: tuple[str, ...]
    """Media files whose names are not of the layout: left out."""

    @property
    def num_recordings(self) -> int:
        """Rows of the table."""
        return sum(counts.num_recordings for counts in self.splits.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"num_recordings": self.num_recordings, **asdict(self)}


def make_corpus(layout: str, folder: str, table: str, shares: SplitShares) -> MadeCorpus:
    """Write a CSV with a row for each recording of a folder, with labels, speakers and splits.

    Columns: ``path`` (and ``audio``, where some recordings have their sound in a file of its own)
    relative to the table, ``recording_id``, ``label`` and ``speaker`` where the layout has them,
    what else the names say, and ``split``.

    Raises:
        UnknownNameError: There is no such layout.
        InvalidValueError: The table does not end in .csv.
        CorpusError: The folder holds no file of the layout, or too few speakers.
    """
    find_layout(layout)
    if not table.lower().endswith(".csv"):
        raise InvalidValueError(f"the table {table} must end in .csv")
    if is_table(folder):
        raise CorpusError(f"{folder} is a table already; give the folder of the recordings")
    places = {each.recording_id: each.streams["rgb"] for each in read_corpus(folder)}
    named = read_names(layout, places)
    splits = assign_splits(named.recordings, shares)
    rows = [
        _row(recording, split, places, table)
        for recording, split in zip(named.recordings, splits, strict=True)
    ]
    objects.put_durable(table, _format_csv(rows))
    return MadeCorpus(
        table=table, splits=_count_splits(named.recordings, splits), strangers=named.strangers
    )


def _row(
    recording: NamedRecording, split: str, places: Mapping[str, str], table: str
) -> dict[str, str]:
    facts = recording.facts
    audio = _beside(places[recording.audio], table) if recording.audio else ""
    return {
        "path": _beside(places[recording.path], table),
        "audio": audio,
        "recording_id": recording.recording_id,
        "label": facts.label,
        "speaker": facts.speaker,
        **facts.columns,
        "split": split,
    }


def _beside(place: str, table: str) -> str:
    """The path from a table to a file; a URL, or a path seen from one, stays whole."""
    file, folder = objects.local_path(place), objects.local_path(table)
    if file is None or folder is None:
        return place
    return Path(os.path.relpath(file.absolute(), folder.absolute().parent)).as_posix()


def _format_csv(rows: Sequence[Mapping[str, str]]) -> bytes:
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _count_splits(
    recordings: Sequence[NamedRecording], splits: Sequence[str]
) -> dict[str, SplitCounts]:
    counts = {}
    for split in sorted(set(splits)):
        facts = [r.facts for r, of in zip(recordings, splits, strict=True) if of == split]
        counts[split] = SplitCounts(
            num_recordings=len(facts),
            num_speakers=len({each.speaker for each in facts} - {""}),
            num_classes=len({each.label for each in facts} - {""}),
        )
    return counts
