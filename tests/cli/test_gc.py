import os
import shutil

import pytest


@pytest.fixture
def mine(store, tmp_path):
    """A store that may be written to, with a file that a killed process left a day ago."""
    shutil.copytree(store, tmp_path / "store")
    left = tmp_path / "store/targets/seer" / f".producer.json.{'ab' * 16}.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    return tmp_path / "store"


def test_leftovers_are_named_and_go(avkd, mine):
    outcome = avkd("gc", mine, "--dry-run")
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "1 leftover, 4 B would go" in outcome.out
    assert len(list(mine.rglob("*.tmp"))) == 1
    assert "deleted" in avkd("gc", mine).out
    assert list(mine.rglob("*.tmp")) == []
    assert avkd("gc", mine, "--json").json["leftovers"] == []


def test_a_longer_lease_leaves_more(avkd, mine):
    left = next(mine.rglob("*.tmp"))
    os.utime(left)
    assert avkd("gc", mine, "--json").json["leftovers"] == []
    assert len(avkd("gc", mine, "--lease-minutes", 0, "--dry-run", "--json").json["leftovers"]) == 1


def test_removed_recordings_are_written_out(avkd, mine):
    avkd("remove", mine, "v1.mp4")
    digest = avkd("inspect", mine, "--json").json["content_digest"]
    assert "avkd gc" in avkd("gc", mine).err
    outcome = avkd("gc", mine, "--rewrite")
    assert outcome.exit_code == 0, outcome.err
    assert "rewritten without removed recordings" in outcome.out
    assert avkd("inspect", mine, "--json").json["content_digest"] == digest
    assert avkd("verify", mine).exit_code == 0
    assert avkd("gc", mine, "--rewrite", "--json").json["rewritten"] == []


def test_a_stale_lock_and_a_missing_store_are_one_line(avkd, mine, tmp_path):
    avkd("remove", mine, "v1.mp4")
    (mine / "rewrite.lock").write_bytes(b"{}")
    avkd("gc", mine, "--rewrite").assert_refused(6, "rewrite.lock", "remove that file")
    avkd("gc", tmp_path / "none").assert_refused(3, "no store at")
    avkd("gc", mine, "--lease-minutes", -1).assert_refused(2, "lease-minutes")
