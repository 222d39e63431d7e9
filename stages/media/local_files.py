"""URIs to local files that decoders can open."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from avkd.errors import MediaError
from avkd.stages.media.progress import note_fetched
from avkd.stages.media.unreadable import in_a_line, shown

OWNER_VARIABLE = "AVKD_COPIES_OF"
"""Of the environment: whom the copies that a process makes belong to."""

_LONGEST_SUFFIX = 16


@contextmanager
def local_file(uri: str) -> Iterator[str]:
    """Give a local path for a URI: its own, or that of a copy that lives as long as the ``with``.

    Decoders get local files only: their own network code has other rules, time-outs and holes.

    Raises:
        MediaError: ``decode_error`` when the object cannot be fetched.
    """
    if "://" not in uri:
        yield uri
    elif is_local(uri):
        yield _stripped(uri)
    else:
        with tempfile.TemporaryDirectory(
            prefix=_prefix(os.environ.get(OWNER_VARIABLE, "nobody"))
        ) as folder:
            yield _fetched(uri, Path(folder))


def is_local(uri: str) -> bool:
    """Whether a URI names a file that needs no copy."""
    return "://" not in uri or uri.startswith(("file://", "local://"))


def remove_copies(owner: str) -> None:
    """Remove the copies that a process which ended by force has left behind.

    Args:
        owner: what ``OWNER_VARIABLE`` says in that process. Not its number, which another machine
            or container with the same temporary folder may have given to another process.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix(owner)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _prefix(owner: str) -> str:
    return f"avkd-copies-{owner}-"


def _suffix(uri: str) -> str:
    """That of the file, and not of the signature that a web address may go on with."""
    suffix = PurePosixPath(uri.partition("?")[0]).suffix
    return suffix if suffix[1:].isalnum() and len(suffix) < _LONGEST_SUFFIX else ""


def _stripped(uri: str) -> str:
    from fsspec.core import url_to_fs

    return str(url_to_fs(uri)[1])


def _fetched(uri: str, folder: Path) -> str:
    import fsspec

    target = folder / f"recording{_suffix(uri)}"
    try:
        with fsspec.open(uri, "rb") as source, target.open("wb") as copy:
            while part := source.read(1 << 20):
                copy.write(part)
                note_fetched()
    # Whatever a file system's client raises: the recording fails, not the run.
    except Exception as error:
        reason = f"{shown(uri)}: cannot be fetched ({in_a_line(error)})"
        raise MediaError("decode_error", reason) from error
    return str(target)
