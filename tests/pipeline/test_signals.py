import os
import signal
import threading

import pytest

from avkd.pipeline.signals import StopRequest, watch_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number: signal.Signals) -> None:
    with watch_signals() as stop:
        assert not stop.received
        os.kill(os.getpid(), number)
        assert stop.received
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with watch_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_task_is_handed_out_after_the_signal() -> None:
    stop = StopRequest()
    tasks = stop.until_received(range(5))
    assert [next(tasks), next(tasks)] == [0, 1]
    stop.received = True
    assert list(tasks) == []


def test_another_thread_watches_nothing_and_works() -> None:
    seen: list[bool] = []

    def work() -> None:
        with watch_signals() as stop:
            seen.append(stop.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
