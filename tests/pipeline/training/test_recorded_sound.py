import shutil
import wave
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorpusError
from avkd.pipeline.extraction.producers import describe_waveform
from avkd.pipeline.recipe import DataConfig
from avkd.pipeline.removal import remove_recordings
from avkd.pipeline.training.examples import find_examples
from avkd.pipeline.training.learning_set import (
    LearningSet,
    build_reader,
    count_heard_channels,
    describe_inputs,
)
from avkd.pipeline.training.recorded_sound import RecordedSound
from avkd.stages.media.audio import read_waveform
from avkd.stages.methods.batch import LearningShape
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


def write_pair(path: Path) -> None:
    samples = np.random.default_rng(7).integers(-9000, 9000, (8000, 2)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


@pytest.mark.parametrize("heard", [8_000, None])
def test_of_two_microphones_a_student_hears_what_its_encoder_takes(
    tmp_path: Path, heard: int | None
) -> None:
    """One that takes the store's sound gets both; one with a rate of its own hears the first."""
    path = tmp_path / "pair.wav"
    write_pair(path)
    store = Store.create(str(tmp_path / "store"), clip_policy=asdict(POLICY), rows_per_shard=2)
    rows = [
        ClipRow(
            row=row,
            clip_id=clip_id("pair", row / 2, 0.5),
            recording_id="pair",
            streams={"audio": str(path)},
            start_seconds=row / 2,
            duration_seconds=0.5,
            num_steps=2,
        )
        for row in range(2)
    ]
    store.plan_clips(rows)
    stored = WaveformFormat(sample_rate=8_000, num_channels=2, channels="all")
    store.declare(describe_waveform(stored, POLICY))
    zeros = np.zeros((2, 2, 4_000), np.int16)
    store.write_shard("waveform", 0, {"waveform": zeros}, failures={}, timings={})
    learning = LearningSet(
        store=store,
        shape=LearningShape(inputs=describe_inputs(store)),
        input_name="recordings",
        sample_rate=8_000,
        num_channels=count_heard_channels(describe_inputs(store), heard),
        data=DataConfig(),
    )
    reader = build_reader(learning, find_examples(store, ["waveform"]))
    with closing(reader.read([[1]])) as read:
        row = next(read)[1]
    expected = read_waveform(str(path), 0.5, 0.5, stored)
    assert row.waveform is not None
    assert np.array_equal(row.waveform, expected if heard is None else expected[:1])


def test_a_recording_that_is_removed_meanwhile_is_told_in_one_line(
    store: Store, sound: RecordedSound, tmp_path: Path
) -> None:
    shutil.copytree(store.url, tmp_path / "store")
    mine = replace(sound, store=Store.open(str(tmp_path / "store")))
    remove_recordings(mine.store, ["1.wav"])
    with (
        closing(mine.read([[2, 3, 0]])) as read,
        pytest.raises(CorpusError, match=r"row 2 of .* was removed while a student"),
    ):
        list(read)
