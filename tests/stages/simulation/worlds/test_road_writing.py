import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.errors import UnknownNameError
from avkd.stages.simulation.road.class_map import CLASSES
from avkd.stages.simulation.road.pictures import RoadPictures
from avkd.stages.simulation.road.sight import boxes_at, frame_seconds
from avkd.stages.simulation.road.sound import render_sound
from avkd.stages.simulation.road.traffic import Recorder
from avkd.stages.simulation.worlds.road import NumDrives, plan_road, tiny_road_world
from avkd.stages.simulation.worlds.road_writing import (
    ALL_STREAMS,
    CLASS_COLUMNS,
    CORPUS_COLUMNS,
    TRUTH_COLUMNS,
    RoadFiles,
    write_road_world,
)
from avkd.storage.corpus import read_corpus

WORLD = replace(
    tiny_road_world(1), recorder=Recorder(duration_seconds=1.0, frame_rate=4.0, sample_rate=8_000)
)
PLAN = {one.drive.recording_id: one for one in plan_road(WORLD)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> RoadFiles:
    return write_road_world(WORLD, tmp_path_factory.mktemp("road"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_is_a_corpus_with_four_streams_and_the_camera(world: RoadFiles) -> None:
    rows = rows_of(world.corpus)
    assert tuple(rows[0]) == CORPUS_COLUMNS
    assert world.num_written == 4 * len(rows) == 4 * 5
    for row, recording in zip(rows, read_corpus(str(world.corpus)), strict=True):
        one = PLAN[row["recording_id"]]
        camera = one.drive.camera
        assert (row["split"], row["view_split"]) == (one.split, one.view_split)
        assert (row["light"], row["view"]) == (one.drive.light, camera.view)
        assert float(row["camera_height_metres"]) == camera.height_m
        assert float(row["camera_pitch_degrees"]) == camera.pitch_degrees
        assert float(row["camera_distance_metres"]) == camera.distance_m
        assert {*recording.streams} == {"rgb", "depth", "thermal", "audio"}
        assert all(Path(uri).is_file() for uri in recording.streams.values())


def test_depth_heat_and_sound_come_back_exactly(world: RoadFiles) -> None:
    for row in rows_of(world.corpus):
        drive = PLAN[row["recording_id"]].drive
        pictures = RoadPictures(drive)
        for stream, draw in (("depth", pictures.depth), ("thermal", pictures.thermal)):
            with av.open(str(world.folder / row[stream])) as container:
                frames = [frame.to_ndarray() for frame in container.decode(video=0)]
            assert len(frames) == drive.num_frames == 4
            for number, frame in enumerate(frames):
                assert np.array_equal(frame, draw(number))
        with av.open(str(world.folder / row["audio"])) as container:
            blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
        heard = np.concatenate([block.reshape(-1, 2).T for block in blocks], axis=1)
        assert np.array_equal(heard, render_sound(drive))


def test_colour_comes_back_nearly_and_in_step(world: RoadFiles) -> None:
    for row in rows_of(world.corpus):
        drive = PLAN[row["recording_id"]].drive
        with av.open(str(world.folder / row["rgb"])) as container:
            frames = list(container.decode(video=0))
        middles = [frame.time + 0.5 / drive.frame_rate for frame in frames]
        assert middles == pytest.approx(frame_seconds(drive))
        for number, frame in enumerate(frames):
            drawn = RoadPictures(drive).rgb(number).astype(int)
            assert np.abs(frame.to_ndarray(format="rgb24") - drawn).mean() < 8


def test_the_truth_is_what_the_camera_sees(world: RoadFiles) -> None:
    rows = rows_of(world.truth)
    assert tuple(rows[0]) == TRUTH_COLUMNS
    assert world.truth.parent.name == "truth"
    found = {
        (row["recording_id"], float(row["frame_time_seconds"]), int(row["track_id"])): row
        for row in rows
    }
    expected = {
        (name, float(seconds), box.track_id): box
        for name, one in PLAN.items()
        for seconds in frame_seconds(one.drive)
        for box in boxes_at(one.drive, float(seconds))
    }
    assert {*found} == {*expected}
    assert len(found) == len(rows) > 5
    for key, box in expected.items():
        row = found[key]
        sides = [float(row[name]) for name in ("x_min", "y_min", "x_max", "y_max")]
        assert sides == pytest.approx(box.box, abs=1e-6)
        assert row["kind"] == box.kind
        assert float(row["visible_fraction"]) == pytest.approx(box.visible_fraction, abs=1e-4)
        assert float(row["distance_metres"]) == pytest.approx(box.distance_metres, abs=1e-3)


def test_an_equal_world_is_taken_up_and_a_lost_stream_made_again(world: RoadFiles) -> None:
    assert write_road_world(WORLD, world.folder).num_written == 0
    lost = world.folder / rows_of(world.corpus)[1]["thermal"]
    before = lost.read_bytes()
    lost.unlink()
    assert write_road_world(WORLD, world.folder).num_written == 1
    assert lost.read_bytes() == before


def test_two_processes_write_the_same_bytes_as_one(world: RoadFiles, tmp_path: Path) -> None:
    write_road_world(WORLD, tmp_path, num_workers=2)
    paths = sorted(path for path in world.folder.rglob("*") if path.is_file())
    assert len(paths) == 4 * 5 + 3
    for path in paths:
        assert (tmp_path / path.relative_to(world.folder)).read_bytes() == path.read_bytes()


def test_a_ring_of_eight_is_recorded_in_eight_channels(tmp_path: Path) -> None:
    ring = replace(
        WORLD,
        teacher=NumDrives(),
        test=NumDrives(),
        unseen_test=NumDrives(),
        train=NumDrives(day=1),
        recorder=replace(WORLD.recorder, array="ring"),
    )
    files = write_road_world(ring, tmp_path)
    (row,) = rows_of(files.corpus)
    with av.open(str(files.folder / row["audio"])) as container:
        assert container.streams.audio[0].channels == 8


def test_the_simulator_does_not_import_torch() -> None:
    code = (
        "import sys, avkd.stages.simulation.worlds.road_writing; "
        "print([m for m in ('torch', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_streams_that_nobody_asked_for_are_not_written_and_can_be_added_later(
    world: RoadFiles, tmp_path: Path
) -> None:
    some = write_road_world(WORLD, tmp_path, streams=("rgb", "audio"))
    rows = rows_of(some.corpus)
    assert [name for name in CORPUS_COLUMNS if name not in rows[0]] == ["depth", "thermal"]
    assert some.num_written == 2 * len(rows) == len(list(tmp_path.glob("*/*.*"))) - 1
    added = write_road_world(WORLD, tmp_path)
    assert added.num_written == 2 * len(rows)
    assert added.corpus.read_bytes() == world.corpus.read_bytes()
    again = write_road_world(WORLD, tmp_path, streams=("rgb",))
    assert again.num_written == 0
    assert again.corpus.read_bytes() == world.corpus.read_bytes(), "what is there stays named"


def test_streams_of_another_world_are_not_named(tmp_path: Path) -> None:
    write_road_world(replace(WORLD, seed=WORLD.seed + 1), tmp_path, streams=("rgb", "depth"))
    files = write_road_world(WORLD, tmp_path, streams=("rgb",))
    assert "depth" not in rows_of(files.corpus)[0]


def test_a_stream_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="radar"):
        write_road_world(WORLD, tmp_path, streams=("radar",))


def test_classes_are_written_where_asked_for_and_nothing_else_changes(
    world: RoadFiles, tmp_path: Path
) -> None:
    assert not world.classes.exists()
    write_road_world(WORLD, tmp_path)
    added = write_road_world(WORLD, tmp_path, streams=ALL_STREAMS)
    assert added.num_written == len(rows_of(added.corpus))
    for path in sorted(path for path in world.folder.rglob("*") if path.is_file()):
        assert (tmp_path / path.relative_to(world.folder)).read_bytes() == path.read_bytes()
    extra = {path.suffix for path in (tmp_path / "truth" / "classes").iterdir()}
    assert extra == {".mkv"}


def test_the_table_of_classes_is_the_corpus_with_the_class_of_every_pixel(tmp_path: Path) -> None:
    few = replace(WORLD, test=NumDrives(), unseen_test=NumDrives(), train=NumDrives())
    files = write_road_world(few, tmp_path, streams=("rgb", "classes"))
    (row,) = rows_of(files.classes)
    without = [name for name in CLASS_COLUMNS if name not in ("depth", "thermal", "audio")]
    assert list(row) == without
    assert tuple(row["class_names"].split(",")) == CLASSES
    (recording,) = read_corpus(str(files.classes), more_streams=("classes",))
    (known,) = read_corpus(str(files.corpus))
    assert "classes" not in rows_of(files.corpus)[0]
    assert Path(recording.streams["rgb"]).resolve() == Path(known.streams["rgb"]).resolve()
    drive = PLAN[row["recording_id"]].drive
    with av.open(recording.streams["classes"]) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert len(frames) == drive.num_frames
    for number, frame in enumerate(frames):
        assert np.array_equal(frame, RoadPictures(drive).classes(number))
