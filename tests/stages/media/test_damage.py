import struct

import numpy as np
import pytest

from avkd.stages.media.container import open_container
from avkd.stages.media.damage import DamageLog, HoleWatch
from avkd.stages.media.frames import open_frames, read_pictures
from avkd.stages.types import FrameFormat

SMALL = FrameFormat(height=24, width=24)


def holes_of(path):
    with open_container(str(path)) as container:
        watch = HoleWatch(container)
        return sum(watch.is_before(packet) for packet in container.demux())


@pytest.fixture
def garbled(long_recordings, tmp_path):
    """A tenth of a Matroska file, from 20 s on, is anything at all."""
    content = bytearray((long_recordings / "long.mkv").read_bytes())
    begin, end = len(content) // 2, len(content) * 6 // 10
    content[begin:end] = np.random.default_rng(0).bytes(end - begin)
    path = tmp_path / "garbled.mkv"
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("name", ["long.mkv", "long.mp4", "long.ts"])
def test_whole_files_have_no_hole(long_recordings, name):
    assert holes_of(long_recordings / name) == 0


def test_bytes_that_nobody_can_read_are_a_hole(garbled):
    assert holes_of(garbled) == 1


def test_pictures_of_a_hole_are_damaged_and_those_around_it_are_not(garbled, media):
    with open_frames(str(garbled)) as reader:
        read = [read_pictures(reader, [t], [SMALL]) for t in (10.0, 22.0, 30.0)]
    assert [each.damage for each in read] == ["", "1 damaged pictures on the way", ""]
    with open_frames(str(garbled)) as reader:
        (alone,) = (read_pictures(reader, [30.0], [SMALL]),)
    assert alone.damage == ""


LACE_BYTES, LACES_A_BLOCK, NUM_BLOCKS = 4096, 8, 6


def element(name, content):
    """One of EBML, the notation that Matroska is written in."""
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def number(value):
    return value.to_bytes(8, "big")


@pytest.fixture
def laced(tmp_path):
    """Sound with eight packets in each block, as other programs than FFmpeg write it."""
    seconds_a_packet = LACE_BYTES / 2 / 16_000
    sound = element("B5", struct.pack(">d", 16_000.0)) + element("9F", b"\1")
    track = element("D7", b"\1") + element("73C5", b"\1") + element("83", b"\2")
    track += element("9C", b"\1") + element("23E383", number(round(1e9 * seconds_a_packet)))
    track += element("86", b"A_PCM/INT/LIT") + element("E1", sound + element("6264", b"\x10"))
    blocks = b""
    for block in range(NUM_BLOCKS):
        time = round(1000 * block * LACES_A_BLOCK * seconds_a_packet).to_bytes(2, "big")
        head = b"\x81" + time + bytes([0x84, LACES_A_BLOCK - 1])
        blocks += element("A3", head + bytes(LACE_BYTES * LACES_A_BLOCK))
    segment = element("1549A966", element("2AD7B1", number(1_000_000)))
    segment += element("1654AE6B", element("AE", track))
    segment += element("1F43B675", element("E7", number(0)) + blocks)
    path = tmp_path / "laced.mka"
    head = element("1A45DFA3", element("4282", b"matroska"))
    path.write_bytes(head + element("18538067", segment))
    return path


def test_packets_that_share_a_block_are_no_hole(laced, tmp_path):
    with open_container(str(laced)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        assert len(packets) == LACES_A_BLOCK * NUM_BLOCKS
        assert len({packet.pos for packet in packets}) == NUM_BLOCKS
    assert holes_of(laced) == 0
    content = laced.read_bytes()
    hole = content.index(b"\xa3", len(content) // 2)
    laced.write_bytes(content[:hole] + element("EC", bytes(5000)) + content[hole:])
    assert holes_of(laced) == 1


def test_a_clip_answers_for_damage_from_the_last_key_picture_on():
    log = DamageLog()
    for seconds in (0.0, 4.0, 8.0):
        log.note_key(seconds)
    for seconds in (3.0, 5.0, 5.2, 9.0):
        log.note(seconds)
    assert log.count(1.0, 2.0) == 0
    assert log.count(3.5, 3.9) == 1
    assert log.count(4.0, 4.5) == 0
    assert log.count(6.0, 7.0) == 2
    assert log.count(8.5, 20.0) == 1


def test_what_was_read_twice_or_read_ahead_counts_once_and_in_its_place():
    log = DamageLog()
    log.note(1.5)
    log.note(1.5)
    assert (log.count(0.0, 1.0), log.count(1.0, 2.0)) == (0, 1)


def test_nothing_is_damaged_at_first():
    assert DamageLog().count(0.0, 100.0) == 0


def test_what_lies_before_a_clip_is_forgotten():
    log = DamageLog()
    for second in range(100_000):
        log.note_key(float(second))
    log.note(5.0)
    assert log.count(5.5, 6.0) == 1
    assert log.count(99_000.5, 99_001.0) == 0
    assert len(log._keys) == 1_000
    assert not log._damaged
