"""The order in which a run takes its shards, which keeps it out of the way of other runs.

Two runs into one store need no locks: a shard that is computed twice is committed once. But two
that begin together would walk side by side and compute everything twice. So a run that finds that
another was faster goes on from the other end, where it meets the other one only at the last shard;
one that is raced there as well takes shards at random.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from avkd.pipeline.extraction.producers import FRAMES, WAVEFORM
from avkd.pipeline.extraction.task import ShardTask
from avkd.storage.store import Store


class Turns:
    """Hands out tasks, each once."""

    def __init__(self, tasks: Sequence[ShardTask]) -> None:
        """Begin with the first."""
        self._left = deque(tasks)
        self._num_races = 0

    def __iter__(self) -> Iterator[ShardTask]:
        """Give the next task when it is asked for."""
        while self._left:
            yield self._take()

    def lose_race(self) -> None:
        """Go out of the way of another run."""
        self._num_races += 1

    def _take(self) -> ShardTask:
        if self._num_races == 0:
            return self._left.popleft()
        if self._num_races > 1:
            self._left.rotate(random.randrange(len(self._left)))
        return self._left.pop()


def list_producers(task: ShardTask) -> tuple[str, ...]:
    """Return the names of all that a task fills."""
    inputs = {WAVEFORM: task.waveform, FRAMES: task.frames}
    return (
        *task.vectors,
        *(name for name, wanted in inputs.items() if wanted is not None),
        *(each.name for each in task.pictures),
        *(each.name for each in (*task.teachers, *task.trained)),
    )


def leave_out_committed(task: ShardTask, store: Store) -> ShardTask:
    """Return the task without what was committed since it was made, by whomever."""
    done = {name for name in list_producers(task) if store.is_committed(name, task.shard)}
    if not done:
        return task
    return replace(
        task,
        teachers=tuple(each for each in task.teachers if each.name not in done),
        waveform=None if WAVEFORM in done else task.waveform,
        frames=None if FRAMES in done else task.frames,
        pictures=tuple(each for each in task.pictures if each.name not in done),
        vectors=tuple(name for name in task.vectors if name not in done),
        trained=tuple(each for each in task.trained if each.name not in done),
    )
