"""What a finished student says of stored rows.

Conventions: N rows, K classes, D width of an embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.training.examples import Examples, find_examples
from avkd.pipeline.training.learning_set import (
    RECORDINGS,
    LearningSet,
    build_reader,
    describe_inputs,
    find_flat,
    full_shape,
)
from avkd.pipeline.training.loading import BatchOrder, Loader
from avkd.pipeline.training.students import LoadedStudent
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import WAVEFORM, LearningShape, Needs
from avkd.storage.store import Store

Floats: TypeAlias = npt.NDArray[np.float32]
OnRows: TypeAlias = Callable[[int, int], None]
"""Takes how many rows are predicted, and of how many."""

BATCH_SIZE = 32
"""Fixed, so that a student says the same of a row whatever its recipe's batches were."""


@dataclass(frozen=True, kw_only=True)
class WantedRows:
    """Which rows of a store are asked for."""

    split: str
    """Of the corpus column ``split``; empty: all rows."""
    label_column: str | None = None
    """Only rows with a label there; None: all."""
    recordings: frozenset[str] | None = None
    """Only rows of these; None: all."""


@dataclass(frozen=True, kw_only=True)
class RowPredictions:
    """What was said of some rows."""

    clip_ids: tuple[str, ...]
    recording_ids: tuple[str, ...]
    labels: tuple[str, ...]
    """Human truth as a text of classes (training/labels.py); empty where none was asked for."""
    logits: Floats
    """(N, K); a teacher's are the mean over real steps."""
    embeddings: Floats
    """(N, D); D is 0 where a teacher stored none."""
    class_names: tuple[str, ...]
    num_left_out: int
    """Wanted rows that lack an input, or whose sound could not be decoded."""

    def __len__(self) -> int:
        return len(self.clip_ids)


def predict_rows(
    loaded: LoadedStudent,
    store: Store,
    wanted: WantedRows,
    *,
    device: torch.device,
    on_rows: OnRows = lambda num_done, num_total: None,
) -> RowPredictions:
    """Run a student in evaluation mode over every wanted row that has all of its inputs.

    Raises:
        InvalidValueError: The store lacks an input of the student, or has other sound.
        CorpusError: There are no such rows.
    """
    learning = _describe_reading(loaded, store, wanted)
    examples, num_wanted = find_wanted(store, learning.producers, wanted)
    loader = Loader(
        examples=examples,
        reader=build_reader(learning, examples),
        flat=find_flat(store),
        frames_per_step=learning.frames_per_step,
        shape=full_shape(learning, learning.data),
        order=BatchOrder(
            batch_size=BATCH_SIZE, block_rows=BATCH_SIZE, buffer_rows=BATCH_SIZE, seed=0
        ),
    )
    clip_ids, logits, embeddings = _predict(loaded, loader, device, on_rows)
    places = {clip_id: place for place, clip_id in enumerate(examples.clip_ids)}
    seen = examples.take([places[clip_id] for clip_id in clip_ids])
    return RowPredictions(
        clip_ids=seen.clip_ids,
        recording_ids=seen.recording_ids,
        labels=seen.labels,
        logits=logits,
        embeddings=embeddings,
        class_names=loaded.class_names,
        num_left_out=num_wanted - len(seen),
    )


def find_wanted(store: Store, producers: Sequence[str], wanted: WantedRows) -> tuple[Examples, int]:
    """The wanted clips that are ok for all those producers, and how many are wanted.

    Raises:
        CorpusError: The split has no rows, none with a label, or none that is ok.
    """
    asked = _take_recordings(
        find_examples(store, (), wanted.split or None, wanted.label_column), wanted
    )
    if not len(asked):
        raise CorpusError(_explain_no_rows(store, wanted))
    found = find_examples(store, producers, wanted.split or None, wanted.label_column)
    found = _take_recordings(found, wanted)
    if not len(found):
        raise CorpusError(
            f"none of the {len(asked)} rows of {_name_split(wanted.split)} in {store.url} is ok "
            f"for {', '.join(producers)}; avkd inspect tells the counts"
        )
    return found, len(asked)


def _describe_reading(loaded: LoadedStudent, store: Store, wanted: WantedRows) -> LearningSet:
    """What is read of every row, in the words of training."""
    recipe, streams = loaded.recipe, loaded.student.streams
    stored = describe_inputs(store)
    rate = 0
    if WAVEFORM in streams:
        rate = int(loaded.description["inputs"][WAVEFORM]["sample_rate"])
    missing = [name for name in streams if name not in stored and name != WAVEFORM]
    if missing:
        raise InvalidValueError(
            f"the student looks at {missing[0]!r} but {store.url} has {', '.join(stored) or 'none'}"
            "; extract it into that store, or evaluate on another"
        )
    _require_frames_per_step(loaded, stored)
    return LearningSet(
        store=store,
        shape=LearningShape(inputs=stored),
        input_name=_choose_sound(store, recipe.data.input_name, rate) if rate else RECORDINGS,
        sample_rate=rate,
        data=replace(
            recipe.data,
            split=wanted.split or None,
            where={},
            label_column=wanted.label_column,
        ),
        needs=Needs(inputs=streams),
    )


def _require_frames_per_step(loaded: LoadedStudent, stored: Mapping[str, InputShape]) -> None:
    for name in loaded.student.streams:
        learned = loaded.description["inputs"].get(name, {}).get("frames_per_step", 1)
        if name in stored and stored[name].frames_per_step != learned:
            raise InvalidValueError(
                f"the student learned from {learned} of {name!r} a step but the store holds "
                f"{stored[name].frames_per_step}; evaluate it on a store like its own"
            )


def _choose_sound(store: Store, input_name: str, sample_rate: int) -> str:
    """The stored sound, or the recordings where none is stored."""
    stored = describe_inputs(store).get(input_name)
    if stored is None:
        return RECORDINGS
    if stored.sample_rate != sample_rate:
        raise InvalidValueError(
            f"{input_name} of {store.url} is at {stored.sample_rate} Hz but the student hears "
            f"{sample_rate} Hz; cache it at that rate"
        )
    return input_name


@torch.no_grad()
def _predict(
    loaded: LoadedStudent, loader: Loader, device: torch.device, on_rows: OnRows
) -> tuple[tuple[str, ...], Floats, Floats]:
    """Clip ids, logits (N, K) and embeddings (N, D), in the order of the rows."""
    student = loaded.student.to(device).eval()
    clip_ids: list[str] = []
    logits: list[Floats] = []
    embeddings: list[Floats] = []
    with closing(loader.all_in_order()) as batches:
        for batch in batches:
            if batch is None:
                continue
            batch = batch.to(device)
            said = student(batch.inputs, batch.num_steps)
            clip_ids += batch.clip_ids
            logits.append(said.logits.float().cpu().numpy())
            embeddings.append(said.embedding.float().cpu().numpy())
            on_rows(len(clip_ids), len(loader.examples))
    if not clip_ids:
        raise CorpusError(
            f"the sound of none of {len(loader.examples)} rows can be decoded; are the recordings "
            "still where the store says?"
        )
    return tuple(clip_ids), np.concatenate(logits), np.concatenate(embeddings)


def _take_recordings(examples: Examples, wanted: WantedRows) -> Examples:
    if wanted.recordings is None:
        return examples
    ids = enumerate(examples.recording_ids)
    return examples.take([place for place, name in ids if name in wanted.recordings])


def _explain_no_rows(store: Store, wanted: WantedRows) -> str:
    split = _name_split(wanted.split)
    if not len(find_examples(store, (), wanted.split or None)):
        return f"{store.url} has no rows of {split}; name another split, as its corpus has them"
    if wanted.recordings is not None:
        return f"none of the recordings asked for is in {split} of {store.url}; name others"
    return (
        f"no row of {split} in {store.url} has a label in column {wanted.label_column!r}; "
        "name another label column or split"
    )


def _name_split(split: str) -> str:
    return f"split {split!r}" if split else "any split"
