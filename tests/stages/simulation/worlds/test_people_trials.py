import pytest

from avkd.errors import InvalidValueError
from avkd.stages.simulation.worlds.people import full_people_world, plan_people_world
from avkd.stages.simulation.worlds.people_trials import (
    PersonTrial,
    format_trials,
    plan_trials,
)

SPECS = plan_people_world(full_people_world())
BY_PATH = {spec.path: spec for spec in SPECS}
TRIALS = plan_trials(SPECS, 0)


def share_of_similar(trials: tuple[PersonTrial, ...]) -> float:
    different = [t for t in trials if not t.is_same]
    alike = 0
    for trial in different:
        one, other = (BY_PATH[path].person for path in (trial.first, trial.second))
        alike += one.face_family == other.face_family or one.voice_family == other.voice_family
    return alike / len(different)


def test_all_pairs_of_a_speaker_are_asked_for_once() -> None:
    same = [(trial.first, trial.second) for trial in TRIALS if trial.is_same]
    assert len(same) == len(set(same)) == 30 * 8 * 7 // 2


def test_answers_are_right_and_only_test_recordings_are_asked_for() -> None:
    for trial in TRIALS:
        first, second = BY_PATH[trial.first], BY_PATH[trial.second]
        assert first.split == second.split == "test"
        assert (first.speaker == second.speaker) == trial.is_same
        assert trial.first < trial.second


def test_there_are_as_many_different_pairs_as_asked_for_and_none_twice() -> None:
    for ratio in (1, 4):
        trials = plan_trials(SPECS, 0, different_a_same=ratio)
        assert len(trials) == (1 + ratio) * 840
        assert len({(trial.first, trial.second) for trial in trials}) == len(trials)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_the_asked_share_of_different_pairs_is_of_similar_people(share: float) -> None:
    trials = plan_trials(SPECS, 0, different_a_same=1, similar_share=share)
    assert share_of_similar(trials) == pytest.approx(share, abs=0.001)


def test_where_pairs_are_few_all_are_taken() -> None:
    few = [spec for spec in SPECS if spec.speaker in ("id20001", "id20002")]
    trials = plan_trials(few, 0, similar_share=0.5)
    assert sum(trial.is_same for trial in trials) == 56
    assert sum(not trial.is_same for trial in trials) <= 64


def test_trials_depend_on_the_seed_alone() -> None:
    assert plan_trials(reversed(SPECS), 0) == TRIALS
    assert plan_trials(SPECS, 1) != TRIALS


def test_the_text_has_a_line_a_trial() -> None:
    trials = (
        PersonTrial(first="a/1/1.mp4", second="a/2/1.mp4", is_same=True),
        PersonTrial(first="a/1/1.mp4", second="b/1/1.mp4", is_same=False),
    )
    assert format_trials(trials) == "1 a/1/1.mp4 a/2/1.mp4\n0 a/1/1.mp4 b/1/1.mp4\n"


@pytest.mark.parametrize("wrong", [{"different_a_same": 0}, {"similar_share": 1.5}])
def test_a_share_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidValueError, match="from 0 to 1"):
        plan_trials(SPECS, 0, **wrong)  # type: ignore[arg-type]
