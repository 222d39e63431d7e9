import numpy as np
import pytest

from avkd.errors import CorruptStoreError
from avkd.pipeline.evaluation.box_files import boxes_file, read_box_frames, write_boxes
from avkd.pipeline.evaluation.box_said import ClipFrames, SaidBoxes
from avkd.pipeline.evaluation.box_tracks import follow_boxes, number_boxes, tracker_settings
from avkd.stages.metrics.boxes import FrameBoxes

STILL, FLEETING = (0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.8, 0.8)


def frame(seconds: float, *boxes) -> FrameBoxes:
    return FrameBoxes(
        time_seconds=seconds,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.8, len(boxes)).astype(np.float32),
        classes=np.arange(len(boxes), dtype=np.int32),
    )


@pytest.fixture
def said() -> SaidBoxes:
    """Two clips of a recording, the later one first, and one of a recording without boxes."""
    return SaidBoxes(
        clips={
            "late": ClipFrames(recording_id="b", frames=(frame(2.0, STILL), frame(2.25))),
            "early": ClipFrames(recording_id="b", frames=(frame(1.75, STILL, FLEETING),)),
            "empty": ClipFrames(recording_id="a", frames=(frame(0.0),)),
        },
        class_names=("car", "van"),
        num_left_out=0,
    )


def follow(said: SaidBoxes):
    settings = tracker_settings(0.3)
    return {name: follow_boxes(each, settings) for name, each in said.by_recording().items()}


def test_boxes_come_back_by_recording_and_time_with_their_tracks(said, tmp_path):
    file = boxes_file(tmp_path, "boxes-test", "r/g b")
    assert file.name == "boxes-test-r_g_b.parquet"
    write_boxes(file, said, follow(said))
    found = read_box_frames(file)
    assert list(found) == ["b"]
    assert [each.time_seconds for each in found["b"]] == [1.75, 2.0]
    first, second = found["b"]
    np.testing.assert_array_equal(first.boxes, np.array([STILL, FLEETING], np.float32))
    assert first.track_ids.tolist() == [0, -1]
    assert second.track_ids.tolist() == [0]
    assert first.classes.tolist() == [0, 1]


def test_what_nobody_said_gives_an_empty_table(tmp_path):
    nothing = SaidBoxes(clips={}, class_names=("car",), num_left_out=0)
    write_boxes(tmp_path / "none.parquet", nothing, {})
    assert read_box_frames(tmp_path / "none.parquet") == {}


def test_a_damaged_table_is_refused(tmp_path):
    (tmp_path / "boxes.parquet").write_bytes(b"no table")
    for name in ("boxes.parquet", "missing.parquet"):
        with pytest.raises(CorruptStoreError, match="evaluate the run again"):
            read_box_frames(tmp_path / name)


def test_boxes_without_a_track_have_numbers_of_their_own():
    ids = np.array([-1, 4, -1], np.int64)
    numbered = number_boxes(frame(0.0, STILL, FLEETING, STILL), ids)
    assert numbered.track_ids.tolist() == [-1, 4, -2]
