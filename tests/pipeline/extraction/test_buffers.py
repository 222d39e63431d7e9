from dataclasses import replace
from typing import Any

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
from avkd.stages.teachers.declaration import Teacher, TeacherDeclaration
from avkd.stages.teachers.registry import load_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import (
    ClipPolicy,
    DecodedClip,
    FrameFormat,
    TeacherOutput,
    WaveformFormat,
)
from avkd.stages.views import PARAMETERS, replay_views

POLICY = ClipPolicy(clip_seconds=3, step_seconds=1, frames_per_step=2)
WHOLE_CLIPS = dict.fromkeys(range(3), 3)
"""Steps by row."""


@pytest.fixture
def teacher(bright_request: TeacherRequest) -> Teacher:
    loaded: Any = load_teacher(bright_request)
    return loaded


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
    return TeacherBuffer(
        teacher, describe_teacher(teacher.declaration, POLICY), POLICY, 3, WHOLE_CLIPS
    )


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


class Watcher:
    """Takes the pictures of a unit at once and gives the mean of their mean brightness."""

    def __init__(self, unit: str, batch_size: int = 2) -> None:
        self.declaration = TeacherDeclaration(
            name="watcher",
            frame_format=FrameFormat(height=16, width=16, crop_fraction=1.0),
            outputs=(TeacherOutput(name="embedding", shape=(1,), axes=("feature",)),),
            fingerprint={},
            batch_size=batch_size,
            unit=unit,  # type: ignore[arg-type]
        )

    def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        num_pictures = 2 if self.declaration.unit == "step" else 6
        assert frames.shape == (self.declaration.batch_size, num_pictures, 16, 16, 3)
        means = frames.mean(axis=(2, 3, 4), dtype=np.float32) / 255
        return {"embedding": means.mean(axis=1, keepdims=True)}


@pytest.mark.parametrize("unit", ["step", "clip"])
def test_a_network_that_averages_pictures_says_the_mean_of_what_is_said_of_each(
    teacher: Teacher, unit: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    frame_format = teacher.declaration.frame_format
    clip = DecodedClip(clip_id="c", frames_status="ok", frames={frame_format: noise}, num_frames=6)
    by_frame: Any = replace(teacher.declaration, per=unit)
    monitor: Any = type(teacher)(by_frame)  # type: ignore[call-arg]
    contents = []
    for each in (monitor, Watcher(unit)):
        buffer = TeacherBuffer(
            each, describe_teacher(each.declaration, POLICY), POLICY, 3, WHOLE_CLIPS
        )
        buffer.put(1, clip)
        contents.append(buffer.finish().arrays["embedding"][..., :1])
    np.testing.assert_allclose(contents[1], contents[0], rtol=1e-5)
    assert contents[1].shape == ((3, 3, 1) if unit == "step" else (3, 1))
    assert contents[1][1].all()
    assert not contents[1][[0, 2]].any()


def test_pictures_that_a_unit_lacks_are_those_there_are_over_again(teacher: Teacher) -> None:
    watcher = Watcher("clip")
    seen: list[list[int]] = []

    class Looking(Watcher):
        def predict(self, frames: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
            seen.append(frames[0, :, 0, 0, 0].tolist())
            return super().predict(frames)

    looking = Looking("clip")
    buffer = TeacherBuffer(
        looking, describe_teacher(watcher.declaration, POLICY), POLICY, 3, WHOLE_CLIPS
    )
    buffer.put(0, decoded(teacher, [10, 20, 30, 40], status="ok"))
    buffer.finish()
    assert seen == [[10, 20, 30, 40, 10, 20]]


def test_one_vector_a_clip_is_the_mean_of_the_frames_there_are(teacher: Teacher) -> None:
    declared = replace(teacher.declaration, per="clip")
    monitor: Any = type(teacher)(declared)  # type: ignore[call-arg]
    buffer = TeacherBuffer(monitor, describe_teacher(declared, POLICY), POLICY, 3, WHOLE_CLIPS)
    buffer.put(0, decoded(teacher, [10, 20, 60, 0, 0, 0], status="partial", num_frames=3))
    content = buffer.finish()
    assert content.arrays["logits"].shape == (3, 3)
    np.testing.assert_allclose(content.arrays["embedding"][:, 0] * 255, [30, 0, 0], rtol=1e-5)


def viewing(request: TeacherRequest, num_views: int) -> Any:
    return load_teacher(replace(request, views=num_views, seed=3))


@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_views_are_seen_as_their_parameters_show_them_again(
    bright_request: TeacherRequest, batch_size: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    teacher = viewing(replace(bright_request, batch_size=batch_size), 3)
    frames = {teacher.declaration.frame_format: noise}
    buffer = TeacherBuffer(
        teacher, describe_teacher(teacher.declaration, POLICY), POLICY, 4, {**WHOLE_CLIPS, 3: 3}
    )
    # The last step has one picture of two.
    buffer.put(2, DecodedClip(clip_id="c", frames_status="partial", frames=frames, num_frames=5))
    arrays = buffer.finish().arrays
    assert set(arrays) == {"views", "logits_views", "embedding_views"}
    assert arrays["views"].shape == (4, 3, 3, len(PARAMETERS))
    padded = np.concatenate([noise, noise[-1:]])
    shown = replay_views(padded, arrays["views"][2], (16, 16))
    brightness = shown.mean(axis=(2, 3, 4), dtype=np.float32) / 255
    by_step = brightness.reshape(3, 2, 3).mean(axis=1)
    np.testing.assert_allclose(arrays["embedding_views"][2, ..., 0], by_step, rtol=1e-5)
    assert len(np.unique(arrays["views"][2, ..., 0])) == 9
    assert not arrays["views"][[0, 1, 3]].any()
    assert not arrays["logits_views"][[0, 1, 3]].any()


def test_views_do_not_depend_on_the_row_or_on_other_clips(
    bright_request: TeacherRequest,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    teacher = viewing(bright_request, 2)
    spec = describe_teacher(teacher.declaration, POLICY)
    frames = {teacher.declaration.frame_format: noise}
    seen = []
    for row, others in ((0, ()), (3, (0, 1))):
        buffer = TeacherBuffer(teacher, spec, POLICY, 4, {**WHOLE_CLIPS, 3: 3})
        for other in others:
            buffer.put(
                other,
                DecodedClip(clip_id=str(other), frames_status="ok", frames=frames, num_frames=6),
            )
        buffer.put(row, DecodedClip(clip_id="c", frames_status="ok", frames=frames, num_frames=6))
        seen.append({name: array[row] for name, array in buffer.finish().arrays.items()})
    for name in seen[0]:
        np.testing.assert_array_equal(seen[0][name], seen[1][name])
