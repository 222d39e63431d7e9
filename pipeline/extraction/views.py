"""What of the files of a shard is decoded: each stream, form of pictures and form of sound once."""

from dataclasses import replace

from avkd.pipeline.decoding.jobs import View
from avkd.pipeline.extraction.task import ShardTask, TeacherInput
from avkd.stages.teachers.audio_declaration import AnyDeclaration, AudioDeclaration
from avkd.stages.types import FrameFormat, Pixels, WaveformFormat

STUDENT_STREAM = "rgb"
"""Of the pictures that are cached for students."""


def teacher_input(declaration: AnyDeclaration) -> TeacherInput:
    """Give what a teacher is shown."""
    if isinstance(declaration, AudioDeclaration):
        return declaration.waveform_format
    return declaration.stream, declaration.frame_format


def list_views(task: ShardTask) -> tuple[View, ...]:
    """List what to decode: teachers of one stream and format share the scaled frames.

    Sound comes with the first view, that of ``rgb`` where there is one: mostly it lies in the same
    file. Those that listen share it where they want it in one form, or in that of the students.
    """
    shown = [task.shown[teacher.name] for teacher in task.teachers]
    wanted = [each for each in shown if not isinstance(each, WaveformFormat)]
    wanted += [(STUDENT_STREAM, task.frames)] if task.frames else []
    wanted += [(each.stream, each.frame_format) for each in task.pictures]
    formats: dict[tuple[str, Pixels], dict[FrameFormat, None]] = {}
    for stream, frame_format in sorted(wanted, key=lambda each: each[0] != STUDENT_STREAM):
        formats.setdefault((stream, frame_format.pixels), {})[frame_format] = None
    views = [
        View(stream=stream, frame_formats=tuple(each)) for (stream, _), each in formats.items()
    ]
    heard = [each for each in shown if isinstance(each, WaveformFormat)]
    sounds = tuple(dict.fromkeys([*([task.waveform] if task.waveform else []), *heard]))
    first, *rest = views or [View()]
    first = replace(first, waveform=sounds[0] if sounds else None, more_waveforms=sounds[1:])
    return (first, *rest)
