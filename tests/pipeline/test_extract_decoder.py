"""Pictures by decord: asked for once, kept by the store, and the pictures that PyAV gives."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.retry import FAILED_STATUSES, ask_again
from avkd.stages.media.decord_reader import open_if_believed
from avkd.stages.teachers.request import TeacherRequest
from avkd.storage.store import Store
from avkd.storage.verify import verify_store

pytest.importorskip("decord")

Extract = Callable[..., Any]


@pytest.fixture
def folder(recordings: Path, tmp_path: Path) -> Path:
    """A whole video, and one that is none; not shared with other tests."""
    place = tmp_path / "mine"
    place.mkdir()
    for name in ("b.mp4", "c_broken.mp4"):
        shutil.copy(recordings / name, place)
    assert open_if_believed(str(place / "b.mp4")) is not None
    return place


@pytest.fixture
def extract(folder: Path, bright_request: TeacherRequest, tmp_path: Path) -> Extract:
    def run(store: str, **options: Any) -> Any:
        return extract_teacher(
            ExtractRequest(
                corpus=str(folder),
                store=str(tmp_path / store),
                teachers=(bright_request,),
                clip_seconds=2.0,
                step_seconds=1.0,
                rows_per_shard=2,
                inputs="none",
                frames_size=(32, 24),
                num_decode_workers=1,
                **options,
            )
        )

    return run


def fingerprints_of(store: Store) -> dict[str, object]:
    return {name: spec.fingerprint.get("decoder") for name, spec in store.producers().items()}


def test_both_decoders_fill_a_store_with_the_same_and_it_says_by_whom(
    extract: Extract, tmp_path: Path
) -> None:
    status = {"ok": 1, "decode_error": 1}
    for decoder in ("pyav", "decord"):
        assert extract(decoder, decoder=decoder).status == {"bright": status, "frames": status}
    plain, other = (Store.open(str(tmp_path / name)) for name in ("pyav", "decord"))
    for producer, output in (("frames", "frames"), ("bright", "logits")):
        seen, expected = (store.read_rows(producer, output, 0, 2) for store in (other, plain))
        assert expected.any()
        np.testing.assert_array_equal(seen, expected)
    assert fingerprints_of(plain) == {"bright": None, "frames": None}
    assert fingerprints_of(other) == {"bright": "decord", "frames": "decord"}
    assert "decoder" not in plain.clip_policy
    assert verify_store(other.url) == ()


def test_who_goes_on_with_a_store_need_not_say_who_decodes(
    extract: Extract, folder: Path, recordings: Path, tmp_path: Path
) -> None:
    first = extract("store", decoder="decord")
    assert extract("store").num_shards_done == 0
    assert extract("store", decoder="decord").content_digest == first.content_digest
    with pytest.raises(InvalidValueError, match="decoder pyav differs from decord"):
        extract("store", decoder="pyav")
    shutil.copy(recordings / "a.mp4", folder / "d.mp4")
    extract("store")
    shutil.copy(recordings / "a.mp4", folder / "c_broken.mp4")
    url = str(tmp_path / "store")
    report = extract_teacher(ask_again(url, FAILED_STATUSES, num_decode_workers=1))
    assert report.status["bright"].keys() == {"ok"}
    assert fingerprints_of(Store.open(url)) == {"bright": "decord", "frames": "decord"}
    assert report.content_digest == extract("fresh", decoder="decord").content_digest
