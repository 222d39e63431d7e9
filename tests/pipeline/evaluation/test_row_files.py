from pathlib import Path

import numpy as np
import pytest

from avkd.errors import CorruptStoreError
from avkd.pipeline.evaluation.row_files import (
    file_name,
    label_table,
    predictions_file,
    read_predictions,
    trial_table,
    write_predictions,
)
from avkd.pipeline.evaluation.row_predictions import RowPredictions
from avkd.stages.metrics.trials import parse_trials

SAID = RowPredictions(
    clip_ids=("x", "y"),
    recording_ids=("r", "r"),
    labels=("a", "a"),
    logits=np.array([[0.5, 0.25], [-1.0, 2.0]], np.float32),
    embeddings=np.zeros((2, 1), np.float32),
    class_names=("a", "b"),
    num_left_out=0,
)


def test_predictions_of_one_class_come_back_as_they_were(tmp_path):
    write_predictions(tmp_path / "p.parquet", label_table(SAID, has_one_class=True))
    columns, class_names = read_predictions(tmp_path / "p.parquet")
    assert class_names == ("a", "b")
    assert columns == {
        "clip_id": ["x", "y"],
        "recording_id": ["r", "r"],
        "label": ["a", "a"],
        "prediction": ["a", "b"],
        "logits": [[0.5, 0.25], [-1.0, 2.0]],
        "correct": [True, False],
    }


def test_of_several_classes_there_is_no_one_prediction():
    table = label_table(SAID, has_one_class=False)
    assert table["prediction"].null_count == table["correct"].null_count == 2


def test_trials_keep_their_order_and_the_speakers_that_are_known(tmp_path):
    trials = parse_trials("1 r s\n0 s t\n", "trials.txt")
    table = trial_table(trials, np.array([0.75, -0.5]), {"r": "ann", "s": "ann"})
    write_predictions(tmp_path / "p.parquet", table)
    columns, class_names = read_predictions(tmp_path / "p.parquet")
    assert class_names == ()
    assert columns["score"] == [0.75, -0.5]
    assert columns["is_target"] == [True, False]
    assert columns["test_speaker"] == ["ann", None]


def test_names_hold_nothing_that_a_file_system_refuses():
    assert file_name("rows", "my split/1", "veri:test") == "rows-my_split_1-veri_test"
    place = predictions_file(Path("run"), "rows-test", "sage")
    assert place == Path("run/predictions-rows-test-sage.parquet")


@pytest.mark.parametrize("data", [None, b"", b"PAR1 but no table PAR1"])
def test_a_missing_or_damaged_table_is_named(tmp_path, data):
    if data is not None:
        (tmp_path / "p.parquet").write_bytes(data)
    with pytest.raises(CorruptStoreError, match="evaluate the run again"):
        read_predictions(tmp_path / "p.parquet")
