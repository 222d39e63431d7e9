import numpy as np
import numpy.typing as npt
import pytest

from avkd.pipeline.extraction.buffers import FramesBuffer, TeacherBuffer, WaveformBuffer
from avkd.pipeline.extraction.producers import (
    describe_frames,
    describe_teacher,
    describe_waveform,
    frames_of_size,
)
from avkd.stages.teachers.declaration import Teacher
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import ClipPolicy, DecodedClip, FrameFormat, WaveformFormat

POLICY = ClipPolicy(clip_seconds=3, step_seconds=1, frames_per_step=2)


@pytest.fixture
def teacher(bright_request: TeacherRequest) -> Teacher:
    return load_teacher(bright_request)


def decoded(
    teacher: Teacher, values: list[int], *, status: str = "ok", num_frames: int | None = None
) -> DecodedClip:
    frames = np.tile(np.array(values, np.uint8)[:, None, None, None], (1, 16, 16, 3))
    return DecodedClip(
        clip_id="c",
        frames_status=status,  # type: ignore[arg-type]
        frames_reason="" if status == "ok" else "half is missing",
        frames={teacher.declaration.frame_format: frames},
        num_frames=len(values) if num_frames is None else num_frames,
    )


def build_buffer(teacher: Teacher) -> TeacherBuffer:
    return TeacherBuffer(teacher, describe_teacher(teacher.declaration, POLICY), POLICY, 3)


def brightness_of(content: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return content["embedding"][:, :, 0] * 255


def test_a_step_is_the_mean_of_its_frames_and_absent_steps_are_zero(teacher: Teacher) -> None:
    buffer = build_buffer(teacher)
    buffer.put(0, decoded(teacher, [10, 20, 30, 50, 60, 100]))
    buffer.put(2, decoded(teacher, [200, 100]))
    content = buffer.finish()
    brightness = brightness_of(dict(content.arrays))
    np.testing.assert_allclose(brightness, [[15, 40, 80], [0, 0, 0], [150, 0, 0]], rtol=1e-5)
    assert content.arrays["logits"].shape == (3, 3, 3)
    assert not content.failures


def test_a_partial_clip_keeps_the_frames_there_are(teacher: Teacher) -> None:
    buffer = build_buffer(teacher)
    buffer.put(0, decoded(teacher, [10, 20, 30, 0, 0, 0], status="partial", num_frames=3))
    content = buffer.finish()
    # The second step has one frame of two: its mean is over that one.
    np.testing.assert_allclose(brightness_of(dict(content.arrays))[0], [15, 30, 0], rtol=1e-5)
    assert content.failures == {0: ("partial", "half is missing")}


def test_a_failed_clip_is_zeros_with_its_reason(teacher: Teacher) -> None:
    buffer = build_buffer(teacher)
    buffer.put(1, DecodedClip(clip_id="c", frames_status="timeout", frames_reason="60 s"))
    content = buffer.finish()
    assert content.failures == {1: ("timeout", "60 s")}
    assert not any(array.any() for array in content.arrays.values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_row_that_is_not_finite_fails_and_leaves_the_others(
    teacher: Teacher, bad: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(teacher).predict

    def predict(self: Teacher, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        outputs = dict(whole(self, frames))
        outputs["logits"][frames[:, 0, 0, 0] == 99, 1] = bad
        return outputs

    monkeypatch.setattr(type(teacher), "predict", predict)
    buffer = build_buffer(teacher)
    buffer.put(0, decoded(teacher, [10, 10]))
    buffer.put(1, decoded(teacher, [10, 99, 10, 10]))
    content = buffer.finish()
    assert content.failures == {1: ("not_finite", "bright gave values that are not finite")}
    assert not any(array[1].any() for array in content.arrays.values())
    assert content.arrays["logits"][0, 0].all()


def test_sound_fails_apart_from_pictures() -> None:
    sound = WaveformFormat(sample_rate=100)
    buffer = WaveformBuffer(describe_waveform(sound, POLICY), 3)
    wave = np.arange(300, dtype=np.int16)[None]
    buffer.put(
        0,
        DecodedClip(clip_id="a", frames_status="no_video", waveform_status="ok", waveform=wave),
    )
    buffer.put(1, DecodedClip(clip_id="b", waveform_status="no_audio", waveform_reason="silent"))
    content = buffer.finish()
    np.testing.assert_array_equal(content.arrays["waveform"][0], wave)
    assert not content.arrays["waveform"][1:].any()
    assert content.failures == {1: ("no_audio", "silent")}


def test_pictures_are_kept_up_to_where_a_clip_ends() -> None:
    size = frames_of_size(4, 2)
    buffer = FramesBuffer(describe_frames(size, POLICY), size, 4)
    pictures = np.arange(6 * 24, dtype=np.uint8).reshape(6, 2, 4, 3)
    buffer.put(0, seen(size, pictures, "ok", 6))
    buffer.put(1, seen(size, pictures[:4], "ok", 4))
    buffer.put(2, seen(size, pictures, "partial", 5))
    buffer.put(3, DecodedClip(clip_id="d", frames_status="no_video", frames_reason="dark"))
    content = buffer.finish()
    stored = content.arrays["frames"]
    np.testing.assert_array_equal(stored[0], pictures)
    np.testing.assert_array_equal(stored[1], [*pictures[:4], *np.zeros((2, 2, 4, 3))])
    np.testing.assert_array_equal(stored[2], [*pictures[:5], np.zeros((2, 4, 3))])
    assert not stored[3].any()
    assert content.failures == {2: ("partial", "why"), 3: ("no_video", "dark")}


def seen(
    size: FrameFormat, pictures: npt.NDArray[np.uint8], status: str, num_frames: int
) -> DecodedClip:
    return DecodedClip(
        clip_id="c",
        frames_status=status,  # type: ignore[arg-type]
        frames_reason="" if status == "ok" else "why",
        frames={size: pictures},
        num_frames=num_frames,
    )
