import csv
import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from avkd.stages.simulation.rendering import pose_between, pose_box
from avkd.stages.simulation.sounds import level_db
from avkd.stages.simulation.worlds.people import (
    PeopleWorld,
    plan_people_world,
    tiny_people_world,
)
from avkd.stages.simulation.worlds.people_trials import plan_trials
from avkd.stages.simulation.worlds.people_writing import (
    PeopleFiles,
    build_person_frames,
    build_person_sound,
    write_people_world,
    write_utterance,
)

WORLD = tiny_people_world(1)
SPECS = plan_people_world(WORLD)
FULL_SIZE = plan_people_world(
    PeopleWorld(
        num_train_speakers=2, num_test_speakers=16, num_train_utterances=2, num_test_utterances=4
    )
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PeopleFiles:
    return write_people_world(WORLD, tmp_path_factory.mktemp("people"), num_workers=1)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_lists_every_recording_with_its_speaker(world: PeopleFiles) -> None:
    rows = rows_of(world.corpus)
    assert len(rows) == world.num_written == 4 * 3 + 3 * 2
    assert list(rows[0]) == ["path", "recording_id", "speaker", "split"]
    for row in rows:
        assert row["path"] == row["recording_id"]
        assert row["path"].startswith(row["speaker"] + "/")
    files = {path.relative_to(world.folder).as_posix() for path in world.folder.rglob("*.mp4")}
    assert files == {row["path"] for row in rows}


def test_recordings_decode_to_the_planned_frames_and_sound(world: PeopleFiles) -> None:
    for row in rows_of(world.corpus):
        with av.open(str(world.folder / row["path"])) as container:
            assert container.streams.video[0].codec_context.name == "h264"
            assert container.streams.audio[0].codec_context.name == "aac"
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        with av.open(str(world.folder / row["path"])) as container:
            assert container.streams.audio[0].rate == 16_000
            sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        assert [frame.shape for frame in frames] == [(64, 64, 3)] * 2
        assert len(sound) / 16_000 == pytest.approx(1.0, abs=0.15)
        assert 0.05 < np.abs(sound).max() <= 1


def test_trials_name_recordings_of_the_table(world: PeopleFiles) -> None:
    rows = {row["recording_id"]: row for row in rows_of(world.corpus)}
    lines = [line.split(" ") for line in world.trials.read_text().splitlines()]
    assert sum(line[0] == "1" for line in lines) == 3
    assert len(lines) == len(plan_trials(SPECS, WORLD.seed))
    for answer, first, second in lines:
        assert rows[first]["split"] == rows[second]["split"] == "test"
        assert (rows[first]["speaker"] == rows[second]["speaker"]) == (answer == "1")


def test_an_equal_world_is_taken_up_and_a_lost_file_made_again(world: PeopleFiles) -> None:
    assert write_people_world(WORLD, world.folder, num_workers=1).num_written == 0
    lost = world.folder / SPECS[0].path
    before = lost.read_bytes()
    lost.unlink()
    assert write_people_world(WORLD, world.folder, num_workers=1).num_written == 1
    assert lost.read_bytes() == before


def test_two_processes_write_the_same_bytes_as_one(world: PeopleFiles, tmp_path: Path) -> None:
    files = write_people_world(WORLD, tmp_path, num_workers=2)
    for path in sorted(world.folder.rglob("*.*")):
        other = tmp_path / path.relative_to(world.folder)
        assert other.read_bytes() == path.read_bytes()
    assert files.num_written == len(SPECS)


def test_the_same_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_utterance(FULL_SIZE[0], tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_voice_and_noise_are_mixed_as_planned() -> None:
    for spec in SPECS[:6]:
        parts = build_person_sound(spec)
        start, stop = (round(time * spec.sample_rate) for time in spec.active_seconds)
        found = level_db(parts.thing[start:stop]) - level_db(parts.noise)
        assert found == pytest.approx(spec.signal_to_noise_db, abs=0.01)
        assert np.abs(parts.mix(spec.peak)).max() == pytest.approx(spec.peak)


def test_the_person_is_drawn_in_the_planned_box() -> None:
    spec = next(spec for spec in FULL_SIZE if not spec.obstacle)
    away = dataclasses.replace(spec.start, x=9.0)
    empty = dataclasses.replace(spec, start=away, stop=away)
    pairs = list(zip(build_person_frames(spec), build_person_frames(empty), strict=True))
    assert len(pairs) == 6
    for index, (frame, bare) in enumerate(pairs):
        changed = np.abs(frame.astype(int) - bare).max(axis=2) > 0
        pose = pose_between(spec.start, spec.stop, index / (len(pairs) - 1))
        left, top, right, bottom = (max(0, side) for side in pose_box(pose, spec.frame_size))
        assert changed[top:bottom, left:right].mean() > 0.3
        changed[top:bottom, left:right] = False
        assert not changed.any()


def test_neither_pixels_nor_spectra_tell_people_apart_with_certainty() -> None:
    # Twelve others of 16 people in 64 recordings: what is simple must help, and must err.
    tested = [spec for spec in FULL_SIZE if spec.split == "test"]
    pictures = standardised([_mean_picture(spec) for spec in tested])
    spectra = standardised([_mean_spectrum(spec) for spec in tested])
    for features in (pictures, spectra):
        assert 0.08 < equal_error_rate(features, [spec.speaker for spec in tested]) < 0.45


def standardised(vectors: list[np.ndarray]) -> np.ndarray:
    stacked = np.stack(vectors)
    return np.asarray((stacked - stacked.mean(axis=0)) / (stacked.std(axis=0) + 1e-9))


def equal_error_rate(features: np.ndarray, speakers: list[str]) -> float:
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    same, different = [], []
    for i, j in itertools.combinations(range(len(units)), 2):
        (same if speakers[i] == speakers[j] else different).append(float(units[i] @ units[j]))
    thresholds = np.sort(same + different)
    misses = np.searchsorted(np.sort(same), thresholds) / len(same)
    alarms = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    nearest = np.abs(misses - alarms).argmin()
    return float((misses[nearest] + alarms[nearest]) / 2)


def _mean_picture(spec: object) -> np.ndarray:
    frames = np.stack(list(build_person_frames(spec))).mean(axis=0)  # type: ignore[arg-type]
    return frames.reshape(28, 4, 28, 4, 3).mean(axis=(1, 3)).reshape(-1)


def _mean_spectrum(spec: object) -> np.ndarray:
    waveform = build_person_sound(spec).mix(0.5)  # type: ignore[arg-type]
    pieces = waveform[: 46 * 1_024].reshape(46, 1_024) * np.hanning(1_024)
    power = np.abs(np.fft.rfft(pieces))[:, 1:257].reshape(46, 64, 4).sum(axis=2) ** 2
    logs = np.log(power + 1e-6)
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)).mean(axis=0))


def test_the_simulator_does_not_import_torch() -> None:
    code = (
        "import sys, avkd.stages.simulation.worlds.people_writing; "
        "print([m for m in ('torch', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
