import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import InvalidValueError, StoreNotFoundError, UnknownNameError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.report.facts import list_failures
from avkd.pipeline.retry import FAILED_STATUSES, ask_again, plan_retry
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import WaveformFormat
from avkd.storage.sealed import seal
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

NAMES = ("b.mp4", "c_broken.mp4", "e_silent.mp4")
Extract = Callable[..., Any]


@pytest.fixture
def folder(recordings: Path, tmp_path: Path) -> Path:
    """A whole video, one that is none, and one without sound; not shared with other tests."""
    place = tmp_path / "mine"
    place.mkdir()
    for name in NAMES:
        shutil.copy(recordings / name, place)
    return place


@pytest.fixture
def extract(folder: Path, bright_request: TeacherRequest, tmp_path: Path) -> Extract:
    def run(store: str = "store", **options: Any) -> Any:
        request = ExtractRequest(
            corpus=str(folder),
            store=str(tmp_path / store),
            teachers=(bright_request,),
            clip_seconds=2.0,
            step_seconds=1.0,
            rows_per_shard=3,
            inputs=WaveformFormat(sample_rate=8_000),
            num_decode_workers=1,
            **options,
        )
        return extract_teacher(request)

    return run


def retry(url: Path, *statuses: str) -> Any:
    return extract_teacher(ask_again(str(url), statuses or FAILED_STATUSES, num_decode_workers=1))


def test_a_mended_file_becomes_what_it_would_have_been_at_first(
    extract: Extract, folder: Path, recordings: Path, tmp_path: Path
) -> None:
    first = extract()
    assert first.status["bright"] == {"ok": 2, "decode_error": 1}
    shutil.copy(recordings / "a.mp4", folder / "c_broken.mp4")  # 5 s: three clips
    report = retry(tmp_path / "store", "decode_error")
    assert report.forecast.num_new_clips == 3
    assert report.status["bright"] == {"ok": 5}
    assert report.status["waveform"] == {"ok": 4, "no_audio": 1}
    assert report.content_digest == extract("fresh").content_digest
    store = Store.open(str(tmp_path / "store"))
    again = [clip for shard in store.shards() for clip in store.read_clips(shard) if clip.attempt]
    assert [clip.row for clip in again] == [3, 4, 5]
    assert {clip.recording_id for clip in again} == {"c_broken.mp4"}
    assert [each.recording_id for each in list_failures(store, 9)] == ["e_silent.mp4"]
    assert store.summary().num_clips == 5
    assert verify_store(store.url) == ()


def test_only_what_failed_is_computed_again_and_what_went_well_stays(
    extract: Extract, folder: Path, recordings: Path, tmp_path: Path, brightness: Any
) -> None:
    extract()
    store = Store.open(str(tmp_path / "store"))
    row = next(c.row for c in store.read_clips(0) if c.recording_id == "e_silent.mp4")
    seen = store.read_rows("bright", "logits", row, row + 1)
    shutil.copy(recordings / "b.mp4", folder / "e_silent.mp4")  # other pictures, and sound
    brightness.num_batches = 0
    report = retry(tmp_path / "store", "no_audio")
    assert brightness.num_batches == 0
    assert report.forecast.num_new_clips == 1
    assert report.status["waveform"] == {"ok": 2, "decode_error": 1}
    assert report.status["bright"] == {"ok": 2, "decode_error": 1}
    assert row in store.ok_rows("bright")
    assert 3 in store.ok_rows("waveform")
    np.testing.assert_array_equal(store.read_rows("bright", "logits", row, row + 1), seen)
    assert store.read_rows("waveform", "waveform", 3, 4).any()
    commit = store.read_commit("bright", 1)
    assert commit.failures == {3: ("skipped", "an earlier attempt at the clip holds it")}
    assert verify_store(store.url) == ()


def test_what_fails_again_counts_once_and_changes_no_digest(
    extract: Extract, tmp_path: Path
) -> None:
    first = extract()
    for number in (1, 2):
        report = retry(tmp_path / "store")
        assert report.forecast.num_new_clips == 2
        assert report.num_shards_done == 1
        assert report.status == first.status
        assert report.content_digest == first.content_digest
        store = Store.open(str(tmp_path / "store"))
        attempts = [clip.attempt for clip in store.read_clips(number)]
        assert attempts == [number, number]
        assert store.summary().num_clips == 3
        assert len(list_failures(store, 9)) == 3  # the broken one fails both


def test_a_retry_that_was_stopped_goes_on_and_plans_nothing_twice(
    extract: Extract, tmp_path: Path
) -> None:
    first = extract()
    url = str(tmp_path / "store")
    assert plan_retry(url, FAILED_STATUSES).num_new_clips == 2
    assert Store.open(url).missing_shards("bright") == (1,)
    assert plan_retry(url, FAILED_STATUSES).num_new_clips == 0
    report = retry(tmp_path / "store")
    assert (report.forecast.num_new_clips, report.num_shards_done) == (0, 1)
    assert report.content_digest == first.content_digest


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc to look into")
def test_planning_alone_leaves_no_decode_child_behind(extract: Extract, tmp_path: Path) -> None:
    extract()
    before = find_children()
    assert plan_retry(str(tmp_path / "store"), FAILED_STATUSES, dry_run=True).num_new_clips == 2
    assert find_children() == before


def find_children() -> set[str]:
    found = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has just ended
            found.update(file.read_text().split())
    return found


def test_the_first_command_computes_what_was_only_planned(extract: Extract, tmp_path: Path) -> None:
    first = extract()
    plan_retry(str(tmp_path / "store"), FAILED_STATUSES)
    report = extract()
    assert (report.num_shards_done, report.content_digest) == (1, first.content_digest)


def test_a_dry_run_writes_nothing(extract: Extract, tmp_path: Path) -> None:
    extract()
    before = sorted(p for p in (tmp_path / "store").rglob("*"))
    request = replace(ask_again(str(tmp_path / "store"), FAILED_STATUSES), dry_run=True)
    assert extract_teacher(request).forecast.num_new_clips == 2
    assert sorted(p for p in (tmp_path / "store").rglob("*")) == before


def test_nothing_of_that_status_is_nothing_to_do(extract: Extract, tmp_path: Path) -> None:
    extract()
    report = retry(tmp_path / "store", "timeout")
    assert (report.forecast.num_new_clips, report.num_shards_done) == (0, 0)


def test_a_store_keeps_how_a_teacher_was_asked_for_but_trusts_nothing(
    extract: Extract, tmp_path: Path
) -> None:
    extract()
    url = str(tmp_path / "store")
    asked = Store.open(url).producer("bright").spec.about["request"]
    assert isinstance(asked, dict)
    assert (asked["family"], asked["batch_size"]) == ("brightness", 4)
    assert "is_trusted" not in asked
    (request,) = ask_again(url, ["timeout"], trusted=["bright"]).teachers
    assert request.is_trusted
    assert not ask_again(url, ["timeout"]).teachers[0].is_trusted


def rewrite_about(store: Path, about: object) -> None:
    path = store / "targets/bright/producer.json"
    document = json.loads(path.read_text())
    del document["seal"]
    document.pop("about")
    path.write_bytes(seal({**document, **({"about": about} if about else {})}))


@pytest.mark.parametrize(
    ("about", "words"),
    [
        (None, "does not say how teacher 'bright' was asked for"),
        ({"request": {"name": "bright", "magic": 1}}, "in words of another avkd"),
        (
            {"request": {"name": "bright", "family": "brightness", "weights": "/none/w.pt"}},
            "needs /none/w.pt, which is gone",
        ),
    ],
)
def test_a_teacher_that_cannot_be_asked_again_is_named_with_the_way_out(
    extract: Extract, tmp_path: Path, about: object, words: str
) -> None:
    first = extract()
    rewrite_about(tmp_path / "store", about)
    with pytest.raises(InvalidValueError, match=f"{words}.*--plan-only"):
        ask_again(str(tmp_path / "store"), FAILED_STATUSES)
    assert plan_retry(str(tmp_path / "store"), FAILED_STATUSES).num_new_clips == 2
    assert extract().content_digest == first.content_digest


def test_a_store_of_a_stranger_cannot_say_that_its_teacher_is_trusted(
    extract: Extract, tmp_path: Path
) -> None:
    extract()
    asked = {"name": "bright", "family": "brightness", "is_trusted": True}
    rewrite_about(tmp_path / "store", {"request": asked})
    (request,) = ask_again(str(tmp_path / "store"), FAILED_STATUSES).teachers
    assert not request.is_trusted


def test_a_status_that_is_none_and_a_missing_store_are_refused(
    extract: Extract, tmp_path: Path
) -> None:
    with pytest.raises(StoreNotFoundError):
        ask_again(str(tmp_path / "store"), FAILED_STATUSES)
    with pytest.raises(StoreNotFoundError):
        plan_retry(str(tmp_path / "store"), FAILED_STATUSES)
    extract()
    with pytest.raises(UnknownNameError, match="did you mean timeout"):
        ask_again(str(tmp_path / "store"), ["timout"])
