import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.pipeline.comparison.measures import build_measure
from avkd.stages.metrics.tagging import d_prime, evaluate_tagging
from avkd.stages.metrics.trials import Trials
from avkd.stages.metrics.verification import (
    DetectionCost,
    equal_error_rate,
    error_rates,
    evaluate_trials,
    min_dcf,
)

CLASSES = ("a", "b", "c")
TAGGING = ("mAP", "micro_f1", "micro_precision", "micro_recall", "d_prime")


def tags(seed, num_clips=40):
    """Logits with ties, and labels that they tell something of; no class is without a clip."""
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.eye(3, dtype=bool), generator.random((num_clips - 3, 3)) < 0.4])
    truth[~truth.any(axis=1), 0] = True
    logits = np.round(generator.normal(size=truth.shape) + truth, 1)
    labels = [";".join(np.array(CLASSES)[row]) for row in truth]
    return {"label": labels, "logits": logits.tolist()}, logits.astype(np.float32), truth


def trials(seed, num_trials=60):
    generator = np.random.default_rng(seed)
    is_target = np.concatenate([[True, False], generator.random(num_trials - 2) < 0.3])
    scores = np.round(generator.normal(size=num_trials) + is_target, 1)
    return {"score": scores.tolist(), "is_target": is_target.tolist()}, scores, is_target


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_each_clip_counted_once_gives_the_metrics_of_an_evaluation(seed):
    columns, logits, truth = tags(seed)
    scores = evaluate_tagging(logits, truth, CLASSES, scale="logits")
    expected = (
        scores.mean_average_precision,
        scores.micro_f1,
        scores.micro_precision,
        scores.micro_recall,
        scores.d_prime,
    )
    for metric, value in zip(TAGGING, expected, strict=True):
        measure = build_measure("classes", metric, columns, CLASSES, 0.01)
        assert measure(np.ones(40)) == pytest.approx(value)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_count_is_a_weight_as_scikit_learn_takes_it(seed):
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    columns, logits, truth = tags(seed)
    counts = np.random.default_rng(seed).integers(0, 4, 40).astype(float)
    counts[:3] = 1  # every class stays
    precisions = [
        average_precision_score(truth[:, k], logits[:, k], sample_weight=counts) for k in range(3)
    ]
    areas = [roc_auc_score(truth[:, k], logits[:, k], sample_weight=counts) for k in range(3)]
    weights = np.repeat(counts, 3)
    expected = {
        "mAP": np.mean(precisions),
        "micro_f1": f1_score(truth.ravel(), (logits > 0).ravel(), sample_weight=weights),
        "d_prime": d_prime(float(np.mean(areas))),
    }
    for metric, value in expected.items():
        measure = build_measure("classes", metric, columns, CLASSES, 0.01)
        assert measure(counts) == pytest.approx(value)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_error_rates_of_counted_trials_are_those_of_trials_that_come_again(seed):
    columns, scores, is_target = trials(seed)
    counts = np.random.default_rng(seed).integers(0, 3, 60)
    counts[:2] = 1  # both kinds stay
    rates = error_rates(np.repeat(scores, counts), np.repeat(is_target, counts))
    cost = DetectionCost(p_target=0.05)
    eer = build_measure("verification", "eer", columns, (), 0.05)
    dcf = build_measure("verification", "min_dcf", columns, (), 0.05)
    assert eer(counts.astype(float)) == pytest.approx(equal_error_rate(rates))
    assert dcf(counts.astype(float)) == pytest.approx(min_dcf(rates, cost))


def test_trials_counted_once_give_the_rates_of_an_evaluation():
    columns, scores, is_target = trials(5)
    names = tuple(map(str, range(60)))
    found = evaluate_trials(Trials(enrol_ids=names, test_ids=names, is_target=is_target), scores)
    assert build_measure("verification", "eer", columns, (), 0.01)(np.ones(60)) == found.eer


def test_accuracy_counts_clips_and_macro_accuracy_classes():
    columns = {"label": list("aab"), "correct": [True, False, True]}
    accuracy = build_measure("class", "accuracy", columns, CLASSES, 0.01)
    macro = build_measure("class", "macro_accuracy", columns, CLASSES, 0.01)
    assert accuracy(np.array([1.0, 1.0, 1.0])) == pytest.approx(2 / 3)
    assert macro(np.array([1.0, 1.0, 1.0])) == 0.75
    assert accuracy(np.array([0.0, 3.0, 1.0])) == 0.25
    assert macro(np.array([0.0, 3.0, 1.0])) == 0.5
    assert macro(np.array([2.0, 0.0, 0.0])) == 1.0


def test_what_does_not_exist_for_a_draw_is_no_number():
    columns, _, is_target = trials(1)
    eer = build_measure("verification", "eer", columns, (), 0.01)
    assert np.isnan(eer(np.where(is_target, 0.0, 1.0)))
    assert np.isnan(eer(np.where(is_target, 1.0, 0.0)))
    tagged, _, truth = tags(1)
    # A class without a positive clip is left out of the mean, as in an evaluation.
    without_a = np.where(truth[:, 0], 0.0, 1.0)
    kept = without_a > 0
    expected = evaluate_tagging(
        np.asarray(tagged["logits"], np.float32)[kept], truth[kept], CLASSES, scale="logits"
    )
    mean_ap = build_measure("classes", "mAP", tagged, CLASSES, 0.01)
    assert mean_ap(without_a) == pytest.approx(expected.mean_average_precision)


@pytest.mark.parametrize("kind", ["class", "classes", "verification"])
def test_an_unknown_metric_cannot_be_resampled(kind):
    columns = {**tags(0)[0], **trials(0)[0], "correct": [True] * 40}
    columns["label"] = ["a"] * 40
    assert build_measure(kind, "agreement", columns, CLASSES, 0.01) is None
