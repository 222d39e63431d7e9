import numpy as np
import pytest

from avkd.errors import InvalidValueError
from avkd.pipeline.comparison.bootstrap import choose_draw, compare_measures
from avkd.stages.metrics.comparison import compare_clips


def mean_of(values):
    return lambda counts: float(counts @ values / counts.sum())


def columns_of(recordings):
    return {"recording_id": list(recordings)}


def test_of_a_mean_over_clips_it_is_the_bootstrap_of_clips():
    generator = np.random.default_rng(0)
    one, other = (generator.random((3, 80)) < share for share in (0.5, 0.7))
    recordings = [f"r{place // 2}" for place in range(80)]
    expected = compare_clips(one.astype(float), other.astype(float), recordings=recordings)
    draw, num_units = choose_draw(columns_of(recordings))
    found = compare_measures(
        [mean_of(row) for row in one], [mean_of(row) for row in other], draw, num_units, 80
    )
    assert found.difference.value == pytest.approx(expected.difference.value)
    assert (found.num_clips, found.num_groups, found.num_seeds) == (80, 40, 3)
    # Two thousand draws against ten thousand others: a hundredth is four times their error.
    assert found.difference.low == pytest.approx(expected.difference.low, abs=0.01)
    assert found.difference.high == pytest.approx(expected.difference.high, abs=0.01)


def test_a_system_does_not_differ_from_itself():
    values = [mean_of(np.random.default_rng(1).random(30))]
    draw, num_units = choose_draw(columns_of(map(str, range(30))))
    found = compare_measures(values, values, draw, num_units, 30)
    assert (found.difference.low, found.difference.value, found.difference.high) == (0, 0, 0)
    assert found.p_value == 1


def test_whole_recordings_are_drawn():
    draw, num_units = choose_draw(columns_of("xxyyyz"))
    assert num_units == 3
    for seed in range(20):
        counts = draw(np.random.default_rng(seed))
        assert len(set(counts[:2])) == len(set(counts[2:5])) == 1
        assert counts[0] + counts[2] + counts[5] == 3


def test_a_trial_counts_as_often_as_both_of_its_speakers():
    columns = {
        "score": [0.0] * 3,
        "enrol_speaker": ["ann", "ann", "bob"],
        "test_speaker": ["ann", "bob", "bob"],
    }
    draw, num_units = choose_draw(columns)
    assert num_units == 2
    seen = {tuple(draw(np.random.default_rng(seed))) for seed in range(50)}
    assert seen == {(2.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 0.0, 2.0)}


def test_trials_are_drawn_where_a_speaker_is_not_known():
    columns = {"score": [0.0] * 4, "enrol_speaker": ["ann"] * 4, "test_speaker": [None] * 4}
    draw, num_units = choose_draw(columns)
    assert num_units == 4
    assert draw(np.random.default_rng(0)).sum() == 4


def test_draws_for_which_the_metric_does_not_exist_are_left_out_unless_they_are_most():
    draw, num_units = choose_draw(columns_of("wxyz"))

    def exists_with_the_first(counts):
        return 1.0 if counts[0] else float("nan")

    found = compare_measures([mean_of(np.zeros(4))], [exists_with_the_first], draw, num_units, 4)
    assert (found.difference.low, found.difference.high) == (1, 1)

    def hardly_exists(counts):
        return 1.0 if counts[0] == 4 else float("nan")

    with pytest.raises(InvalidValueError, match="of 2000 draws only"):
        compare_measures([hardly_exists], [hardly_exists], draw, num_units, 4)
