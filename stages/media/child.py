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
    # Ctrl-C at a terminal reaches the whole process group; only the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = _keep_stdout()
    # Heavy imports come after the line above, so that nothing can be interrupted in them.
    from avkd.stages.media import serving

    _silence(sys.stderr.fileno())
    serving.greet(replies)
    requests = _requests_until_closed(sys.stdin.buffer)
    while (request := requests.get()) is not None:
        serving.answer(request, replies)


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
    from avkd.stages.media.local_files import remove_copies
    from avkd.stages.media.wire import read_message

    while (message := read_message(pipe)) is not None:
        requests.put(message[0])
    requests.put(None)
    time.sleep(_GRACE_SECONDS)
    remove_copies(os.getpid())
    os._exit(0)


if __name__ == "__main__":
    main()
