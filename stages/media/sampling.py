"""Which clips a recording has and which instants of a clip are looked at: arithmetic, no files.

Conventions: seconds on the clock of the recording. Containers round their times to a millisecond or
so, therefore a step that misses its end by less than ``TOLERANCE_SECONDS`` counts as whole.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.types import ClipPolicy, ClipSpan

TOLERANCE_SECONDS = 0.002
"""Twice the millisecond to which Matroska and many MP4 headers round a duration."""

SAME_INSTANT_SECONDS = 1e-6
"""A frame that appears at the instant itself is taken, whatever the last bit of a float says."""

END_TOLERANCE_SECONDS = 0.05
"""How long after the end of its last frame a recording still shows it."""

MISSING_TOLERANCE_SECONDS = 0.25
"""A stream may end that much before the file says so: codecs round up to whole packets."""


def cut_recording(duration_seconds: float, policy: ClipPolicy) -> tuple[ClipSpan, ...]:
    """Cut a recording into clips that follow one another from 0 without gap or overlap.

    Only whole steps are kept, so up to one step at the end belongs to no clip. A last clip with
    fewer steps than the policy's is kept or dropped as ``policy.tail`` says. A recording shorter
    than one step is one clip of one step that lasts as long as the recording (none under ``drop``).

    Raises:
        InvalidValueError: The duration is negative or not finite.
    """
    if not math.isfinite(duration_seconds) or duration_seconds < 0:
        raise InvalidValueError(
            f"duration_seconds {duration_seconds} must be finite and 0 or more; probe the recording"
        )
    num_whole_steps = _num_whole_steps(duration_seconds, policy.step_seconds)
    if num_whole_steps == 0:
        return _shorter_than_a_step(duration_seconds, policy)
    num_clips, num_tail_steps = divmod(num_whole_steps, policy.num_steps)
    steps_of_clips = [policy.num_steps] * num_clips
    if num_tail_steps and policy.tail == "keep":
        steps_of_clips.append(num_tail_steps)
    return tuple(
        ClipSpan(
            start_seconds=number * policy.clip_seconds,
            duration_seconds=num_steps * policy.step_seconds,
            num_steps=num_steps,
        )
        for number, num_steps in enumerate(steps_of_clips)
    )


def _num_whole_steps(duration_seconds: float, step_seconds: float) -> int:
    # Never more than a hundredth of a step: 1 ms steps must not count what is not there.
    tolerance = min(TOLERANCE_SECONDS, step_seconds / 100)
    return math.floor((duration_seconds + tolerance) / step_seconds)


def _shorter_than_a_step(duration_seconds: float, policy: ClipPolicy) -> tuple[ClipSpan, ...]:
    if duration_seconds == 0 or policy.tail == "drop":
        return ()
    return (ClipSpan(start_seconds=0.0, duration_seconds=duration_seconds, num_steps=1),)


def step_instants(span: ClipSpan, policy: ClipPolicy) -> npt.NDArray[np.float64]:
    """The instants that a clip's pictures are taken at, ascending, on the recording's clock.

    Shape (num_steps * frames_per_step,). A step is cut into ``frames_per_step`` equal parts and the
    middle of each is taken: one frame a step is the step's middle.
    """
    num_instants = span.num_steps * policy.frames_per_step
    middles = (np.arange(num_instants, dtype=np.float64) + 0.5) / num_instants
    return span.start_seconds + span.duration_seconds * middles


def pick_frames(
    timestamps_seconds: Sequence[float] | npt.NDArray[np.float64],
    instants: Sequence[float] | npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """The index of the frame that is on screen at each instant, right for any frame rate.

    ``timestamps_seconds`` ascend: each is when its frame appears; it stays until the next. Before
    the first frame the first is taken. Shape (len(instants),).
    """
    timestamps = np.asarray(timestamps_seconds, dtype=np.float64)
    if timestamps.size == 0:
        raise InvalidValueError("there are no frames to pick from; probe the recording first")
    appeared = np.asarray(instants, dtype=np.float64) + SAME_INSTANT_SECONDS
    last_shown = np.searchsorted(timestamps, appeared, side="right") - 1
    return np.maximum(last_shown, 0).astype(np.int64)
