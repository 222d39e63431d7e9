from avkd.pipeline.decoding.jobs import View
from avkd.pipeline.extraction.decoded import list_views
from avkd.pipeline.extraction.task import ShardTask
from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.types import FrameFormat, WaveformFormat

SMALL, LARGE = FrameFormat(height=8, width=8), FrameFormat(height=16, width=16)
GRAY = FrameFormat(height=8, width=8, crop_fraction=1, fit="stretch", pixels="gray16")
SOUND = WaveformFormat()


def looking(stream: str, frame_format: FrameFormat) -> TeacherDeclaration:
    return TeacherDeclaration(
        name="t",
        stream=stream,
        frame_format=frame_format,
        outputs=(),
        fingerprint={},
        batch_size=1,
    )


def views_of(*teachers: TeacherDeclaration, **options: object) -> tuple[View, ...]:
    return list_views(ShardTask(store="s", shard=0, **options), teachers)  # type: ignore[arg-type]


def test_teachers_of_one_stream_share_a_view_and_each_format_comes_once() -> None:
    (view,) = views_of(looking("rgb", SMALL), looking("rgb", LARGE), looking("rgb", SMALL))
    assert view == View(frame_formats=(SMALL, LARGE))


def test_streams_and_pixels_are_decoded_apart_and_sound_comes_with_rgb() -> None:
    teachers = looking("depth", GRAY), looking("rgb", SMALL), looking("depth", SMALL)
    assert views_of(*teachers, waveform=SOUND) == (
        View(frame_formats=(SMALL,), waveform=SOUND),
        View(stream="depth", frame_formats=(GRAY,)),
        View(stream="depth", frame_formats=(SMALL,)),
    )


def test_pictures_for_students_are_of_rgb() -> None:
    assert views_of(looking("depth", GRAY), frames=LARGE, waveform=SOUND) == (
        View(frame_formats=(LARGE,), waveform=SOUND),
        View(stream="depth", frame_formats=(GRAY,)),
    )


def test_sound_alone_is_a_view_without_pictures() -> None:
    assert views_of(waveform=SOUND) == (View(waveform=SOUND),)


def test_sound_comes_with_the_only_stream_there_is() -> None:
    (view,) = views_of(looking("thermal", GRAY), waveform=SOUND)
    assert (view.stream, view.waveform) == ("thermal", SOUND)
