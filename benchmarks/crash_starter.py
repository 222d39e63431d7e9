"""The starter of ``crash_runs.py``: a process that forks a run for every line that it is given.

It imports avkd once; a run then calls the command line as ``python -m avkd`` does. What a kill
leaves on the disk does not depend on who did the imports.
"""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOG_VARIABLE = "CRASH_RUNS_LOG"
PAUSE_VARIABLE = "CRASH_RUNS_SHARD_SECONDS"
POLL_SECONDS = 0.01


def watched_extract_shard(task: Any, *arguments: Any, **options: Any) -> Any:
    """Extract a shard as ever, with a line in the log and a pause when it is about to be computed.

    Between the look at what is committed and the work: there, two runs can race.
    """
    from avkd.pipeline import task_hooks
    from avkd.pipeline.extraction import shard, turns

    def leave_out_committed(task: Any, store: Any) -> Any:
        left = turns.leave_out_committed(task, store)
        if turns.list_producers(left):
            log = os.open(os.environ[LOG_VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(log, f"{task.shard}\n".encode())
            os.close(log)
            _pause(float(os.environ[PAUSE_VARIABLE]), task_hooks.check_not_given_up)
        return left

    vars(shard)["leave_out_committed"] = leave_out_committed
    return shard.extract_shard(task, *arguments, **options)


def _pause(seconds: float, check: Callable[[], None]) -> None:
    """Wait as work does, which looks now and then whether it was given up."""
    deadline = time.monotonic() + seconds
    while (remaining := deadline - time.monotonic()) > 0:
        check()
        time.sleep(min(remaining, 0.05))


def _serve() -> None:
    """Be the starter: fork a run for every line, and tell when one has ended."""
    _import_all()
    _say({"ready": True})
    rest, is_open = b"", True
    running: set[int] = set()
    while is_open or running:
        if is_open and select.select([0], [], [], POLL_SECONDS)[0]:
            read = os.read(0, 65_536)
            is_open = bool(read)
            rest += read
        elif not is_open:
            time.sleep(POLL_SECONDS)
        while b"\n" in rest:
            line, rest = rest.split(b"\n", 1)
            pid = os.fork()
            if pid == 0:
                _become_run(json.loads(line))
            running.add(pid)
            _say({"pid": pid})
        running -= _tell_ended()


def _import_all() -> None:
    """Import what runs need, so that they begin at once; nothing here starts a thread."""
    import pyarrow.json
    import pyarrow.parquet
    import zarr

    import avkd.cli.app
    import avkd.pipeline.extract
    import avkd.pipeline.process_executor
    import avkd.storage.zarr_reading

    assert all((pyarrow.json, pyarrow.parquet, zarr, avkd.storage.zarr_reading))


def _tell_ended() -> set[int]:
    ended = set()
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})
            ended.add(pid)
    return ended


def _say(message: Mapping[str, object]) -> None:
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")


def _become_run(order: Mapping[str, Any]) -> None:
    code = 70
    try:
        os.setsid()
        output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order["environment"])
        with _limited_files(order["file_bytes"]):
            code = _run_commands(order["commands"])
        _write_passings(Path(order["passings"]))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextmanager
def _limited_files(num_bytes: int) -> Iterator[None]:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if num_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _run_commands(commands: Sequence[Sequence[str]]) -> int:
    # By the name under which workers find it too, where this file is not the main script.
    from crash_starter import watched_extract_shard as watched

    from avkd.cli import app
    from avkd.pipeline import extract

    vars(extract)["extract_shard"] = watched
    for command in commands:
        sys.argv = ["avkd", *command]
        try:
            app.main()
        except SystemExit as end:
            if end.code:
                return int(end.code)
    return 0


def _write_passings(path: Path) -> None:
    from avkd.storage.fault_points import count_passings

    path.write_text(json.dumps(count_passings()))


if __name__ == "__main__":
    _serve()
