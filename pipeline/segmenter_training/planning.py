"""Which pictures of which recordings a segmenter learns from; files are asked how long they are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avkd.errors import InvalidValueError, MediaError
from avkd.pipeline.cores import default_decode_workers
from avkd.pipeline.decoding.pool import DecodePool
from avkd.pipeline.evaluation.class_truth import CLASS_STREAM, ClassTruth
from avkd.pipeline.picture_training.pictures import PicturesAsked, count_thinning
from avkd.pipeline.segmenter_training.recipe import SegmenterData
from avkd.stages.types import MediaInfo
from avkd.storage.schema import Recording


@dataclass(frozen=True, kw_only=True)
class SegmenterPlan:
    """All pictures to decode, and what is left out."""

    recordings: tuple[PicturesAsked, ...]
    """Their stream ``classes`` is the truth's."""
    num_without_truth: int
    """Recordings that the truth has no class maps of, or none that can be read."""
    num_without_stream: int
    every: int
    """1, or every how manyth picture is taken for want of memory."""

    @property
    def num_pictures(self) -> int:
        """Of all recordings."""
        return sum(len(each.times_seconds) for each in self.recordings)


def plan_pictures(
    recordings: Sequence[Recording], truth: ClassTruth, data: SegmenterData
) -> SegmenterPlan:
    """Choose the pictures of recordings that have the stream and class maps.

    Raises:
        InvalidValueError: none has both.
    """
    labelled = [each for each in recordings if each.recording_id in truth.recordings]
    seen = [each for each in labelled if data.stream in each.streams]
    if not seen:
        raise InvalidValueError(
            f"of {len(recordings)} recordings {len(labelled)} have class maps, and none of these "
            f"has the stream {data.stream!r}; give the truth of this corpus and split, or name "
            f"the files in a column {data.stream!r}"
        )
    joined = [
        replace(each, streams={**each.streams, CLASS_STREAM: _map_file(truth, each)})
        for each in seen
    ]
    listed, num_unreadable = _list_pictures(joined, data.frames_per_recording)
    num_pictures = sum(len(each.times_seconds) for each in listed)
    every = count_thinning(num_pictures, data.frame_format, data.max_gigabytes)
    return SegmenterPlan(
        recordings=tuple(
            replace(each, times_seconds=each.times_seconds[::every]) for each in listed
        ),
        num_without_truth=len(recordings) - len(labelled) + num_unreadable,
        num_without_stream=len(labelled) - len(seen),
        every=every,
    )


def list_instants(info: MediaInfo, num_pictures: int | None) -> tuple[float, ...]:
    """Give the middles of that many pictures of a file, evenly over it, or of all."""
    num_frames = max(1, round(info.duration_seconds * info.frame_rate))
    num = min(num_frames, num_pictures or num_frames)
    frames = (2 * np.arange(num) + 1) * num_frames // (2 * num)
    return tuple(((frames + 0.5) / info.frame_rate).tolist())


def _list_pictures(
    recordings: Sequence[Recording], num_pictures: int | None
) -> tuple[list[PicturesAsked], int]:
    """The pictures of each recording, and how many recordings have class maps without length."""
    files = [each.streams[CLASS_STREAM] for each in recordings]
    listed, reason = [], ""
    with DecodePool(default_decode_workers(num_workers=1)) as pool:
        for recording, info in zip(recordings, pool.probe(files), strict=True):
            if isinstance(info, MediaError) or info.frame_rate <= 0:
                reason = reason or (
                    info.reason if isinstance(info, MediaError) else "no rate of pictures"
                )
                continue
            times = list_instants(info, num_pictures)
            listed.append(PicturesAsked(recording=recording, times_seconds=times))
    if not listed:
        raise InvalidValueError(
            f"none of {len(recordings)} files of class maps can be read, the first because {reason}"
        )
    return listed, len(recordings) - len(listed)


def _map_file(truth: ClassTruth, recording: Recording) -> str:
    return truth.recordings[recording.recording_id].streams[CLASS_STREAM]
