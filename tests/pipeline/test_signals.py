import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from avkd.pipeline import signals
from avkd.pipeline.signals import STOP_SIGNALS, StopRequest, deaf_children, watch_signals


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_asks_and_a_second_ctrl_c_interrupts(number: signal.Signals) -> None:
    with watch_signals() as stop:
        assert not stop.received
        os.kill(os.getpid(), number)
        assert stop.received
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_signals_that_schedulers_send_twice_do_not_insist() -> None:
    with watch_signals() as stop:
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert stop.received


def test_the_deadline_insists() -> None:
    with watch_signals(0.05):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60)


def test_a_run_that_ends_before_its_deadline_is_left_alone() -> None:
    with watch_signals(0.05) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.received
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_handlers_are_as_before_afterwards() -> None:
    numbers = (*STOP_SIGNALS, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with watch_signals(1):
        assert not {*map(signal.getsignal, numbers)} & {*before}
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_at_the_very_end_leaves_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes when the timer is stopped, if its handler is still there."""
    start_timer = signals._start_timer

    def stop_and_hear(seconds: float | None) -> None:
        start_timer(seconds)
        if seconds is None and signal.getsignal(signal.SIGTERM) is not before:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signals, "_start_timer", stop_and_hear)
    with watch_signals(60):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_children_begin_with_the_signals_blocked_and_we_go_on_as_before() -> None:
    tell = "import signal; print(*sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    with deaf_children():
        said = subprocess.run([sys.executable, "-c", tell], capture_output=True, check=True)
    assert [int(number) for number in said.stdout.split()] == sorted(STOP_SIGNALS)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {*STOP_SIGNALS}


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
