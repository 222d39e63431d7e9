"""Decoders, loops of others and ours give the same answers for the same pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat


@pytest.fixture(scope="module")
def agreement(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("agreement")


@pytest.fixture(scope="module")
def floors(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("floors")


@pytest.fixture(scope="module")
def peers(bench: Callable[[str], ModuleType]) -> ModuleType:
    return bench("peers")


@pytest.fixture
def ours(
    bench: Callable[[str], ModuleType],
    agreement: ModuleType,
    work: Any,
    cells_request: TeacherRequest,
    tmp_path: Path,
) -> Any:
    """What avkd stores of the work."""
    contestant = bench("contestant")
    told = contestant.run_ours(
        work,
        [cells_request],
        tmp_path,
        rows_per_shard=4,
        passes="one",
    )
    assert told["num_frames"] == work.num_instants
    place = contestant.store_path(tmp_path, [cells_request])
    return agreement.read_store_answers(place, "cells", work)


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_decoder_that_may_be_a_floor_gives_the_right_pictures(
    floors: ModuleType, agreement: ModuleType, work: Any, decoder: str
) -> None:
    reference = floors.make_thumbnails(work, floors.REFERENCE)
    found = floors.make_thumbnails(work, floors.DECODERS[decoder])
    assert agreement.compare_thumbnails(found, reference) == ""


def test_a_decoder_that_is_one_picture_late_is_no_floor(
    floors: ModuleType, agreement: ModuleType, work: Any, one_less: Any
) -> None:
    reference = floors.make_thumbnails(work, floors.REFERENCE)
    found = floors.make_thumbnails(one_less, floors.REFERENCE)
    assert agreement.compare_thumbnails(found, reference) != ""


def test_the_loop_of_one_video_after_the_other_agrees_with_ours(
    peers: ModuleType,
    agreement: ModuleType,
    ours: Any,
    work: Any,
    cells_request: TeacherRequest,
    cells_look: None,
    tmp_path: Path,
) -> None:
    pytest.importorskip("cv2")
    out = tmp_path / "vf"
    peers.run_vf(work, cells_request, out, batch_size=3, num_threads=1, reencodes=False)
    found = agreement.compare_answers(
        agreement.read_npy_answers(out, work), ours, agreement.TOLERANCE
    )
    assert found.why_not == ""
    assert found.num_pictures == work.num_instants


def test_encoding_anew_agrees_within_what_it_loses(
    peers: ModuleType,
    agreement: ModuleType,
    ours: Any,
    work: Any,
    cells_request: TeacherRequest,
    cells_look: None,
    tmp_path: Path,
) -> None:
    pytest.importorskip("cv2")
    out = tmp_path / "vf"
    peers.run_vf(work, cells_request, out, batch_size=64, num_threads=1, reencodes=True)
    answers = agreement.read_npy_answers(out, work)
    assert agreement.compare_answers(answers, ours, agreement.LOSSY_TOLERANCE).why_not == ""


def test_the_loop_that_concatenates_videos_agrees_with_ours(
    peers: ModuleType,
    agreement: ModuleType,
    ours: Any,
    work: Any,
    cells_request: TeacherRequest,
    cells_look: None,
    tmp_path: Path,
) -> None:
    pytest.importorskip("cv2")
    out = tmp_path / "cve"
    peers.run_cve(
        work,
        cells_request,
        out,
        num_readers=1,
        num_loader_workers=0,
        batch_size=5,
        videos_of_a_chunk=4,
    )
    assert len(list(out.glob("*.tar"))) == 2
    found = agreement.compare_answers(agreement.read_tar_answers(out), ours, agreement.TOLERANCE)
    assert found.why_not == ""


def test_answers_for_the_picture_before_do_not_agree(
    peers: ModuleType,
    agreement: ModuleType,
    ours: Any,
    one_less: Any,
    cells_request: TeacherRequest,
    cells_look: None,
    tmp_path: Path,
) -> None:
    pytest.importorskip("cv2")
    peers.run_vf(
        one_less, cells_request, tmp_path / "vf", batch_size=8, num_threads=1, reencodes=False
    )
    answers = agreement.read_npy_answers(tmp_path / "vf", one_less)
    assert "answers differ" in agreement.compare_answers(answers, ours, agreement.TOLERANCE).why_not


def test_missing_short_and_not_finite_answers_do_not_agree(agreement: ModuleType) -> None:
    random = np.random.default_rng(0)
    whole = {
        name: {output: random.normal(size=(6, 4)) for output in agreement.OUTPUTS}
        for name in ("a", "b")
    }
    assert agreement.compare_answers(whole, whole, 0.0).why_not == ""
    lacking = {"a": whole["a"]}
    assert "1 recordings are missing" in agreement.compare_answers(lacking, whole, 1.0).why_not
    short = {**whole, "b": {output: each[:5] for output, each in whole["b"].items()}}
    assert "b: logits is (5, 4)" in agreement.compare_answers(short, whole, 1.0).why_not
    wild = {**whole, "b": {output: each + np.nan for output, each in whole["b"].items()}}
    assert "not finite" in agreement.compare_answers(wild, whole, 1.0).why_not


def test_other_answers_are_a_root_of_two_of_the_spread_away(agreement: ModuleType) -> None:
    random = np.random.default_rng(0)
    one, other = (
        {"a": {output: random.normal(size=(4000, 8)) for output in agreement.OUTPUTS}}
        for _ in range(2)
    )
    deviation = agreement.compare_answers(other, one, agreement.LOSSY_TOLERANCE).deviation
    assert all(abs(each - np.sqrt(2)) < 0.05 for each in deviation.values())
    assert np.sqrt(2) > agreement.LOSSY_TOLERANCE


def test_every_wanted_picture_is_decoded_and_scaled_once(floors: ModuleType, work: Any) -> None:
    num_wanted = sum(len(set(each.frame_seconds)) for each in work.recordings)
    told = floors.run_decode_floor(work, "pyav", 2)
    assert told["num_frames"] == num_wanted
    assert told["work_seconds"] > 0
    frame_format = FrameFormat(height=32, width=32)
    assert floors.run_scale_floor(work, frame_format, 2)["num_frames"] == num_wanted


def test_the_bare_model_looks_at_every_picture_and_at_no_padding(
    floors: ModuleType, cells_request: TeacherRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    loaded = None, lambda frames: looked.append(len(frames))
    monkeypatch.setattr(floors, "load_any_batch", lambda request: loaded)
    floors.run_model_floor(cells_request, np.zeros((10, 32, 32, 3), np.uint8), 30)
    assert looked == [4, 4, 4, 4, 4, 4, 4, 2]


def test_three_passes_store_what_one_does(
    bench: Callable[[str], ModuleType],
    agreement: ModuleType,
    work: Any,
    cells_request: TeacherRequest,
    tmp_path: Path,
) -> None:
    contestant = bench("contestant")
    requests = [cells_request, replace(cells_request, name="again", batch_size=8)]
    for passes in ("one", "apart"):
        contestant.run_ours(work, requests, tmp_path / passes, passes=passes, rows_per_shard=4)
    for request in requests:
        together = contestant.store_path(tmp_path / "one", requests)
        alone = contestant.store_path(tmp_path / "apart", [request])
        one, apart = (
            agreement.read_store_answers(place, request.name, work) for place in (together, alone)
        )
        assert agreement.compare_answers(apart, one, 0.0).why_not == ""
