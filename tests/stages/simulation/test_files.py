from pathlib import Path

import av
import numpy as np
import pytest

from avkd.stages.simulation.files import write_movie, write_text


def ramp_frames(count: int) -> list[np.ndarray]:
    return [np.full((64, 80, 3), 20 + 10 * index, dtype=np.uint8) for index in range(count)]


def write(path: Path, frames: object, waveform: np.ndarray) -> None:
    write_movie(
        path,
        frames,
        waveform,
        frame_size=(80, 64),
        frame_rate=6,
        sample_rate=22_050,  # type: ignore[arg-type]
    )


@pytest.fixture
def tone() -> np.ndarray:
    return np.asarray(0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * 22_050) / 22_050))


def test_a_movie_decodes_to_the_frames_and_the_sound_put_in(
    tmp_path: Path, tone: np.ndarray
) -> None:
    path = tmp_path / "movie.mp4"
    write(path, ramp_frames(12), tone)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.audio[0].codec_context.name == "aac"
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 12
    for index, picture in enumerate(pictures):
        assert picture.mean() == pytest.approx(20 + 10 * index, abs=4)
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(sound) == pytest.approx(len(tone), abs=2_048)
    assert np.fft.rfft(sound[4_096:26_146]).__abs__().argmax() == 440


def test_equal_input_gives_equal_bytes(tmp_path: Path, tone: np.ndarray) -> None:
    write(tmp_path / "a.mp4", ramp_frames(6), tone)
    write(tmp_path / "b.mp4", ramp_frames(6), tone)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_failure_half_way_leaves_no_file(tmp_path: Path, tone: np.ndarray) -> None:
    def broken() -> object:
        yield from ramp_frames(3)
        raise RuntimeError("no more light")

    with pytest.raises(RuntimeError, match="no more light"):
        write(tmp_path / "a.mp4", broken(), tone)
    assert list(tmp_path.iterdir()) == []


def test_text_is_replaced_in_one_step(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "first")
    write_text(tmp_path / "a.txt", "second")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "second"
