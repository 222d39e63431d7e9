from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.stages.simulation.road.recording import write_gray16, write_rgb, write_sound

SIZE = (96, 64)
RNG = np.random.default_rng(0)
GRAY = [RNG.integers(0, 65_536, (64, 96)).astype(np.uint16) for _ in range(6)]
SOUND = RNG.integers(-32_768, 32_768, (8, 9_001)).astype(np.int16)


def test_sixteen_bits_come_back_exactly_and_at_their_times(tmp_path: Path) -> None:
    write_gray16(tmp_path / "depth.mkv", GRAY, SIZE, 4.0)
    with av.open(str(tmp_path / "depth.mkv")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("ffv1", "gray16le")
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == [number / 4 for number in range(6)]
    for frame, sent in zip(frames, GRAY, strict=True):
        assert np.array_equal(frame.to_ndarray(), sent)


def test_colour_comes_back_nearly_and_at_its_times(tmp_path: Path) -> None:
    sent = [np.full((64, 96, 3), (200, 30 * number, 40), dtype=np.uint8) for number in range(6)]
    write_rgb(tmp_path / "rgb.mp4", sent, SIZE, 2.5)
    with av.open(str(tmp_path / "rgb.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([0.4 * n for n in range(6)])
    for frame, picture in zip(frames, sent, strict=True):
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - picture).max() < 12


@pytest.mark.parametrize("num_channels", range(1, 9))
def test_every_channel_comes_back_to_the_last_bit(tmp_path: Path, num_channels: int) -> None:
    sent = SOUND[:num_channels]
    write_sound(tmp_path / "audio.flac", sent, 24_000)
    with av.open(str(tmp_path / "audio.flac")) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate) == ("flac", 24_000)
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    heard = np.concatenate([block.reshape(-1, num_channels).T for block in blocks], axis=1)
    assert np.array_equal(heard, sent)


def test_more_microphones_than_flac_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="9 microphones: FLAC holds 1 to 8"):
        write_sound(tmp_path / "audio.flac", np.zeros((9, 100), dtype=np.int16), 24_000)
    assert list(tmp_path.iterdir()) == []


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_gray16(tmp_path / f"{name}.mkv", GRAY, SIZE, 4.0)
        write_rgb(
            tmp_path / f"{name}.mp4",
            [np.stack([GRAY[0] % 256] * 3, -1).astype(np.uint8)],
            SIZE,
            4.0,
        )
        write_sound(tmp_path / f"{name}.flac", SOUND, 24_000)
    for suffix in ("mkv", "mp4", "flac"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_a_failure_half_way_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from GRAY[:2]
        raise RuntimeError("no more light")

    with pytest.raises(RuntimeError, match="no more light"):
        write_gray16(tmp_path / "depth.mkv", broken(), SIZE, 4.0)
    assert list(tmp_path.iterdir()) == []
