from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import TooManyFailuresError
from avkd.pipeline.detector_training.pictures import LabelledPictures, decode_pictures
from avkd.pipeline.detector_training.planning import PicturePlan, RecordingPlan
from avkd.pipeline.detector_training.recipe import DetectorData, DetectorRecipe
from avkd.pipeline.detector_training.truth import show_nothing
from avkd.stages.media.frames import read_frames
from avkd.storage.schema import Recording

INSTANTS = (0.1, 0.6, 1.4)


@pytest.fixture(scope="module")
def data(tiny: Callable[..., DetectorRecipe]) -> DetectorData:
    return tiny(1).data


def plan_of(*files: Path, instants: tuple[float, ...] = INSTANTS) -> PicturePlan:
    return PicturePlan(
        recordings=tuple(
            RecordingPlan(
                recording=Recording(recording_id=file.stem, streams={"thermal": str(file)}),
                pictures=tuple(show_nothing(each) for each in instants),
            )
            for file in files
        ),
        num_without_truth=0,
        num_without_stream=0,
        every=1,
    )


def test_pictures_are_those_that_extraction_shows(corpus: Any, data: DetectorData) -> None:
    file = corpus.recordings.parent / "r1.mkv"
    told: list[tuple[int, int]] = []
    pictures = decode_pictures(
        plan_of(file), data, on_picture=lambda done, total: told.append((done, total))
    )
    expected = read_frames(str(file), INSTANTS, [data.frame_format])[data.frame_format]
    assert pictures.memory.dtype == np.uint16
    np.testing.assert_array_equal(pictures.frames(slice(None)), expected)
    assert told == [(3, 3)]


def test_pictures_that_cannot_be_decoded_are_left_out(
    corpus: Any, data: DetectorData, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(b"no movie" * 100)
    good = corpus.recordings.parent / "r0.mkv"
    plan = plan_of(broken, good, instants=(*INSTANTS, 77.0))
    pictures = decode_pictures(plan, data)
    assert [each.recording_id for each in pictures.recordings] == ["r0"] * 3
    assert [each.time_seconds for each in pictures.truth] == [*INSTANTS]
    alone = decode_pictures(plan_of(good), data)
    np.testing.assert_array_equal(pictures.frames(slice(None)), alone.frames(slice(None)))


def test_long_recordings_come_in_several_messages(corpus: Any, data: DetectorData) -> None:
    instants = tuple(np.linspace(0.01, 1.49, 70).tolist())
    file = corpus.recordings.parent / "r0.mkv"
    pictures = decode_pictures(plan_of(file, instants=instants), data)
    expected = read_frames(str(file), instants, [data.frame_format])[data.frame_format]
    np.testing.assert_array_equal(pictures.frames(slice(None)), expected)


def test_where_nothing_can_be_decoded_the_first_reason_is_told(
    data: DetectorData, tmp_path: Path
) -> None:
    with pytest.raises(TooManyFailuresError, match=r"not one of 3 pictures .* because .*lost\.mkv"):
        decode_pictures(plan_of(tmp_path / "lost.mkv"), data)


def test_eight_bits_are_rgb(corpus: Any, data: DetectorData) -> None:
    plain = replace(data, stream="rgb", value_range=None)
    file = corpus.recordings.parent / "r0.mp4"
    recording = Recording(recording_id="r0", streams={"rgb": str(file)})
    plan = replace(plan_of(file), recordings=(RecordingPlan(
        recording=recording, pictures=(show_nothing(0.1),)
    ),))  # fmt: skip
    pictures = decode_pictures(plan, plain)
    assert pictures.memory.shape == (1, 64, 64, 3)
    assert pictures.memory.dtype == np.uint8


def test_some_of_the_pictures_share_the_memory_of_all(corpus: Any, data: DetectorData) -> None:
    pictures = decode_pictures(plan_of(corpus.recordings.parent / "r0.mkv"), data)
    some: LabelledPictures = pictures.take(np.array([False, True, True]))
    assert np.shares_memory(some.memory, pictures.memory)
    np.testing.assert_array_equal(some.frames(np.array([1])), pictures.frames(np.array([2])))
    assert len(some) == 2
