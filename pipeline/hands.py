"""What a task may ask of the executor that runs it in a thread of its own.

A task that has come to its last part offers its hand: the worker may begin the next task beside it.
A task that was begun so says when its work begins in earnest: until then it may be dropped. Work
for the caller of the executor is done in the caller's thread, while the task waits. A task looks
now and then whether its run was given up.

A task that is run in another way offers in vain, does such work itself, and goes on.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_AT_ONCE = 2
"""Tasks of one worker: the second when the first has offered its hand."""


class GivenUpError(Exception):
    """A task was dropped, or its whole run given up; nobody waits for its result."""


def _do_nothing() -> None:
    pass


def _do_it_here(work: Callable[[], None]) -> None:
    work()


@dataclass(frozen=True, kw_only=True)
class Hand:
    """What an executor does for a task."""

    offer: Callable[[], None] = _do_nothing
    begin: Callable[[], None] = _do_nothing
    """Raises ``GivenUpError`` when the task is to be dropped."""
    call: Callable[[Callable[[], None]], None] = _do_it_here
    check: Callable[[], None] = _do_nothing
    """Raises ``GivenUpError`` when the run was given up."""


class _Place(threading.local):
    hand = Hand()


_place = _Place()


@contextmanager
def lending_hand(hand: Hand) -> Iterator[None]:
    """Run a task in this thread for an executor that does more than that for it."""
    before, _place.hand = _place.hand, hand
    try:
        yield
    finally:
        _place.hand = before


def offer_hand() -> None:
    """Let the worker begin the next task beside the rest of this one."""
    _place.hand.offer()


def begin_in_earnest() -> None:
    """Say that from here on work would be lost if the task did not go on.

    Raises:
        GivenUpError: it is not to go on: it was begun beside another, and the run is to stop.
    """
    _place.hand.begin()


def call_in_run(work: Callable[[], None]) -> None:
    """Do something in the thread of whoever runs the executor, and wait for it.

    Raises:
        GivenUpError: the run was given up meanwhile.
    """
    _place.hand.call(work)


def check_hand() -> None:
    """Look whether the run goes on.

    Raises:
        GivenUpError: it does not.
    """
    _place.hand.check()


def current_check() -> Callable[[], None]:
    """Give ``check_hand`` of this thread's task, to be called in other threads as well."""
    return _place.hand.check
