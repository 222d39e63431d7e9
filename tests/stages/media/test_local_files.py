import tempfile
from pathlib import Path

import fsspec
import pytest

from avkd.errors import MediaError
from avkd.stages.media.local_files import OWNER_VARIABLE, local_file, remove_copies


def test_a_path_stays_as_it_is(tmp_path):
    with local_file("some/where.mp4") as path:
        assert path == "some/where.mp4"
    with local_file(f"file://{tmp_path}/a b.mp4") as path:
        assert path == f"{tmp_path}/a b.mp4"


def test_a_remote_object_is_copied_for_as_long_as_it_is_needed():
    with fsspec.open("memory://bucket/clip.mp4", "wb") as remote:
        remote.write(b"content")
    with local_file("memory://bucket/clip.mp4") as path:
        assert Path(path).suffix == ".mp4"
        assert Path(path).read_bytes() == b"content"
    assert not Path(path).exists()


def test_an_object_that_cannot_be_fetched_is_a_decode_error_that_names_it():
    with (
        pytest.raises(MediaError, match=r"memory://bucket/none.mp4: cannot be fetched") as caught,
        local_file("memory://bucket/none.mp4"),
    ):
        pass
    assert caught.value.status == "decode_error"


def test_copies_of_a_process_that_was_killed_can_be_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(OWNER_VARIABLE, "somebody")
    with fsspec.open("memory://bucket/clip.mp4", "wb") as remote:
        remote.write(b"content")
    with local_file("memory://bucket/clip.mp4") as path:
        remove_copies("another")
        assert Path(path).exists()
        remove_copies("somebody")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("clip.mp4", ".mp4"),
        (f"clip.mp4?signature=a.b{'c' * 300}", ".mp4"),
        ("x.a b", ""),
        ("x", ""),
    ],
)
def test_a_copy_is_called_like_its_file_and_not_like_its_address(name, suffix):
    with fsspec.open(f"memory://bucket/{name}", "wb") as remote:
        remote.write(b"content")
    with local_file(f"memory://bucket/{name}") as path:
        assert Path(path).name == f"recording{suffix}"
        assert Path(path).read_bytes() == b"content"
