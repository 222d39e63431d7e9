"""Places that no clip has cost nothing and change nothing."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avkd.pipeline.extraction.buffers import TeacherBuffer
from avkd.pipeline.extraction.producers import describe_teacher
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, DecodedClip

POLICY = ClipPolicy(clip_seconds=4, step_seconds=1)
STEPS = {0: 4, 1: 1, 2: 3, 4: 2, 5: 4}
"""By row, of 6; the recording of row 3 could not be cut."""
DECODED = {0: 4, 1: 1, 2: 2, 4: 2, 5: 4}
"""Row 2 lacks a picture."""


class Counting:
    def __init__(self, teacher: Any) -> None:
        self._teacher = teacher
        self.declaration = teacher.declaration
        self.num_batches = 0

    def predict(self, frames: npt.NDArray[Any]) -> Any:
        self.num_batches += 1
        return self._teacher.predict(frames)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_a_teacher_says_the_same_in_batches_without_the_steps_that_no_clip_has(
    runtime: Any,
) -> None:
    request = TeacherRequest(
        name="tiny", family="timm/test_resnet", weights="random", runtime=runtime, batch_size=4
    )
    teacher: Any = load_teacher(request)
    spec = describe_teacher(teacher.declaration, POLICY)
    frame_format = teacher.declaration.frame_format
    noise = np.random.default_rng(3).integers(
        0, 256, (6, 4, frame_format.height, frame_format.width, 3), dtype=np.uint8
    )
    contents, numbers = [], []
    for steps in (dict.fromkeys(range(6), 4), STEPS):
        counting: Any = Counting(teacher)
        buffer = TeacherBuffer(counting, spec, POLICY, 6, steps)
        for row, num_frames in DECODED.items():
            status: Any = "ok" if num_frames == STEPS[row] else "partial"
            frames = {frame_format: noise[row, :num_frames]}
            buffer.put(
                row,
                DecodedClip(
                    clip_id="c", frames_status=status, frames=frames, num_frames=num_frames
                ),
            )
        contents.append(buffer.finish())
        numbers.append(counting.num_batches)
    before, after = contents
    assert before.failures == after.failures
    for name, array in before.arrays.items():
        assert array[0].any()
        assert array.tobytes() == after.arrays[name].tobytes()
    # Once a batch a row that has anything; now the 14 planned steps alone.
    assert numbers == [5, 4]
