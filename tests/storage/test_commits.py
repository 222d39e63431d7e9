import dataclasses
import json

import pytest

from avkd.errors import CorruptStoreError
from avkd.storage import objects
from avkd.storage.commits import (
    Commit,
    StoredFile,
    committed_shards,
    create_commit,
    parse_commit,
    read_commit,
)
from avkd.storage.digest import RowSum


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "store")


@pytest.fixture
def commit():
    return Commit(
        producer="seer",
        shard=3,
        num_rows=7,
        counts={"ok": 5, "no_video": 1, "timeout": 1},
        failures={30: ("timeout", "60 s"), 9: ("no_video", "no picture")},
        clip_ids_digest="aa",
        fingerprint_digest="bb",
        files=(StoredFile(path="targets/seer/logits/c.3.0.0", size=9, sha256="cc"),),
        content={"logits": RowSum(count=7, total=2**127 + 1)},
        timings={"decode": 1.5},
        host="worker-7",
    )


def test_a_commit_reads_back_whole(url, commit):
    written = create_commit(url, commit)
    assert written == commit
    assert written.is_new
    read = read_commit(url, "seer", 3)
    assert read == commit
    assert (read.timings, read.host) == (commit.timings, "worker-7")
    assert list(read.failures) == [9, 30]
    assert committed_shards(url, "seer") == (3,)


def test_the_digest_leaves_timings_and_host_out_and_the_rest_in(commit):
    elsewhere = dataclasses.replace(commit, timings={"decode": 9.0}, host="worker-8")
    assert elsewhere.digest == commit.digest
    assert dataclasses.replace(commit, clip_ids_digest="dd").digest != commit.digest


def test_a_second_commit_of_a_shard_gives_back_the_first(url, commit):
    create_commit(url, commit)
    later = dataclasses.replace(commit, host="worker-8", counts={"ok": 7}, failures={})
    found = create_commit(url, later)
    assert (found, found.host) == (commit, "worker-7")


def test_large_numbers_are_hex_text_in_the_file(url, commit):
    create_commit(url, commit)
    document = json.loads(objects.read_bytes(f"{url}/commits/seer/00003.json"))
    assert document["commit"]["content"]["logits"] == "8" + "0" * 30 + "1-7"


def test_a_commit_of_another_place_is_corrupt(url, commit):
    create_commit(url, commit)
    data = objects.read_bytes(f"{url}/commits/seer/00003.json")
    with pytest.raises(CorruptStoreError, match="the commit of seer shard 3"):
        parse_commit(data, "commits/seer/00004.json")


def test_a_thousand_rows_make_a_commit_of_little_more_than_a_kilobyte(url, commit):
    whole = dataclasses.replace(commit, num_rows=1024, counts={"ok": 1024}, failures={})
    create_commit(url, whole)
    assert len(objects.read_bytes(f"{url}/commits/seer/00003.json")) < 1400
