import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.stages.simulation.rendering import pose_between, pose_box
from avkd.stages.simulation.sounds import level_db
from avkd.stages.simulation.things.catalog import KINDS
from avkd.stages.simulation.worlds import writing
from avkd.stages.simulation.worlds.things import ThingsWorld, fast_world, plan_world
from avkd.stages.simulation.worlds.writing import (
    WorldFiles,
    build_frames,
    build_sound,
    recording_path,
    write_recording,
    write_world,
)

WORLD = ThingsWorld(
    seed=2,
    num_unlabelled=6,
    num_train_per_kind=1,
    num_validation_per_kind=0,
    num_test_per_kind=0,
    clip_seconds=2.0,
    frame_size=(96, 80),
    frame_rate=4,
)
SPECS = plan_world(dataclasses.replace(fast_world(), frame_rate=6))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> WorldFiles:
    return write_world(WORLD, tmp_path_factory.mktemp("world"), num_workers=1)


def test_every_recording_decodes_to_the_planned_duration(world: WorldFiles) -> None:
    for row in rows_of(world.corpus):
        with av.open(str(world.folder / row["path"])) as container:
            video = sum(1 for _ in container.decode(video=0))
        with av.open(str(world.folder / row["path"])) as container:
            sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        assert video == 8
        assert len(sound) / 22_050 == pytest.approx(2.0, abs=0.1)
        assert 0.05 < np.abs(sound).max() < 1


def test_tables_list_every_recording_and_keep_labels_apart(world: WorldFiles) -> None:
    corpus, labelled, truth = (rows_of(p) for p in (world.corpus, world.labelled, world.truth))
    assert len(corpus) == 18
    assert set(corpus[0]) == {"path", "recording_id", "split"}
    assert {row["label"] for row in labelled} == set(KINDS)
    assert {row["split"] for row in labelled} == {"train"}
    assert {row["recording_id"] for row in truth}.isdisjoint(
        row["recording_id"] for row in labelled
    )
    files = {str(p.relative_to(world.folder).as_posix()) for p in world.folder.rglob("*.mp4")}
    assert files == {row["path"] for row in corpus}


def test_file_names_do_not_reveal_the_kind(world: WorldFiles) -> None:
    names = [path.name for path in world.folder.rglob("*.mp4")]
    assert names
    assert not any(kind in name for kind in KINDS for name in names)


def test_an_equal_world_is_taken_up_and_a_lost_file_made_again(world: WorldFiles) -> None:
    assert write_world(WORLD, world.folder, num_workers=1).num_written == 0
    lost = next((world.folder / "unlabelled").iterdir())
    before = lost.read_bytes()
    lost.unlink()
    assert write_world(WORLD, world.folder, num_workers=1).num_written == 1
    assert lost.read_bytes() == before


def test_another_world_in_the_folder_is_not_mistaken_for_this_one(tmp_path: Path) -> None:
    small = dataclasses.replace(WORLD, num_train_per_kind=0, num_unlabelled=2)
    assert write_world(small, tmp_path, num_workers=1).num_written == 2
    wider = dataclasses.replace(small, frame_size=(112, 80))
    assert write_world(wider, tmp_path, num_workers=1).num_written == 2
    assert json.loads((tmp_path / "world.json").read_text())["spec"]["frame_size"] == [112, 80]


def test_two_processes_write_the_same_bytes_as_one(world: WorldFiles, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    small = dataclasses.replace(WORLD, num_train_per_kind=0)
    files = write_world(
        small, tmp_path, num_workers=2, on_progress=lambda done, total: told.append((done, total))
    )
    assert told == [(done, 6) for done in range(1, 7)]
    for row in rows_of(files.corpus):
        assert (tmp_path / row["path"]).read_bytes() == (world.folder / row["path"]).read_bytes()


def test_an_interrupted_world_is_not_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(spec: object, path: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writing, "write_recording", broken)
    with pytest.raises(OSError, match="disk full"):
        write_world(WORLD, tmp_path, num_workers=1)
    assert not (tmp_path / "world.json").exists()


def test_the_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_recording(SPECS[0], tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_signal_and_noise_are_mixed_as_planned() -> None:
    for spec in SPECS[:12]:
        parts = build_sound(spec)
        start, stop = (round(time * spec.sample_rate) for time in spec.active_seconds)
        found = level_db(parts.thing[start:stop]) - level_db(parts.noise)
        assert found == pytest.approx(spec.signal_to_noise_db, abs=0.01)
        assert bool(parts.offscreen.any()) == bool(spec.offscreen_kind)


def test_the_thing_is_drawn_in_its_planned_box() -> None:
    spec = next(s for s in SPECS if s.distractor is None and s.obstacle is None)
    away = dataclasses.replace(spec.thing.start, x=9.0)
    empty = dataclasses.replace(spec, thing=dataclasses.replace(spec.thing, start=away, stop=away))
    pairs = list(zip(build_frames(spec), build_frames(empty), strict=True))
    assert len(pairs) == 30
    for index, (frame, bare) in enumerate(pairs):
        changed = np.abs(frame.astype(int) - bare).max(axis=2) > 0
        pose = pose_between(spec.thing.start, spec.thing.stop, index / (len(pairs) - 1))
        left, top, right, bottom = (max(0, side) for side in pose_box(pose, spec.frame_size))
        assert changed[top:bottom, left:right].mean() > 0.1
        changed[top:bottom, left:right] = False
        assert not changed.any()


def test_paths_are_grouped_by_whether_labels_are_given() -> None:
    groups = {(spec.split, recording_path(spec).split("/")[0]) for spec in SPECS}
    assert groups == {
        ("unlabelled", "unlabelled"),
        ("train", "labelled"),
        ("validation", "labelled"),
        ("test", "labelled"),
    }


def test_the_simulator_does_not_import_torch() -> None:
    # A spawned worker imports this module: seconds for each if torch came along.
    code = (
        "import sys, avkd.stages.simulation.worlds.writing; "
        "print([m for m in ('torch', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
