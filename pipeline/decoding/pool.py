"""Decoding in child processes that may hang or die without harm to the run.

Each child is driven by one thread here; a box per job holds what it has decoded until its turn
comes, so that clips leave in the order of the jobs. All boxes share a number of bytes, so that
memory does not grow with the corpus. The box whose turn it is has always room for one clip more:
jobs are begun in their order, so its child is at work, or done, whatever the others wait for.
"""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy.typing as npt

from avkd.errors import AvkdError, MediaError
from avkd.pipeline.decoding.child import CHILD_COMMAND, ChildLostError, DecodeChild
from avkd.stages.media.limits import DEFAULT_LIMITS, DecodeLimits
from avkd.stages.media.unreadable import shown
from avkd.stages.media.wire import DecodeJob, decode_clip, decode_probe, encode_job
from avkd.stages.types import DecodedClip, MediaInfo, RowStatus

# What a child may be ahead: a job of pictures, or so (``jobs``).
_BYTES_PER_WORKER = 16 * 2**20
_LEAST_BYTES_AHEAD = 64 * 2**20
_JOBS_PER_WORKER = 4
# A clip without pictures or sound takes some room too.
_BYTES_PER_VALUE = 2**10
_ATTEMPTS = 2
_STOP_CHECK_SECONDS = 0.1

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Task(Protocol[T_co]):
    """What a child is asked, and how its replies are understood."""

    num_replies: int

    def request(self, num_done: int) -> dict[str, Any]:
        """The request for all replies but the first ``num_done``."""
        ...

    def understand(self, header: dict[str, Any], arrays: list[npt.NDArray[Any]]) -> T_co:
        """The value of one reply."""
        ...

    def give_up(self, number: int, status: RowStatus, reason: str) -> T_co:
        """The value that stands for a reply that no child could give."""
        ...


def count_bytes(value: object) -> int:
    """How much room a value takes until its turn comes."""
    if not isinstance(value, DecodedClip):
        return _BYTES_PER_VALUE
    sounds = [value.waveform, *(each.waveform for each in value.more_sound.values())]
    arrays = [*value.frames.values(), *(each for each in sounds if each is not None)]
    return _BYTES_PER_VALUE + sum(array.nbytes for array in arrays)


class DecodePool:
    """A number of decode children; a context manager that leaves none behind."""

    def __init__(
        self,
        num_workers: int,
        limits: DecodeLimits = DEFAULT_LIMITS,
        *,
        child_command: Sequence[str] = CHILD_COMMAND,
        bytes_ahead: int | None = None,
    ) -> None:
        """Prepare ``num_workers`` children, each started when it is first needed.

        Args:
            num_workers: children that decode at the same time.
            limits: of each child and each file.
            bytes_ahead: of clips that were decoded before their turn, all together; a clip in each
                child's hands, and one whose turn it is, come on top.
            child_command: starts a child.
        """
        self._num_workers = max(1, num_workers)
        self._limits = limits
        enough = max(_LEAST_BYTES_AHEAD, _BYTES_PER_WORKER * self._num_workers)
        self._bytes_ahead = enough if bytes_ahead is None else bytes_ahead
        self._command = tuple(child_command)
        self._threads = ThreadPoolExecutor(self._num_workers, thread_name_prefix="avkd-decode")
        self._lock = threading.Lock()
        self._idle: list[DecodeChild] = []
        self._busy: set[DecodeChild] = set()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def decode(self, jobs: Iterable[DecodeJob]) -> Iterator[DecodedClip]:
        """Decode the clips of each job; they come in the order of the jobs and of their clips.

        A child that dies or takes too long is asked once more for the clip it held; then the clip
        is ``crashed`` or ``timeout`` and the rest of its job goes on in a fresh child.

        Raises:
            AvkdError: Children cannot be started at all.
        """
        return self._run(_DecodeTask(job) for job in jobs)

    def probe(self, paths: Iterable[str]) -> Iterator[MediaInfo | MediaError]:
        """Probe each path or URI, in order; a failure is a value, not raised.

        Raises:
            AvkdError: Children cannot be started at all.
        """
        return self._run(_ProbeTask(path) for path in paths)

    def close(self) -> None:
        """End all children and wait for them."""
        self._closed.set()
        with self._lock:
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
        for child in busy:
            child.interrupt()
        for child in idle:
            child.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _run(self, tasks: Iterable[Task[T]]) -> Iterator[T]:
        waiting = iter(tasks)
        boxes: deque[_Box[T]] = deque()
        stop = threading.Event()
        room = _Room(self._bytes_ahead, stop, self._closed)
        try:
            while True:
                most = _JOBS_PER_WORKER * self._num_workers
                while len(boxes) < most and (task := next(waiting, None)):
                    boxes.append(_Box(room))
                    self._submit(boxes[-1], task)
                if not boxes:
                    return
                yield from boxes.popleft().values()
        finally:
            stop.set()

    def _submit(self, box: "_Box[T]", task: Task[T]) -> None:
        try:
            self._threads.submit(self._fill, box, task)
        except RuntimeError as error:
            raise AvkdError("the decode children were ended before all was decoded") from error

    def _fill(self, box: "_Box[T]", task: Task[T]) -> None:
        try:
            with closing(self._answers(task, box)) as answers:
                if all(box.put(value) for value in answers):
                    box.put_end()
        # Whatever went wrong in this thread is the caller's to see.
        except BaseException as error:
            box.put_end(error)

    def _answers(self, task: Task[T], box: "_Box[T]") -> Generator[T, None, None]:
        num_done = num_lost = 0
        while num_done < task.num_replies and not box.room.is_stopped():
            try:
                with self._child() as child:
                    child.send(task.request(num_done))
                    while num_done < task.num_replies:
                        value = task.understand(*child.receive())
                        num_done, num_lost = num_done + 1, 0
                        yield value
            except ChildLostError as lost:
                num_lost += 1
                if num_lost == _ATTEMPTS and not box.room.is_stopped():
                    yield task.give_up(num_done, lost.status, lost.reason)
                    num_done, num_lost = num_done + 1, 0

    @contextmanager
    def _child(self) -> Iterator[DecodeChild]:
        """A child for one request; it goes back to the idle ones unless something went wrong."""
        with self._lock:
            child = self._idle.pop() if self._idle else None
        child = child or DecodeChild(self._command, self._limits)
        with self._lock:
            self._busy.add(child)
        try:
            if self._closed.is_set():
                raise ChildLostError("crashed", "the pool was closed")
            yield child
        except BaseException:
            child.kill()
            raise
        else:
            self._give_back(child)
        finally:
            with self._lock:
                self._busy.discard(child)

    def _give_back(self, child: DecodeChild) -> None:
        child.num_requests += 1
        with self._lock:
            is_fresh = child.num_requests < self._limits.jobs_per_child
            keep = is_fresh and not self._closed.is_set()
            if keep:
                self._idle.append(child)
        if not keep:
            child.close()


class _Room:
    """What the boxes of one reading may hold, all together."""

    def __init__(self, most_bytes: int, *stops: threading.Event) -> None:
        """Begin empty; nobody waits for room when one of ``stops`` is set."""
        self.changed = threading.Condition()
        self.served: object = None
        """The box whose turn it is."""
        self.num_bytes = 0
        self._most = most_bytes
        self._stops = stops

    def is_stopped(self) -> bool:
        """Whether nobody wants the values any more."""
        return any(stop.is_set() for stop in self._stops)

    def has(self, num_bytes: int) -> bool:
        """Whether there is room for something."""
        return self.num_bytes + num_bytes <= self._most


class _Box(Generic[T]):
    """What one job has given so far, from a thread to the caller."""

    def __init__(self, room: _Room) -> None:
        """Hold values in a part of ``room``."""
        self.room = room
        self._values: deque[tuple[T, int]] = deque()
        self._is_ended = False
        self._error: BaseException | None = None

    def put(self, value: T) -> bool:
        """Wait for room and put a value in; False when nobody wants it any more."""
        num_bytes = count_bytes(value)
        with self.room.changed:
            while not self.room.is_stopped():
                is_next = self.room.served is self and not self._values
                if is_next or self.room.has(num_bytes):
                    self._values.append((value, num_bytes))
                    self.room.num_bytes += num_bytes
                    self.room.changed.notify_all()
                    return True
                self.room.changed.wait(_STOP_CHECK_SECONDS)
        return False

    def put_end(self, error: BaseException | None = None) -> None:
        """Say that no value follows, or that an error took its place."""
        with self.room.changed:
            # A thread that was stopped has not come to the end.
            if not self.room.is_stopped():
                self._is_ended, self._error = True, error
            self.room.changed.notify_all()

    def values(self) -> Iterator[T]:
        """The values in order, it being their turn; raises the error that took the place of one.

        Raises:
            AvkdError: The pool was closed by another thread.
        """
        while True:
            with self.room.changed:
                self.room.served = self
                self.room.changed.notify_all()
                while not (self._values or self._is_ended):
                    if self.room.is_stopped():
                        raise AvkdError("the decode children were ended while a clip was awaited")
                    self.room.changed.wait(_STOP_CHECK_SECONDS)
                if not self._values:
                    break
                value, num_bytes = self._values.popleft()
                self.room.num_bytes -= num_bytes
                self.room.changed.notify_all()
            yield value
        if self._error is not None:
            raise self._error


class _DecodeTask:
    """The clips of a job."""

    def __init__(self, job: DecodeJob) -> None:
        self._job = job
        self.num_replies = len(job.clips)

    def request(self, num_done: int) -> dict[str, Any]:
        return encode_job(replace(self._job, clips=self._job.clips[num_done:]))

    def understand(self, header: dict[str, Any], arrays: list[npt.NDArray[Any]]) -> DecodedClip:
        return decode_clip(header, arrays)

    def give_up(self, number: int, status: RowStatus, reason: str) -> DecodedClip:
        wants_frames, wants_sound = bool(self._job.frame_formats), self._job.waveform is not None
        return DecodedClip(
            clip_id=self._job.clips[number].clip_id,
            frames_status=status if wants_frames else "skipped",
            frames_reason=reason if wants_frames else "",
            waveform_status=status if wants_sound else "skipped",
            waveform_reason=reason if wants_sound else "",
        )


class _ProbeTask:
    """One file."""

    num_replies = 1

    def __init__(self, path: str) -> None:
        self._path = path

    def request(self, num_done: int) -> dict[str, Any]:
        return {"kind": "probe", "path": self._path}

    def understand(
        self, header: dict[str, Any], arrays: list[npt.NDArray[Any]]
    ) -> MediaInfo | MediaError:
        return decode_probe(header)

    def give_up(self, number: int, status: RowStatus, reason: str) -> MediaInfo | MediaError:
        return MediaError(status, f"{shown(self._path)}: {reason}")
