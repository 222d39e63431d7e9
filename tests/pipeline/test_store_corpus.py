import json
from pathlib import Path

import pytest

from avkd.pipeline.extract import extract_teacher
from avkd.pipeline.extraction.request import ExtractRequest
from avkd.pipeline.store_corpus import write_store_corpus
from avkd.storage.corpus import read_corpus
from avkd.storage.store import Store
from avkd.storage.vectors import vector_values


def test_recordings_of_files_are_listed_once_with_their_places(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "known.jsonl"
    write_store_corpus(store, file)
    recordings = read_corpus(str(file))
    assert len(recordings) == 20
    assert {each.recording_id for each in recordings} == store.recording_ids()
    clips = {clip.recording_id: clip.streams for clip in store.read_clips(0)}
    for each in recordings:
        assert each.streams == clips.get(each.recording_id, each.streams)


@pytest.fixture
def vectors(tmp_path: Path) -> Store:
    corpus = tmp_path / "points.csv"
    corpus.write_text(
        "recording_id,alpha,note\n007,0.1,good\n008,,missing\n009,nan,odd\n010,1e-300,small\n"
    )
    url = str(tmp_path / "store")
    extract_teacher(
        ExtractRequest(corpus=str(corpus), store=url, vectors=("alpha",), rows_per_shard=2)
    )
    return Store.open(url)


def test_vectors_keep_their_bits_and_bad_ones_are_left_empty(
    vectors: Store, tmp_path: Path
) -> None:
    file = tmp_path / "known.jsonl"
    write_store_corpus(vectors, file)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["alpha"] for line in lines] == [[0.1], None, None, [1e-300]]
    found = {
        each.recording_id: vector_values(each.metadata["alpha"])
        for each in read_corpus(str(file), vectors=("alpha",))
        if "alpha" in each.metadata
    }
    assert found == {"007": (0.1,), "010": (1e-300,)}


def test_an_extraction_from_it_finds_nothing_new(vectors: Store, tmp_path: Path) -> None:
    file = tmp_path / "known.jsonl"
    write_store_corpus(vectors, file)
    report = extract_teacher(
        ExtractRequest(corpus=str(file), store=vectors.url, vectors=("alpha",))
    )
    assert report.forecast.num_new_recordings == 0
    assert report.num_shards_done == 0
