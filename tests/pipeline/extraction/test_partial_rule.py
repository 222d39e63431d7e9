import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import TooManyFailuresError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.partial_rule import apply_partial_rule, refuse_partial
from avkd.pipeline.extraction.request import ExtractReport, ExtractRequest
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import DecodedClip, DecodedSound, FrameFormat, WaveformFormat
from avkd.storage.clips import clip_id
from avkd.storage.schema import ClipRow, OutputSpec, ProducerSpec
from avkd.storage.store import Store

FORMAT = FrameFormat(height=2, width=2)
RATE = WaveformFormat(sample_rate=8)
HALF = DecodedClip(
    clip_id="c",
    frames_status="partial",
    frames_reason="1 of 2 missing",
    frames={FORMAT: np.ones((2, 2, 2, 3), np.uint8)},
    num_frames=1,
    waveform_status="ok",
    waveform=np.ones((1, 8), np.int16),
    more_sound={RATE: DecodedSound(status="partial", waveform=np.ones((1, 8), np.int16))},
)


def test_a_clip_in_part_is_kept_unless_told_otherwise() -> None:
    assert apply_partial_rule(HALF, "keep") is HALF


@pytest.mark.parametrize("rule", ["drop", "fail"])
def test_a_dropped_clip_has_no_data_and_says_what_was_wrong(rule: Any) -> None:
    dropped = apply_partial_rule(HALF, rule)
    assert (dropped.frames_status, dropped.num_frames, dropped.frames) == ("skipped", 0, {})
    assert dropped.frames_reason == "partial, and dropped: 1 of 2 missing"
    # Sound is its own matter, and so is each form of it.
    assert (dropped.waveform_status, dropped.waveform is HALF.waveform) == ("ok", True)
    assert dropped.sound(RATE).status == "skipped"
    assert dropped.sound(RATE).waveform is None


def test_only_what_is_there_in_part_is_dropped() -> None:
    sound = replace(HALF, frames_status="crashed", waveform_status="partial", more_sound={})
    dropped = apply_partial_rule(sound, "drop")
    assert (dropped.frames_status, dropped.waveform_status) == ("crashed", "skipped")
    assert dropped.waveform is None


@pytest.fixture
def extract(recordings: Path, tmp_path: Path) -> Callable[..., ExtractReport]:
    """Extract a whole file and one that was cut off, a second a clip."""
    folder = tmp_path / "media"
    folder.mkdir()
    shutil.copy(recordings / "b.mp4", folder / "whole.mp4")
    with (folder / "cut.wav").open("wb") as file:
        content = (recordings / "f_sound.wav").read_bytes()
        file.write(content[: len(content) * 3 // 4])

    def run(store: str, **options: Any) -> ExtractReport:
        request = ExtractRequest(
            corpus=str(folder),
            store=str(tmp_path / store),
            teachers=(TeacherRequest(name="bright", family="brightness", batch_size=4),),
            inputs=WaveformFormat(sample_rate=8_000),
            clip_seconds=1.0,
            step_seconds=1.0,
            rows_per_shard=4,
            num_decode_workers=1,
            **options,
        )
        return extract_teacher(request)

    return run


def test_rows_in_part_are_stored_or_dropped_as_told(
    extract: Callable[..., ExtractReport], tmp_path: Path
) -> None:
    kept, dropped = extract("kept"), extract("dropped", on_partial="drop")
    assert kept.status["waveform"] == {"ok": 3, "partial": 1}
    assert dropped.status["waveform"] == {"ok": 3, "skipped": 1}
    one, two = (Store.open(str(tmp_path / name)) for name in ("kept", "dropped"))
    (row,) = one.read_commit("waveform", 0).failures
    assert one.read_rows("waveform", "waveform", row, row + 1).any()
    assert not two.read_rows("waveform", "waveform", row, row + 1).any()
    assert two.read_commit("waveform", 0).failures[row][1].startswith("partial, and dropped: sound")
    # What is whole does not depend on the rule.
    for other in {0, 1, 2, 3} - {row}:
        pair = [each.read_rows("waveform", "waveform", other, other + 1) for each in (one, two)]
        assert np.array_equal(*pair)


def test_a_run_may_be_told_to_fail_when_all_is_committed(
    extract: Callable[..., ExtractReport], tmp_path: Path
) -> None:
    with pytest.raises(TooManyFailuresError, match=r"1 clip of waveform .* 'cut.wav' at 1 s"):
        extract("failed", on_partial="fail")
    failed = Store.open(str(tmp_path / "failed"))
    assert not failed.missing_shards("waveform")
    assert failed.content_digest() == extract("dropped", on_partial="drop").content_digest
    # It says so again, and computes nothing.
    with pytest.raises(TooManyFailuresError):
        extract("failed", on_partial="fail")


def test_a_run_without_such_clips_does_not_fail(
    extract: Callable[..., ExtractReport], tmp_path: Path
) -> None:
    (tmp_path / "media" / "cut.wav").unlink()
    assert extract("whole", on_partial="fail").status["waveform"] == {"ok": 2}


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ({1: ("skipped", "the corpus gave no 'loud' when the row was planned")}, None),
        ({1: ("skipped", "an earlier attempt at the clip holds it")}, None),
        ({1: ("timeout", "slow")}, None),
        ({1: ("skipped", "no loud"), 2: ("partial", "cut")}, "1 clip of it .* 'r2' at 0 s: cut"),
        (
            {1: ("skipped", "sound: partial, and dropped: cut"), 2: ("partial", "short")},
            "2 clips of it .* 'r1' at 0 s: sound: partial, and dropped: cut",
        ),
    ],
)
def test_only_what_is_partial_or_was_dropped_for_it_ends_a_run(
    failures: dict[int, tuple[str, str]], told: str | None, tmp_path: Path
) -> None:
    store = store_of(tmp_path, failures)
    status = {"it": store.summary().inputs[0].status}
    refuse_partial(store, status, "drop")
    ends = nullcontext() if told is None else pytest.raises(TooManyFailuresError, match=told)
    with ends:
        refuse_partial(store, status, "fail")


def test_a_clip_that_was_whole_at_a_later_attempt_ends_no_run(tmp_path: Path) -> None:
    store = store_of(tmp_path, {1: ("skipped", "partial, and dropped: cut")})
    store.plan_clips([replace(store.read_clips(0)[1], row=4, attempt=1)])
    arrays = {"it": np.ones((4, 1), np.float32)}
    store.write_shard("it", 1, arrays, failures={}, timings={})
    refuse_partial(store, {"it": store.summary().inputs[0].status}, "fail")
    # Nor does it where another clip is still in part, which is then the first.
    store.plan_clips([clip_of(8)])
    store.write_shard("it", 2, arrays, failures={8: ("partial", "cut")}, timings={})
    with pytest.raises(TooManyFailuresError, match=r"1 clip of it .* 'r8'"):
        refuse_partial(store, {"it": store.summary().inputs[0].status}, "fail")


def clip_of(row: int) -> ClipRow:
    return ClipRow(
        row=row,
        clip_id=clip_id(f"r{row}", 0.0, 2.0),
        recording_id=f"r{row}",
        streams={},
        start_seconds=0.0,
        duration_seconds=2.0,
        num_steps=1,
    )


def store_of(folder: Path, failures: dict[int, tuple[str, str]]) -> Store:
    """A shard of four clips with one input, ``it``."""
    store = Store.create(str(folder / "store"), clip_policy={}, rows_per_shard=4)
    store.plan_clips([clip_of(row) for row in range(4)])
    output = OutputSpec(name="it", shape=(1,), dtype="float32", axes=("feature",))
    store.declare(ProducerSpec(kind="input", name="it", outputs=(output,), fingerprint={}))
    arrays = {"it": np.ones((4, 1), np.float32)}
    store.write_shard("it", 0, arrays, failures=failures, timings={})
    return store
