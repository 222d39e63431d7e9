from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avkd.stages.teachers.audio_declaration import AudioDeclaration
from avkd.stages.teachers.audio_windows import lay_windows
from avkd.stages.types import ClipPolicy, WaveformFormat

POLICY = ClipPolicy(clip_seconds=3, step_seconds=1)
LISTENER = AudioDeclaration(
    name="ear",
    waveform_format=WaveformFormat(sample_rate=100),
    outputs=(),
    fingerprint={},
    batch_size=2,
)
RAMP = np.arange(1, 301, dtype=np.int16)[None]


def test_a_step_is_heard_as_a_whole() -> None:
    windows = lay_windows(LISTENER, POLICY)
    np.testing.assert_array_equal(windows.starts, [[0], [100], [200]])
    np.testing.assert_array_equal(windows.cut(RAMP, 3), RAMP.reshape(3, 1, 100))


def test_a_clip_is_heard_as_a_whole() -> None:
    windows = lay_windows(replace(LISTENER, unit="clip"), POLICY)
    np.testing.assert_array_equal(windows.cut(RAMP, 1), RAMP[None])
    assert windows.count_real(1) == 1


def test_shorter_windows_lie_evenly_in_their_step() -> None:
    windows = lay_windows(replace(LISTENER, num_samples=40), POLICY)
    # Two fit; their middles are at a quarter and three quarters of the step.
    np.testing.assert_array_equal(windows.starts, [[5, 55], [105, 155], [205, 255]])


def test_a_longer_window_reaches_beyond_its_step_and_silence_lies_beyond_the_clip() -> None:
    windows = lay_windows(replace(LISTENER, num_samples=140), POLICY)
    np.testing.assert_array_equal(windows.starts, [[-20], [80], [180]])
    first, middle, last = windows.cut(RAMP, 3)[:, 0]
    np.testing.assert_array_equal(first, [*[0] * 20, *RAMP[0, :120]])
    np.testing.assert_array_equal(middle, RAMP[0, 80:220])
    np.testing.assert_array_equal(last, [*RAMP[0, 180:], *[0] * 20])


def test_only_windows_whose_middle_is_in_the_clip_are_real() -> None:
    of_steps = lay_windows(replace(LISTENER, num_samples=40), POLICY)
    assert [of_steps.count_real(steps) for steps in (1, 2, 3)] == [2, 4, 6]
    of_clips = lay_windows(replace(LISTENER, num_samples=75, unit="clip"), POLICY)
    assert [of_clips.count_real(steps) for steps in (1, 2, 3)] == [1, 3, 4]


@given(
    sample_rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100]),
    step_seconds=st.sampled_from([0.1, 0.2, 1 / 3, 0.96, 5.0]),
    windows_per_step=st.integers(1, 6),
)
def test_windows_that_just_fit_their_step_follow_one_another(
    sample_rate: int, step_seconds: float, windows_per_step: int
) -> None:
    num_samples = int(step_seconds * sample_rate / windows_per_step)
    declaration = replace(
        LISTENER,
        num_samples=num_samples,
        waveform_format=WaveformFormat(sample_rate=sample_rate),
    )
    policy = ClipPolicy(clip_seconds=3 * step_seconds, step_seconds=step_seconds)
    starts = lay_windows(declaration, policy).starts
    assert starts.shape[1] >= windows_per_step
    gaps = np.diff(starts.reshape(-1)) - num_samples
    assert gaps.min() >= -1
    assert starts.min() >= -1
