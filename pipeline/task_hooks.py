"""What a task may ask of the executor that runs it in a thread of its own.

A task that has come to its last part lets the next begin: its worker may do so beside it.
A task that was begun so says when its work begins in earnest: until then it may be dropped. Work
for the caller of the executor is done in the caller's thread, while the task waits. A task looks
now and then whether its run was given up.

A task that is run in another way asks in vain, does such work itself, and goes on.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_AT_ONCE = 2
"""Tasks of one worker: the second when the first lets it begin."""


class GivenUpError(Exception):
    """A task was dropped, or its whole run given up; nobody waits for its result."""


def _do_nothing() -> None:
    pass


def _do_it_here(work: Callable[[], None]) -> None:
    work()


@dataclass(frozen=True, kw_only=True)
class TaskHooks:
    """What an executor does for a task."""

    let_next_begin: Callable[[], None] = _do_nothing
    begin: Callable[[], None] = _do_nothing
    """Raises ``GivenUpError`` when the task is to be dropped."""
    call: Callable[[Callable[[], None]], None] = _do_it_here
    check: Callable[[], None] = _do_nothing
    """Raises ``GivenUpError`` when the run was given up."""


class _Place(threading.local):
    hooks = TaskHooks()


_place = _Place()


@contextmanager
def with_hooks(hooks: TaskHooks) -> Iterator[None]:
    """Run a task in this thread for an executor that does more than that for it."""
    before, _place.hooks = _place.hooks, hooks
    try:
        yield
    finally:
        _place.hooks = before


def let_next_begin() -> None:
    """Let the worker begin the next task beside the rest of this one."""
    _place.hooks.let_next_begin()


def begin_in_earnest() -> None:
    """Say that from here on work would be lost if the task did not go on.

    Raises:
        GivenUpError: it is not to go on: it was begun beside another, and the run is to stop.
    """
    _place.hooks.begin()


def call_in_run(work: Callable[[], None]) -> None:
    """Do something in the thread of whoever runs the executor, and wait for it.

    Raises:
        GivenUpError: the run was given up meanwhile.
    """
    _place.hooks.call(work)


def check_not_given_up() -> None:
    """Look whether the run goes on.

    Raises:
        GivenUpError: it does not.
    """
    _place.hooks.check()


def current_check() -> Callable[[], None]:
    """Give ``check_not_given_up`` of this thread's task, to be called in other threads as well."""
    return _place.hooks.check
