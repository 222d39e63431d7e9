import json
from pathlib import Path

import pytest

from avkd.pipeline.demos import things
from avkd.pipeline.demos.things import DemoPreset, run_demo
from avkd.stages.simulation.worlds.things import ThingsWorld

WORLD = ThingsWorld(
    seed=5,
    num_unlabelled=24,
    num_train_per_kind=2,
    num_validation_per_kind=1,
    num_test_per_kind=1,
    clip_seconds=5.0,
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A demo of the smallest size that has every stage, its report and its progress."""
    events = []
    preset = DemoPreset(
        name="least",
        world=WORLD,
        step_seconds=5.0,
        variant="tiny",
        seeds=(0,),
        labels_per_class=(0,),
        executor="serial",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(things, "fast_preset", lambda: preset)
        report = run_demo(
            str(tmp_path_factory.mktemp("demo")), fast=True, on_progress=events.append
        )
    return report, events


def test_a_demo_measures_the_student_beside_all_its_controls(told):
    report, _ = told
    assert {"distilled", "scratch", "random", "teacher"} <= set(report.probe_accuracy)
    assert all(0 <= means.mean <= 1 for means in report.probe_accuracy.values())
    assert report.probe_accuracy == report.probe_accuracy_by_labels["all"]


def test_a_demo_looks_at_every_recording_with_both_teachers(told):
    report, events = told
    last = [event for event in events if event.stage == "extraction"][-1]
    assert last.num_done == last.num_total > 0
    # Two teachers with two outputs each, and the sound, of 24 + 12 x 4 recordings.
    assert report.content_digest.endswith(f"-{(24 + 48) * 5}")


def test_a_demo_ends_with_a_page_that_says_it_is_simulated(told):
    report, _ = told
    page = Path(report.report).read_text()
    assert "simulated" in page
    assert "data:image" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_demo_tells_its_results_as_plain_values(told):
    report, _ = told
    values = json.loads(json.dumps(report.to_json()))
    assert values["simulated"] is True
    assert set(values["probe_accuracy"]["distilled"]) == {"mean", "sd", "values"}


def test_students_never_learn_from_labelled_recordings(told):
    report, _ = told
    folder = Path(report.report).parent / "runs" / "seed-0"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    seen = sum(line.get("num_clips", 0) for line in lines if line.get("epoch") == 0)
    assert 0 < seen <= 24
