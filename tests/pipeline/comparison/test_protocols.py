import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.groups import RunGroup
from avkd.pipeline.comparison.measured import Evaluation, MeasuredRun, Protocol, Scored
from avkd.pipeline.comparison.protocols import choose_protocol, find_evaluation
from avkd.pipeline.recipe import EncoderConfig, Recipe, ScheduleConfig

RECIPE = Recipe(
    name="rows",
    variant="tiny",
    encoder=EncoderConfig(name="vectors"),
    schedule=ScheduleConfig(num_updates=1),
)
TEST = Protocol(kind="class", data="test", label_column="label")
TRUTH = Protocol(kind="class", data="test", label_column="truth")
DEV = Protocol(kind="class", data="dev", label_column="label")
TRIALS = Protocol(kind="verification", data="test", trials="t.txt", scoring="cosine", p_target=0.01)
SOUNDS = Protocol(kind="probe", data="sounds")
METRIC = {"verification": "eer"}


def group(name, *protocols):
    evaluations = tuple(
        Evaluation(
            name=f"{p.data}-{p.label_column or p.trials}",
            protocol=p,
            store="store",
            student=Scored(metrics={METRIC.get(p.kind, "accuracy"): 0.5}, predictions=None),
        )
        for p in protocols
    )
    run = MeasuredRun(path=name, recipe=RECIPE, origin={}, evaluations=evaluations)
    return RunGroup(name=name, runs=(run,))


def test_the_one_that_all_runs_have_is_taken():
    groups = [group("a", TEST, DEV), group("b", SOUNDS, TEST)]
    assert choose_protocol(groups, None, "") == TEST
    assert find_evaluation(groups[1].runs[0], TEST).name == "test-label"


def test_of_several_the_split_or_the_name_of_the_report_chooses():
    groups = [group(name, TEST, TRUTH, DEV, SOUNDS) for name in "ab"]
    assert choose_protocol(groups, "dev", "") == DEV
    assert choose_protocol(groups, "sounds", "") == SOUNDS
    assert choose_protocol(groups, "test-truth", "") == TRUTH
    with pytest.raises(InvalidValueError, match=r"2 ways \(test-label is .*; test-truth is"):
        choose_protocol(groups, "test", "")


def test_of_several_a_metric_that_only_one_has_chooses():
    groups = [group(name, TEST, TRIALS) for name in "ab"]
    assert choose_protocol(groups, "test", "eer") == TRIALS
    assert choose_protocol(groups, None, "accuracy") == TEST


def test_evaluations_of_another_kind_split_or_column_are_never_mixed():
    for other in (TRUTH, DEV, TRIALS, SOUNDS):
        with pytest.raises(InvalidValueError, match=r"a was evaluated on .* but b on .* compare"):
            choose_protocol([group("a", TEST), group("b", other)], None, "")
    other_prior = Protocol(**{**TRIALS.__dict__, "p_target": 0.05})
    with pytest.raises(InvalidValueError, match=r"P_target 0\.01 but b on .* P_target 0\.05"):
        choose_protocol([group("a", TRIALS), group("b", other_prior)], None, "")


def test_a_common_evaluation_is_of_all_runs():
    groups = [group("a", TEST, DEV), group("b", TEST), group("c", DEV)]
    with pytest.raises(InvalidValueError, match="common to all runs"):
        choose_protocol(groups, None, "")


def test_a_run_without_the_split_is_told_the_command():
    with pytest.raises(InvalidValueError, match="avkd evaluate b STORE --split dev"):
        choose_protocol([group("a", DEV), group("b", TEST)], "dev", "")
