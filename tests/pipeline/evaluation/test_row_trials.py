import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation.row_predictions import RowPredictions, WantedRows
from avkd.pipeline.evaluation.row_trials import (
    TrialBench,
    average_recordings,
    read_trials,
    require_cohort_split,
)
from avkd.stages.metrics.trials import as_norm_scores, cosine_scores, parse_trials
from avkd.storage.store import Store


def said(recording_ids, embeddings, labels=()):
    return RowPredictions(
        clip_ids=tuple(f"clip{place}" for place in range(len(recording_ids))),
        recording_ids=tuple(recording_ids),
        labels=tuple(labels) or ("",) * len(recording_ids),
        logits=np.zeros((len(recording_ids), 2), np.float32),
        embeddings=np.asarray(embeddings, np.float32),
        class_names=(),
        num_left_out=0,
    )


def bench(row_store, text, *, split="test", cohort=None, label_column="speaker"):
    trials = parse_trials(text, "trials.txt")
    return TrialBench(Store.open(row_store), trials, split, label_column, cohort)


def refuse_to_predict(wanted: WantedRows) -> RowPredictions:
    raise AssertionError(f"nothing is to be predicted of {wanted}")


def test_clips_of_a_recording_count_by_direction_and_not_by_length():
    averages = average_recordings(said(["a", "b", "a"], [[3, 0], [0, 5], [0, 100]]))
    assert averages["a"].tolist() == [0.5, 0.5]
    assert averages["b"].tolist() == [0, 1]


def test_trials_are_scored_by_the_cosine_of_averaged_recordings(row_store):
    known = bench(row_store, "1 test/0 test/1\n0 test/0 test/2\n")
    rows = said(["test/0", "test/0", "test/1", "test/2"], [[1, 0], [0, 1], [1, 1], [1, -1]])
    scores = known.score(rows, refuse_to_predict)
    np.testing.assert_allclose(scores, [1, 0], atol=1e-7)
    assert np.array_equal(scores, cosine_scores(known.trials, average_recordings(rows)))


def test_the_cohort_is_the_mean_of_each_speaker_that_was_learned_from(row_store):
    known = bench(row_store, "1 test/0 test/1\n0 test/0 test/2\n", cohort="train")
    rows = said(["test/0", "test/1", "test/2"], [[1, 0], [1, 1], [0.2, -1]])
    cohort = said("xyzz", [[2, 0], [0, 1], [1, 1], [-1, 0.5]], labels=["s", "s", "t", "u"])

    def predict(wanted):
        assert wanted == WantedRows(split="train", label_column="speaker")
        return cohort

    unit = np.array([1, 1]) / np.sqrt(2), np.array([-1, 0.5]) / np.sqrt(1.25)
    means = np.stack([[0.5, 0.5], *unit]).astype(np.float32)
    expected = as_norm_scores(known.trials, average_recordings(rows), means, top_n=3)
    np.testing.assert_allclose(known.score(rows, predict), expected, rtol=1e-5)
    assert known.scoring == "AS-norm by split train"


def test_a_speaker_of_the_trials_in_the_cohort_is_refused(row_store):
    known = bench(row_store, "1 test/0 test/6\n", cohort="train")
    rows = said(["test/0", "test/6"], [[1, 0], [1, 1]])
    cohort = said("xy", [[2, 0], [0, 1]], labels=["train-0", "test-0"])
    with pytest.raises(CorpusError, match="speaker 'test-0' is in the trials and in split 'train'"):
        known.score(rows, lambda wanted: cohort)


def test_a_cohort_needs_a_split_of_its_own():
    assert require_cohort_split("test", "train") == "train"
    with pytest.raises(InvalidValueError, match="learned from split 'test'"):
        require_cohort_split("test", "test")
    with pytest.raises(InvalidValueError, match="learned from all rows"):
        require_cohort_split("test", None)


def test_recordings_that_the_split_does_not_have_are_named(row_store):
    with pytest.raises(CorpusError, match=r"names 2 recordings .* such as 'train/3'"):
        bench(row_store, "1 test/0 train/3\n0 test/1 nobody\n").require_known()
    bench(row_store, "1 test/0 test/1\n").require_known()


def test_speakers_are_known_only_where_every_recording_has_one(row_store):
    speakers = bench(row_store, "1 test/0 test/6\n").speakers
    assert speakers is not None
    assert speakers["test/0"] == speakers["test/6"] == "test-0"
    assert bench(row_store, "1 spare/0 spare/1\n", split="spare").speakers is None


def test_a_missing_list_and_one_that_is_no_text_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="no trials at"):
        read_trials(str(tmp_path / "none.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CorpusError, match="is no text"):
        read_trials(str(tmp_path / "bytes.txt"))


def test_a_teacher_without_embeddings_is_refused():
    with pytest.raises(InvalidValueError, match="no embeddings"):
        average_recordings(said(["a"], np.zeros((1, 0))))
