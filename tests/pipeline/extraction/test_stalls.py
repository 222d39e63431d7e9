"""A worker's time, on a clock that moves when the test says so."""

import pytest

from avkd.pipeline.extraction.stalls import Stalls, order_parts, tell_bottleneck


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_each_moment_counts_once_as_the_first_thing_that_goes_on() -> None:
    clock = Clock()
    stalls = Stalls(clock)
    with stalls.shard_in_hand():
        clock.now += 1
        with stalls.during("encode"):
            clock.now += 2
            with stalls.during("disk"):
                clock.now += 4
                with stalls.during("decode"):
                    clock.now += 8
                    with stalls.during("model"):
                        clock.now += 16
                clock.now += 32
            clock.now += 64
    assert stalls.take() == {"other": 1, "encode": 66, "disk": 36, "decode": 8, "model": 16}


def test_two_shards_beside_each_other_are_one_time() -> None:
    clock = Clock()
    stalls = Stalls(clock)
    first, second = stalls.shard_in_hand(), stalls.shard_in_hand()
    writing, waiting = stalls.during("encode"), stalls.during("decode")
    first.__enter__()
    writing.__enter__()
    clock.now += 1
    second.__enter__()
    waiting.__enter__()
    clock.now += 1
    writing.__exit__(None, None, None)
    first.__exit__(None, None, None)
    clock.now += 1
    taken = dict(stalls.take())
    waiting.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert taken == {"encode": 1, "decode": 2}
    assert clock.now - 100 == sum(taken.values())


def test_time_without_a_shard_in_hand_does_not_count() -> None:
    clock = Clock()
    stalls = Stalls(clock)
    clock.now += 5
    with stalls.shard_in_hand():
        clock.now += 1
    clock.now += 5
    assert stalls.take() == {"other": 1}
    assert stalls.take() == {}


def test_what_failed_goes_on_no_longer() -> None:
    clock = Clock()
    stalls = Stalls(clock)
    with stalls.shard_in_hand():
        with pytest.raises(ZeroDivisionError), stalls.during("model"):
            raise ZeroDivisionError
        clock.now += 1
    assert stalls.take() == {"other": 1}


def test_where_teachers_are_the_bottleneck_a_gpu_and_another_runtime_are_named() -> None:
    _, advice = tell_bottleneck({"model": 6.0, "decode": 3.0})
    assert advice.startswith("the teachers are the bottleneck: a GPU, another --runtime, ")


def test_the_bottleneck_is_named_with_what_to_turn() -> None:
    shares, advice = tell_bottleneck({"decode": 6.0, "model": 3.0, "other": 1.0})
    assert shares == (
        "shares of 10.0 s of the workers: model 0.30, transfer 0.00, decode 0.60, disk 0.00, "
        "encode 0.00, load 0.00, other 0.10"
    )
    assert advice.startswith("decoding is the bottleneck")
    assert tell_bottleneck({}) == ()
    assert list(order_parts({"other": 1.0}).values()) == [0] * 6 + [1]
