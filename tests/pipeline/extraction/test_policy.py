from pathlib import Path

from avkd.pipeline.extraction.policy import policy_fields, read_policy
from avkd.stages.types import ClipPolicy
from avkd.storage.store import Store


def test_a_policy_comes_back_and_so_does_none(tmp_path: Path) -> None:
    for policy in (ClipPolicy(clip_seconds=4, step_seconds=2, tail="drop"), None):
        url = str(tmp_path / str(policy is None))
        Store.create(url, clip_policy=policy_fields(policy), rows_per_shard=4)
        assert read_policy(Store.open(url)) == policy
