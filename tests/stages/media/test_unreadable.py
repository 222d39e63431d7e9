import os
import socket

import pytest

from avkd.errors import MediaError
from avkd.stages.media.container import open_container
from avkd.stages.media.unreadable import refuse_special_file


def reason_of(path):
    with pytest.raises(MediaError) as caught, open_container(str(path)):
        pass
    assert caught.value.status == "decode_error"
    assert "\n" not in caught.value.reason
    return caught.value.reason


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "pipe.mp4: a named pipe, not a file" in reason_of(tmp_path / "pipe.mp4")


@pytest.mark.skipif(os.name != "posix", reason="devices, sockets and links")
def test_what_is_no_ordinary_file_is_called_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.mp4")
        assert "s.mp4: a socket, not a file" in reason_of("s.mp4")
    assert "/dev/zero: a device" in reason_of("/dev/zero")
    assert "a folder" in reason_of(tmp_path)
    (tmp_path / "a.mp4").symlink_to("b.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    assert "symbolic links" in reason_of("a.mp4")


def test_a_link_to_a_file_is_that_file(recordings, tmp_path):
    (tmp_path / "link.mp4").symlink_to(recordings / "h264.mp4")
    refuse_special_file(str(tmp_path / "link.mp4"))
    with open_container(str(tmp_path / "link.mp4")) as container:
        assert container.streams.video


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("nowhere.mp4", "nowhere.mp4: no such file"),
        ("a\0b.mp4", r"'a\x00b.mp4': embedded null byte"),
        ("two\nlines.mp4", r"'two\nlines.mp4': no such file"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_reason_of_one_line(path, what):
    assert what in reason_of(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (bytes(5000), "begins with zeros"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "a playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "a playlist"),
        ("Grüße\n".encode() * 900, "the file is text"),
        (b"\xff\xfe\x01binary" * 900, "Invalid data"),
    ],
)
def test_what_is_no_media_file_is_said_to_be_what_it_is(tmp_path, content, what):
    (tmp_path / "x.mp4").write_bytes(content)
    assert what in reason_of(tmp_path / "x.mp4")


def test_an_mp4_without_its_index_is_called_cut_off(recordings, tmp_path):
    content = (recordings / "h264.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: content.index(b"moov") - 4])
    assert "its index (moov) is missing" in reason_of(tmp_path / "cut.mp4")
