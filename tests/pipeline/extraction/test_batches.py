import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from avkd.pipeline.extraction.batches import FrameBatches
from avkd.stages.teachers.declaration import TeacherDeclaration
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
    batches = FrameBatches(teacher, num_slots)
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


def test_a_full_batch_waits_for_no_later_clip_in_memory() -> None:
    teacher = RecordingTeacher(2)
    batches = FrameBatches(teacher, 8)
    batches.put(0, frames_of([1, 2]))
    batches.put(4, frames_of([3]))
    assert teacher.batches == [[1, 2]]
    batches.finish()
    assert teacher.batches == [[1, 2], [3, 0]]


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

    batches = FrameBatches(Mapper(), 3)
    batches.put(0, frames_of([4, 200, 5]))
    found = batches.finish()["class_map"]
    assert found.dtype == np.uint8
    assert found[:, 0, 0].tolist() == [4, 200, 5]
