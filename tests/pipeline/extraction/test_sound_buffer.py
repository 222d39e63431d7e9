from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avkd.pipeline.extraction.buffers import ShardContent
from avkd.pipeline.extraction.producers import describe_teacher
from avkd.pipeline.extraction.sound_buffer import SoundTeacherBuffer
from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.types import (
    ClipPolicy,
    DecodedClip,
    DecodedSound,
    RowStatus,
    TeacherOutput,
    WaveformFormat,
)

POLICY = ClipPolicy(clip_seconds=3, step_seconds=1)
SOUND = WaveformFormat(sample_rate=4)
DECLARED = AudioDeclaration(
    name="ear",
    waveform_format=SOUND,
    outputs=(TeacherOutput(name="level", shape=(1,), axes=("number",)),),
    fingerprint={},
    batch_size=2,
)


class Ear:
    """Gives the mean of a window, and 1 more: silence is heard as something too."""

    def __init__(self, declaration: AudioDeclaration) -> None:
        self.declaration = declaration

    def predict(self, waveforms: npt.NDArray[np.int16]) -> dict[str, npt.NDArray[np.float32]]:
        assert len(waveforms) == self.declaration.batch_size
        return {"level": waveforms.mean(axis=2, dtype=np.float32) + 1}


def heard(
    *clips: DecodedClip, declared: AudioDeclaration = DECLARED, steps: tuple[int, ...] = (3, 3, 3)
) -> ShardContent:
    spec = describe_teacher(declared, POLICY)
    buffer = SoundTeacherBuffer(Ear(declared), spec, POLICY, 3, dict(enumerate(steps)))
    for row, clip in enumerate(clips):
        buffer.put(row, clip)
    content = buffer.finish()
    assert content.arrays["level"].shape == (3, *spec.outputs[0].shape)
    return content


def sounding(*samples: int, status: RowStatus = "ok", **options: Any) -> DecodedClip:
    return DecodedClip(
        clip_id="c",
        waveform_status=status,
        waveform_reason="" if status == "ok" else "why",
        waveform=np.array([samples], np.int16) if samples else None,
        **options,
    )


RAMP = (1, 1, 1, 1, 5, 5, 5, 5, 9, 9, 9, 9)


def test_each_step_is_heard_by_itself() -> None:
    content = heard(sounding(*RAMP))
    np.testing.assert_array_equal(content.arrays["level"][0, :, 0], [2, 6, 10])
    assert not content.arrays["level"][1:].any()
    assert not content.failures


def test_windows_of_a_step_are_averaged() -> None:
    of_halves = replace(DECLARED, num_samples=2)
    content = heard(sounding(0, 2, 4, 6, *RAMP[4:]), declared=of_halves)
    np.testing.assert_array_equal(content.arrays["level"][0, :, 0], [(1 + 5) / 2 + 1, 6, 10])


@pytest.mark.parametrize(
    "declared",
    [
        replace(DECLARED, unit="clip"),
        replace(DECLARED, per="clip"),
        replace(DECLARED, unit="clip", num_samples=4),
    ],
)
def test_a_clip_is_heard_as_a_whole_or_as_the_mean_of_its_parts(
    declared: AudioDeclaration,
) -> None:
    content = heard(sounding(*RAMP), declared=declared)
    np.testing.assert_allclose(content.arrays["level"][:, 0], [6, 0, 0])


def test_steps_that_a_clip_does_not_have_are_not_heard() -> None:
    clip = sounding(*RAMP[:4], *[0] * 8)
    content = heard(clip, steps=(1, 3, 3))
    np.testing.assert_array_equal(content.arrays["level"][0, :, 0], [2, 0, 0])
    of_clip = heard(clip, steps=(1, 3, 3), declared=replace(DECLARED, per="clip"))
    assert of_clip.arrays["level"][0, 0] == 2


def test_what_is_missing_fails_its_row_and_what_is_partial_is_heard() -> None:
    content = heard(sounding(*RAMP, status="partial"), sounding(status="no_audio"), sounding(*RAMP))
    np.testing.assert_array_equal(content.arrays["level"][[0, 2], 0, 0], [2, 2])
    assert not content.arrays["level"][1].any()
    assert content.failures == {0: ("partial", "why"), 1: ("no_audio", "why")}


def test_another_format_that_fails_takes_no_sound_away() -> None:
    """Two channels are cached, which the file has not; the teacher hears the one there is."""
    good = DecodedSound(status="ok", waveform=np.array([RAMP], np.int16))
    content = heard(sounding(status="decode_error", more_sound={SOUND: good}))
    assert content.arrays["level"][0, 0, 0] == 2
    assert not content.failures


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_do_not_change_what_is_heard(batch_size: int) -> None:
    clips = [sounding(*RAMP), sounding(status="crashed"), sounding(*RAMP[::-1])]
    content = heard(*clips, declared=replace(DECLARED, batch_size=batch_size))
    np.testing.assert_array_equal(
        content.arrays["level"][..., 0], [[2, 6, 10], [0, 0, 0], [10, 6, 2]]
    )
