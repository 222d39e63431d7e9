import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation.row_predictions import RowPredictions
from avkd.pipeline.evaluation.row_scores import (
    measure_agreement,
    predict_class,
    score_class,
    score_classes,
)


def said(labels, logits, *, clip_ids=None, class_names=("a", "b", "c"), num_left_out=0):
    logits = np.asarray(logits, np.float32)
    names = tuple(clip_ids or (f"clip{place}" for place in range(len(labels))))
    return RowPredictions(
        clip_ids=names,
        recording_ids=names,
        labels=tuple(labels),
        logits=logits,
        embeddings=np.zeros((len(labels), 2), np.float32),
        class_names=class_names,
        num_left_out=num_left_out,
    )


def one_hot(*places):
    return np.eye(3)[list(places)]


def test_accuracy_counts_rows_and_macro_accuracy_counts_classes():
    scores = score_class("student", said("aaab", one_hot(0, 0, 1, 1), num_left_out=2))
    assert scores.metrics == {"accuracy": 0.75, "macro_accuracy": pytest.approx((2 / 3 + 1) / 2)}
    assert (scores.num_rows, scores.num_left_out) == (4, 2)
    interval = scores.intervals["accuracy"]
    assert interval.low < interval.value == 0.75 < interval.high


def test_confusion_and_classes_that_are_absent_or_never_predicted_are_told():
    details = score_class("student", said("aab", one_hot(0, 2, 2))).details
    assert details["confusion"] == [[1, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert details["class_accuracies"] == {"a": 0.5, "b": 0.0}
    assert details["absent_classes"] == ("c",)
    assert details["unpredicted_classes"] == ("b",)


def test_a_label_that_the_student_does_not_know_is_named():
    with pytest.raises(CorpusError, match="label 'z' is not one of the 3 classes that student"):
        score_class("student", said("az", one_hot(0, 1)))
    with pytest.raises(CorpusError, match="'z'"):
        score_classes("student", said(["a;b", "a;z"], one_hot(0, 1)))


def test_a_row_of_several_classes_is_no_row_of_one_class():
    with pytest.raises(CorpusError, match="several classes"):
        score_class("student", said(["a;b", "a"], one_hot(0, 0)))


def test_logits_without_class_names_are_refused():
    with pytest.raises(InvalidValueError, match="3 logits for 0 class names"):
        score_class("student", said("ab", one_hot(0, 1), class_names=()))


def test_several_classes_are_cut_at_a_probability_of_one_half():
    scores = score_classes("student", said(["a;b", "c"], [[2, -1, -2], [-1, 0.5, 3]]))
    # Right are a and c; b is missed once and predicted once where it is not.
    assert scores.metrics["micro_precision"] == pytest.approx(2 / 3)
    assert scores.metrics["micro_recall"] == pytest.approx(2 / 3)
    assert scores.metrics["mAP"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert next(iter(scores.metrics)) == "mAP"


def test_agreement_is_over_the_rows_that_both_predict_and_needs_no_labels():
    one = said("aaa", one_hot(0, 1, 2), clip_ids=("x", "y", "z"))
    # The other has its classes in another order: its first is the one's second.
    other = said("aa", one_hot(0, 1), clip_ids=("y", "z"), class_names=("b", "a", "c"))
    assert measure_agreement(one, other) == 0.5
    assert np.isnan(measure_agreement(one, said("a", one_hot(0), clip_ids=("w",))))


def test_the_likeliest_class_is_predicted():
    assert predict_class(said("ab", one_hot(2, 0))).tolist() == [2, 0]
