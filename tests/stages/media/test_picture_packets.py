from fractions import Fraction

import av
import pytest

from avkd.stages.media.container import open_container
from avkd.stages.media.picture_packets import SizeWatch, is_key_picture


def packets(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        name = stream.codec_context.name
        for packet in container.demux(stream):
            if packet.size:
                yield name, packet.is_keyframe, bytes(packet)


@pytest.mark.parametrize(
    "name", ["open_gop.mp4", "open_gop.mkv", "open_gop_hevc.mp4", "vp8.webm", "long_gop.mp4"]
)
def test_a_packet_tells_whether_it_is_a_key_picture(jumpy_recordings, name):
    told = list(packets(jumpy_recordings / name))
    assert {is_key for _, is_key, _ in told} == {True, False}
    assert all(is_key == is_key_picture(codec, content) for codec, is_key, content in told)


def test_vp9_tells_it_in_its_first_byte(tmp_path, write, media):
    path = write(tmp_path / "vp9.webm", media.Video(codec="libvpx-vp9"))
    told = list(packets(path))
    assert {is_key for _, is_key, _ in told} == {True, False}
    assert all(is_key == is_key_picture(name, content) for name, is_key, content in told)


def test_where_an_encoder_only_begins_to_refresh_is_no_key_picture(jumpy_recordings):
    told = list(packets(jumpy_recordings / "refreshed.mkv"))
    called = [is_key_picture(name, content) for name, is_key, content in told if is_key]
    assert len(called) > 5
    assert called == [True] + [False] * (len(called) - 1)


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0\5\6\6\1", b"\0\0\0\2\6\xff", bytes(40)])
@pytest.mark.parametrize("codec", ["h264", "hevc", "vp9"])
def test_rubbish_is_no_key_picture(codec, content):
    assert not is_key_picture(codec, content)


def key_packet(codec, width, height):
    """The first packet of a stream of pictures of that size."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    packets = [*encoder.encode(av.VideoFrame(width, height, "yuv420p")), *encoder.encode(None)]
    return bytes(packets[0])


@pytest.mark.parametrize(("codec", "name"), [("libvpx", "vp8"), ("libvpx-vp9", "vp9")])
def test_a_change_of_size_is_seen_in_key_packets(codec, name):
    watch = SizeWatch(name, b"")
    small, large = key_packet(codec, 64, 48), key_packet(codec, 96, 64)
    assert [watch.has_changed(each) for each in (small, small, large)] == [False, False, True]


def unit(kind, content):
    payload = bytes([kind]) + content
    return len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("name", "parameters", "picture"), [("h264", 0x67, 0x65), ("hevc", 66, 38)]
)
def test_parameters_that_the_header_does_not_have_are_a_change(name, parameters, picture):
    header = b"..." + bytes([parameters]) + b"small..."
    same = unit(parameters, b"small") + unit(picture, b"pixels")
    other = unit(parameters, b"large") + unit(picture, b"pixels")
    watch = SizeWatch(name, header)
    assert not watch.has_changed(unit(picture, b"pixels"))
    assert not watch.has_changed(same)
    assert watch.has_changed(other)
    without = SizeWatch(name, b"")
    assert [without.has_changed(each) for each in (other, other, same)] == [False, False, True]


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0\0\0\0\0\0", b"\xff" * 40])
@pytest.mark.parametrize("name", ["h264", "hevc", "vp8", "vp9", "av1"])
def test_any_bytes_are_looked_at_without_harm(name, content):
    watch = SizeWatch(name, b"")
    watch.has_changed(content)
    assert not watch.has_changed(content)  # the same again is no change


@pytest.mark.parametrize("name", ["h264.mp4", "ntsc.mkv", "vp8.webm", "vfr.mp4"])
def test_streams_of_one_size_never_change(recordings, name):
    with open_container(str(recordings / name)) as container:
        (stream,) = container.streams.video
        watch = SizeWatch(stream.codec_context.name, stream.codec_context.extradata or b"")
        keys = [p for p in container.demux(stream) if p.is_keyframe and p.size]
        assert len(keys) > 0
        assert not any(watch.has_changed(bytes(packet)) for packet in keys)
