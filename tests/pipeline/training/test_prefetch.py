import threading
from collections.abc import Iterator
from itertools import count

import pytest

from avkd.pipeline.training.prefetch import prefetched


def test_items_come_in_order() -> None:
    assert list(prefetched(iter(range(100)))) == list(range(100))


def test_an_exception_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    stream = prefetched(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="second"):
        next(stream)


def test_it_stays_only_a_few_items_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in count():
            taken.append(item)
            yield item

    stream = prefetched(items(), num_ahead=2)
    assert next(stream) == 0
    stream.close()
    assert len(taken) <= 5


def test_closing_ends_the_thread_and_closes_the_iterator() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from count()
        finally:
            closed.set()

    stream = prefetched(items())
    next(stream)
    stream.close()
    assert closed.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
