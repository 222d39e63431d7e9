import pytest

from avkd.pipeline.demos.box_scores import (
    GROUPS,
    SHOWN,
    gather_box_scores,
    tabulate_box_scores,
    write_mean,
)
from avkd.pipeline.demos.probe_scores import summarise


def evaluation(student, teacher=None):
    """What the command prints, of metrics by group."""
    return {
        "scores": [
            {
                "name": name,
                "groups": [
                    {"group": group, "metrics": metrics} for group, metrics in groups.items()
                ],
            }
            for name, groups in (("student", student), ("rgb", teacher or {}))
        ]
    }


def test_every_seed_gives_a_value_of_each_group():
    scores = gather_box_scores(
        [
            evaluation({"all": {"AP@0.5": 0.5}, "light=night": {"AP@0.5": 0.2}}),
            evaluation({"all": {"AP@0.5": 0.7}, "light=night": {"AP@0.5": 0.2}}),
        ]
    )
    assert scores["all"]["AP@0.5"].values == (0.5, 0.7)
    assert scores["all"]["AP@0.5"].mean == pytest.approx(0.6)
    assert scores["all"]["AP@0.5"].sd == pytest.approx(0.1 * 2**0.5)
    assert scores["light=night"]["AP@0.5"].sd == 0


def test_a_number_that_one_seed_lacks_does_not_exist():
    evaluations = [
        evaluation({"all": {"CDx_percent": 3.0, "AP@0.5": 0.5, "MOTA": 0.1}}),
        evaluation({"all": {"CDx_percent": None, "AP@0.5": 0.0}}),
    ]
    scores = gather_box_scores(evaluations)
    assert scores["all"]["CDx_percent"] is None
    assert scores["all"]["MOTA"] is None
    assert scores["all"]["AP@0.5"].values == (0.5, 0.0)


def test_a_teacher_is_found_beside_the_student():
    told = evaluation({"all": {"AP@0.5": 0.5}}, {"all": {"AP@0.5": 0.9}})
    assert gather_box_scores([told], "rgb")["all"]["AP@0.5"].values == (0.9,)


def test_a_table_has_a_line_for_everyone_in_every_group():
    heard = {"all": {"AP@0.5": summarise([0.5]), "id_switches": summarise([7.0])}}
    lines = tabulate_box_scores({"phase": heard, "mono": {}})
    assert [line[:2] for line in lines] == [(g, who) for g in GROUPS for who in ("phase", "mono")]
    assert {len(line) for line in lines} == {2 + len(SHOWN)}
    assert lines[0] == ("all", "phase", "0.500", "-", "-", "-", "7")
    assert set(lines[1][2:]) == set(lines[2][2:]) == {"-"}


@pytest.mark.parametrize(
    ("metric", "values", "text"),
    [
        ("AP@0.5", [0.41234], "0.412"),
        ("AP@0.5", [0.4, 0.6], "0.500 (0.141)"),
        ("MOTA", [-0.25], "-0.250"),
        ("id_switches", [12], "12"),
        ("id_switches", [12, 13], "12.5 (0.7)"),
    ],
)
def test_numbers_are_written_with_the_spread_of_several_seeds(metric, values, text):
    assert write_mean(metric, summarise(values)) == text


def test_a_fraction_may_be_written_in_percent():
    assert write_mean("MOTA", summarise([0.1694]), digits=2, scale=100.0) == "16.94"
