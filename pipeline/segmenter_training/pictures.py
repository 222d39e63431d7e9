"""The labelled pictures of a segmenter's training, each beside its class map."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.pipeline.evaluation.class_truth import (
    CLASS_STREAM,
    ClassMaps,
    ClassTruth,
    class_map_format,
    read_class_maps,
)
from avkd.pipeline.picture_training import pictures as labelled
from avkd.pipeline.segmenter_training.planning import SegmenterPlan
from avkd.pipeline.segmenter_training.recipe import SegmenterData
from avkd.stages.types import IGNORED_CLASS

MappedPictures: TypeAlias = labelled.LabelledPictures[ClassMaps]
"""The truth of each is its class map uint8 (h, w), of the teacher's classes."""


def decode_pictures(
    plan: SegmenterPlan,
    truth: ClassTruth,
    class_of: npt.NDArray[np.int64],
    data: SegmenterData,
    *,
    on_picture: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> MappedPictures:
    """Decode the pictures of a plan that have a class map.

    Args:
        plan: of the training.
        truth: of the corpus.
        class_of: the teacher's class of each of the truth.
        data: of the recipe.
        on_picture: told how many pictures and maps are done, of how many.

    Raises:
        TooManyFailuresError: not one could be decoded, or of not one the class map.
        CorpusError: a pixel is of no class.
    """
    num = plan.num_pictures
    shown = labelled.decode_asked(
        plan.recordings,
        data.frame_format,
        data.stream,
        on_picture=lambda done, _: on_picture(done, 2 * num),
    )
    shown.require_any()
    maps = labelled.decode_asked(
        plan.recordings,
        class_map_format(data.picture_size),
        CLASS_STREAM,
        on_picture=lambda done, _: on_picture(num + done, 2 * num),
    )
    maps.require_any()
    numbers = read_class_maps(maps.memory, len(truth.class_names), truth.source)
    classes = _class_table(class_of)[numbers]
    both = replace(shown, is_there=shown.is_there & maps.is_there, reason=maps.reason)
    both.require_any()
    recordings = [each.recording for each in plan.recordings for _ in each.times_seconds]
    return labelled.label_pictures(both, list(zip(recordings, classes, strict=True)))


def digest_pictures(pictures: MappedPictures, class_names: Sequence[str]) -> str:
    """Give the sha256 in hex of what is learned from: classes, recordings, pictures and maps."""
    digest = hashlib.sha256(f"{list(class_names)}\n".encode())
    for number, recording in enumerate(pictures.recordings):
        digest.update(f"{recording.recording_id}\n".encode())
        digest.update(pictures.frames(slice(number, number + 1)).tobytes())
        digest.update(pictures.truth[number].tobytes())
    return digest.hexdigest()


def count_classes(pictures: MappedPictures, num_classes: int) -> npt.NDArray[np.int64]:
    """Pixels (K,) of each class, in all pictures."""
    counts = np.zeros(IGNORED_CLASS + 1, np.int64)
    for each in pictures.truth:
        counts += np.bincount(each.ravel(), minlength=len(counts))
    return counts[:num_classes]


def _class_table(class_of: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    table = np.full(IGNORED_CLASS + 1, IGNORED_CLASS, np.uint8)
    table[: len(class_of)] = class_of
    return table
