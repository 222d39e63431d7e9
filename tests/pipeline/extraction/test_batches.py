from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from avkd.pipeline.extraction.batches import Batches
from avkd.stages.teachers.declaration import Predictions, TeacherDeclaration
from avkd.stages.teachers.loaded import LoadedTeacher
from avkd.stages.types import FrameFormat, TeacherOutput


class RecordingTeacher:
    """Gives a frame's first pixel, and keeps the batches it saw."""

    def __init__(self, batch_size: int) -> None:
        self.batches: list[list[int]] = []
        self.declaration = TeacherDeclaration(
            name="t",
            frame_format=FrameFormat(height=2, width=3),
            outputs=(TeacherOutput(name="value", shape=(1,), axes=("value",)),),
            fingerprint={},
            batch_size=batch_size,
        )

    def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        assert frames.shape == (self.declaration.batch_size, 2, 3, 3)
        self.batches.append([int(value) for value in frames[:, 0, 0, 0]])
        # Not zero for an empty slot: what it says there must not be kept.
        return {"value": frames[:, 0, 0, :1].astype(np.float32) + 0.5}


def frames_of(values: list[int]) -> npt.NDArray[np.uint8]:
    return np.tile(np.array(values, np.uint8)[:, None, None, None], (1, 2, 3, 3))


@given(
    batch_size=st.integers(1, 7),
    slots_per_clip=st.integers(1, 6),
    clips=st.lists(st.integers(0, 6), max_size=8),
)
def test_a_frame_lies_in_the_batch_and_place_that_its_slot_says(
    batch_size: int, slots_per_clip: int, clips: list[int]
) -> None:
    teacher = RecordingTeacher(batch_size)
    num_slots = slots_per_clip * len(clips)
    batches = Batches(teacher, np.ones(num_slots, bool), (2, 3, 3), np.uint8)
    line = np.zeros(num_slots + batch_size, np.int64)
    for number, num_frames in enumerate(clips):
        first = number * slots_per_clip
        values = [1 + first + frame for frame in range(min(num_frames, slots_per_clip))]
        batches.put(first, frames_of(values))
        line[first : first + len(values)] = values
    results = batches.finish()["value"][:, 0]
    line_batches = line[: len(line) // batch_size * batch_size].reshape(-1, batch_size)
    assert teacher.batches == [batch.tolist() for batch in line_batches if batch.any()]
    line = line[:num_slots]
    np.testing.assert_array_equal(results, np.where(line > 0, line + 0.5, 0))
    np.testing.assert_array_equal(batches.is_seen, line > 0)


@given(
    batch_size=st.integers(1, 7),
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=8),
)
def test_places_that_nothing_can_come_to_are_passed_over_and_all_else_is_the_same(
    batch_size: int, rows: list[tuple[int, int]]
) -> None:
    teacher = RecordingTeacher(batch_size)
    is_planned = np.array([[place < num for place in range(4)] for num, _ in rows], bool)
    batches = Batches(teacher, is_planned.reshape(-1), (2, 3, 3), np.uint8)
    line, expected = [], np.zeros((len(rows), 4))
    for row, (num_planned, num_decoded) in enumerate(rows):
        values = [1 + 4 * row + place for place in range(min(num_planned, num_decoded))]
        batches.put(4 * row, frames_of(values))
        line += values + [0] * (num_planned - len(values))
        expected[row, : len(values)] = np.array(values) + 0.5
    results = batches.finish()["value"][:, 0]
    # What failed keeps its slots, what was never there has none.
    line += [0] * (-len(line) % batch_size)
    by_batch = [line[first : first + batch_size] for first in range(0, len(line), batch_size)]
    assert teacher.batches == [batch for batch in by_batch if any(batch)]
    np.testing.assert_array_equal(results, expected.reshape(-1))
    np.testing.assert_array_equal(batches.is_seen, expected.reshape(-1) > 0)


def test_a_full_batch_waits_for_no_later_clip_in_memory() -> None:
    teacher = RecordingTeacher(2)
    batches = Batches(teacher, np.ones(8, bool), (2, 3, 3), np.uint8)
    batches.put(0, frames_of([1, 2]))
    batches.put(4, frames_of([3]))
    assert teacher.batches == [[1, 2]]
    batches.finish()
    assert teacher.batches == [[1, 2], [3, 0]]


def test_a_batch_is_begun_before_the_one_before_it_is_waited_for() -> None:
    events: list[str] = []

    class Device(RecordingTeacher):
        def begin(self, frames: npt.NDArray[np.uint8]) -> Callable[[], Predictions]:
            number = len(self.batches)
            predictions = self.predict(frames)
            events.append(f"begun {number}")
            frames[:] = 99  # what was sent off is the device's

            def finish() -> Predictions:
                events.append(f"done {number}")
                return predictions

            return finish

        def __call__(self, frames: npt.NDArray[np.uint8]) -> Predictions:
            raise AssertionError("a device computes while its caller goes on")

    device = Device(2)
    teacher = LoadedTeacher(declaration=device.declaration, run=device)
    batches = Batches(teacher, np.ones(6, bool), (2, 3, 3), np.uint8)
    batches.put(0, frames_of([1, 2, 3, 4, 5]))
    results = batches.finish()["value"][:, 0]
    assert events == ["begun 0", "begun 1", "done 0", "begun 2", "done 1", "done 2"]
    np.testing.assert_array_equal(results, [1.5, 2.5, 3.5, 4.5, 5.5, 0])


def test_classes_stay_bytes() -> None:
    class Mapper:
        declaration = TeacherDeclaration(
            name="t",
            frame_format=FrameFormat(height=2, width=3),
            outputs=(
                TeacherOutput(name="class_map", shape=(2, 3), axes=("h", "w"), dtype="uint8"),
            ),
            fingerprint={},
            batch_size=2,
        )

        def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.uint8]]:
            return {"class_map": frames[..., 0]}

    batches = Batches(Mapper(), np.ones(3, bool), (2, 3, 3), np.uint8)
    batches.put(0, frames_of([4, 200, 5]))
    found = batches.finish()["class_map"]
    assert found.dtype == np.uint8
    assert found[:, 0, 0].tolist() == [4, 200, 5]
