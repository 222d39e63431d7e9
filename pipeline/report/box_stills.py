"""Pictures that nobody picked by how good they look, with the boxes that were heard in them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from avkd.errors import MediaError
from avkd.pipeline.report.content import Still
from avkd.pipeline.report.numbers import counted, instant
from avkd.pipeline.report.overlays import Picture, draw_boxes, shrink
from avkd.pipeline.report.shown import ShownRecording, ShownRun, ShownStep, share_out
from avkd.stages.media.frames import open_frames
from avkd.stages.media.local_files import local_file

SMALLEST_WIDTH, LARGEST_WIDTH = 640, 960
"""Narrower pictures are enlarged, so that scores can be read."""


@dataclass(frozen=True, kw_only=True)
class ChosenStep:
    """A picture to show."""

    recording: ShownRecording
    step: ShownStep


def draw_stills(shown: ShownRun, num_stills: int) -> tuple[tuple[Still, ...], tuple[str, ...]]:
    """The chosen pictures with boxes of student, truth, teachers; and notes of what is broken."""
    stills, notes = [], []
    steps = choose_steps(shown, num_stills)
    for _, group in groupby(steps, lambda one: one.recording.recording_id):
        chosen = list(group)
        recording = chosen[0].recording
        times = sorted({one.step.time_seconds for one in chosen})
        try:
            pictures = dict(zip(times, _read(recording, times), strict=True))
        except MediaError as error:
            notes.append(f"pictures of {recording.recording_id} cannot be shown: {error}")
            continue
        for one in chosen:
            if (picture := pictures[one.step.time_seconds]) is not None:
                stills.append(_draw(one, picture, shown.teachers))
    return tuple(stills), tuple(notes)


def describe_choice(shown: ShownRun) -> str:
    """How pictures are chosen, for a reader who may suspect that these are the best ones."""
    of_split = f"split {shown.split}" if shown.split else "all rows"
    by = f", of each {shown.column} as many" if len(shown.groups) > 1 else ""
    if not shown.truth:
        return f"Chosen by place alone: evenly over the recordings of {of_split}{by}."
    return (
        "Chosen by the truth and by place alone, not by what was said: evenly over the recordings "
        f"of {of_split}{by}, each the middle one of the pictures with a vehicle, and one picture "
        "without any at the end."
    )


def choose_steps(shown: ShownRun, num_stills: int) -> tuple[ChosenStep, ...]:
    """Pictures with a true box, of each group as many, evenly over its recordings; one without.

    Where there is no truth, any pictures.
    """
    num_empty = int(bool(shown.truth) and num_stills > 1)
    candidates = [
        _pick(recordings, lambda step: bool(step.truth) or not shown.truth)
        for recordings in shown.groups.values()
    ]
    shares = share_out(num_stills - num_empty, [sum(map(len, each)) for each in candidates])
    chosen = [
        one
        for recordings, share in zip(candidates, shares, strict=True)
        for one in _spread(recordings, share)
    ]
    empty = _pick(shown.recordings, lambda step: step.truth is not None and not step.truth)
    return (*chosen, *_spread(empty, num_empty))


def _pick(
    recordings: Sequence[ShownRecording], is_wanted: Callable[[ShownStep], bool]
) -> list[list[ChosenStep]]:
    """The wanted steps of each recording that has some."""
    steps = (
        [ChosenStep(recording=each, step=step) for step in each.steps if is_wanted(step)]
        for each in recordings
    )
    return [each for each in steps if each]


def _spread(recordings: Sequence[Sequence[ChosenStep]], number: int) -> Iterator[ChosenStep]:
    """So many at equal distances: over recordings first, then within each."""
    counts = Counter(_middles(number, len(recordings)))
    for place in sorted(counts):
        own = recordings[place]
        yield from (own[number] for number in dict.fromkeys(_middles(counts[place], len(own))))


def _middles(number: int, length: int) -> list[int]:
    """The places in the middle of so many equal parts; none of nothing."""
    return [(2 * part + 1) * length // (2 * number) for part in range(number)] if length else []


def _read(recording: ShownRecording, instants: Sequence[float]) -> list[Picture | None]:
    """The pictures on screen at ascending instants; None behind the end.

    Raises:
        MediaError: The file cannot be decoded.
    """
    with local_file(recording.pictures) as path, open_frames(path) as reader:
        return list(reader.read(instants))


def _draw(one: ChosenStep, picture: Picture, teachers: Sequence[str]) -> Still:
    recording, step = one.recording, one.step
    picture = shrink(picture, LARGEST_WIDTH)
    drawn = draw_boxes(
        picture,
        step.said,
        step.truth,
        step.teachers,
        scale=-(-SMALLEST_WIDTH // picture.shape[1]),
    )
    parts = [
        recording.group,
        f"{recording.recording_id} at {instant(step.time_seconds)}",
        f"{counted(len(step.said), 'box')} heard",
    ]
    if step.truth is not None:
        parts.append(f"{len(step.truth)} true")
    names = ("the teacher",) if len(teachers) == 1 else teachers
    parts += [f"{len(seen)} of {name}" for name, seen in zip(names, step.teachers, strict=True)]
    return Still(picture=drawn, caption=", ".join(part for part in parts if part))
