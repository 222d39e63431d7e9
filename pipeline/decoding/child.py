"""One decode child, seen from its parent."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy.typing as npt

from avkd.errors import AvkdError
from avkd.stages.media.local_files import remove_copies
from avkd.stages.media.wire import read_message, write_message
from avkd.stages.types import RowStatus

# -P: a file called av.py in the user's folder must not be imported.
CHILD_COMMAND = (sys.executable, "-P", "-m", "avkd.stages.media.child")

_START_LIMIT_SECONDS = 120.0
_END_LIMIT_SECONDS = 2.0
# A child decodes in one thread; the pool is what runs in parallel.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Message = tuple[dict[str, Any], list[npt.NDArray[Any]]]


class ChildLostError(Exception):
    """The child died, or was killed because it took too long."""

    def __init__(self, status: RowStatus, reason: str) -> None:
        """Keep the status that the clip in hand takes, and why."""
        super().__init__(reason)
        self.status = status
        self.reason = reason


class DecodeChild:
    """A running child that takes one request at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start the child and wait until it is ready.

        Raises:
            AvkdError: The child does not start.
        """
        self.num_requests = 0
        self._timed_out = False
        # A file, not a pipe: nobody would empty the pipe while the child works.
        with tempfile.TemporaryFile() as complaints:
            self._process = _start(command, complaints)
            try:
                self.receive(_START_LIMIT_SECONDS)
            except ChildLostError as lost:
                raise AvkdError(_start_failure(command, lost.reason, complaints)) from lost
            except BaseException:
                self.kill()
                raise

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one request.

        Raises:
            ChildLostError: The child is gone.
        """
        assert self._process.stdin is not None
        try:
            write_message(self._process.stdin, request)
        except OSError as error:
            raise self._lost() from error

    def receive(self, time_limit_seconds: float) -> Message:
        """Wait for one reply.

        Raises:
            ChildLostError: ``crashed`` or ``timeout``; the child is gone.
        """
        assert self._process.stdout is not None
        with self._killed_after(time_limit_seconds):
            message = _read_sane(self._process.stdout)
        if message is None:
            raise self._lost(time_limit_seconds)
        return message

    def interrupt(self) -> None:
        """Kill the child from another thread than the one that waits for its replies."""
        self._process.kill()

    def kill(self) -> None:
        """End the child at once, whatever it does."""
        self._process.kill()
        self._reap()

    def close(self) -> None:
        """Close the child's pipe, at which it ends by itself; kill it if it does not."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_LIMIT_SECONDS)
        self.kill()

    @contextmanager
    def _killed_after(self, time_limit_seconds: float) -> Iterator[None]:
        # A timer, because a pipe cannot be waited for with a limit on every system.
        timer = threading.Timer(time_limit_seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _lost(self, time_limit_seconds: float = 0.0) -> ChildLostError:
        self.kill()
        if self._timed_out:
            return ChildLostError("timeout", f"decoding took over {time_limit_seconds:g} s")
        return ChildLostError("crashed", f"the decoder {_describe_end(self._process.returncode)}")

    def _reap(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            # What was not yet written cannot be now.
            with suppress(OSError):
                pipe.close()
        remove_copies(self._process.pid)


def _read_sane(pipe: IO[bytes]) -> Message | None:
    try:
        return read_message(pipe)
    except ValueError:
        # What is no message came from a process that is as good as dead.
        return None


def _describe_end(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"died of {signal.Signals(-returncode).name}"
    except ValueError:
        return f"died of signal {-returncode}"


def _start(command: Sequence[str], complaints: IO[bytes]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **_ONE_THREAD},
        )
    except OSError as error:
        raise AvkdError(_start_failure(command, str(error), complaints)) from error


def _start_failure(command: Sequence[str], reason: str, complaints: IO[bytes]) -> str:
    complaints.seek(0)
    said = complaints.read().decode(errors="replace").strip().splitlines()
    last = f" ({said[-1]})" if said else ""
    return f"the decode child does not start: {reason}{last}; try: {' '.join(command)[:200]}"
