"""Short videos with the boxes that were heard, and the sound that they were heard in."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from avkd.errors import MediaError
from avkd.pipeline.report.content import OverlayVideo
from avkd.pipeline.report.numbers import instant
from avkd.pipeline.report.overlay_video import DrawnBoxes, OverlayFormat, write_overlay
from avkd.pipeline.report.shown import ShownRecording, ShownRun, ShownStep, share_out

MAX_SECONDS = 12.0
LEAD_SECONDS = 1.0
"""Before the first vehicle of an excerpt."""
LARGEST_WIDTH = 640
ALL_BYTES = 2_600_000
"""Of all videos of a page together at most."""
FEWEST_BITS_PER_SECOND, MOST_BITS_PER_SECOND = 50_000, 700_000
SOUND_BITS_PER_SECOND = 140_000


def draw_videos(
    shown: ShownRun, num_videos: int
) -> tuple[tuple[OverlayVideo, ...], tuple[str, ...]]:
    """The chosen recordings with boxes of student, truth, teachers; and notes of broken ones."""
    videos, notes = [], []
    chosen = choose_recordings(shown, num_videos)
    for recording in chosen:
        try:
            videos.append(_draw(recording, shown, len(chosen)))
        except MediaError as error:
            notes.append(f"{recording.recording_id} cannot be shown as a video: {error}")
    return tuple(videos), tuple(notes)


def describe_videos(shown: ShownRun) -> str:
    """How recordings are chosen."""
    each = f" of each {shown.column}" if len(shown.groups) > 1 else ""
    seen = " with a vehicle" if shown.truth else ""
    return (
        f"The first recording by name{each}{seen}; of long ones {MAX_SECONDS:g} s"
        f"{f', from {LEAD_SECONDS:g} s before the first vehicle' if shown.truth else ''}."
    )


def choose_recordings(shown: ShownRun, num_videos: int) -> tuple[ShownRecording, ...]:
    """Of each group as many, the first ones with a true box, or any where there is no truth."""
    groups = [
        [each for each in recordings if not shown.truth or _find_first(each) is not None]
        for recordings in shown.groups.values()
    ]
    shares = share_out(num_videos, [len(each) for each in groups])
    return tuple(
        each for group, share in zip(groups, shares, strict=True) for each in group[:share]
    )


def choose_excerpt(recording: ShownRecording, num_videos: int) -> OverlayFormat:
    """All of a short recording; of a long one from shortly before the first vehicle on."""
    share = int(8 * ALL_BYTES / (num_videos * MAX_SECONDS)) - SOUND_BITS_PER_SECOND
    end = recording.steps[-1].time_seconds if recording.steps else 0.0
    first = _find_first(recording) or 0.0
    start = max(0.0, min(first - LEAD_SECONDS, end - MAX_SECONDS)) if end > MAX_SECONDS else 0.0
    return OverlayFormat(
        start_seconds=start,
        duration_seconds=MAX_SECONDS,
        largest_width=LARGEST_WIDTH,
        bits_per_second=max(FEWEST_BITS_PER_SECOND, min(MOST_BITS_PER_SECOND, share)),
    )


def _draw(recording: ShownRecording, shown: ShownRun, num_videos: int) -> OverlayVideo:
    excerpt = choose_excerpt(recording, num_videos)
    with tempfile.TemporaryDirectory(prefix="avkd-report-") as folder:
        out = Path(folder) / "overlay.mp4"
        write_overlay(
            recording.pictures,
            recording.sound,
            str(out),
            _by_step(recording.steps, shown.step_seconds),
            shown.step_seconds,
            excerpt,
        )
        data = out.read_bytes()
    parts = [recording.group, recording.recording_id]
    if excerpt.start_seconds:
        parts.append(f"from {instant(excerpt.start_seconds)}")
    return OverlayVideo(data=data, caption=", ".join(part for part in parts if part))


def _find_first(recording: ShownRecording) -> float | None:
    """When the first vehicle is in the picture."""
    return next((step.time_seconds for step in recording.steps if step.truth), None)


def _by_step(steps: Sequence[ShownStep], step_seconds: float) -> list[DrawnBoxes]:
    """From the recording's start on, where clips may lack."""
    places = {int(step.time_seconds / step_seconds): step for step in steps}
    found = (places.get(place) for place in range(max(places, default=-1) + 1))
    return [
        DrawnBoxes(said=step.said, truth=step.truth, teachers=step.teachers)
        if step
        else DrawnBoxes()
        for step in found
    ]
