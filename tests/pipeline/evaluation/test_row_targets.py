import numpy as np
import pytest

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.row_predictions import WantedRows
from avkd.pipeline.evaluation.row_targets import read_teacher_rows
from avkd.storage.schema import OutputSpec, ProducerSpec
from avkd.storage.store import Store

LABELLED = WantedRows(split="labelled")


def test_logits_and_embeddings_are_means_over_real_steps(store):
    said = read_teacher_rows(store, "dense", LABELLED)
    clips = {clip.clip_id: clip for shard in store.shards() for clip in store.read_clips(shard)}
    assert 1 in {clips[clip_id].num_steps for clip_id in said.clip_ids}
    for place, clip_id in enumerate(said.clip_ids):
        clip = clips[clip_id]
        stored = store.read_rows("dense", "logits", clip.row, clip.row + 1)[0, : clip.num_steps]
        np.testing.assert_allclose(said.logits[place], stored.astype(np.float32).mean(axis=0))
    assert said.embeddings.shape == (len(said), 4)
    assert said.class_names[0] == "class0"


def test_what_sparse_logits_left_out_shares_the_rest_of_the_probability(store):
    said = read_teacher_rows(
        store, "few", WantedRows(split="", recordings=frozenset({"recording0"}))
    )
    assert said.embeddings.shape == (2, 0)
    kept = store.read_rows("few", "logits", 0, 1)
    assert said.logits[0].argmax() in kept.ids[0]
    spread = np.exp(said.logits[0])
    # Only the mean over steps of the logs was kept, which is below the log of the mean.
    assert 0.5 < spread.sum() <= 1.01
    assert len(np.unique(said.logits[0])) >= 4


def test_rows_that_the_teacher_did_not_see_are_counted(store):
    all_rows = read_teacher_rows(store, "dense", WantedRows(split=""))
    assert all_rows.num_left_out == 2
    assert len(all_rows) == 38


def test_an_unknown_teacher_is_refused_with_those_there_are(row_store):
    with pytest.raises(UnknownNameError, match="sage"):
        read_teacher_rows(Store.open(row_store), "sago", WantedRows(split="test"))


def test_rows_that_nobody_has_are_refused(row_store):
    opened = Store.open(row_store)
    with pytest.raises(CorpusError, match="no rows of split 'dev'"):
        read_teacher_rows(opened, "sage", WantedRows(split="dev"))
    with pytest.raises(CorpusError, match=r"no row of split 'spare' .* label in column 'label'"):
        read_teacher_rows(opened, "sage", WantedRows(split="spare", label_column="label"))


def test_rows_of_which_none_is_ok_are_refused(build_store):
    failed = dict.fromkeys((0, 1), ("no_video", "black"))
    wanted = WantedRows(split="", recordings=frozenset({"recording0"}))
    with pytest.raises(CorpusError, match=r"none of the 2 rows of any split .* ok for dense"):
        read_teacher_rows(build_store(20, failed=failed), "dense", wanted)


def test_a_teacher_of_other_outputs_has_nothing_to_score(build_store):
    store = build_store(2)
    depth = OutputSpec(name="depth", shape=(4, 4), dtype="float16", axes=("row", "column"))
    store.declare(ProducerSpec(kind="teacher", name="ruler", outputs=(depth,), fingerprint={}))
    with pytest.raises(InvalidValueError, match=r"'ruler' .* neither logits nor embeddings"):
        read_teacher_rows(store, "ruler", LABELLED)
