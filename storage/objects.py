"""Bytes to a disk or a bucket, whole objects at a time.

A place without ``://`` (or with ``file://``) is a local path: a write goes to a temporary file,
is synced, renamed, and its folder synced, so that a reader sees the old bytes or the new ones. Any
other URL goes through fsspec as one put, and is as exclusive and as durable as that file system is.
"""

import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from avkd.errors import InvalidValueError, StoreUnwritableError
from avkd.storage.fault_points import pass_point

TEMPORARY_SUFFIX = ".tmp"
_during_write: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar(
    "during_write", default=nullcontext
)
_NO_PLACE_ERRORS = {
    getattr(errno, name, None) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EFBIG", "ENOENT")
}
"""What is wrong with a place, and no sign of a file system without hard links."""


def join(url: str, *names: str) -> str:
    """Return the URL of something below a folder."""
    return (url if url.endswith("/") else f"{url}/") + "/".join(names)


def local_path(url: str) -> Path | None:
    """Return the path of a local place, None for a remote one."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None if "://" in url else Path(url)


@contextmanager
def telling_writes(during: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Let each write of this thread happen inside of what ``during`` gives, which may time it."""
    token = _during_write.set(during)
    try:
        yield
    finally:
        _during_write.reset(token)


def put_durable(url: str, data: bytes) -> None:
    """Write an object, replacing what was there.

    Raises:
        StoreUnwritableError: the place does not take the bytes.
    """
    path = local_path(url)
    try:
        with _during_write.get()():
            if path is None:
                _put_remote(url, data, mode="overwrite")
            else:
                _replace_local(path, data)
    except OSError as error:
        raise _unwritable(url, error) from error


def create_exclusive(url: str, data: bytes) -> None:
    """Write an object that must not exist yet; of several writers one wins.

    Raises:
        FileExistsError: there is one already.
        StoreUnwritableError: the place does not take the bytes.
    """
    path = local_path(url)
    try:
        with _during_write.get()():
            if path is None:
                _put_remote(url, data, mode="create")
            else:
                _create_local(path, data)
    except FileExistsError:
        if exists(url):
            raise
        raise _unwritable(url, "a file stands where a folder is needed") from None
    except OSError as error:
        if path is None and exists(url):  # some buckets answer a lost race with a plain OSError
            raise FileExistsError(url) from error
        raise _unwritable(url, error) from error


def is_careless(url: str, data: bytes) -> bool:
    """Tell whether an object that has just been created can be created again with the same bytes.

    File systems of fsspec may take no notice of what a put must not do.
    """
    if local_path(url) is not None:
        return False
    try:
        create_exclusive(url, data)
    except FileExistsError:
        return False
    return True


def read_bytes(url: str) -> bytes:
    """Read a whole object.

    Raises:
        FileNotFoundError: there is none.
    """
    path = local_path(url)
    if path is not None:
        return path.read_bytes()
    filesystem, name = open_filesystem(url)
    return bytes(filesystem.cat_file(name))


def list_names(url: str) -> list[str]:
    """Return the sorted names in a folder, without temporary files; a missing folder is empty."""
    path = local_path(url)
    try:
        if path is not None:
            names = [entry.name for entry in path.iterdir()]
        else:
            filesystem, name = open_filesystem(url)
            filesystem.invalidate_cache()  # or another worker's commits stay unseen
            listed = filesystem.ls(name, detail=False)
            names = [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in listed]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if not name.endswith(TEMPORARY_SUFFIX))


def exists(url: str) -> bool:
    """Tell whether there is an object or a folder."""
    path = local_path(url)
    if path is not None:
        return path.exists()
    filesystem, name = open_filesystem(url)
    filesystem.invalidate_cache()
    return bool(filesystem.exists(name))


def remove(url: str) -> None:
    """Remove an object; one that is not there is fine."""
    path = local_path(url)
    if path is not None:
        path.unlink(missing_ok=True)
        return
    filesystem, name = open_filesystem(url)
    with suppress(FileNotFoundError):
        filesystem.rm_file(name)


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL and the name in it.

    Raises:
        InvalidValueError: no installed package knows the protocol.
    """
    from fsspec.core import url_to_fs  # 70 ms that a local store does not need

    try:
        filesystem, name = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InvalidValueError(f"cannot open {url}: {error}") from error
    return filesystem, str(name)


def _put_remote(url: str, data: bytes, *, mode: str) -> None:
    filesystem, name = open_filesystem(url)
    filesystem.pipe_file(name, data, mode=mode)


def _replace_local(path: Path, data: bytes) -> None:
    with _temporary_file(path, data) as temporary:
        pass_point("before-rename")
        temporary.replace(path)
        pass_point("after-rename")
    _sync_folder(path.parent)
    pass_point("after-folder-sync")


def _create_local(path: Path, data: bytes) -> None:
    with _temporary_file(path, data) as temporary:
        pass_point("before-link")
        try:
            # A hard link is exclusive like O_EXCL and, unlike it, never shows half a file.
            os.link(temporary, path)
        except FileExistsError:
            # A server of NFS whose answer was lost is asked again, and finds the link it has made.
            if not _is_same_file(temporary, path):
                raise
        except OSError as error:
            if error.errno in _NO_PLACE_ERRORS:
                raise
            _write_synced(path, data)  # on a file system without hard links
        pass_point("after-link")
    _sync_folder(path.parent)
    pass_point("after-folder-sync")


@contextmanager
def _temporary_file(path: Path, data: bytes) -> Iterator[Path]:
    """Give synced bytes beside their place; in the end nothing is left, whatever interrupts."""
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        _write_synced(temporary, data)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    view = memoryview(data)
    with path.open("xb") as file:
        try:
            pass_point("temporary-opened")
            file.write(view[: len(view) // 2])
            file.flush()
            pass_point("temporary-half-written")
            file.write(view[len(view) // 2 :])
            file.flush()
            pass_point("before-fsync")
            os.fsync(file.fileno())
            pass_point("after-fsync")
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:  # somebody has removed it meanwhile
        return False


def _make_folder(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        pass_point("folder-made")
    for each in missing:
        _sync_folder(each.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders, and its renames are journalled
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(url: str, cause: OSError | str) -> StoreUnwritableError:
    reason = cause if isinstance(cause, str) else cause.strerror or str(cause)
    return StoreUnwritableError(
        f"cannot write {url}: {reason}; choose a place with write permission and free space"
    )
