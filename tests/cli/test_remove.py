import shutil

import pytest


@pytest.fixture
def mine(store, tmp_path):
    """A store that may be written to."""
    shutil.copytree(store, tmp_path / "store")
    return tmp_path / "store"


def test_a_removed_recording_is_gone_from_what_is_told(avkd, mine):
    before = avkd("inspect", mine, "--json").json
    outcome = avkd("remove", mine, "v1.mp4")
    assert outcome.exit_code == 0, outcome.err
    assert "v1.mp4: removed" in outcome.out
    assert "avkd gc" in outcome.err
    after = avkd("inspect", mine, "--json").json
    assert after["num_recordings"] == before["num_recordings"] - 1
    assert after["content_digest"] in outcome.out
    assert after["content_digest"] != before["content_digest"]
    assert avkd("verify", mine).exit_code == 0


def test_machines_get_names_and_digest_and_a_second_time_changes_nothing(avkd, mine):
    first = avkd("remove", mine, "v1.mp4", "v2.mp4", "--json").json
    assert (first["changed"], first["num_clips"]) == (["v1.mp4", "v2.mp4"], 4)
    again = avkd("remove", mine, "v1.mp4", "--json").json
    assert (again["changed"], again["unchanged"]) == ([], ["v1.mp4"])
    assert again["content_digest"] == first["content_digest"]
    back = avkd("remove", mine, "v1.mp4", "--readmit", "--json").json
    assert back["changed"] == ["v1.mp4"]


def test_what_is_unknown_is_refused_in_one_line(avkd, mine, tmp_path):
    avkd("remove", mine, "v1.mp").assert_refused(2, "'v1.mp'", "v1.mp4")
    avkd("remove", mine, "v1.mp4", "--readmit").assert_refused(2, "removed recording")
    avkd("remove", tmp_path / "none", "v1.mp4").assert_refused(3, "no store at")
    avkd("remove", mine).assert_refused(2, "recording")
