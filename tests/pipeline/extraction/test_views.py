from avkd.pipeline.decoding.jobs import View
from avkd.pipeline.extraction.task import ShardTask, TeacherInput
from avkd.pipeline.extraction.views import list_views
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, WaveformFormat

SMALL, LARGE = FrameFormat(height=8, width=8), FrameFormat(height=16, width=16)
GRAY = FrameFormat(height=8, width=8, crop_fraction=1, fit="stretch", pixels="gray16")
SOUND = WaveformFormat()


def views_of(*shown: TeacherInput, **options: object) -> tuple[View, ...]:
    by_name = {f"teacher{number}": each for number, each in enumerate(shown)}
    teachers = tuple(TeacherRequest(name=name, family="f") for name in by_name)
    return list_views(
        ShardTask(store="s", shard=0, teachers=teachers, shown=by_name, **options)  # type: ignore[arg-type]
    )


def test_teachers_of_one_stream_share_a_view_and_each_format_comes_once() -> None:
    (view,) = views_of(("rgb", SMALL), ("rgb", LARGE), ("rgb", SMALL))
    assert view == View(frame_formats=(SMALL, LARGE))


def test_streams_and_pixels_are_decoded_apart_and_sound_comes_with_rgb() -> None:
    teachers = ("depth", GRAY), ("rgb", SMALL), ("depth", SMALL)
    assert views_of(*teachers, waveform=SOUND) == (
        View(frame_formats=(SMALL,), waveform=SOUND),
        View(stream="depth", frame_formats=(GRAY,)),
        View(stream="depth", frame_formats=(SMALL,)),
    )


def test_pictures_for_students_are_of_rgb() -> None:
    assert views_of(("depth", GRAY), frames=LARGE, waveform=SOUND) == (
        View(frame_formats=(LARGE,), waveform=SOUND),
        View(stream="depth", frame_formats=(GRAY,)),
    )


def test_sound_alone_is_a_view_without_pictures() -> None:
    assert views_of(waveform=SOUND) == (View(waveform=SOUND),)


def test_sound_comes_with_the_only_stream_there_is() -> None:
    (view,) = views_of(("thermal", GRAY), waveform=SOUND)
    assert (view.stream, view.waveform) == ("thermal", SOUND)


def test_teachers_that_listen_share_sound_in_one_form_and_the_students_comes_first() -> None:
    eight, sixteen = (WaveformFormat(sample_rate=rate) for rate in (8_000, 16_000))
    ears = sixteen, SOUND, sixteen
    assert views_of(*ears, waveform=eight) == (
        View(waveform=eight, more_waveforms=(sixteen, SOUND)),
    )
    assert views_of(("depth", GRAY), *ears) == (
        View(stream="depth", frame_formats=(GRAY,), waveform=sixteen, more_waveforms=(SOUND,)),
    )
