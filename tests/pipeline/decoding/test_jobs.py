from dataclasses import replace

import pytest

from avkd.pipeline.decoding.jobs import decode_jobs
from avkd.stages.types import ClipPolicy, FrameFormat, WaveformFormat
from avkd.storage.schema import ClipRow

POLICY = ClipPolicy(clip_seconds=10, step_seconds=1)
LITTLE = FrameFormat(height=16, width=16)
LARGE = FrameFormat(height=1024, width=1024)


def rows(uri, num_clips, recording_id="r"):
    return [
        ClipRow(
            row=number,
            clip_id=f"{recording_id}-{number}",
            recording_id=recording_id,
            streams={"rgb": uri, "audio": uri},
            start_seconds=10.0 * number,
            duration_seconds=10.0,
            num_steps=10,
        )
        for number in range(num_clips)
    ]


def lengths(clips, frame_formats=(LITTLE,), waveform=None):
    return [len(job.clips) for job in decode_jobs(clips, POLICY, frame_formats, waveform)]


def test_a_long_recording_is_many_jobs_in_order():
    clips = rows("film.mkv", 20)
    jobs = list(decode_jobs(clips, POLICY, (LITTLE,), None))
    assert [len(job.clips) for job in jobs] == [6, 6, 6, 2]
    assert [clip.clip_id for job in jobs for clip in job.clips] == [row.clip_id for row in clips]


def test_jobs_name_the_decoder_of_the_policy():
    for decoder in ("pyav", "decord"):
        policy = replace(POLICY, decoder=decoder)
        jobs = decode_jobs(rows("film.mkv", 20), policy, (LITTLE,), None)
        assert [job.decoder for job in jobs] == [decoder] * 4


def test_recordings_do_not_share_a_job():
    assert lengths(rows("a.mp4", 2) + rows("b.mp4", 1, "s")) == [2, 1]


def test_a_job_of_large_pictures_is_shorter():
    # A clip is ten pictures of 3 MB: over the limit alone, and yet one clip at least.
    assert lengths(rows("film.mp4", 3), (LARGE,)) == [1, 1, 1]
    assert lengths(rows("film.mp4", 6), (FrameFormat(height=512, width=512),)) == [2, 2, 2]


@pytest.mark.parametrize("uri", ["film.avi", "film", "s3://bucket/film.mp4", "film.mpg"])
def test_what_cannot_be_jumped_in_cheaply_is_one_job(uri):
    assert lengths(rows(uri, 20)) == [20]


def test_sound_alone_can_be_jumped_in_where_it_need_not_be_fetched():
    sound = WaveformFormat()
    assert lengths(rows("sound.wav", 12), (), sound) == [6, 6]
    assert lengths(rows("https://host/sound.wav", 12), (), sound) == [12]


def test_a_local_uri_is_a_local_file():
    assert lengths(rows("file:///films/film.MP4", 12)) == [6, 6]


def test_no_clips_are_no_job():
    assert lengths([]) == []
