"""What a finished student says of a sound file of any length: boxes and tracks over time.

The file is read piece by piece, each with so much of what lies before and after it that no window
of a step that is kept is cut off: there are no joins to be heard. Only before the start and after
the last whole step of the file is silence, as there is around the clips that were learned from.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from avkd.errors import InvalidValueError, MediaError, UnknownNameError
from avkd.pipeline.evaluation.box_predictions import split_clips
from avkd.pipeline.evaluation.box_said import build_frames
from avkd.pipeline.evaluation.box_tracks import follow_boxes, number_boxes, tracker_settings
from avkd.pipeline.heard_boxes import HeardBoxes
from avkd.pipeline.report.numbers import counted
from avkd.pipeline.training.students import LoadedBoxStudent, load_box_student
from avkd.stages.encoders.step_windows import FULL_SCALE
from avkd.stages.media.audio import SoundReader, open_sound
from avkd.stages.media.local_files import local_file
from avkd.stages.media.probe import probe
from avkd.stages.media.sampling import cut_recording, step_instants
from avkd.stages.metrics.boxes import MIN_SCORE, FrameBoxes
from avkd.stages.types import ClipPolicy, WaveformFormat

OnSeconds: TypeAlias = Callable[[float, float], None]
"""Takes how many seconds are heard, and of how many."""
PIECE_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """How a student wants its sound."""

    sample_rate: int
    num_channels: int
    step_seconds: float
    margin_steps: int
    """By so much a window reaches over the steps beside its own, rounded up."""

    @property
    def waveform(self) -> WaveformFormat:
        """What to read of a file."""
        return WaveformFormat(
            sample_rate=self.sample_rate, num_channels=self.num_channels, channels="all"
        )


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Some steps of a file, and those around them that are only heard."""

    first_step: int
    num_steps: int
    num_before: int
    num_after: int
    instants: tuple[float, ...]
    """Of the steps that are kept."""

    @property
    def num_heard(self) -> int:
        return self.num_before + self.num_steps + self.num_after


def predict_sound(
    run: str,
    sound: str,
    *,
    metadata: Mapping[str, str] | None = None,
    min_score: float = MIN_SCORE,
    piece_steps: int = PIECE_STEPS,
    device: Literal["auto", "cpu"] = "auto",
    on_seconds: OnSeconds = lambda num_done, num_total: None,
) -> HeardBoxes:
    """Say where things are while a sound is heard.

    ``metadata`` is what is known of the camera, by column of the corpus: a number, several with
    commas between, or ``unknown``. ``sound`` may be a video with sound, too. ``min_score`` is that
    of boxes that are told. Pieces of ``piece_steps`` are heard at once, which changes nothing else.

    Raises:
        StoreNotFoundError: There is no finished run.
        InvalidValueError: The student says no boxes, hears more channels than the file has, or is
            not told of its camera.
        UnknownNameError: It is told what it does not look at.
        MediaError: The file cannot be decoded.
    """
    loaded, tracker = load_box_student(run), tracker_settings(min_score)
    hearing = describe_hearing(loaded)
    camera = read_metadata(loaded, metadata or {})
    chosen = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
    loaded.student.to(chosen)
    frames: list[FrameBoxes] = []
    notes: list[str] = []
    with local_file(sound) as path:
        info = probe(path)
        _require_channels(sound, info.num_channels, hearing)
        if info.num_channels > hearing.num_channels:
            notes.append(
                f"{sound} has {info.num_channels} channels of sound; the first "
                f"{hearing.num_channels} are heard"
            )
        with open_sound(path) as reader:
            for piece in cut_pieces(info.duration_seconds, hearing, piece_steps):
                waveform = _read_piece(reader, piece, hearing, notes)
                frames += _hear(loaded, waveform.to(chosen), camera, piece)
                on_seconds(frames[-1].time_seconds, info.duration_seconds)
    numbered = map(number_boxes, frames, follow_boxes(frames, tracker))
    return HeardBoxes(
        run=run,
        sound=sound,
        duration_seconds=info.duration_seconds,
        step_seconds=hearing.step_seconds,
        class_names=loaded.student.class_names,
        min_score=min_score,
        frames=tuple(frame.take(frame.scores >= min_score) for frame in numbered),
        notes=tuple(dict.fromkeys(notes)),
    )


def probe_video(video: str, overlay: str) -> float:
    """How many seconds of pictures there are to draw on, asked before anything is heard.

    Raises:
        InvalidValueError: ``overlay`` is no mp4 file.
        MediaError: ``video`` cannot be read, or has no pictures.
    """
    if PurePath(overlay).suffix.lower() != ".mp4":
        raise InvalidValueError(f"overlay {overlay} must end in .mp4")
    with local_file(video) as path:
        info = probe(path)
    if not info.has_video:
        raise MediaError("no_video", f"{video}: no pictures in this file; give some as --video")
    return info.duration_seconds


def describe_hearing(loaded: LoadedBoxStudent) -> Hearing:
    """How a student wants its sound.

    Raises:
        InvalidValueError: Its stream of sound is unknown.
    """
    encoder = loaded.student.encoder
    rate = int(loaded.description["inputs"][encoder.stream]["sample_rate"])
    over = (encoder.window_samples - encoder.samples_per_step) / 2
    return Hearing(
        sample_rate=rate,
        num_channels=encoder.num_channels,
        step_seconds=encoder.samples_per_step / rate,
        margin_steps=max(0, math.ceil(over / encoder.samples_per_step)),
    )


def read_metadata(loaded: LoadedBoxStudent, given: Mapping[str, str]) -> dict[str, Tensor]:
    """What is known of the camera as the student's inputs: float32 (1, width) a column.

    Raises:
        InvalidValueError: A column that it looks at is not given, or not made of numbers.
        UnknownNameError: It does not look at a column that is given.
    """
    student = loaded.student
    columns = [name for name in student.streams if name != student.encoder.stream]
    for name in given:
        if name not in columns:
            raise UnknownNameError("metadata of the student", name, columns)
    if missing := [name for name in columns if name not in given]:
        told = " ".join(f"--metadata {name}=NUMBER" for name in missing)
        raise InvalidValueError(
            f"the student looks at {', '.join(columns)} of its camera; give {told} "
            "('unknown' where nobody knows)"
        )
    inputs = loaded.description["inputs"]
    return {name: _parse(name, given[name], int(inputs[name]["shape"][0])) for name in columns}


def cut_pieces(duration_seconds: float, hearing: Hearing, piece_steps: int) -> Iterator[_Piece]:
    """The whole steps of a file in pieces, each with the steps around that its windows reach."""
    step = hearing.step_seconds
    policy = ClipPolicy(clip_seconds=piece_steps * step, step_seconds=step)
    spans = cut_recording(duration_seconds, policy)
    total = sum(span.num_steps for span in spans)
    for number, span in enumerate(spans):
        first = number * piece_steps
        yield _Piece(
            first_step=first,
            num_steps=span.num_steps,
            num_before=min(hearing.margin_steps, first),
            num_after=min(hearing.margin_steps, total - first - span.num_steps),
            instants=tuple(step_instants(span, policy).tolist()),
        )


def _require_channels(sound: str, num_channels: int, hearing: Hearing) -> None:
    if num_channels < hearing.num_channels:
        raise InvalidValueError(
            f"{sound} has {counted(num_channels, 'channel')} of sound but the student heard "
            f"{counted(hearing.num_channels, 'microphone')}; give a recording with "
            "all of them, in their order"
        )


def _parse(name: str, text: str, size: int) -> Tensor:
    values = [_number(part.strip()) for part in text.split(",")]
    if len(values) != size or None in values:
        wanted = "a number" if size == 1 else f"{size} numbers with commas between"
        raise InvalidValueError(f"--metadata {name}={text} must be {wanted}, or 'unknown'")
    return torch.tensor([values], dtype=torch.float32)


def _number(text: str) -> float | None:
    """NaN of ``unknown``, which is how the network is told so; None of what is no number."""
    if text == "unknown":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read_piece(reader: SoundReader, piece: _Piece, hearing: Hearing, notes: list[str]) -> Tensor:
    """float32 (1, channels, samples) in [-1, 1], and a note of what is damaged."""
    read = reader.read(
        (piece.first_step - piece.num_before) * hearing.step_seconds,
        piece.num_heard * hearing.step_seconds,
        hearing.waveform,
    )
    if read.damage:
        notes.append(read.damage)
    return torch.from_numpy(read.waveform[None].astype(np.float32) / FULL_SCALE)


@torch.no_grad()
def _hear(
    loaded: LoadedBoxStudent, waveform: Tensor, camera: Mapping[str, Tensor], piece: _Piece
) -> tuple[FrameBoxes, ...]:
    """The frames of the steps that are kept."""
    inputs = {loaded.student.encoder.stream: waveform}
    inputs |= {name: values.to(waveform.device) for name, values in camera.items()}
    num_steps = torch.tensor([piece.num_heard], device=waveform.device)
    (boxes,) = split_clips(loaded.student.say_boxes(inputs, num_steps), 1)
    return build_frames(
        piece.instants, replace(boxes, steps=boxes.steps - np.int32(piece.num_before))
    )
