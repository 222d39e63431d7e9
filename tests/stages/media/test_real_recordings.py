from pathlib import Path

import pytest

from avkd.stages.media.audio import read_audio_file
from avkd.stages.media.clips import decode_clips
from avkd.stages.media.probe import probe
from avkd.stages.media.sampling import cut_recording, step_instants
from avkd.stages.media.wire import ClipRequest, DecodeJob
from avkd.stages.types import ClipPolicy, FrameFormat, WaveformFormat

DATA = Path(__file__).parents[4] / "shared" / "data"
RECORDINGS = sorted((DATA / "clips").glob("*.*")) if (DATA / "clips").is_dir() else []

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not RECORDINGS, reason="no folder of real recordings"),
]


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.name)
def test_a_real_recording_is_decoded_whole(path):
    policy = ClipPolicy(clip_seconds=5, step_seconds=1)
    spans = cut_recording(probe(str(path)).duration_seconds, policy)
    job = DecodeJob(
        streams={"rgb": str(path), "audio": str(path)},
        clips=tuple(
            ClipRequest(
                clip_id=str(span.start_seconds),
                start_seconds=span.start_seconds,
                duration_seconds=span.duration_seconds,
                instants=tuple(step_instants(span, policy)),
            )
            for span in spans
        ),
        clip_seconds=5.0,
        frame_formats=(FrameFormat(height=64, width=64),),
        waveform=WaveformFormat(sample_rate=16_000),
    )
    decoded = list(decode_clips(job))
    assert len(decoded) == len(spans) > 0
    for clip in decoded:
        assert (clip.frames_status, clip.frames_reason) == ("ok", "")
        assert (clip.waveform_status, clip.waveform_reason) == ("ok", "")
        assert clip.waveform is not None
        assert clip.waveform.any()


def test_real_sound_files_last_as_long_as_they_say():
    sounds = sorted((DATA / "esc10").glob("*.ogg"))[::16]
    assert sounds
    for path in sounds:
        num_samples = read_audio_file(str(path), WaveformFormat()).shape[1]
        assert num_samples == round(probe(str(path)).duration_seconds * 22_050)
