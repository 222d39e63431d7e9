from collections.abc import Iterator
from dataclasses import replace

import pytest

from avkd.errors import AvkdError
from avkd.pipeline.extraction.worker import closing_worker, lend_decode_pool, release_decode_pool
from avkd.stages.media.limits import DEFAULT_LIMITS

OTHERS = replace(DEFAULT_LIMITS, clip_seconds=1.0)


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    with closing_worker():
        yield


def test_shards_that_overlap_or_follow_share_their_children() -> None:
    with lend_decode_pool(1, DEFAULT_LIMITS) as one, lend_decode_pool(1, DEFAULT_LIMITS) as other:
        assert one is other
    with lend_decode_pool(1, DEFAULT_LIMITS) as later:
        assert later is one


def test_a_shard_of_other_limits_gets_children_of_its_own_beside_the_first() -> None:
    with lend_decode_pool(1, DEFAULT_LIMITS) as one:
        with lend_decode_pool(1, OTHERS) as other:
            assert other is not one
        with lend_decode_pool(1, DEFAULT_LIMITS) as later:
            assert later is one


def test_after_an_error_the_next_shard_gets_new_children() -> None:
    with pytest.raises(ZeroDivisionError), lend_decode_pool(1, DEFAULT_LIMITS) as one:
        raise ZeroDivisionError
    with lend_decode_pool(1, DEFAULT_LIMITS) as other:
        assert other is not one


def test_whoever_waits_for_children_that_are_released_is_told() -> None:
    with lend_decode_pool(1, DEFAULT_LIMITS) as pool:
        answers = pool.probe(["nowhere.mp4"] * 9)
        next(answers)
        release_decode_pool()
        with pytest.raises(AvkdError, match="the decode children were ended"):
            list(answers)
    with lend_decode_pool(1, DEFAULT_LIMITS) as other:
        assert other is not pool
        assert len(list(other.probe(["nowhere.mp4"]))) == 1
