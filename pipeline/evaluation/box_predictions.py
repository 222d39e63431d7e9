"""The boxes that a finished student says of stored rows, and those that a teacher stored of them.

Conventions: B clips of a batch, T steps.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from math import isclose

import numpy as np
import torch

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.box_said import (
    ClipFrames,
    SaidBoxes,
    build_clip,
    read_clips,
    require_policy,
)
from avkd.pipeline.evaluation.row_predictions import (
    BATCH_SIZE,
    OnRows,
    WantedRows,
    find_wanted,
)
from avkd.pipeline.training.examples import Examples
from avkd.pipeline.training.learning_set import (
    RECORDINGS,
    LearningSet,
    boxes_output,
    build_reader,
    describe_inputs,
    find_flat,
    full_shape,
)
from avkd.pipeline.training.loading import BatchOrder, Loader
from avkd.pipeline.training.stored_boxes import RowBoxes, find_boxes, name_classes, read_boxes
from avkd.pipeline.training.students import LoadedBoxStudent
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.encoders.streams import InputShape
from avkd.stages.methods.batch import LearningShape, Needs
from avkd.storage.store import Store


def predict_boxes(
    loaded: LoadedBoxStudent,
    store: Store,
    wanted: WantedRows,
    *,
    device: torch.device,
    on_rows: OnRows = lambda num_done, num_total: None,
) -> SaidBoxes:
    """Run a student in evaluation mode over every wanted row that has all of its inputs.

    Raises:
        InvalidValueError: The store lacks an input of the student, or has other sound or steps.
        CorpusError: There are no such rows.
    """
    learning, policy = _describe_reading(loaded, store, wanted), require_policy(store)
    examples, num_wanted = find_wanted(store, learning.producers, wanted)
    clips = read_clips(store, examples)
    said = {
        clip_id: build_clip(clips[clip_id], policy, boxes)
        for clip_id, boxes in _predict(loaded, _build_loader(learning, examples), device, on_rows)
    }
    if not said:
        raise CorpusError(
            f"the sound of none of {len(examples)} rows can be decoded; are the recordings still "
            "where the store says?"
        )
    return SaidBoxes(
        clips=said, class_names=loaded.student.class_names, num_left_out=num_wanted - len(said)
    )


def find_teacher_classes(
    store: Store, teacher: str, class_names: tuple[str, ...]
) -> tuple[str, list[int]]:
    """The output with a stored detector's boxes, and of each of its classes its place among those.

    The place is -1 for a class that is not among them.

    Raises:
        UnknownNameError: The store has no such teacher.
        InvalidValueError: The teacher stored no boxes, or knows none of the classes.
    """
    teachers = {name: spec for name, spec in store.producers().items() if spec.kind == "teacher"}
    if teacher not in teachers:
        raise UnknownNameError(f"teacher of {store.url}", teacher, teachers)
    output = find_boxes(teachers[teacher])
    known = () if output is None else name_classes(store, teachers[teacher], output)
    name = boxes_output(teachers[teacher])
    places = [class_names.index(one) if one in class_names else -1 for one in known]
    if max(places, default=-1) < 0:
        raise InvalidValueError(
            f"teacher {teacher!r} finds {', '.join(known)} but the student "
            f"{', '.join(class_names)}; name a teacher of the same things"
        )
    return name, places


def read_teacher_boxes(
    store: Store,
    teacher: str,
    wanted: WantedRows,
    class_names: tuple[str, ...],
    *,
    min_score: float = 0.0,
) -> SaidBoxes:
    """What a stored detector found in every wanted row that it saw, of those classes alone.

    Raises:
        UnknownNameError: The store has no such teacher.
        InvalidValueError: The teacher stored no boxes, or knows none of the classes.
        CorpusError: There are no such rows.
    """
    name, places = find_teacher_classes(store, teacher, class_names)
    examples, num_wanted = find_wanted(store, (teacher,), wanted)
    clips, policy = read_clips(store, examples), require_policy(store)
    rows = read_boxes(store, teacher, name, examples.rows[teacher], min_score)
    said: dict[str, ClipFrames] = {
        clip_id: build_clip(clips[clip_id], policy, _renumber(boxes, places))
        for clip_id, boxes in zip(examples.clip_ids, rows, strict=True)
    }
    return SaidBoxes(clips=said, class_names=class_names, num_left_out=num_wanted - len(examples))


def _renumber(boxes: RowBoxes, places: list[int]) -> RowBoxes:
    """The boxes of classes that have a place, with its number."""
    classes = np.array(places, np.int32)[boxes.classes]
    kept = classes >= 0
    return RowBoxes(
        steps=boxes.steps[kept],
        boxes=boxes.boxes[kept],
        scores=boxes.scores[kept],
        classes=classes[kept],
    )


def _describe_reading(loaded: LoadedBoxStudent, store: Store, wanted: WantedRows) -> LearningSet:
    """What is read of every row, in the words of training."""
    student, stored = loaded.student, describe_inputs(store)
    sound = student.encoder.stream
    learned = loaded.description["inputs"]
    missing = [name for name in student.streams if name not in stored and name != sound]
    if missing:
        raise InvalidValueError(
            f"the student looks at {missing[0]!r} but {store.url} has {', '.join(stored) or 'none'}"
            "; extract it into that store, or evaluate on another"
        )
    rate = int(learned[sound]["sample_rate"])
    input_name = _choose_sound(loaded, store, stored, rate)
    _require_same_steps(loaded, store, rate)
    return LearningSet(
        store=store,
        shape=LearningShape(inputs=stored),
        input_name=input_name,
        sample_rate=rate,
        num_channels=student.encoder.num_channels,
        data=replace(loaded.recipe.data, split=wanted.split or None, where={}, label_column=None),
        needs=Needs(inputs=student.streams),
    )


def _choose_sound(
    loaded: LoadedBoxStudent, store: Store, stored: dict[str, InputShape], sample_rate: int
) -> str:
    """The stored sound, or the recordings where none is stored."""
    name = loaded.recipe.data.input_name
    if name not in stored:
        return RECORDINGS
    there, num_channels = stored[name], loaded.student.encoder.num_channels
    if there.sample_rate != sample_rate or there.shape[0] != num_channels:
        raise InvalidValueError(
            f"{name} of {store.url} has {there.shape[0]} channels at {there.sample_rate} Hz but "
            f"the student hears {num_channels} at {sample_rate} Hz; cache the sound like that"
        )
    return name


def _require_same_steps(loaded: LoadedBoxStudent, store: Store, sample_rate: int) -> None:
    learned = loaded.student.encoder.samples_per_step / sample_rate
    there = require_policy(store).step_seconds
    if not isclose(learned, there, rel_tol=1e-6):
        raise InvalidValueError(
            f"the student speaks of steps of {learned:g} s but those of {store.url} are "
            f"{there:g} s; evaluate it on a store with its own"
        )


def _build_loader(learning: LearningSet, examples: Examples) -> Loader:
    order = BatchOrder(batch_size=BATCH_SIZE, block_rows=BATCH_SIZE, buffer_rows=BATCH_SIZE, seed=0)
    return Loader(
        examples=examples,
        reader=build_reader(learning, examples),
        flat=find_flat(learning.store),
        frames_per_step=learning.frames_per_step,
        shape=full_shape(learning, learning.data),
        order=order,
    )


@torch.no_grad()
def _predict(
    loaded: LoadedBoxStudent, loader: Loader, device: torch.device, on_rows: OnRows
) -> Iterator[tuple[str, RowBoxes]]:
    """Clip ids with the boxes of their steps, in the order of the rows."""
    student, num_done = loaded.student.to(device).eval(), 0
    with closing(loader.all_in_order()) as batches:
        for batch in batches:
            if batch is None:
                continue
            batch = batch.to(device)
            found = student.say_boxes(batch.inputs, batch.num_steps)
            yield from zip(batch.clip_ids, split_clips(found, len(batch.clip_ids)), strict=True)
            num_done += len(batch.clip_ids)
            on_rows(num_done, len(loader.examples))


def split_clips(found: BoxTargets, num_clips: int) -> list[RowBoxes]:
    """The boxes of each clip of a batch; they come by row and step."""
    found = found.to("cpu")
    rows = found.row.numpy()
    starts, stops = (
        np.searchsorted(rows, np.arange(num_clips), side=side) for side in ("left", "right")
    )
    steps, classes = (each.numpy().astype(np.int32) for each in (found.step, found.classes))
    boxes, scores = found.boxes.float().numpy(), found.scores.float().numpy()
    return [
        RowBoxes(
            steps=steps[start:stop],
            boxes=boxes[start:stop],
            scores=scores[start:stop],
            classes=classes[start:stop],
        )
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    ]
