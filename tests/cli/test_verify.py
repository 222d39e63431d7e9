import shutil

import pytest


def test_a_whole_store_passes(avkd, store):
    outcome = avkd("verify", store)
    assert (outcome.exit_code, outcome.err) == (0, "")
    assert "6" in outcome.out


def test_machines_get_an_empty_list_of_problems(avkd, store):
    assert avkd("verify", store, "--json").json == {"num_shards": 6, "problems": []}


@pytest.mark.parametrize("folder", ["targets/seer/logits", "inputs/waveform/waveform"])
def test_a_flipped_byte_names_the_shard_and_the_file(avkd, store, tmp_path, folder):
    damaged = tmp_path / "store"
    shutil.copytree(store, damaged)
    file = min((damaged / folder).glob("c.*"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    outcome = avkd("verify", damaged)
    outcome.assert_refused(5, "shard 0")
    assert str(file.relative_to(damaged)) in outcome.out
    problems = avkd("verify", damaged, "--json").json["problems"]
    assert {problem["shard"] for problem in problems} == {0}


def test_a_missing_store_is_refused(avkd, tmp_path):
    avkd("verify", tmp_path / "none").assert_refused(3, "none")
