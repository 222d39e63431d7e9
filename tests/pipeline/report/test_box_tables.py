import pytest

from avkd.pipeline.report.box_runs import BoxRun, evaluation_key
from avkd.pipeline.report.box_tables import tell_evaluations

PRECISIONS = [1.0, 0.5, 0.0]


def group(name="all", **metrics):
    curve = {"iou_threshold": 0.5, "precisions": PRECISIONS}
    return {
        "group": name,
        "num_recordings": 2,
        "num_frames": 20,
        "num_reference_boxes": 1,
        "metrics": metrics,
        "curves": [curve, {**curve, "iou_threshold": 0.75}],
    }


def report(*groups, teachers=(), **fields):
    scores = [{"name": "student", "groups": list(groups)}]
    scores += [{"name": name, "groups": [one]} for name, one in teachers]
    return {
        "name": "boxes-test",
        "store": "/store",
        "split": "test",
        "reference": "truth",
        "against": "truth/boxes.csv",
        "notes": ["a note"],
        "scores": scores,
        **fields,
    }


def run(name, *reports):
    return BoxRun(name=name, reports={evaluation_key(reports[0]): reports})


def test_seeds_are_a_mean_and_an_sd_and_a_single_run_is_itself():
    seeds = [report(group(**{"AP@0.5": ap, "id_switches": n})) for ap, n in ((0.4, 1), (0.6, 4))]
    (found,) = tell_evaluations([run("stereo", *seeds), run("mono", seeds[0])])
    (table,) = found.tables
    assert table.header == ("", "AP@0.5", "ID switches")
    assert table.rows == (
        ("stereo (2 seeds)", "0.500 (0.141)", "2.5 (2.1)"),
        ("mono", "0.400", "1"),
    )
    assert table.note == "2 recordings, 20 pictures, 1 box"
    assert found.notes == ("a note",)


def test_a_number_that_one_seed_lacks_is_not_told():
    seeds = [report(group(CDx_percent=value)) for value in (2.0, None)]
    (found,) = tell_evaluations([run("stereo", *seeds)])
    assert found.tables[0].rows == (("stereo (2 seeds)", "\N{EN DASH}"),)


def test_a_teacher_comes_once_after_all_students():
    own = group(**{"AP@0.5": 0.5})
    both = [report(own, teachers=[("rgb", group(**{"AP@0.5": 0.9}))]) for _ in range(2)]
    (found,) = tell_evaluations([run("stereo", *both), run("mono", both[0])])
    assert [row[0] for row in found.tables[0].rows] == ["stereo (2 seeds)", "mono", "teacher rgb"]
    assert [curve.is_teacher for curve in found.curves] == [False, False, False, True]
    assert found.curves[0].precisions == tuple(PRECISIONS)


def test_groups_that_only_some_were_asked_for_have_only_those():
    own = group(**{"AP@0.5": 0.5})
    night = group("light=night", **{"AP@0.5": 0.25})
    (found,) = tell_evaluations([run("a", report(own)), run("b", report(own, night))])
    assert [(table.title, len(table.rows)) for table in found.tables] == [
        ("all recordings", 2),
        ("light: night", 1),
    ]


def test_truth_agreement_and_other_rules_are_never_in_one_table():
    agreement = report(
        group(**{"AP@0.5 (agreement with teacher rgb)": 0.5}),
        reference="teacher",
        against="rgb",
        name="boxes-test-against_rgb",
    )
    hidden = report(group(), name="boxes-test-visible_0.5")
    elsewhere = report(group(), store="/other")
    runs = [
        run(str(n), one) for n, one in enumerate((agreement, report(group()), hidden, elsewhere))
    ]
    found = tell_evaluations(runs)
    assert [each.title.split(", ")[0] for each in found] == [
        *["Against the truth boxes.csv"] * 3,
        "Agreement with teacher rgb",
    ]
    assert [len(each.tables[0].rows) for each in found] == [1] * 4
    assert found[-1].tables[0].header == ("", "AP@0.5")
    assert found[0].title == "Against the truth boxes.csv, split test of /other"


def test_notes_that_are_not_of_all_say_of_whom_they_are():
    both = report(group())
    one = report(group(), notes=["a note", "the student learned from split 'test'"])
    (found,) = tell_evaluations([run("stereo", both, one), run("mono", both)])
    assert found.notes == ("a note", "of stereo: the student learned from split 'test'")


@pytest.mark.parametrize("split", ["", "test"])
def test_the_title_names_the_rows(split):
    (found,) = tell_evaluations([run("a", report(group(), split=split))])
    assert found.title.endswith("split test" if split else "all rows")
