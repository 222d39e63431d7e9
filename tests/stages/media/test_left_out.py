"""What is kept from the decoder does not show, neither in the pictures nor in what is told."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.errors import MediaError
from avkd.stages.media.file_look import look_at_file
from avkd.stages.media.frames import open_reader, read_pictures
from avkd.stages.media.pyav_reader import PyavReader
from avkd.stages.types import FrameFormat

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
SMALL = FrameFormat(height=24, width=24)
BROKEN = ["cut.mp4", "cut.mkv", "garbled.mp4", "garbled.mkv", "flipped.mp4", "flipped.mkv"]
X264 = {
    "three.mp4": "bframes=3:b-adapt=0",
    "none.mp4": "bframes=0",
    "eight.mkv": "bframes=8:b-adapt=0",
    "pyramid.mp4": "bframes=8:b-pyramid=normal:b-adapt=2",
    "strict.mp4": "bframes=3:b-adapt=0:b-pyramid=strict",
    "open.mp4": "bframes=3:b-adapt=0:open-gop=1:keyint=20",
    "open.mkv": "bframes=5:b-adapt=0:open-gop=1:keyint=20:b-pyramid=normal",
    "weighted.mp4": "bframes=3:b-adapt=0:weightp=2:weightb=1:ref=4",
    "slices.mp4": "bframes=3:b-adapt=0:slices=3",
    "cavlc.mp4": "bframes=3:b-adapt=0:cabac=0",
    "repeated.mp4": "bframes=3:b-adapt=0:repeat-headers=1:keyint=20",
    "refreshed.mp4": "bframes=3:b-adapt=0:intra-refresh=1:keyint=20",
    "fields.mp4": "bframes=3:b-adapt=0:tff=1",
}
LEFT_OUT = {*X264} - {"none.mp4", "open.mp4", "open.mkv", "refreshed.mp4", "fields.mp4"}


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, write, media):
    folder = tmp_path_factory.mktemp("encoded")
    video = media.Video(times=[i / 25 for i in range(110)], gop=50, b_frames=3)
    for name, options in X264.items():
        more = (("preset", "medium"), ("x264-params", f"{options}:scenecut=0"))
        write(folder / name, replace(video, options=more))
    uneven = np.cumsum(np.random.default_rng(0).integers(5, 90, 110)) / 1000
    more = (("preset", "medium"), ("x264-params", "bframes=8:b-adapt=0:scenecut=0"))
    uneven_video = replace(video, times=list(uneven), unit=video.unit / 40, options=more)
    write(folder / "uneven.mp4", uneven_video)
    write(folder / "hevc.mp4", media.Video(codec="libx265", times=video.times, gop=50))
    return folder


def plain_reader(path):
    return PyavReader(path, keys=look_at_file(path).keys)


def random_calls(rng, seconds):
    """Ascending instants of a few clips; the last ones are often behind the end."""
    num_instants = int(rng.integers(1, 25))
    instants = np.sort(rng.uniform(rng.uniform(0, seconds), 1.02 * seconds, num_instants))
    places = np.unique(rng.integers(0, num_instants, int(rng.integers(0, 5))))
    return [part for part in np.split(instants, places) if len(part)]


def read_calls(reader, calls, formats):
    told = []
    for instants in calls:
        read = read_pictures(reader, list(instants), formats, until_seconds=float(instants[-1]))
        told.append((read, reader.end_seconds()))
    reader.close()
    return told


def assert_same(path, calls, *, is_whole=True, formats=(SMALL,)):
    reader = open_reader(path, "rgb24")
    ours = read_calls(reader, calls, formats)
    theirs = read_calls(plain_reader(path), calls, formats)
    if is_whole:
        # No picture that was wanted after all was lacking.
        assert reader._leaves_out == (look_at_file(path).order is not None)
    for (mine, my_end), (other, other_end) in zip(ours, theirs, strict=True):
        assert mine.num_frames == other.num_frames
        assert all(np.array_equal(mine.frames[each], other.frames[each]) for each in formats)
        if is_whole:
            assert (mine.damage, my_end) == (other.damage, other_end)
        elif mine.damage:
            assert other.damage


def assert_same_however_asked(path, seed, num_rounds=6, *, is_whole=True):
    rng = np.random.default_rng(seed)
    with av.open(path) as container:
        seconds = container.duration / av.time_base
    formats = [FrameFormat(height=48, width=128)]
    for _ in range(num_rounds):
        assert_same(path, random_calls(rng, seconds), is_whole=is_whole, formats=formats)


@pytest.mark.parametrize("name", [*X264, "uneven.mp4", "hevc.mp4"])
def test_pictures_and_ends_are_those_of_a_reading_of_all(encoded, name):
    assert_same_however_asked(str(encoded / name), 0, 12)


@pytest.mark.parametrize(
    "name",
    ["open_gop.mp4", "open_gop.mkv", "long_gop.mp4", "uneven.mp4", "refreshed.mkv", *BROKEN],
)
def test_pictures_of_files_to_jump_in_are_those_of_a_reading_of_all(jumpy_recordings, name):
    assert_same_however_asked(str(jumpy_recordings / name), 1, is_whole=name not in BROKEN)


def test_pictures_of_all_kinds_of_files_are_those_of_a_reading_of_all(recordings):
    for path in sorted(recordings.glob("*.m[pko][4v]")):
        if look_at_file_or_none(path) is not None:
            assert_same_however_asked(str(path), 2, 2, is_whole=path.stem != "flipped")


def look_at_file_or_none(path):
    try:
        return look_at_file(str(path)).keys
    except MediaError:
        return None


@pytest.mark.realdata
@pytest.mark.skipif(not CLIPS.is_dir(), reason="no folder of real recordings")
def test_pictures_of_real_recordings_are_those_of_a_reading_of_all():
    paths = [path for path in sorted(CLIPS.glob("*.m[pk][4v]")) if look_at_file(str(path)).order]
    assert len(paths) > 10
    for path in paths:
        assert_same_however_asked(str(path), 3, 2)


def test_the_pictures_of_one_reading_are_the_same_one_by_one(encoded):
    path = str(encoded / "pyramid.mp4")
    instants = np.arange(0.02, 4.6, 0.04)
    for step in (1, 2, 7, 25):
        assert_same(path, [[each] for each in instants[::step]])
        assert_same(path, [instants[::step]])


def count_decoded(reader, calls):
    noted = []
    real = reader._note
    reader._note = lambda frame: noted.append(frame.pts) or real(frame)
    for instants in calls:
        assert all(picture is not None for picture in reader.read(instants))
    reader.close()
    return len(noted)


@pytest.mark.parametrize("name", sorted(X264))
def test_fewer_pictures_are_decoded_where_few_are_wanted(encoded, name):
    path = str(encoded / name)
    calls = [[0.5, 1.5], [2.5, 3.5]]
    ours = count_decoded(open_reader(path, "rgb24"), calls)
    theirs = count_decoded(plain_reader(path), calls)
    assert ours < 0.8 * theirs if name in LEFT_OUT else ours == theirs


def test_all_pictures_are_decoded_where_all_are_wanted(encoded):
    path = str(encoded / "three.mp4")
    instants = [list(np.arange(0.02, 4.3, 0.04))]
    readers = open_reader(path, "rgb24"), plain_reader(path)
    ours, theirs = (count_decoded(each, instants) for each in readers)
    assert ours == theirs


def spoil(source, target, change):
    """Copies a file; ``change`` gets the number of each packet and its bytes to alter."""
    content = bytearray(Path(source).read_bytes())
    with av.open(str(source)) as container:
        for place, packet in enumerate(container.demux(video=0)):
            if packet.size:
                part = bytearray(bytes(packet))
                change(place, part)
                content[packet.pos : packet.pos + packet.size] = part
    Path(target).write_bytes(content)
    return str(target)


def coded(path):
    """Whether each packet is leaned on, in order of decoding, and when its picture appears."""
    with av.open(str(path)) as container:
        return [
            (bytes(packet)[4] != 1, float(packet.pts * packet.time_base))
            for packet in container.demux(video=0)
            if packet.size
        ]


@pytest.mark.parametrize("is_leaned_on", [True, False])
def test_a_picture_that_says_falsely_whether_it_is_leaned_on_is_noticed(
    encoded, tmp_path, is_leaned_on
):
    source = encoded / "three.mp4"
    assert look_at_file(str(source)).order is not None
    packets = list(enumerate(coded(source)))
    places = [n for n, (is_on, _) in packets if n and is_on == is_leaned_on][1:20:4]
    for place in places:

        def turn(number, part, place=place):
            if number == place:
                part[4] = part[4] & 31 | (0 if is_leaned_on else 64)

        path = spoil(source, tmp_path / f"turned{place}.mp4", turn)
        assert look_at_file(path).order is None


def test_a_file_whose_times_are_not_in_the_order_of_its_pictures_is_decoded_whole(
    encoded, tmp_path
):
    path = tmp_path / "ordered.mp4"
    with av.open(str(encoded / "three.mp4")) as whole, av.open(str(path), "w") as copy:
        out = copy.add_stream_from_template(whole.streams.video[0])
        for place, packet in enumerate(whole.demux(video=0)):
            if packet.size:
                packet.pts = packet.dts = place * 512
                packet.stream = out
                copy.mux(packet)
    assert look_at_file(str(path)).keys is not None
    assert look_at_file(str(path)).order is None


def test_a_picture_that_does_not_come_has_all_of_them_decoded(encoded):
    path = str(encoded / "three.mp4")
    order = look_at_file(path).order
    middle = len(order.pts) // 2
    ghost = (order.pts[middle] + order.pts[middle + 1]) // 2
    lie = replace(
        order,
        pts=np.insert(order.pts, middle + 1, ghost),
        is_needed=np.insert(order.is_needed, middle + 1, True),
    )
    instants = [0.5, middle / 25 + 0.03, 4.3]
    ours = PyavReader(path, keys=look_at_file(path).keys, order=lie)
    pictures = list(ours.read(instants))
    assert not ours._leaves_out
    for mine, other in zip(pictures, plain_reader(path).read(instants), strict=True):
        assert np.array_equal(mine, other)


def test_damage_of_a_picture_that_nobody_leans_on_is_told_where_it_is_given(encoded, tmp_path):
    source = encoded / "three.mp4"
    found = [(n, time) for n, (is_on, time) in enumerate(coded(source)) if not is_on]
    number, time = found[len(found) // 2]

    def garble(place, part):
        if place == number:
            part[12:] = np.random.default_rng(0).bytes(len(part) - 12)

    path = spoil(source, tmp_path / "garbled.mp4", garble)
    assert look_at_file(path).order is not None
    # Before the second call, it is decoded because nobody knows yet whether it will be wanted.
    late = [time + 0.06, time + 0.5]
    for calls in ([[time - 0.5, time + 0.5]], [[time - 1.0, time - 0.03], late], [late]):
        for read, _ in read_calls(open_reader(path, "rgb24"), calls, [SMALL]):
            assert read.damage == ""
        assert_same(path, calls, is_whole=False)
    calls = [[time - 0.5, time + 0.01, time + 0.5]]
    ((read, _),) = read_calls(open_reader(path, "rgb24"), calls, [SMALL])
    assert read.damage == "1 damaged pictures on the way"
    assert_same(path, calls, is_whole=False)


@pytest.mark.parametrize("leaned_on", [(), (2, 3)])
@pytest.mark.parametrize("seed", range(4))
def test_damage_in_one_clip_does_not_reach_the_next(encoded, tmp_path, seed, leaned_on):
    # What FFmpeg cannot decode of a picture by CAVLC, it leaves behind for the next it decodes.
    rng = np.random.default_rng(seed)
    source = encoded / "cavlc.mp4"
    pictures = coded(source)

    def garble(place, part):
        is_leaned_on, time = pictures[place]
        if place in leaned_on if is_leaned_on else time < 2.8:
            middle = len(part) // 2
            part[middle:] = rng.bytes(len(part) - middle)

    path = spoil(source, tmp_path / "garbled.mp4", garble)
    assert look_at_file(path).order is not None
    before = sorted(time + 0.01 for is_on, time in pictures if not is_on and 0.4 < time < 1.0)
    after = sorted(time + 0.01 for is_on, time in pictures if is_on and 2.0 < time < 3.6)
    together = read_calls(open_reader(path, "rgb24"), [before, after], [SMALL])
    assert "damaged" in together[0][0].damage
    for reader in (open_reader(path, "rgb24"), plain_reader(str(source))):
        ((alone, _),) = read_calls(reader, [after], [SMALL])
        assert alone.damage == together[1][0].damage == ""
        assert np.array_equal(alone.frames[SMALL], together[1][0].frames[SMALL])


def test_a_file_that_describes_its_pictures_otherwise_on_the_way_is_decoded_whole(
    encoded, tmp_path
):
    def turn(number, part):
        place = 0
        while number and place + 4 < len(part):
            if part[place + 4] & 31 == 8:
                part[place + 5] ^= 16
            place += 4 + int.from_bytes(part[place : place + 4], "big")

    source = encoded / "repeated.mp4"
    assert look_at_file(str(source)).order is not None
    path = spoil(source, tmp_path / "turned.mp4", turn)
    assert Path(path).read_bytes() != source.read_bytes()
    look = look_at_file(path)
    assert look.keys is not None
    assert look.order is None


@pytest.mark.parametrize("seed", range(9))
def test_pictures_of_damaged_files_are_the_same_whatever_was_asked_before(encoded, tmp_path, seed):
    rng = np.random.default_rng(seed)
    source = encoded / ("three.mp4", "weighted.mp4", "slices.mp4")[seed % 3]
    damaged = set(rng.integers(1, 110, 3).tolist())

    def flip(place, part):
        if place in damaged:
            # In the headers of slices, where one bit is felt most.
            part[5 + int(rng.integers(0, min(12, len(part) - 5)))] ^= 1 << int(rng.integers(0, 8))

    path = spoil(source, tmp_path / "flipped.mp4", flip)
    calls = [np.sort(rng.uniform(begin, begin + 1, 4)) for begin in range(4)]
    assert_same(path, calls, is_whole=False, formats=[FrameFormat(height=48, width=128)])
    together = read_calls(open_reader(path, "rgb24"), calls, [SMALL])
    for instants, (read, _) in zip(calls, together, strict=True):
        ((alone, _),) = read_calls(open_reader(path, "rgb24"), [instants], [SMALL])
        assert (alone.damage, alone.num_frames) == (read.damage, read.num_frames)
        assert np.array_equal(alone.frames[SMALL], read.frames[SMALL])


@pytest.fixture(scope="module")
def restless(tmp_path_factory):
    """Pictures that differ much, so that broken ones are far from whole ones; none is left out."""
    path, rng = tmp_path_factory.mktemp("restless") / "restless.mp4", np.random.default_rng(1)
    options = {"preset": "medium", "x264-params": "bframes=0:keyint=25:cabac=0:scenecut=0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(160):
            picture = np.full((64, 96, 3), 3 * number % 256, np.uint8)
            picture[2 * number % 64 :, 3 * number % 96 :, 1] = 200
            picture[::7] = rng.integers(0, 255, (96, 3))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    assert look_at_file(str(path)).order is None
    return path


@pytest.mark.parametrize("seed", [201, 281, 309])
def test_what_was_damaged_before_a_clip_does_not_show_in_it(restless, tmp_path, seed):
    rng = np.random.default_rng(seed)
    damaged = set(rng.integers(1, 100, int(rng.integers(1, 12))).tolist())

    def garble(place, part):
        if place in damaged:
            begin = int(rng.integers(5, len(part)))
            part[begin:] = rng.bytes(len(part) - begin)

    path = spoil(restless, tmp_path / "garbled.mp4", garble)
    calls = [np.sort(rng.uniform(begin, begin + 0.8, 4)) for begin in range(6)]
    together = read_calls(open_reader(path, "rgb24"), calls, [SMALL])
    for instants, (read, _) in zip(calls, together, strict=True):
        ((alone, _),) = read_calls(open_reader(path, "rgb24"), [instants], [SMALL])
        assert alone.damage == read.damage
        assert np.array_equal(alone.frames[SMALL], read.frames[SMALL])
