import errno
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from avkd.errors import InvalidValueError, StoreUnwritableError
from avkd.storage import objects


@pytest.fixture(params=["local", "file-url", "memory"])
def folder(request, tmp_path):
    if request.param == "memory":
        return f"memory://objects-{uuid.uuid4().hex}"
    return f"file://{tmp_path}/place" if request.param == "file-url" else f"{tmp_path}/place"


def test_what_was_put_is_read_back_and_replaced_by_a_second_put(folder):
    place = objects.join(folder, "a", "b.bin")
    objects.put_durable(place, b"one")
    objects.put_durable(place, b"two")
    assert objects.read_bytes(place) == b"two"
    assert objects.list_names(objects.join(folder, "a")) == ["b.bin"]


def test_exclusive_create_keeps_the_first_bytes(folder):
    place = objects.join(folder, "commit.json")
    objects.create_exclusive(place, b"first")
    with pytest.raises(FileExistsError):
        objects.create_exclusive(place, b"second")
    assert objects.read_bytes(place) == b"first"
    assert objects.list_names(folder) == ["commit.json"]


def test_of_many_exclusive_creates_exactly_one_wins(folder):
    place = objects.join(folder, "claim")

    def claim(number):
        try:
            objects.create_exclusive(place, str(number).encode())
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(claim, range(16)) if number is not None]
    assert [str(number).encode() for number in winners] == [objects.read_bytes(place)]


def test_listing_a_missing_folder_is_empty_and_reading_a_missing_object_fails(folder):
    assert objects.list_names(objects.join(folder, "nowhere")) == []
    assert not objects.exists(objects.join(folder, "nowhere"))
    with pytest.raises(FileNotFoundError):
        objects.read_bytes(objects.join(folder, "nothing"))


def test_removing_is_done_once_and_harmless_twice(folder):
    place = objects.join(folder, "part")
    objects.put_durable(place, b"x")
    objects.remove(place)
    objects.remove(place)
    assert not objects.exists(place)


def test_temporary_files_are_not_listed(tmp_path):
    (tmp_path / ".part.0123.tmp").write_bytes(b"half")
    assert objects.list_names(str(tmp_path)) == []


def test_a_place_below_a_file_is_unwritable(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for write in (objects.put_durable, objects.create_exclusive):
        with pytest.raises(StoreUnwritableError, match="cannot write"):
            write(f"{tmp_path}/file/store.json", b"x")


def test_a_failed_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreUnwritableError, match="No space left"):
        objects.put_durable(f"{tmp_path}/object", b"x" * 100)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [objects.put_durable, objects.create_exclusive])
def test_an_interrupt_before_the_bytes_are_in_place_leaves_no_temporary_file(
    tmp_path, monkeypatch, write
):
    def interrupt(name):
        if name in ("before-rename", "before-link"):
            raise KeyboardInterrupt

    monkeypatch.setattr(objects, "pass_point", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(f"{tmp_path}/object", b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_taken_for_one_without_hard_links(tmp_path, monkeypatch):
    def full(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(StoreUnwritableError, match="No space left"):
        objects.create_exclusive(f"{tmp_path}/commit.json", b"x")
    assert list(tmp_path.iterdir()) == []


def test_half_an_object_is_not_left_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*paths):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    synced = []

    def fill_up(descriptor):
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(StoreUnwritableError, match="No space left"):
        objects.create_exclusive(f"{tmp_path}/commit.json", b"x" * 100)
    assert list(tmp_path.iterdir()) == []


def test_exclusive_create_works_without_hard_links(tmp_path, monkeypatch):
    def refuse(*paths):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    place = f"{tmp_path}/commit.json"
    objects.create_exclusive(place, b"first")
    with pytest.raises(FileExistsError):
        objects.create_exclusive(place, b"second")
    assert objects.read_bytes(place) == b"first"


def test_a_link_that_is_there_though_its_answer_was_lost_is_ours(tmp_path, monkeypatch):
    """As on NFS, where the client asks again and is told of the file that it has made itself."""
    real, place = os.link, tmp_path / "rewrite.lock"

    def link_twice(*paths):
        real(*paths)
        real(*paths)

    monkeypatch.setattr(os, "link", link_twice)
    objects.create_exclusive(str(place), b"mine")
    assert [path.name for path in tmp_path.iterdir()] == [place.name]
    with pytest.raises(FileExistsError):
        objects.create_exclusive(str(place), b"mine")


def test_an_object_that_went_before_it_was_removed_is_fine(folder, monkeypatch):
    place = objects.join(folder, "part")
    with monkeypatch.context() as patched:
        patched.setattr(objects, "exists", lambda url: True)
        objects.remove(place)
    assert not objects.exists(place)


def test_a_bucket_that_answers_a_lost_race_with_a_plain_error_counts_as_existing(monkeypatch):
    place = f"memory://objects-{uuid.uuid4().hex}/commit.json"
    objects.put_durable(place, b"first")

    def lose(url, data, *, mode):
        raise OSError(22, "At least one of the pre-conditions you specified did not hold")

    monkeypatch.setattr(objects, "_put_remote", lose)
    with pytest.raises(FileExistsError):
        objects.create_exclusive(place, b"second")
    with pytest.raises(StoreUnwritableError):
        objects.create_exclusive(place + "2", b"second")


def test_an_unknown_protocol_is_named():
    with pytest.raises(InvalidValueError, match="nosuch://"):
        objects.read_bytes("nosuch://bucket/store")
