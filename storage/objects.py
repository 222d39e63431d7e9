"""Bytes to a disk or a bucket, whole objects at a time.

A place without ``://`` (or with ``file://``) is a local path: a write goes to a temporary file,
is synced, renamed, and its folder synced, so that a reader sees the old bytes or the new ones. Any
other URL goes through fsspec as one put.
"""

import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from avkd.errors import InvalidValueError, StoreUnwritableError

TEMPORARY_SUFFIX = ".tmp"


def join(url: str, *names: str) -> str:
    """Return the URL of something below a folder."""
    return (url if url.endswith("/") else f"{url}/") + "/".join(names)


def local_path(url: str) -> Path | None:
    """Return the path of a local place, None for a remote one."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None if "://" in url else Path(url)


def put_durable(url: str, data: bytes) -> None:
    """Write an object, replacing what was there.

    Raises:
        StoreUnwritableError: the place does not take the bytes.
    """
    path = local_path(url)
    try:
        if path is None:
            _put_remote(url, data, mode="overwrite")
        else:
            temporary = _write_temporary(path, data)
            temporary.replace(path)
            _sync_folder(path.parent)
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
    elif exists(url):
        filesystem, name = open_filesystem(url)
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


def _create_local(path: Path, data: bytes) -> None:
    temporary = _write_temporary(path, data)
    try:
        # A hard link is exclusive like O_EXCL and, unlike it, never shows half a file.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        _write_synced(path, data)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _write_temporary(path: Path, data: bytes) -> Path:
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        _write_synced(temporary, data)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
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
