from dataclasses import replace

import fsspec
import numpy as np
import pytest

from avkd.stages.media import clips as clips_module
from avkd.stages.media.clips import decode_clips
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import FrameFormat, WaveformFormat

SMALL = FrameFormat(height=24, width=24)
MONO = WaveformFormat(sample_rate=8000)


def job_for(path, *starts, seconds=0.5, **changes):
    requests = tuple(
        ClipRequest(
            clip_id=f"clip-{start}",
            start_seconds=start,
            duration_seconds=seconds,
            instants=(start + seconds / 4, start + 3 * seconds / 4),
        )
        for start in starts
    )
    job = DecodeJob(
        streams={"rgb": str(path), "audio": str(path)},
        clips=requests,
        clip_seconds=1.0,
        frame_formats=(SMALL,),
        waveform=MONO,
    )
    return replace(job, **changes)


def statuses(job):
    return [(clip.frames_status, clip.waveform_status) for clip in decode_clips(job)]


def test_clips_come_in_order_with_pictures_and_sound(recordings):
    decoded = list(decode_clips(job_for(recordings / "h264.mp4", 0.0, 0.5, 1.0)))
    assert [clip.clip_id for clip in decoded] == ["clip-0.0", "clip-0.5", "clip-1.0"]
    for clip in decoded:
        assert (clip.frames_status, clip.waveform_status) == ("ok", "ok")
        assert (clip.frames_reason, clip.waveform_reason, clip.num_frames) == ("", "", 2)
        assert clip.frames[SMALL].shape == (2, 24, 24, 3)
        assert clip.waveform.shape == (1, 8000)
        # The clip lasts half of a full one: what comes after it belongs to the next.
        assert clip.waveform[:, :4000].any()
        assert not clip.waveform[:, 4000:].any()


def test_a_clip_is_the_same_in_any_company(recordings):
    path = recordings / "h264.mp4"
    together = list(decode_clips(job_for(path, 0.0, 0.5, 1.0)))
    (alone,) = decode_clips(job_for(path, 0.5))
    assert np.array_equal(alone.frames[SMALL], together[1].frames[SMALL])
    assert np.array_equal(alone.waveform, together[1].waveform)


def test_pictures_and_sound_fail_apart(recordings):
    assert statuses(job_for(recordings / "vfr.mp4", 0.0)) == [("ok", "no_audio")]
    assert statuses(job_for(recordings / "sound.flac", 0.0)) == [("no_video", "ok")]
    assert statuses(job_for(recordings / "text.mp4", 0.0)) == [("decode_error", "decode_error")]


def test_what_is_not_asked_for_is_skipped(recordings):
    path = recordings / "h264.mp4"
    assert statuses(job_for(path, 0.0, frame_formats=())) == [("skipped", "ok")]
    assert statuses(job_for(path, 0.0, waveform=None)) == [("ok", "skipped")]


def test_streams_may_lie_in_files_of_their_own(recordings):
    apart = {"rgb": str(recordings / "vfr.mp4"), "audio": str(recordings / "sound.flac")}
    assert statuses(job_for("", 0.0, streams=apart)) == [("ok", "ok")]
    (clip,) = decode_clips(job_for("", 0.0, streams={"rgb": apart["rgb"]}))
    assert (clip.frames_status, clip.waveform_status) == ("ok", "no_audio")
    assert "no 'audio' stream" in clip.waveform_reason


def test_a_recording_that_breaks_off_loses_its_last_clips(recordings):
    decoded = list(decode_clips(job_for(recordings / "half.mkv", 0.0, 0.8, 1.5)))
    assert [c.frames_status for c in decoded] == ["ok", "partial", "too_short"]
    assert [c.waveform_status for c in decoded] == ["ok", "partial", "too_short"]
    assert decoded[1].num_frames == 1
    assert decoded[1].frames[SMALL].shape == (2, 24, 24, 3)
    assert not decoded[1].frames[SMALL][1].any()
    assert "missing" in decoded[1].frames_reason
    assert decoded[2].waveform is None
    assert decoded[2].frames == {}


def test_a_remote_recording_is_fetched_once(recordings, monkeypatch):
    with fsspec.open("memory://bucket/h264.mp4", "wb") as remote:
        remote.write((recordings / "h264.mp4").read_bytes())
    fetched = []
    real = clips_module.local_file
    monkeypatch.setattr(clips_module, "local_file", lambda uri: fetched.append(uri) or real(uri))
    assert statuses(job_for("memory://bucket/h264.mp4", 0.0, 0.5)) == [("ok", "ok")] * 2
    assert fetched == ["memory://bucket/h264.mp4"]
    missing = job_for("memory://bucket/missing.mp4", 0.0)
    assert statuses(missing) == [("decode_error", "decode_error")]


def test_an_unforeseen_error_costs_the_clip_and_not_the_job(recordings, monkeypatch):
    real, calls = clips_module.read_pictures, []

    def fail_once(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyError("surprise")
        return real(*arguments, **options)

    monkeypatch.setattr(clips_module, "read_pictures", fail_once)
    first, second = decode_clips(job_for(recordings / "h264.mp4", 0.0, 0.5))
    assert (first.frames_status, first.waveform_status) == ("decode_error", "ok")
    assert "KeyError" in first.frames_reason
    assert second.frames_status == "ok"


@pytest.mark.parametrize("name", ["playlist.mp4", "concat.mp4"])
def test_a_playlist_opens_no_other_file(recordings, name):
    assert statuses(job_for(recordings / name, 0.0)) == [("decode_error", "decode_error")]


@pytest.mark.parametrize("name", ["h264.mp4", "ntsc.mkv"])
def test_sound_in_one_format_does_not_depend_on_the_others(recordings, name):
    others = WaveformFormat(sample_rate=16_000), WaveformFormat(sample_rate=22_050, channels="mix")
    path = recordings / name
    together = list(decode_clips(job_for(path, 0.5, 1.0, more_waveforms=others)))
    for other in (MONO, *others):
        alone = decode_clips(job_for(path, 0.5, 1.0, waveform=other))
        for clip, company in zip(alone, together, strict=True):
            assert company.sound(other).status == clip.waveform_status == "ok"
            assert np.array_equal(company.sound(other).waveform, clip.waveform)


def test_a_format_that_a_file_has_too_few_channels_for_fails_alone(recordings):
    six = WaveformFormat(num_channels=6, channels="all")
    stereo = recordings / "sound.wav"
    job = job_for(stereo, 0.0, frame_formats=(), waveform=six, more_waveforms=(MONO,))
    (clip,) = decode_clips(job)
    assert clip.sound(six).status == "decode_error"
    assert "2 channels of sound, 6 asked for" in clip.sound(six).reason
    assert clip.sound(MONO).status == "ok"
    assert clip.sound(MONO).waveform.any()


def test_a_file_without_sound_has_none_in_any_format(recordings):
    other = WaveformFormat(sample_rate=16_000)
    (clip,) = decode_clips(job_for(recordings / "rotated90.mp4", 0.0, more_waveforms=(other,)))
    assert clip.sound(MONO).status == clip.sound(other).status == "no_audio"
