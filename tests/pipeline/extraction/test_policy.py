from dataclasses import replace
from pathlib import Path

from avkd.pipeline.extraction.policy import policy_fields, read_policy
from avkd.stages.types import ClipPolicy
from avkd.storage.store import Store


def test_a_policy_comes_back_and_so_does_none(tmp_path: Path) -> None:
    plain = ClipPolicy(clip_seconds=4, step_seconds=2, tail="drop")
    for number, policy in enumerate((plain, replace(plain, decoder="decord"), None)):
        url = str(tmp_path / str(number))
        Store.create(url, clip_policy=policy_fields(policy), rows_per_shard=4)
        assert read_policy(Store.open(url)) == policy


def test_a_store_says_who_decodes_only_where_it_is_not_pyav() -> None:
    assert "decoder" not in policy_fields(ClipPolicy())
    assert policy_fields(ClipPolicy(decoder="decord"))["decoder"] == "decord"
