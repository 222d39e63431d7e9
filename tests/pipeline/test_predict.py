import json
import math
from pathlib import Path

import numpy as np
import pytest

from avkd.errors import InvalidValueError, MediaError, StoreNotFoundError, UnknownNameError
from avkd.pipeline.evaluation.box_evaluation import evaluate_boxes
from avkd.pipeline.evaluation.box_files import read_box_frames
from avkd.pipeline.evaluation.box_request import BoxesRequest
from avkd.pipeline.predict import Hearing, cut_pieces, predict_sound


@pytest.fixture(scope="module")
def runs(make_box_run, tmp_path_factory) -> Path:
    """``steady`` says one box, ``hearing`` follows the sound, ``camera`` also looks at a height."""
    folder = tmp_path_factory.mktemp("predict_runs")
    make_box_run(folder / "steady")
    make_box_run(folder / "hearing", steady=False)
    make_box_run(folder / "camera", steady=False, metadata=("camera_height_metres",))
    return folder


@pytest.fixture(scope="module")
def sounds(box_store) -> Path:
    return Path(box_store).parent


def numbers(frame, order):
    return np.concatenate([frame.boxes, frame.scores[:, None]], axis=1)[order]


def test_a_file_gives_the_boxes_that_evaluation_gives_of_its_clips(
    runs, sounds, box_store, box_truth
):
    request = BoxesRequest(run=str(runs / "hearing"), store=box_store, truth=box_truth)
    evaluate_boxes(request, device="cpu")
    stored = read_box_frames(runs / "hearing" / "boxes-test.parquet")
    differ = []
    for name in ("day/0", "night/3"):
        file = sounds / f"{name.replace('/', '-')}.wav"
        heard = predict_sound(str(runs / "hearing"), str(file), min_score=0.0, device="cpu").frames
        assert len(heard) == 8
        assert sum(map(len, heard)) > 8
        by_time = {frame.time_seconds: frame for frame in stored[name]}
        for step, frame in enumerate(heard):
            other = by_time[frame.time_seconds]
            first, second = (
                numbers(each, np.lexsort((*each.boxes.T, each.scores))) for each in (frame, other)
            )
            # Half a second is heard: within a clip of four steps, or at an end of the file.
            if step not in (3, 4):
                np.testing.assert_allclose(first, second, atol=1e-4)
            elif first.shape != second.shape or np.abs(first - second).max() > 1e-3:
                differ.append((name, step))
    # At the join of two clips evaluation hears silence, as training did, and a file does not.
    assert differ


def test_where_a_file_is_cut_does_not_matter(runs, sounds):
    whole, *others = (
        predict_sound(
            str(runs / "hearing"),
            str(sounds / "night-3.wav"),
            min_score=0.0,
            piece_steps=piece_steps,
            device="cpu",
        )
        for piece_steps in (64, 1, 3)
    )
    for other in others:
        for one, two in zip(whole.frames, other.frames, strict=True):
            assert one.time_seconds == pytest.approx(two.time_seconds)
            np.testing.assert_allclose(one.boxes, two.boxes, atol=1e-4)
            np.testing.assert_allclose(one.scores, two.scores, atol=1e-4)


def test_json_holds_every_step_and_the_tracks(runs, sounds):
    heard = predict_sound(str(runs / "steady"), str(sounds / "day-0.wav"), device="cpu")
    told = json.loads(heard.to_json())
    assert [each["time_seconds"] for each in told["frames"]] == [
        0.125 + 0.25 * step for step in range(8)
    ]
    (box,) = told["frames"][3]["boxes"]
    assert box["box"] == pytest.approx([0.4, 0.35, 0.6, 0.65], abs=1e-4)
    assert box["score"] == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-4)
    assert (box["class"], box["track_id"]) == ("car", 0)
    (track,) = told["tracks"]
    assert (track["start_seconds"], track["end_seconds"], track["num_boxes"]) == (0.125, 1.875, 8)
    assert told["duration_seconds"] == pytest.approx(2.0)


def test_boxes_of_a_low_score_are_left_out(runs, sounds):
    heard = predict_sound(
        str(runs / "steady"), str(sounds / "day-0.wav"), min_score=0.95, device="cpu"
    )
    assert [len(frame) for frame in heard.frames] == [0] * 8
    assert heard.tracks == ()


def test_what_is_known_of_the_camera_is_looked_at(runs, sounds):
    def scores(height: str) -> np.ndarray:
        heard = predict_sound(
            str(runs / "camera"),
            str(sounds / "day-0.wav"),
            metadata={"camera_height_metres": height},
            min_score=0.0,
            device="cpu",
        )
        return np.concatenate([frame.scores for frame in heard.frames])

    low, high, unknown = scores("2.5"), scores("40"), scores("unknown")
    assert not np.array_equal(low, high)
    assert not np.array_equal(low, unknown)
    assert np.isfinite(unknown).all()


@pytest.mark.parametrize(
    ("metadata", "error", "words"),
    [
        ({}, InvalidValueError, "--metadata camera_height_metres=NUMBER"),
        ({"camera_height_metres": "high"}, InvalidValueError, "must be a number, or 'unknown'"),
        ({"camera_height_metres": "1,2"}, InvalidValueError, "must be a number, or 'unknown'"),
        ({"camera_height_metres": "nan"}, InvalidValueError, "must be a number, or 'unknown'"),
        ({"camera_height_metres": "inf"}, InvalidValueError, "must be a number, or 'unknown'"),
        ({"camera_height": "2"}, UnknownNameError, "camera_height_metres"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(runs, sounds, metadata, error, words):
    with pytest.raises(error, match=words):
        predict_sound(str(runs / "camera"), str(sounds / "day-0.wav"), metadata=metadata)


def write_silence(path: Path, num_channels: int) -> str:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(num_channels)
        file.setsampwidth(2)
        file.setframerate(4_000)
        file.writeframes(bytes(8_000 * num_channels))
    return str(path)


def test_a_file_with_too_few_microphones_is_refused(runs, tmp_path):
    mono = write_silence(tmp_path / "mono.wav", 1)
    with pytest.raises(InvalidValueError, match="1 channel of sound but the student heard 2"):
        predict_sound(str(runs / "steady"), mono)


def test_of_more_microphones_than_were_learned_from_the_first_are_heard_and_it_is_noted(
    runs, tmp_path
):
    few, many = (write_silence(tmp_path / f"{n}.wav", n) for n in (2, 3))
    steady = str(runs / "steady")
    assert predict_sound(steady, few, device="cpu").notes == ()
    (note,) = predict_sound(steady, many, device="cpu").notes
    assert "3 channels of sound; the first 2 are heard" in note


def test_what_is_no_run_or_no_sound_is_refused(runs, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(MediaError):
        predict_sound(str(runs / "steady"), str(tmp_path / "text.wav"))
    with pytest.raises(StoreNotFoundError):
        predict_sound(str(tmp_path), str(tmp_path / "text.wav"))


@pytest.mark.parametrize("duration_seconds", [0.1, 0.5, 4.0, 33.3])
def test_pieces_tile_the_whole_steps_and_hear_around_them(duration_seconds):
    hearing = Hearing(sample_rate=8_000, num_channels=2, step_seconds=0.25, margin_steps=2)
    pieces = list(cut_pieces(duration_seconds, hearing, piece_steps=7))
    total = max(1, int(duration_seconds / 0.25))
    kept = [p.first_step + step for p in pieces for step in range(p.num_steps)]
    assert kept == list(range(total))
    for piece in pieces:
        assert piece.num_before == min(2, piece.first_step)
        assert piece.num_after == min(2, total - piece.first_step - piece.num_steps)
        assert len(piece.instants) == piece.num_steps
    instants = [instant for piece in pieces for instant in piece.instants]
    assert instants == sorted(instants)
    assert instants[-1] < duration_seconds
