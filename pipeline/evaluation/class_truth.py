"""The truth of class maps: the class of every pixel of a recording's pictures, in a file.

A table as corpora are (``storage/corpus.py``), one row a recording: ``recording_id``, ``classes``
names a file of 16-bit gray pictures, numbers of classes, in step with the recording's; and
``class_names`` names these in order, with commas between, the same in every row. A pixel of 255
counts for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError
from avkd.pipeline.report.numbers import counted
from avkd.stages.types import IGNORED_CLASS, FrameFormat, Pictures
from avkd.storage.corpus import read_corpus
from avkd.storage.schema import MAX_MAPPED_CLASSES, Recording

CLASS_STREAM = "classes"
NAMES_COLUMN = "class_names"

ClassMaps = npt.NDArray[np.uint8]
"""(..., height, width): numbers of classes, or ``IGNORED_CLASS``."""


@dataclass(frozen=True, kw_only=True)
class ClassTruth:
    """All of a table."""

    source: str
    class_names: tuple[str, ...]
    recordings: Mapping[str, Recording]
    """By id, those that name a file, which is their stream ``classes``."""


def read_class_truth(source: str, known: Sequence[str] | None = None) -> ClassTruth:
    """Read a table; the files that it names are not opened.

    Args:
        source: path or URL of the table.
        known: ids of all recordings of the corpus; None does not ask.

    Raises:
        CorpusError: the table is missing, lacks a column, names a recording that is not known, or
            no two classes.
    """
    listed = read_corpus(source, more_streams=(CLASS_STREAM,))
    recordings = {each.recording_id: each for each in listed if CLASS_STREAM in each.streams}
    if not recordings:
        raise CorpusError(
            f"{source} names no class maps; give the files of 16-bit gray in a column "
            f"{CLASS_STREAM!r}"
        )
    unknown = sorted(recordings.keys() - set(recordings if known is None else known))
    if unknown:
        raise CorpusError(
            f"{source} tells of {counted(len(unknown), 'recording')} that the corpus does not "
            f"have, the first {unknown[0]!r}; give the corpus that it is the truth of"
        )
    return ClassTruth(
        source=source,
        class_names=read_class_names(source, list(recordings.values())),
        recordings=recordings,
    )


def class_map_format(size: tuple[int, int]) -> FrameFormat:
    """Give the format in which class maps are decoded to that width and height."""
    return FrameFormat(
        height=size[1],
        width=size[0],
        crop_fraction=1.0,
        fit="stretch",
        pixels="gray16",
        resampling="nearest",
    )


def read_class_maps(decoded: Pictures, num_classes: int, where: str) -> ClassMaps:
    """Give the class maps (n, height, width) of decoded pictures (n, height, width, 1).

    Raises:
        CorpusError: a pixel is of no class; ``where`` names the file.
    """
    numbers = decoded[..., 0]
    is_none = (numbers >= num_classes) & (numbers != IGNORED_CLASS)
    if is_none.any():
        raise CorpusError(
            f"{where}: a pixel is of class {int(numbers[is_none][0])}, but there are "
            f"{num_classes}; name all classes in {NAMES_COLUMN!r}, or write {IGNORED_CLASS} where "
            "none is known"
        )
    return numbers.astype(np.uint8)


def read_class_names(source: str, recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Give the names of the classes, which all recordings tell alike.

    Raises:
        CorpusError: they do not, or these are no names of two classes or more.
    """
    texts = {str(each.metadata.get(NAMES_COLUMN, "")) for each in recordings}
    if len(texts) > 1:
        raise CorpusError(
            f"{source}: {NAMES_COLUMN!r} must be the same in every row, but one has "
            f"{min(texts)!r}, another {max(texts)!r}"
        )
    names = tuple(name.strip() for name in texts.pop().split(","))
    if not 2 <= len(names) <= MAX_MAPPED_CLASSES or len({*names}) < len(names) or "" in names:
        raise CorpusError(
            f"{source}: {NAMES_COLUMN!r} is {','.join(names)!r}, not the 2 to {MAX_MAPPED_CLASSES} "
            "distinct names of the classes in the order of their numbers, with commas between"
        )
    return names
