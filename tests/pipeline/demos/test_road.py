"""The road's demo whole, of the smallest size that has every stage; nobody learns much in it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from avkd.pipeline.demos import road
from avkd.pipeline.demos.box_scores import tabulate_box_scores
from avkd.pipeline.demos.road import RoadDemoReport, run_road_demo
from avkd.pipeline.demos.road_presets import (
    RoadPreset,
    RoadTeacher,
    full_ring_preset,
    full_road_preset,
)
from avkd.pipeline.demos.stages import DemoEvent
from avkd.pipeline.recipes.stereosoundnet import CAMERA
from avkd.stages.simulation.worlds.road import NumDrives, plan_road, tiny_road_world
from avkd.storage.store import Store

pytestmark = pytest.mark.slow

WORLD = replace(
    tiny_road_world(7),
    teacher=NumDrives(day=1),
    train=NumDrives(day=1, night=1),
    test=NumDrives(day=1, night=1),
    unseen_test=NumDrives(day=1),
)
LEAST = replace(
    full_road_preset(),
    name="least",
    world=WORLD,
    num_detector_updates=4,
    variants=("tiny",),
    seeds=(0, 1),
    teachers=(RoadTeacher(stream="rgb", maps="features_2"),),
    map_channels=4,
    # What a detector of four updates says, it says faintly.
    student_settings=("schedule.num_epochs=2", "method.options.min_score=0"),
    detector_settings=(
        "network.widths=[4,4,8,8,8]",
        "data.picture_size=[128,64]",
        "data.validation_fraction=0",
    ),
    clip_seconds=2.0,
    executor="serial",
)
RING = full_ring_preset()
LEAST_RING = replace(
    LEAST,
    name="least-ring",
    recipe=RING.recipe,
    world=replace(WORLD, recorder=replace(WORLD.recorder, array="ring")),
    teachers=RING.teachers,
    seeds=(0,),
    map_channels=RING.map_channels,
    where=RING.where,
    detectors_folder=RING.detectors_folder,
)
GROUPS = {"all", "light=day", "light=night", "view_split=seen", "view_split=unseen"}
TRACKS = ("MOTA", "IDF1", "HOTA", "id_switches", "misses")


@dataclass(frozen=True)
class Demo:
    report: RoadDemoReport
    events: list[DemoEvent]
    folder: Path
    page: str

    def files(self):
        """When everything was last written but evaluations, which are made anew, and the page."""
        return {
            file: file.stat().st_mtime_ns
            for pattern in ("world/*/*", "store/**/*", "runs/**/*")
            for file in self.folder.glob(pattern)
            if file.is_file()
            and not file.match("truth/*")
            and not file.name.startswith(("evaluation-", "boxes-"))
        }


def run_least(out: Path, preset: RoadPreset = LEAST) -> Demo:
    events = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(road, "choose_road_preset", lambda recipe, fast: preset)
        report = run_road_demo(str(out), fast=True, on_progress=events.append)
    page = Path(report.report)
    return Demo(report=report, events=events, folder=page.parent, page=page.read_text("utf-8"))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A demo, its report and its progress."""
    return run_least(tmp_path_factory.mktemp("road_demo"))


@pytest.fixture(scope="module")
def kept(told):
    return told.files()


@pytest.fixture(scope="module")
def again(told, kept, tmp_path_factory):
    """The same once more, where TrackEval is not installed."""
    hidden = tmp_path_factory.mktemp("without_trackeval")
    (hidden / "sitecustomize.py").write_text('import sys\n\nsys.modules["trackeval"] = None\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(hidden))
        return run_least(told.folder.parent)


@pytest.fixture(scope="module")
def rung(tmp_path_factory):
    """The demo of eight microphones and three teachers."""
    return run_least(tmp_path_factory.mktemp("ring_demo"), LEAST_RING)


def evaluations(told):
    folder = told.folder / "runs" / "tiny"
    return [
        json.loads((folder / f"seed-{seed}" / "evaluation-boxes-test.json").read_text())
        for seed in LEAST.seeds
    ]


def test_students_and_detector_are_scored_in_every_group(told, kept):
    assert set(told.report.scores) == {"tiny"}
    assert set(told.report.teachers) == {"rgb"}
    for who, place in ((told.report.scores["tiny"], 0), (told.report.teachers["rgb"], 1)):
        assert set(who) == GROUPS
        assert {name for metrics in who.values() for name in metrics} >= {"AP@0.5", *TRACKS}
        assert 0 <= who["all"]["AP@0.5"].mean <= 1
        assert who["all"]["MOTA"] is not None
        assert len(who["all"]["AP@0.5"].values) == (2, 1)[place]


def test_no_score_is_of_drives_that_were_learned_from(told):
    first, second = evaluations(told)
    tests = [one for one in plan_road(WORLD) if one.split == "test"]
    assert [one["split"] for one in (first, second)] == ["test", "test"]
    assert [each["name"] for each in first["scores"]] == ["student", "rgb"]
    assert first["scores"][0]["groups"][0]["num_recordings"] == len(tests) == 3
    assert not any("learned from" in note for note in first["notes"])
    recipe = json.loads((told.folder / "runs/tiny/seed-1/recipe.json").read_text())
    assert (recipe["data"]["split"], recipe["seed"]) == ("train", 1)
    assert recipe["data"]["where"] == {"light": ["day", "dusk", "rain"]}
    trained = json.loads((told.folder / "runs/rgb/detector_training.json").read_text())
    assert trained["recipe"]["data"]["split"] == "teacher"


def test_the_store_has_what_students_need_and_no_more(told):
    store = Store.open(str(told.folder / "store"))
    producers = store.producers()
    assert set(producers) == {"rgb", "waveform", *CAMERA}
    (sound,) = producers["waveform"].outputs
    assert sound.shape == (2, 2 * 16_000)
    outputs = {output.name: output.shape for output in producers["rgb"].outputs}
    # Pictures of 128 x 64 at a stride of 32; four steps, one a picture.
    assert outputs["features_2"] == (4, 4, 2, 4)
    assert outputs["boxes"] == (4,)
    assert told.report.content_digest == store.summary().content_digest


def test_every_stage_tells_how_far_it_is(told):
    last = {event.stage: event for event in told.events}
    assert list(told.report.seconds) == [*last, "report"]
    assert list(last) == ["world", "detector", "extraction", "students", "evaluation"]
    for stage in ("world", "detector", "extraction", "evaluation"):
        assert last[stage].num_done == last[stage].num_total > 0, stage
    assert last["detector"].num_total == LEAST.num_detector_updates
    assert last["students"].num_done >= 2 * 2


def test_a_demo_tells_its_results_as_plain_values(told):
    values = json.loads(json.dumps(told.report.to_json()))
    assert values["simulated"] is True
    assert values["preset"] == "least"
    assert set(values["scores"]["tiny"]["light=night"]["AP@0.5"]) == {"mean", "sd", "values"}
    assert values["teacher"]["all"]["id_switches"]["values"] == [0.0]
    assert values["teachers"] == {"rgb": values["teacher"]}
    assert values["recipe"] == "stereosoundnet"
    assert set(values["seconds"]) >= {"world", "students", "report"}


def test_a_demo_ends_with_a_page_that_says_it_is_simulated(told):
    assert "simulated" in told.page
    assert "AP@0.5, tiny" in told.page
    assert "MAVD" in told.page
    assert "data:image" in told.page
    assert "http://" not in told.page.replace("http://www.w3.org", "")


def test_what_is_there_is_not_made_again(told, kept, again):
    assert len(kept) > 20
    assert again.files() == kept
    assert again.report.content_digest == told.report.content_digest
    heard, before = (each.report.scores["tiny"]["all"] for each in (again, told))
    assert heard["AP@0.5"] == before["AP@0.5"]
    assert heard["cd_released_x_percent"] == before["cd_released_x_percent"]


def test_without_trackeval_tracks_are_a_dash_and_all_else_is_there(again):
    metrics = again.report.scores["tiny"]["all"]
    assert not set(TRACKS) & set(metrics)
    first, *_ = tabulate_box_scores(again.report.scores)
    assert first[:2] == ("all", "tiny")
    assert first[2] != "-"
    assert first[-2:] == ("-", "-")
    assert "TrackEval is not installed" in again.page


def test_three_detectors_learn_each_from_its_stream_apart_from_students(rung):
    found = {}
    for name in ("rgb", "depth", "thermal"):
        trained = json.loads((rung.folder / f"teachers/{name}/detector_training.json").read_text())
        data = trained["recipe"]["data"]
        assert data["split"] == "teacher"
        found[data["stream"]] = data["value_range"]
    assert found == {"rgb": None, "depth": [0, 6000], "thermal": [26000, 32000]}
    assert [each.name for each in (rung.folder / "runs").iterdir()] == ["tiny"]
    last = {event.stage: event for event in rung.events}
    assert list(last) == ["world", "detectors", "extraction", "students", "evaluation"]
    assert last["detectors"].num_done == last["detectors"].num_total == 3 * 4


def test_one_extraction_stores_three_teachers_beside_eight_microphones(rung):
    store = Store.open(str(rung.folder / "store"))
    producers = store.producers()
    assert set(producers) == {"rgb", "depth", "thermal", "waveform", *CAMERA}
    (sound,) = producers["waveform"].outputs
    assert sound.shape == (8, 2 * 16_000)
    for name in ("rgb", "depth", "thermal"):
        outputs = {output.name for output in producers[name].outputs}
        assert {"boxes", "attention_1", "attention_2"} <= outputs


def test_its_student_learns_by_every_light_from_all_three(rung):
    run = rung.folder / "runs" / "tiny" / "seed-0"
    recipe = json.loads((run / "recipe.json").read_text())
    assert recipe["name"] == "mm_distillnet"
    assert recipe["data"]["where"] == {}
    assert set(json.loads((run / "student.json").read_text())["teachers"]) == {
        "rgb",
        "depth",
        "thermal",
    }
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"class", "box", "mta"} <= set(lines[0]["parts"])
    # Both drives of the split, by day and by night.
    assert [line["num_clips"] for line in lines] == [2, 2]


def test_all_three_teachers_are_scored_and_shown_beside_it(rung):
    assert list(rung.report.teachers) == ["rgb", "depth", "thermal"]
    for means in (*rung.report.teachers.values(), rung.report.scores["tiny"]):
        assert set(means) == GROUPS
    values = rung.report.to_json()
    assert values["teacher"] == values["teachers"]["rgb"]
    assert "eight microphones" in rung.page
    assert "AP@0.5 by night, tiny" in rung.page
    assert "AP@0.5 by night, teacher thermal" in rung.page
    assert "rgb (blue), depth (orange), thermal (pink)" in rung.page
    assert "MM-DistillNet on MAVD" in rung.page
