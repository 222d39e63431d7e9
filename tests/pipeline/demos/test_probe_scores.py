import pytest

from avkd.pipeline.demos.probe_scores import gather_scores, summarise


def score(features, labels, *accuracies):
    mean = sum(accuracies) / len(accuracies)
    return {
        "features": features,
        "labels_per_class": labels,
        "mean": mean,
        "accuracies": list(accuracies),
    }


def test_each_student_counts_once_however_often_its_labels_were_drawn():
    evaluations = [
        {"scores": [score("distilled", 1, 0.5, 0.7)]},
        {"scores": [score("distilled", 1, 0.8, 0.8)]},
    ]
    distilled = gather_scores(evaluations)["1"]["distilled"]
    assert distilled.values == pytest.approx((0.6, 0.8))
    assert distilled.mean == pytest.approx(0.7)
    assert distilled.sd == pytest.approx(0.1 * 2**0.5)


def test_controls_are_gathered_over_the_seeds_of_all_evaluations():
    evaluations = [
        {"scores": [score("distilled", 0, 0.5), score("random", 0, 0.2)]},
        {"scores": [score("distilled", 0, 0.5), score("random", 0, 0.4)]},
    ]
    assert gather_scores(evaluations)["all"]["random"].values == (0.2, 0.4)


def test_one_value_has_no_spread():
    assert summarise([0.4]).sd == 0.0
