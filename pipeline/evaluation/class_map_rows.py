"""Class maps that a student says of stored rows, or a stored teacher said, beside true ones.

Conventions: B clips of a batch, T steps, H and W pixels of the truth, K classes of the truth.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.row_predictions import OnRows, WantedRows, find_wanted
from avkd.pipeline.recipe import DataConfig
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.learning_set import (
    RECORDINGS,
    LearningSet,
    build_reader,
    describe_inputs,
    find_flat,
    full_shape,
)
from avkd.pipeline.training.loading import BatchOrder, Loader
from avkd.pipeline.training.students import LoadedDenseStudent
from avkd.pipeline.training.targets import find_class_map
from avkd.stages.methods.batch import Batch, LearningShape, Needs
from avkd.stages.metrics.segmentation import Confusion, count_confusion, resize_classes
from avkd.storage.schema import OutputSpec
from avkd.storage.store import Store

Maps: TypeAlias = npt.NDArray[np.uint8]
Say: TypeAlias = Callable[[Batch], Maps]
"""Maps (B, T, h, w) of a batch, by the speaker's own class numbers and size."""

BATCH_SIZE = 4
"""Clips, of many steps each; fixed, so that a student says the same whatever its recipe's were."""


@dataclass(frozen=True, kw_only=True)
class RowConfusion:
    """One clip: its real steps, beside the truth."""

    clip_id: str
    recording_id: str
    confusion: Confusion


@dataclass(frozen=True, kw_only=True)
class MapConfusions:
    """All clips of which somebody said class maps and the truth is known."""

    rows: tuple[RowConfusion, ...]
    num_left_out: int
    """Wanted rows that lack what is needed to say anything, or the truth."""
    num_without_truth: int
    """Of these, rows that lack the truth."""


@dataclass(frozen=True, kw_only=True)
class TrueMaps:
    """The class maps that others are held to."""

    store: Store
    name: str
    output: OutputSpec

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of their numbers."""
        return self.output.class_names

    def places_of(self, who: str, class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The true number of each of somebody's classes, which are met by name.

        Raises:
            InvalidValueError: The truth has no such class: what is said of it could not be right.
        """
        for name in class_names:
            if name not in self.class_names:
                raise InvalidValueError(
                    f"{who} says the class {name!r} but the maps of {self.name!r} are of "
                    f"{', '.join(self.class_names)}; hold it to maps of the same classes"
                )
        return np.array([self.class_names.index(name) for name in class_names], np.uint8)


def open_true_maps(store: Store, name: str) -> TrueMaps:
    """Find stored class maps by their producer.

    Raises:
        UnknownNameError: The store has no such class maps.
    """
    found = {
        each: output
        for each, spec in store.producers().items()
        if (output := find_class_map(spec)) is not None
    }
    if name not in found:
        raise UnknownNameError(f"producer of class maps in {store.url}", name, found)
    return TrueMaps(store=store, name=name, output=found[name])


def judge_student(
    loaded: LoadedDenseStudent,
    truth: TrueMaps,
    wanted: WantedRows,
    *,
    device: torch.device,
    on_rows: OnRows = lambda num_done, num_total: None,
) -> MapConfusions:
    """Run a student in evaluation mode over every wanted row that has its inputs and the truth.

    Raises:
        InvalidValueError: The store lacks an input of the student, or the truth one of its classes.
        CorpusError: There are no such rows.
    """
    student = loaded.student.to(device).eval()
    _require_inputs(loaded, truth.store)

    def say(batch: Batch) -> Maps:
        there = batch.to(device)
        return student.say_class_maps(there.inputs, there.num_steps).cpu().numpy()

    places = truth.places_of("the student", student.class_names)
    needs = Needs(inputs=student.streams, class_maps_of=(truth.name,))
    return _judge(say, places, needs, truth, wanted, on_rows)


def judge_teacher(
    teacher: str,
    truth: TrueMaps,
    wanted: WantedRows,
    *,
    on_rows: OnRows = lambda num_done, num_total: None,
) -> MapConfusions:
    """Hold what a stored teacher said to the truth, in every wanted row that has both.

    Raises:
        UnknownNameError: The store has no such class maps.
        InvalidValueError: The truth lacks one of its classes.
        CorpusError: There are no such rows.
    """
    said = open_true_maps(truth.store, teacher)
    places = truth.places_of(f"teacher {teacher!r}", said.class_names)
    needs = Needs(inputs=(), class_maps_of=tuple(dict.fromkeys((teacher, truth.name))))
    return _judge(
        lambda batch: batch.class_maps[teacher].numpy(), places, needs, truth, wanted, on_rows
    )


def _judge(
    say: Say,
    places: npt.NDArray[np.uint8],
    needs: Needs,
    truth: TrueMaps,
    wanted: WantedRows,
    on_rows: OnRows,
) -> MapConfusions:
    learning = LearningSet(
        store=truth.store,
        shape=LearningShape(inputs=describe_inputs(truth.store)),
        input_name=RECORDINGS,
        sample_rate=0,
        data=DataConfig(split=wanted.split or None),
        needs=needs,
    )
    examples, num_wanted = find_wanted(truth.store, learning.producers, wanted)
    known, _ = find_wanted(truth.store, (truth.name,), wanted)
    recordings = dict(zip(examples.clip_ids, examples.recording_ids, strict=True))
    rows: list[RowConfusion] = []
    with closing(_load(learning, examples).all_in_order()) as batches:
        for batch in batches:
            if batch is None:
                continue
            rows += _compare(say(batch), batch, recordings, truth, places)
            on_rows(len(rows), len(examples))
    if not any(row.confusion.sum() for row in rows):
        raise CorpusError(
            f"all pixels of {truth.name!r} in these {len(rows)} rows count for nothing; "
            "give true classes"
        )
    return MapConfusions(
        rows=tuple(rows),
        num_left_out=num_wanted - len(rows),
        num_without_truth=num_wanted - len(known),
    )


def _compare(
    said: Maps,
    batch: Batch,
    recordings: Mapping[str, str],
    truth: TrueMaps,
    places: npt.NDArray[np.uint8],
) -> Iterator[RowConfusion]:
    true = batch.class_maps[truth.name].numpy()
    size = true.shape[-2], true.shape[-1]
    clips = zip(batch.clip_ids, batch.num_steps.tolist(), strict=True)
    for number, (clip_id, num_steps) in enumerate(clips):
        numbered = places[said[number, :num_steps]]
        yield RowConfusion(
            clip_id=clip_id,
            recording_id=recordings[clip_id],
            confusion=count_confusion(
                resize_classes(numbered, size), true[number, :num_steps], len(truth.class_names)
            ),
        )


def _load(learning: LearningSet, examples: Examples) -> Loader:
    order = BatchOrder(batch_size=BATCH_SIZE, block_rows=BATCH_SIZE, buffer_rows=BATCH_SIZE, seed=0)
    return Loader(
        examples=examples,
        reader=build_reader(learning, examples),
        flat=find_flat(learning.store),
        frames_per_step=learning.frames_per_step,
        shape=full_shape(learning, learning.data),
        order=order,
    )


def _require_inputs(loaded: LoadedDenseStudent, store: Store) -> None:
    """Refuse a store without the student's pictures, or with others under their names."""
    learned: Mapping[str, dict[str, object]] = loaded.description["inputs"]
    stored = describe_inputs(store)
    for name in loaded.student.streams:
        if name not in stored:
            raise InvalidValueError(
                f"the student looks at {name!r} but {store.url} has {', '.join(stored) or 'none'}"
                "; extract it into that store, or evaluate on another"
            )
        pictures, there = learned[name]["shape"], stored[name].shape
        if list(there[1:]) != list(pictures[1:] if isinstance(pictures, list) else ()):
            raise InvalidValueError(
                f"the student learned from {name!r} of {pictures} (steps, height, width, channels) "
                f"but {store.url} holds {list(there)}; cache the pictures as it knows them"
            )
