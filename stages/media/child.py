"""The decode child: ``python -m avkd.stages.media.child``.

Reads requests from stdin and writes replies to stdout, until stdin closes. Nothing else reaches
stdout, whatever a library prints; nothing at all reaches stderr once the child is up.
"""

import os
import queue
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

Request = dict[str, Any]

# For what is being decoded when the pipe closes; nobody waits for it any more.
_GRACE_SECONDS = 0.5


def main() -> None:
    """Answer requests until the pipe closes."""
    # These may reach the whole process group; only the parent decides what they mean.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    replies = _keep_stdout()
    # Heavy imports come after the line above, so that nothing can be interrupted in them.
    from avkd.stages.media import limits, serving

    _silence(sys.stderr.fileno())
    serving.greet(replies)
    requests = _requests_until_closed(sys.stdin.buffer)
    while (request := requests.get()) is not None:
        try:
            serving.answer(request, replies)
        except MemoryError:
            # Not even a reply can be written: the exit code has to say it.
            os._exit(limits.OUT_OF_MEMORY_CODE)


def _keep_stdout() -> BinaryIO:
    """Take stdout for the replies alone: what libraries print goes nowhere."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    _silence(sys.stdout.fileno())
    return replies


def _silence(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _requests_until_closed(pipe: BinaryIO) -> "queue.SimpleQueue[Request | None]":
    """Read ahead in a thread, which ends the process when the parent is gone.

    Even a decoder that hangs in native code must not outlive a parent that was killed.
    """
    requests: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(pipe, requests), daemon=True).start()
    return requests


def _read_requests(pipe: BinaryIO, requests: "queue.SimpleQueue[Request | None]") -> None:
    from avkd.stages.media.limits import OUT_OF_MEMORY_CODE
    from avkd.stages.media.local_files import OWNER_VARIABLE, remove_copies
    from avkd.stages.media.shared_region import given_region
    from avkd.stages.media.wire import read_message

    code = 1
    try:
        while (message := read_message(pipe)) is not None:
            if message[0]["kind"] != "taken":
                requests.put(message[0])
            elif (region := given_region()) is not None:
                region.note_taken()
        code = 0
        requests.put(None)
        time.sleep(_GRACE_SECONDS)
        if owner := os.environ.get(OWNER_VARIABLE):
            remove_copies(owner)
    except MemoryError:
        code = OUT_OF_MEMORY_CODE
    finally:
        # A child that hears nothing more must not stay.
        os._exit(code)


if __name__ == "__main__":
    main()
