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


ANGLES = 2 * np.pi * np.arange(8) / 8
RING = 0.2 * np.stack([np.sin(ANGLES), np.cos(ANGLES)], axis=1)


def ring_sound(row: int) -> Sound:
    """A ring of eight hears one source after the other, each from a side of its own."""
    generator = np.random.default_rng(1_000 + row)
    size = 3 * RATE // NUM_STEPS
    hertz = np.fft.rfftfreq(size, 1 / RATE)
    pieces = []
    for angle in generator.uniform(0, 2 * np.pi, NUM_STEPS):
        early = RING @ [np.sin(angle), np.cos(angle)] / 343.0
        source = np.fft.rfft(2_000 * generator.normal(size=size))
        heard = np.fft.irfft(source * np.exp(2j * np.pi * hertz * early[:, None]), size)
        pieces.append(heard + 200 * generator.normal(size=heard.shape))
    return np.concatenate(pieces, axis=1).astype(np.int16)


def exchange(sound: Sound, one: int, other: int) -> Sound:
    changed = sound.copy()
    changed[[one, other]] = sound[[other, one]]
    return changed


def test_a_ring_as_it_should_be_gives_no_warning(check: Check) -> None:
    found = check(lambda row, sound: ring_sound(row))
    assert (found.warnings, found.num_ordered, found.sides) == ((), NUM_RECORDINGS, None)


def test_two_channels_have_no_order_but_sides(check: Check) -> None:
    assert check(lambda row, sound: sound).num_ordered == 0


@pytest.mark.parametrize(("one", "other"), [(2, 3), (1, 5)])
def test_a_recording_with_exchanged_channels_of_eight_is_named(
    check: Check, one: int, other: int
) -> None:
    def change(row: int, sound: Sound) -> Sound:
        return exchange(ring_sound(row), one, other) if row == 3 else ring_sound(row)

    found = check(change)
    assert found.warnings == (
        "channels of waveform seem swapped in 1 of 6 recordings that were looked at (drive3): "
        f"they fit the others with channels {one + 1} and {other + 1} exchanged; "
        "put them right, or leave these recordings out",
    )


def test_where_two_exchanges_do_the_same_both_are_named(check: Check) -> None:
    square = [0, 2, 4, 6]

    def change(row: int, sound: Sound) -> Sound:
        return ring_sound(row)[[2, 0, 4, 6] if row == 1 else square]

    (warning,) = check(change).warnings
    assert "channels 1 and 2, or 3 and 4 exchanged" in warning


def test_where_half_of_the_recordings_have_another_order_none_is_called_right(
    check: Check,
) -> None:
    def change(row: int, sound: Sound) -> Sound:
        return exchange(ring_sound(row), 0, 4) if row % 2 else ring_sound(row)

    (warning,) = check(change).warnings
    assert warning.startswith("waveform has two orders of channels: 3 of 6 recordings")
    assert warning.endswith(
        "and the others differ by channels 1 and 5 exchanged; which order is right cannot be told"
    )


def test_recordings_with_several_exchanged_channels_fit_in_no_order(check: Check) -> None:
    def change(row: int, sound: Sound) -> Sound:
        return ring_sound(row)[[3, 0, 6, 1, 7, 2, 5, 4]] if row == 2 else ring_sound(row)

    (warning,) = check(change).warnings
    assert "fit the others in no order that was tried in 1 of 6" in warning
    assert "(drive2)" in warning


def test_of_eight_a_dead_a_deaf_a_quiet_and_a_doubled_channel_are_named_once(
    check: Check,
) -> None:
    def change(row: int, sound: Sound) -> Sound:
        changed = mute(ring_sound(row), 1) if row == 0 else ring_sound(row)
        if row == 1:
            noise = np.random.default_rng(7).normal(size=(changed.shape[1],))
            changed[2] = (200 * noise).astype(np.int16)
        if row == 2:
            changed[3] //= 10
        if row == 5:
            changed[[4, 6]] = changed[7]
        return changed

    found = check(change)
    assert [warning.split(" recordings that")[0] for warning in found.warnings] == [
        "channel 2 of waveform hears nothing in 1 of 6",
        "channels 5, 7 and 8 of waveform are the same sound in 1 of 6",
        "channel 4 of waveform is more than 15 dB quieter or louder than most in 1 of 6",
        "channel 3 of waveform hears nothing of what the others hear in 1 of 6",
    ]
    assert "one microphone 3 times" in found.warnings[1]
