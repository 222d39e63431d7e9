from dataclasses import replace

import numpy as np
import pytest
import torch

from avkd.errors import CorpusError, InvalidValueError
from avkd.pipeline.evaluation import row_predictions
from avkd.pipeline.evaluation.row_predictions import WantedRows, predict_rows
from avkd.pipeline.recipe import (
    DataConfig,
    EncoderConfig,
    MethodConfig,
    Recipe,
    ScheduleConfig,
)
from avkd.pipeline.train import train_student
from avkd.pipeline.training.students import load_clip_student
from avkd.storage.store import Store

CPU = torch.device("cpu")
TEST = WantedRows(split="test", label_column="label")


def test_rows_are_predicted_as_the_student_says_of_their_inputs(row_runs, row_store):
    loaded, store = load_clip_student(row_runs / "both" / "seed-0"), Store.open(row_store)
    said = predict_rows(loaded, store, TEST, device=CPU)
    clips = {clip.clip_id: clip for shard in store.shards() for clip in store.read_clips(shard)}
    rows = [clips[clip_id].row for clip_id in said.clip_ids]
    inputs = {
        name: torch.from_numpy(
            np.concatenate([store.read_rows(name, name, row, row + 1) for row in rows])
        )
        for name in ("alpha", "beta")
    }
    with torch.no_grad():
        expected = loaded.student(inputs, torch.ones(len(rows), dtype=torch.int64))
    np.testing.assert_allclose(said.logits, expected.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(said.embeddings, expected.embedding, rtol=1e-5, atol=1e-5)
    assert said.labels == tuple(clips[clip_id].metadata["label"] for clip_id in said.clip_ids)
    assert said.class_names == ("bell", "drum", "horn")


def test_the_size_of_batches_does_not_matter(row_runs, row_store, monkeypatch):
    loaded, store = load_clip_student(row_runs / "both" / "seed-0"), Store.open(row_store)
    whole = predict_rows(loaded, store, TEST, device=CPU)
    monkeypatch.setattr(row_predictions, "BATCH_SIZE", 5)
    told = []
    parts = predict_rows(loaded, store, TEST, device=CPU, on_rows=lambda *n: told.append(n))
    assert parts.clip_ids == whole.clip_ids
    np.testing.assert_allclose(parts.logits, whole.logits, rtol=1e-5, atol=1e-5)
    assert told[0] == (5, 35)
    assert told[-1] == (35, 35)


def test_what_disturbs_a_student_while_training_is_off(train_rows, row_store, tmp_path):
    noise = ("encoder.options.input_noise=1.0", "encoder.options.dropout=0.5")
    train_rows(tmp_path / "noisy", ("beta",), overrides=noise)
    loaded, store = load_clip_student(tmp_path / "noisy"), Store.open(row_store)
    loaded.student.train()
    one, other = (predict_rows(loaded, store, TEST, device=CPU) for _ in range(2))
    assert np.array_equal(one.logits, other.logits)


def test_rows_without_one_of_the_inputs_are_counted_and_left_out(row_runs, row_store):
    store = Store.open(row_store)
    alone = predict_rows(load_clip_student(row_runs / "alone/seed-0"), store, TEST, device=CPU)
    both = predict_rows(load_clip_student(row_runs / "both/seed-0"), store, TEST, device=CPU)
    assert (len(alone), alone.num_left_out) == (36, 0)
    assert (len(both), both.num_left_out) == (35, 1)


def test_only_the_recordings_that_are_asked_for_are_predicted(row_runs, row_store):
    wanted = WantedRows(split="test", recordings=frozenset({"test/4", "test/9"}))
    loaded = load_clip_student(row_runs / "alone/seed-0")
    said = predict_rows(loaded, Store.open(row_store), wanted, device=CPU)
    assert said.recording_ids == ("test/4", "test/4", "test/9", "test/9")


def test_a_store_without_the_students_input_is_refused(row_runs, store):
    loaded = load_clip_student(row_runs / "both/seed-0")
    with pytest.raises(InvalidValueError, match=r"looks at 'alpha' but .* has dense, waveform"):
        predict_rows(loaded, store, WantedRows(split="labelled"), device=CPU)


@pytest.fixture(scope="module")
def hearing_run(store, tmp_path_factory):
    """A student of whole clips that hears; its labels are the splits, of which it saw both."""
    run = tmp_path_factory.mktemp("hearing") / "run"
    recipe = Recipe(
        name="rows",
        variant="hearing",
        method=MethodConfig(name="supervised"),
        encoder=EncoderConfig(
            name="sound", options={"body_options": {"widths": (4, 8), "num_mels": 24}}
        ),
        data=DataConfig(label_column="split", batch_size=16, validation_fraction=0.0),
        schedule=ScheduleConfig(num_updates=2),
    )
    train_student(store.url, str(run), recipe, device="cpu")
    return run


def test_sound_is_read_from_the_store(hearing_run, store):
    wanted = WantedRows(split="labelled", label_column="split")
    loaded = load_clip_student(hearing_run)
    said = predict_rows(loaded, store, wanted, device=CPU)
    assert len(said) == 10
    assert np.isfinite(said.logits).all()
    assert set(said.labels) == {"labelled"}


def test_sound_at_another_rate_is_refused(hearing_run, store):
    loaded = load_clip_student(hearing_run)
    inputs = {"waveform": {"shape": [1, 100], "sample_rate": 16_000}}
    other = replace(loaded, description={**loaded.description, "inputs": inputs})
    with pytest.raises(InvalidValueError, match="22050 Hz but the student hears 16000 Hz"):
        predict_rows(other, store, WantedRows(split="labelled"), device=CPU)


def test_recordings_of_another_split_are_refused(row_store, row_runs):
    wanted = WantedRows(split="test", recordings=frozenset({"train/0"}))
    loaded = load_clip_student(row_runs / "both/seed-0")
    with pytest.raises(CorpusError, match="none of the recordings asked for is in split 'test'"):
        predict_rows(loaded, Store.open(row_store), wanted, device=CPU)


def test_sound_of_which_nothing_can_be_decoded_is_refused(hearing_run, build_store):
    gone = build_store(4, has_waveform=False)
    with pytest.raises(CorpusError, match="the sound of none of 4 rows can be decoded"):
        predict_rows(load_clip_student(hearing_run), gone, WantedRows(split=""), device=CPU)
