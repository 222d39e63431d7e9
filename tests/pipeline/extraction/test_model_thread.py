import threading
from collections.abc import Callable, Iterator

import pytest

from avkd.pipeline.extraction.model_thread import MOST_WAITING, ModelThread, QueuedLooking
from avkd.pipeline.extraction.stalls import Stalls
from avkd.pipeline.task_hooks import GivenUpError


@pytest.fixture
def model() -> Iterator[ModelThread]:
    thread = ModelThread(Stalls())
    yield thread
    thread.close()
    assert "avkd-model" not in [each.name for each in threading.enumerate()]


def nothing() -> None:
    pass


def await_set(event: threading.Event) -> None:
    event.wait()


def test_batches_are_computed_in_order_in_a_thread_of_their_own(model: ModelThread) -> None:
    done: list[tuple[int, str]] = []

    def note(number: int) -> Callable[[], None]:
        return lambda: done.append((number, threading.current_thread().name))

    looking = QueuedLooking(model, nothing)
    for number in range(9):
        looking.do(note(number))
    looking.wait()
    assert done == [(number, "avkd-model") for number in range(9)]


def test_whoever_fills_batches_goes_on_until_so_many_wait(model: ModelThread) -> None:
    goes_on = threading.Event()
    looking = QueuedLooking(model, nothing)
    filled: list[int] = []

    def fill() -> None:
        for number in range(MOST_WAITING + 3):
            looking.do(lambda: await_set(goes_on))
            filled.append(number)

    filling = threading.Thread(target=fill)
    filling.start()
    filling.join(0.5)
    # One is computed, the others wait, and the next finds no room.
    assert len(filled) == MOST_WAITING + 1
    goes_on.set()
    filling.join()
    looking.wait()


def test_an_error_is_told_to_its_own_shard_and_nothing_of_it_is_computed_after(
    model: ModelThread,
) -> None:
    done: list[str] = []
    bad, good = QueuedLooking(model, nothing), QueuedLooking(model, nothing)

    def fail() -> None:
        raise ZeroDivisionError("a teacher")

    bad.do(fail)
    good.do(lambda: done.append("good"))
    with pytest.raises(ZeroDivisionError, match="a teacher"):
        bad.wait()
    with pytest.raises(ZeroDivisionError):
        bad.do(lambda: done.append("bad"))
    good.wait()
    assert done == ["good"]


def test_what_nobody_wants_any_more_is_not_computed(model: ModelThread) -> None:
    is_given_up, goes_on = threading.Event(), threading.Event()
    done: list[str] = []

    def check() -> None:
        if is_given_up.is_set():
            raise GivenUpError

    looking = QueuedLooking(model, check)
    looking.do(lambda: await_set(goes_on))
    looking.do(lambda: done.append("late"))
    is_given_up.set()
    goes_on.set()
    with pytest.raises(GivenUpError):
        looking.wait()
    model.call(nothing)
    assert not done


def test_an_answer_or_an_error_comes_back_from_the_thread(model: ModelThread) -> None:
    assert model.call(lambda: threading.current_thread().name) == "avkd-model"
    with pytest.raises(ZeroDivisionError):
        model.call(lambda: 1 // 0)
