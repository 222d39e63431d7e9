from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from avkd.pipeline.microphones import MicrophoneCheck, check_microphones
from avkd.stages.types import ClipPolicy
from avkd.storage.boxes import box_schema
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

RATE, NUM_STEPS, NUM_RECORDINGS = 16_000, 12, 6
POLICY = ClipPolicy(clip_seconds=3.0, step_seconds=0.25)
Sound = npt.NDArray[np.int16]
Check = Callable[..., MicrophoneCheck]


def places_of(row: int) -> npt.NDArray[np.float64]:
    """One vehicle drives from one side of the picture to the other."""
    places = np.linspace(0.05, 0.95, NUM_STEPS)
    return places if row % 2 else places[::-1]


def sound_of(row: int) -> Sound:
    """The vehicle reaches the microphone on its side first."""
    generator = np.random.default_rng(row)
    per_step = RATE // 4
    pieces = []
    for place in places_of(row):
        source, lag = generator.normal(size=per_step), round((place - 0.5) * 0.0014 * RATE)
        both = [np.roll(source, max(lag, 0)), np.roll(source, max(-lag, 0))]
        pieces.append(2_000 * np.stack(both) + 300 * generator.normal(size=(2, per_step)))
    return np.concatenate(pieces, axis=1).astype(np.int16)


def build(folder: Path, change: Callable[[int, Sound], Sound], *, has_boxes: bool = True) -> Store:
    store = Store.create(str(folder), clip_policy=asdict(POLICY), rows_per_shard=NUM_RECORDINGS)
    store.plan_clips(
        [
            ClipRow(
                row=row,
                clip_id=clip_id(f"drive{row}", 0.0, 3.0),
                recording_id=f"drive{row}",
                streams={},
                start_seconds=0.0,
                duration_seconds=3.0,
                num_steps=NUM_STEPS,
            )
            for row in range(NUM_RECORDINGS)
        ]
    )
    waveform = np.stack([change(row, sound_of(row)) for row in range(NUM_RECORDINGS)])
    output = OutputSpec(
        name="waveform",
        shape=waveform.shape[1:],
        dtype="int16",
        axes=("channel", "sample"),
        attributes={"sample_rate": RATE},
    )
    write(store, "input", output, waveform)
    if has_boxes:
        boxes = OutputSpec(
            name="boxes", shape=(NUM_STEPS,), dtype="float32", axes=("step",), layout="boxes"
        )
        write(store, "teacher", boxes, pa.Table.from_pylist(list_boxes(), schema=box_schema()))
    return store


def list_boxes() -> list[dict[str, object]]:
    return [
        {
            "row": row,
            "step": step,
            "box": [max(place - 0.05, 0), 0.4, min(place + 0.05, 1), 0.6],
            "score": 0.9,
            "class": 0,
        }
        for row in range(NUM_RECORDINGS)
        for step, place in enumerate(places_of(row).tolist())
    ]


def write(store: Store, kind: str, output: OutputSpec, content: object) -> None:
    name = "rgb" if kind == "teacher" else output.name
    store.declare(ProducerSpec(kind=kind, name=name, outputs=(output,), fingerprint={"of": name}))
    store.write_shard(name, 0, {output.name: content}, failures={}, timings={})


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Checks a store whose recordings were changed."""

    def run(change: Callable[[int, Sound], Sound], *, has_boxes: bool = True) -> MicrophoneCheck:
        (found,) = check_microphones(build(tmp_path / "store", change, has_boxes=has_boxes))
        return found

    return run


def mute(sound: Sound, channel: int) -> Sound:
    changed = sound.copy()
    changed[channel] = 0
    return changed


def test_microphones_as_they_should_be_give_no_warning(check: Check) -> None:
    found = check(lambda row, sound: sound)
    assert found.warnings == ()
    assert found.sides is not None
    assert found.sides.is_known
    assert not found.sides.is_swapped
    assert (found.num_recordings, found.teacher) == (NUM_RECORDINGS, "rgb")
    assert found.levels_decibels == pytest.approx((-24.2, -24.2), abs=0.3)


def test_a_dead_microphone_is_named_with_its_recordings(check: Check) -> None:
    found = check(lambda row, sound: mute(sound, 1) if row in (2, 4) else sound)
    (warning,) = found.warnings
    assert "channel 2 of waveform hears nothing in 2 of 6 recordings" in warning
    assert "drive2, drive4" in warning


def test_one_microphone_twice_is_found(check: Check) -> None:
    found = check(lambda row, sound: np.stack([sound[0], sound[0]]))
    (warning,) = found.warnings
    assert "channels 1 and 2 of waveform are the same sound in 6 of 6" in warning
    assert "drive4, ..." in warning


def test_swapped_microphones_are_found_by_the_boxes(check: Check) -> None:
    found = check(lambda row, sound: sound[::-1])
    (warning,) = found.warnings
    assert "channels 1 and 2 of waveform seem swapped" in warning
    assert "teacher 'rgb'" in warning


def test_a_single_recording_with_swapped_microphones_is_found(check: Check) -> None:
    found = check(lambda row, sound: sound[::-1] if row == 3 else sound)
    (warning,) = found.warnings
    assert "seem swapped in 1 of 6 recordings that were looked at (drive3)" in warning


def test_without_boxes_nothing_is_said_of_sides(check: Check) -> None:
    found = check(lambda row, sound: sound[::-1], has_boxes=False)
    assert (found.sides, found.teacher, found.warnings) == (None, "", ())


def test_more_than_two_microphones_have_no_sides(check: Check) -> None:
    def three(row: int, sound: Sound) -> Sound:
        third = np.random.default_rng(100 + row).normal(size=sound.shape[1])
        return np.concatenate([mute(sound, 0), (500 * third).astype(np.int16)[None]])

    found = check(three)
    assert found.sides is None
    assert [warning[:28] for warning in found.warnings] == ["channel 1 of waveform hears "]


def test_one_microphone_is_not_looked_at(tmp_path: Path) -> None:
    store = build(tmp_path / "store", lambda row, sound: sound[:1], has_boxes=False)
    assert check_microphones(store) == ()
