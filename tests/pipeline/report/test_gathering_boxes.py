import json

from avkd.pipeline.report.gathering import gather_report
from avkd.pipeline.report.report import build_report

MEGABYTE = 1_000_000


def test_runs_that_say_boxes_are_told_on_a_page_of_a_few_megabytes(road_store, ears):
    content = gather_report(
        road_store, [str(ears / "ear"), str(ears / "other")], num_stills=2, num_videos=1
    )
    assert len(content.boxes.evaluations) == 2
    assert (len(content.boxes.stills), len(content.boxes.videos)) == (2, 1)
    # Their metrics, some twenty, are told there and not as scores of rows.
    assert not content.tables
    page = build_report(content)
    assert len(page) < 6 * MEGABYTE
    assert page.count("<video") == 1


def test_losses_of_several_students_are_by_student_and_of_one_by_seed(tmp_path, road_store):
    for name in ("stereo/seed-0", "stereo/seed-1", "mono/seed-0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "recipe.json").write_text("{}")
        line = json.dumps({"update": 1, "loss": 2.5})
        (tmp_path / name / "metrics.jsonl").write_text(f"{line}\n")
    both = gather_report(road_store, [f"{tmp_path}/stereo", f"{tmp_path}/mono"], num_frames=0)
    assert [curve.name for curve in both.losses] == ["stereo", "stereo", "mono"]
    one = gather_report(road_store, [f"{tmp_path}/stereo"], num_frames=0)
    assert [curve.name for curve in one.losses] == ["seed-0", "seed-1"]
    assert one.boxes is None
