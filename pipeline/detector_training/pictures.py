"""The labelled pictures of a detector's training, decoded once and kept in memory."""

from collections.abc import Callable
from typing import TypeAlias

from avkd.pipeline.detector_training.planning import PicturePlan
from avkd.pipeline.detector_training.recipe import DetectorData
from avkd.pipeline.detector_training.truth import PictureTruth
from avkd.pipeline.picture_training import pictures as labelled

LabelledPictures: TypeAlias = labelled.LabelledPictures[PictureTruth]


def decode_pictures(
    plan: PicturePlan,
    data: DetectorData,
    *,
    on_picture: Callable[[int, int], None] = lambda num_done, num_total: None,
) -> LabelledPictures:
    """Decode the pictures of a plan; ``on_picture`` is told how many are done, of how many.

    Raises:
        TooManyFailuresError: not one could be decoded.
    """
    asked = [
        labelled.PicturesAsked(
            recording=each.recording,
            times_seconds=[picture.time_seconds for picture in each.pictures],
        )
        for each in plan.recordings
    ]
    decoded = labelled.decode_asked(asked, data.frame_format, data.stream, on_picture=on_picture)
    decoded.require_any()
    pairs = [(each.recording, picture) for each in plan.recordings for picture in each.pictures]
    return labelled.label_pictures(decoded, pairs)
