"""Labelled sounds for evaluation: a table, or a folder in the layout of ESC."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, MediaError
from avkd.pipeline.cores import count_cores
from avkd.stages.media.audio import read_audio_file
from avkd.stages.types import WaveformFormat
from avkd.storage.corpus import read_table

if TYPE_CHECKING:
    import pyarrow

Sounds: TypeAlias = list[npt.NDArray[np.int16]]
"""One (channels, samples) a clip."""

ESC_TABLE = Path("meta") / "esc50.csv"
ESC_AUDIO = "audio"
PATH_COLUMNS = ("path", "file", "filename")
LABEL_COLUMNS = ("label", "category", "class", "target")
FOLD_COLUMNS = ("fold",)
SPLIT_COLUMNS = ("split",)
GROUP_COLUMNS = ("recording_id", "source_id", "src_file")
_USUAL_COLUMNS = PATH_COLUMNS + LABEL_COLUMNS + FOLD_COLUMNS + SPLIT_COLUMNS + GROUP_COLUMNS
TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = {"train": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION}
SPLITS |= {"dev": VALIDATION, "test": TEST}


@dataclass(frozen=True, kw_only=True)
class LabelledClip:
    """One sound with its label and its part in the protocol."""

    path: str
    label: str
    fold: str = ""
    split: str = ""
    """``train``, ``validation`` or ``test``."""
    group: str = ""
    """The recording that the clip was cut from; clips of one group stay on one side."""


@dataclass(frozen=True)
class EvaluationDataset:
    """Labelled clips with folds or splits."""

    name: str
    clips: tuple[LabelledClip, ...]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The labels, sorted: class 0, 1, ..."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """(clips,): class numbers."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        return np.array([numbers[clip.label] for clip in self.clips], np.int64)


def read_dataset(
    source: str,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    fold_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
) -> EvaluationDataset:
    """Read a labelled dataset; columns that are not named are found by their usual names.

    ``source`` is a table (CSV, JSONL, Parquet) whose paths are relative to its folder, or a folder
    in the layout of ESC.

    Raises:
        CorpusError: There is no such dataset, column or file, or it has no folds and no splits, or
            clips of one recording on both sides.
    """
    table_file, folder = _locate(source)
    named = (path_column, label_column, fold_column, split_column, group_column)
    text = {*_USUAL_COLUMNS, *(name for name in named if name is not None)}
    table = read_table(str(table_file), text_columns=text)
    choose = _ColumnChooser(str(table_file), tuple(table.column_names))
    paths = choose.required("path", path_column, PATH_COLUMNS)
    labels = choose.required("label", label_column, LABEL_COLUMNS)
    folds = choose.optional("fold", fold_column, FOLD_COLUMNS)
    splits = choose.optional("split", split_column, SPLIT_COLUMNS)
    groups = choose.optional("group", group_column, GROUP_COLUMNS)
    if fold_column is None and split_column is not None:
        folds = None
    clips = tuple(
        LabelledClip(
            path=str(folder / path),
            label=label,
            fold=fold,
            split=_split(split, str(table_file)) if splits and not folds else "",
            group=group or path,
        )
        for path, label, fold, split, group in zip(
            *(_texts(table, name) for name in (paths, labels, folds, splits, groups)), strict=True
        )
    )
    _check(clips, str(table_file))
    return EvaluationDataset(_name(table_file), clips)


def read_sounds(dataset: EvaluationDataset, sample_rate: int) -> Sounds:
    """Decode the first channel of every clip, several at a time.

    Raises:
        CorpusError: A file cannot be decoded.
    """
    waveform = WaveformFormat(sample_rate=sample_rate)

    def read(clip: LabelledClip) -> npt.NDArray[np.int16]:
        try:
            return read_audio_file(clip.path, waveform)
        except MediaError as error:
            raise CorpusError(
                f"{clip.path} cannot be decoded ({error.reason}); mend it or drop its row"
            ) from error

    with ThreadPoolExecutor(count_cores()) as threads:
        return list(threads.map(read, dataset.clips))


@dataclass(frozen=True)
class _ColumnChooser:
    source: str
    columns: tuple[str, ...]

    def required(self, kind: str, asked: str | None, usual: Sequence[str]) -> str:
        found = self.optional(kind, asked, usual)
        if found is None:
            raise CorpusError(
                f"{self.source} has no {kind} column ({', '.join(usual)}); name it, its columns "
                f"are {', '.join(self.columns)}"
            )
        return found

    def optional(self, kind: str, asked: str | None, usual: Sequence[str]) -> str | None:
        if asked is None:
            return next((name for name in usual if name in self.columns), None)
        if asked not in self.columns:
            raise CorpusError(
                f"{self.source} has no {kind} column {asked!r}; its columns are "
                f"{', '.join(self.columns)}"
            )
        return asked


def _locate(source: str) -> tuple[Path, Path]:
    """The table and the folder to which its paths are relative."""
    path = Path(source)
    if path.is_dir():
        if not (path / ESC_TABLE).is_file():
            raise CorpusError(
                f"{source} is a folder without {ESC_TABLE}; give a table with labels, or a folder "
                "in the layout of ESC"
            )
        return path / ESC_TABLE, path / ESC_AUDIO
    return path, path.parent


def _name(table_file: Path) -> str:
    return (
        table_file.parents[1].resolve().name
        if table_file.parts[-2:] == ESC_TABLE.parts
        else (table_file.stem)
    )


def _texts(table: "pyarrow.Table", column: str | None) -> list[str]:
    if column is None:
        return [""] * len(table)
    return ["" if value is None else str(value) for value in table[column].to_pylist()]


def _split(name: str, source: str) -> str:
    if name.lower() not in SPLITS:
        raise CorpusError(f"{source}: split {name!r} is not one of {', '.join(SPLITS)}")
    return SPLITS[name.lower()]


def _check(clips: Sequence[LabelledClip], source: str) -> None:
    missing = [clip.path for clip in clips if not Path(clip.path).is_file()]
    if missing or not clips:
        what = (
            f"{len(missing)} files that are missing, such as {missing[0]}" if missing else "no rows"
        )
        raise CorpusError(f"{source} names {what}; give the table beside its files")
    if len({clip.label for clip in clips}) < 2:
        raise CorpusError(f"{source} has one label only; a probe needs two or more")
    sides: dict[str, set[str]] = {}
    for clip in clips:
        side = clip.fold or clip.split
        if not side:
            raise CorpusError(
                f"{source} has no folds and no splits; name the column that tells them"
            )
        sides.setdefault(clip.group, set()).add(side)
    torn = [group for group, where in sides.items() if len(where) > 1]
    if torn:
        raise CorpusError(
            f"{source}: clips of recording {torn[0]!r} are in {', '.join(sorted(sides[torn[0]]))}; "
            "keep a recording on one side"
        )
