import json
from pathlib import Path

import numpy as np
import pytest

from avkd.stages.media.probe import probe
from avkd.stages.simulation.files import write_movie


@pytest.fixture(scope="module")
def run(make_box_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli_predict") / "run"
    make_box_run(folder, metadata=("camera_height_metres",))
    return folder


@pytest.fixture(scope="module")
def sound(box_store):
    return Path(box_store).parent / "day-0.wav"


HEIGHT = "--metadata=camera_height_metres=4.2"


def test_tracks_are_told_and_boxes_written(avkd, run, sound, tmp_path):
    outcome = avkd("predict", run, sound, HEIGHT, "--out", tmp_path / "boxes.json")
    assert outcome.exit_code == 0, outcome.err
    first, _, track, _ = outcome.out.splitlines()
    assert "2.00 s, 8 steps, 8 boxes of a score of 0.3 or more, 1 tracks" in first
    assert track.split() == ["0", "car", "0.12", "1.88", "8", "0.88"]
    told = json.loads((tmp_path / "boxes.json").read_text())
    assert len(told["frames"]) == 8
    assert avkd("predict", run, sound, HEIGHT, "--json").json == told


def write_grey(path: Path, seconds: int) -> Path:
    write_movie(
        path,
        [np.full((90, 160, 3), 60, np.uint8)] * (4 * seconds),
        np.zeros(16_000 * seconds),
        frame_size=(160, 90),
        frame_rate=4,
        sample_rate=16_000,
    )
    return path


def test_a_video_is_drawn_on(avkd, run, sound, tmp_path):
    video, out = f"--video={write_grey(tmp_path / 'grey.mp4', 2)}", tmp_path / "over.mp4"
    outcome = avkd("predict", run, sound, HEIGHT, video, "--overlay", out)
    assert outcome.exit_code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == f"written: {out}"
    assert outcome.err == ""
    assert probe(str(out)).has_video


def test_a_video_that_ends_before_the_sound_is_noted(avkd, run, sound, tmp_path):
    video, out = f"--video={write_grey(tmp_path / 'grey.mp4', 1)}", tmp_path / "over.mp4"
    outcome = avkd("predict", run, sound, HEIGHT, video, "--overlay", out)
    assert outcome.exit_code == 0, outcome.err
    assert "note: the video ends at 1." in outcome.err
    assert "2.00 s" in outcome.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("camera_height_metres", "--metadata")),
        (("--metadata=4.2",), ("'4.2'", "NAME=VALUE")),
        ((HEIGHT, HEIGHT), ("twice",)),
        ((HEIGHT, "--metadata=pitch=3"), ("pitch", "camera_height_metres")),
        ((HEIGHT, "--video=a.mp4"), ("--overlay",)),
        ((HEIGHT, "--overlay=a.avi"), (".mp4",)),
        ((HEIGHT, "--min-score=2"), ("min_score 2",)),
    ],
)
def test_options_that_do_not_fit_are_refused(avkd, run, sound, options, words):
    avkd("predict", run, sound, *options).assert_refused(2, *words)


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (("--overlay=over.avi",), 2, (".mp4",)),
        (("--overlay=over.mp4",), 1, ("no pictures", "--video")),
        (("--overlay=over.mp4", "--video=none.mp4"), 1, ("none.mp4", "no such file")),
    ],
)
def test_what_cannot_be_drawn_leaves_nothing_behind(
    avkd, run, sound, tmp_path, monkeypatch, options, exit_code, words
):
    monkeypatch.chdir(tmp_path)
    outcome = avkd("predict", run, sound, HEIGHT, "--out=boxes.json", *options)
    outcome.assert_refused(exit_code, *words)
    assert not list(tmp_path.iterdir())
