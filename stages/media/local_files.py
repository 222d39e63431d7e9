"""URIs to local files that decoders can open."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from avkd.errors import MediaError


@contextmanager
def local_file(uri: str) -> Iterator[str]:
    """Give a local path for a URI: its own, or that of a copy that lives as long as the ``with``.

    Decoders get local files only: their own network code has other rules, time-outs and holes.

    Raises:
        MediaError: ``decode_error`` when the object cannot be fetched.
    """
    if "://" not in uri:
        yield uri
    elif uri.startswith(("file://", "local://")):
        yield _stripped(uri)
    else:
        with tempfile.TemporaryDirectory(prefix=_prefix(os.getpid())) as folder:
            yield _fetched(uri, Path(folder))


def remove_copies(pid: int) -> None:
    """Remove the copies that a process which ended by force has left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(pid)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(pid: int) -> str:
    return f"avkd-copies-{pid}-"


def _stripped(uri: str) -> str:
    from fsspec.core import url_to_fs

    return str(url_to_fs(uri)[1])


def _fetched(uri: str, folder: Path) -> str:
    import fsspec

    target = folder / f"recording{PurePosixPath(uri).suffix}"
    try:
        with fsspec.open(uri, "rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    # Whatever a file system's client raises: the recording fails, not the run.
    except Exception as error:
        reason = f"{uri}: cannot be fetched ({type(error).__name__}: {error})"
        raise MediaError("decode_error", reason.splitlines()[0]) from error
    return str(target)
