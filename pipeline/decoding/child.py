"""One decode child, seen from its parent."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy.typing as npt

from avkd.errors import AvkdError
from avkd.stages.media.limits import OUT_OF_MEMORY_CODE, DecodeLimits
from avkd.stages.media.local_files import OWNER_VARIABLE, remove_copies
from avkd.stages.media.shared_region import SharedRegion
from avkd.stages.media.wire import encode_limits, encode_taken, read_message, write_message
from avkd.stages.types import RowStatus

# -P: a file called av.py in the user's folder must not be imported.
CHILD_COMMAND = (sys.executable, "-P", "-m", "avkd.stages.media.child")

# Libraries come from a network that many may start on at once.
_START_LIMIT_SECONDS = 300.0
_END_LIMIT_SECONDS = 2.0
# What the system, or a library that gets no memory, ends a process with.
_SIGNALS_OF_MEMORY = ("SIGKILL", "SIGABRT")
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

    def __init__(self, command: Sequence[str], limits: DecodeLimits) -> None:
        """Start the child, wait until it is ready and give it its limits.

        Raises:
            AvkdError: The child does not start.
        """
        self.num_requests = 0
        self._copies_owner = secrets.token_hex(8)
        self._limits = limits
        self._overrun = ""
        # A file, not a pipe: nobody would empty the pipe while the child works.
        with tempfile.TemporaryFile() as complaints:
            self._region = SharedRegion.create()
            try:
                self._process = _start(command, complaints, self._region, self._copies_owner)
            except BaseException:
                self._close_region()
                raise
            try:
                if self._read_within(_START_LIMIT_SECONDS, "starting took too long") is None:
                    raise self._lost()
                self.send(encode_limits(limits, self._region))
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
        patience = self._limits.no_progress_seconds
        try:
            # A long request waits for a child that reads, and one that was stopped does not.
            with self._killed_after(patience, f"nothing was heard for {patience:g} s"):
                write_message(self._process.stdin, request)
        except OSError as error:
            raise self._lost() from error

    def receive(self) -> Message:
        """Wait for one reply, as long as the child says that it gets on.

        Raises:
            ChildLostError: ``crashed`` or ``timeout``; the child is gone.
        """
        most, patience = self._limits.clip_seconds, self._limits.no_progress_seconds
        begun = time.monotonic()
        end = begun + most
        while True:
            left = max(0.0, end - time.monotonic())
            if left <= patience:
                message = self._read_within(left, f"decoding took over {most:g} s")
            else:
                message = self._read_within(patience, f"nothing was decoded for {patience:g} s")
            if message is None:
                raise self._lost()
            if "progress" not in message[0]:
                return message
            if message[0]["progress"] == "fetched":
                end = self._end_of_clip(begun)

    def _end_of_clip(self, begun: float) -> float:
        """When a clip is to be there whose file is being fetched since then.

        How long that takes is up to the size of the file, and not to what is in it.
        """
        now, most = time.monotonic(), self._limits.fetch_seconds
        if now > begun + most:
            self._expire(f"fetching took over {most:g} s")
            raise self._lost()
        return now + self._limits.clip_seconds

    def _read_within(self, seconds: float, overrun: str) -> Message | None:
        """Read a message; None, with the child gone, where none came or it took too long."""
        assert self._process.stdout is not None
        with self._killed_after(seconds, overrun):
            return _read_sane(self._process.stdout, self._region, self._tell_taken)

    def _tell_taken(self) -> None:
        assert self._process.stdin is not None
        # A child that is gone needs no room; the next reading finds that out.
        with suppress(OSError):
            write_message(self._process.stdin, encode_taken())

    def _close_region(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            region.close()

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
    def _killed_after(self, seconds: float, overrun: str) -> Iterator[None]:
        # A timer, because a pipe cannot be waited for with a limit on every system.
        timer = threading.Timer(seconds, self._expire, [overrun])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self, overrun: str) -> None:
        self._overrun = overrun
        self._process.kill()

    def _lost(self) -> ChildLostError:
        self.kill()
        if self._overrun:
            return ChildLostError("timeout", self._overrun)
        end = _describe_end(self._process.returncode, self._limits.memory_bytes)
        return ChildLostError("crashed", f"the decoder {end}")

    def _reap(self) -> None:
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            # What was not yet written cannot be now.
            with suppress(OSError):
                pipe.close()
        self._close_region()
        remove_copies(self._copies_owner)


def _read_sane(
    pipe: IO[bytes], region: SharedRegion | None, on_taken: Callable[[], None]
) -> Message | None:
    try:
        return read_message(pipe, region, on_taken)
    except ValueError:
        # What is no message came from a process that is as good as dead.
        return None


def _describe_end(returncode: int, memory_bytes: int) -> str:
    memory = f"{memory_bytes // 2**20} MB of memory"
    if returncode == OUT_OF_MEMORY_CODE:
        return f"needed more than {memory}"
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        return f"died of signal {-returncode}"
    hint = f", perhaps for want of more than {memory}" if name in _SIGNALS_OF_MEMORY else ""
    return f"died of {name}{hint}"


def _start(
    command: Sequence[str], complaints: IO[bytes], region: SharedRegion | None, copies_owner: str
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **_ONE_THREAD, OWNER_VARIABLE: copies_owner},
            pass_fds=() if region is None else (region.descriptor,),
        )
    except OSError as error:
        raise AvkdError(_start_failure(command, str(error), complaints)) from error


def _start_failure(command: Sequence[str], reason: str, complaints: IO[bytes]) -> str:
    complaints.seek(0)
    said = complaints.read().decode(errors="replace").strip().splitlines()
    last = f" ({said[-1]})" if said else ""
    return f"the decode child does not start: {reason}{last}; try: {' '.join(command)[:200]}"
