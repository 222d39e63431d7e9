from dataclasses import replace

import numpy as np
import pytest

from avkd.errors import CorruptStoreError
from avkd.pipeline.comparison.measured import Protocol, Scored
from avkd.pipeline.comparison.pairing import Contender, compare_pair
from avkd.pipeline.evaluation.row_files import label_table, trial_table, write_predictions
from avkd.pipeline.evaluation.row_predictions import RowPredictions
from avkd.pipeline.evaluation.row_scores import score_class
from avkd.stages.metrics.comparison import compare_clips, compare_seeds
from avkd.stages.metrics.trials import parse_trials

CLASS = Protocol(kind="class", data="test", label_column="label")
TRIALS = Protocol(kind="verification", data="test", trials="t.txt", scoring="cosine", p_target=0.01)
NUM_CLIPS = 40


def said(hits, first_clip=0):
    """Predictions of clips with two classes that are right where told."""
    truth = np.arange(first_clip, first_clip + len(hits)) % 2
    predicted = np.where(hits, truth, 1 - truth)
    return RowPredictions(
        clip_ids=tuple(f"clip{first_clip + place}" for place in range(len(hits))),
        recording_ids=tuple(f"r{(first_clip + place) // 2}" for place in range(len(hits))),
        labels=tuple("ab"[number] for number in truth),
        logits=np.eye(2, dtype=np.float32)[predicted],
        embeddings=np.zeros((len(hits), 1), np.float32),
        class_names=("a", "b"),
        num_left_out=0,
    )


@pytest.fixture
def contend(tmp_path):
    """Build a side of a comparison from hits (runs, clips)."""

    def build(name, hits, seeds=(0, 1), first_clip=0):
        scored = []
        for seed, row in zip(seeds, hits, strict=True):
            rows = said(row, first_clip)
            file = tmp_path / f"{name}-{seed}.parquet"
            write_predictions(file, label_table(rows, has_one_class=True))
            scored.append(Scored(metrics=score_class(name, rows).metrics, predictions=file))
        return Contender(name=name, scored=tuple(scored), seeds=tuple(seeds))

    return build


def draw_hits(share, num_runs=2, seed=0):
    return np.random.default_rng([seed, round(100 * share)]).random((num_runs, NUM_CLIPS)) < share


def test_clips_and_seeds_are_paired(contend):
    low, high = draw_hits(0.4), draw_hits(0.8)
    pair = compare_pair(contend("low", low), contend("high", high), CLASS, "accuracy")
    recordings = [f"r{place // 2}" for place in range(NUM_CLIPS)]
    assert pair.over_clips == compare_clips(
        low.astype(float), high.astype(float), recordings=recordings
    )
    assert pair.over_seeds == compare_seeds(low.mean(axis=1), high.mean(axis=1))
    assert pair.notes == ()


def test_runs_pair_by_seed_whatever_their_order(contend):
    low, high = draw_hits(0.4, 3), draw_hits(0.8, 3)
    turned = contend("high", high[::-1], seeds=(2, 1, 0))
    pair = compare_pair(contend("low", low, seeds=(0, 1, 2)), turned, CLASS, "accuracy")
    assert pair.over_seeds == compare_seeds(low.mean(axis=1), high.mean(axis=1))


def test_seeds_that_one_side_lacks_are_left_out_and_told(contend):
    low, high = contend("low", draw_hits(0.4, 3), (0, 1, 2)), contend("high", draw_hits(0.8, 2))
    pair = compare_pair(low, high, CLASS, "accuracy")
    assert pair.over_seeds is not None
    assert pair.over_seeds.difference.num_seeds == 2
    assert pair.notes == ("only seeds 0, 1 are paired",)


def test_without_two_seeds_in_common_there_is_no_test_over_seeds(contend):
    low, high = contend("low", draw_hits(0.4)), contend("high", draw_hits(0.8), seeds=(1, 2))
    pair = compare_pair(low, high, CLASS, "accuracy")
    assert pair.over_seeds is None
    assert pair.over_clips is not None
    assert pair.notes == ("1 seeds in common: two are needed for a test over seeds",)


def test_one_run_is_set_against_every_seed(contend):
    one, many = draw_hits(0.4, 1), draw_hits(0.8, 3)
    baseline, candidate = contend("one", one, (39,)), contend("many", many, (0, 1, 2))
    pair = compare_pair(baseline, candidate, CLASS, "accuracy")
    assert pair.over_seeds == compare_seeds([one.mean()] * 3, many.mean(axis=1))
    assert "the baseline is one run" in pair.notes[0]
    turned = compare_pair(candidate, baseline, CLASS, "accuracy")
    assert "it is one run" in turned.notes[0]


def test_only_clips_of_both_are_paired_and_the_others_told(contend):
    low, high = draw_hits(0.4), draw_hits(0.8)
    shifted = contend("high", high, first_clip=10)
    pair = compare_pair(contend("low", low), shifted, CLASS, "accuracy")
    assert pair.over_clips is not None
    assert pair.over_clips.num_clips == 30
    expected = high[:, :30].mean() - low[:, 10:].mean()
    assert pair.over_clips.difference.value == pytest.approx(expected)
    assert pair.notes == ("clips differ: 30 of 40 are in all runs and are paired",)


def test_runs_without_a_clip_in_common_are_not_tested_over_clips(contend):
    far = contend("far", draw_hits(0.8), first_clip=100)
    pair = compare_pair(contend("low", draw_hits(0.4)), far, CLASS, "accuracy")
    assert pair.over_clips is None
    assert pair.notes == ("clips differ: 0 of 40 are in all runs and are paired",)


def test_a_metric_that_is_no_mean_over_clips_is_computed_anew_for_every_draw(contend):
    low, high = contend("low", draw_hits(0.4)), contend("high", draw_hits(0.8))
    pair = compare_pair(low, high, CLASS, "macro_accuracy")
    assert pair.over_clips is not None
    means = [
        np.mean([each.metrics["macro_accuracy"] for each in side.scored]) for side in (high, low)
    ]
    assert pair.over_clips.difference.value == pytest.approx(means[0] - means[1])
    assert pair.over_clips.num_groups == NUM_CLIPS // 2


def test_a_metric_of_which_no_draw_can_be_computed_is_compared_over_seeds_alone(contend):
    def with_kappa(side, values):
        metrics = [{**e.metrics, "kappa": v} for e, v in zip(side.scored, values, strict=True)]
        scored = [replace(e, metrics=m) for e, m in zip(side.scored, metrics, strict=True)]
        return replace(side, scored=tuple(scored))

    low = with_kappa(contend("low", draw_hits(0.4)), (0.1, 0.2))
    high = with_kappa(contend("high", draw_hits(0.8)), (0.4, 0.6))
    pair = compare_pair(low, high, CLASS, "kappa")
    assert pair.over_clips is None
    assert pair.notes == ("kappa cannot be resampled: no test over clips",)
    assert pair.over_seeds == compare_seeds([0.1, 0.2], [0.4, 0.6])


def test_probes_have_no_clips_to_pair():
    sides = [
        Contender(
            name=name,
            scored=tuple(Scored(metrics={"accuracy": v}, predictions=None) for v in values),
            seeds=(0, 1),
        )
        for name, values in (("low", (0.5, 0.6)), ("high", (0.7, 0.9)))
    ]
    probe = Protocol(kind="probe", data="sounds")
    pair = compare_pair(sides[0], sides[1], probe, "accuracy")
    assert pair.over_clips is None
    assert pair.over_seeds is not None
    assert pair.over_seeds.difference.mean == pytest.approx(0.25)
    (note,) = pair.notes
    assert note == "probes, boxes and class maps have no predictions by clip: no test over clips"


def test_trials_are_paired_line_by_line(tmp_path):
    trials = parse_trials("1 a b\n0 a c\n1 c d\n0 b d\n0 b c\n1 a b\n", "t.txt")
    sides = []
    for name, scores in (("flat", [0.0] * 6), ("sharp", [1.0, 0, 1, 0, 0, 1])):
        file = tmp_path / f"{name}.parquet"
        write_predictions(file, trial_table(trials, np.array(scores), None))
        eer = 0.5 if name == "flat" else 0.0
        sides.append(
            Contender(
                name=name, scored=(Scored(metrics={"eer": eer}, predictions=file),), seeds=(0,)
            )
        )
    pair = compare_pair(sides[0], sides[1], TRIALS, "eer")
    assert pair.over_clips is not None
    assert pair.over_clips.num_clips == 6
    # Scores that tell nothing have an EER of one half, whatever is drawn.
    interval = pair.over_clips.difference
    assert (interval.low, interval.value, interval.high) == (-0.5, -0.5, -0.5)


def test_predictions_that_are_gone_are_named(contend):
    low, high = contend("low", draw_hits(0.4)), contend("high", draw_hits(0.8))
    assert high.scored[0].predictions is not None
    high.scored[0].predictions.unlink()
    with pytest.raises(CorruptStoreError, match=r"high-0\.parquet .* evaluate the run again"):
        compare_pair(low, high, CLASS, "accuracy")
