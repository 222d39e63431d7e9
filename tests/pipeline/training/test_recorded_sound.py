import wave
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from avkd.pipeline.training.examples import find_examples
from avkd.pipeline.training.recorded_sound import RecordedSound
from avkd.stages.media.audio import read_waveform
from avkd.stages.types import ClipPolicy, WaveformFormat
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store

POLICY = ClipPolicy(clip_seconds=0.5, step_seconds=0.25)
FORMAT = WaveformFormat(sample_rate=22_050)
NUM_RECORDINGS = 4


def write_recording(path: Path, number: int) -> None:
    samples = np.random.default_rng(number).integers(-9000, 9000, 8000 + 4000 * (number % 2))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.astype(np.int16).tobytes())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Clips of four wav files, of which one is gone."""
    folder = tmp_path_factory.mktemp("recorded")
    clips: list[ClipRow] = []
    for number in range(NUM_RECORDINGS):
        path = folder / f"{number}.wav"
        write_recording(path, number)
        for start in (0.0, 0.5):
            row = ClipRow(
                row=len(clips),
                clip_id=clip_id(path.name, start, 0.5),
                recording_id=path.name,
                streams={"audio": str(path)},
                start_seconds=start,
                duration_seconds=0.5,
                num_steps=2,
            )
            clips.append(row)
    (folder / "2.wav").unlink()
    store = Store.create(str(folder / "store"), clip_policy=asdict(POLICY), rows_per_shard=4)
    store.plan_clips(clips)
    return store


@pytest.fixture
def sound(store: Store) -> RecordedSound:
    return RecordedSound(
        store=store,
        examples=find_examples(store, []),
        policy=POLICY,
        waveform=FORMAT,
        num_workers=2,
    )


def test_decoded_sound_has_the_samples_that_extraction_would_cache(
    store: Store, sound: RecordedSound
) -> None:
    blocks = [[2, 3, 0], [7, 1]]
    with closing(sound.read(blocks)) as read:
        found = list(read)
    assert [list(block) for block in found] == blocks
    for places in found:
        for place, waveform in places.items():
            clip = store.read_clips(place // 4)[place % 4]
            path = clip.streams["audio"]
            assert np.array_equal(waveform, read_waveform(path, clip.start_seconds, 0.5, FORMAT))


def test_clips_of_a_lost_recording_are_left_out(sound: RecordedSound) -> None:
    with closing(sound.read([[3, 4, 5, 6]])) as read:
        assert list(next(read)) == [3, 6]


def test_stopping_early_leaves_no_children(sound: RecordedSound) -> None:
    read = sound.read([[place] for place in range(8)])
    next(read)
    read.close()
    with pytest.raises(StopIteration):
        next(read)
