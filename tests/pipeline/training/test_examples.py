import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avkd.pipeline.training.examples import find_examples, is_held_out, split_validation
from avkd.storage.schema import ClipRow
from avkd.storage.store import Store


def test_only_clips_that_every_producer_has_are_examples(store: Store) -> None:
    everything = find_examples(store, ["few", "waveform"])
    assert everything.clip_rows.tolist() == list(range(40))
    met = find_examples(store, ["dense", "few", "waveform"])
    assert met.clip_rows.tolist() == [row for row in range(40) if row not in (3, 20)]
    assert all(rows.tolist() == met.clip_rows.tolist() for rows in met.rows.values())
    assert met.num_steps.tolist() == [1 if row % 5 == 4 else 2 for row in met.clip_rows]


def test_a_retried_clip_is_one_example_with_the_row_of_each_producer(build_store) -> None:
    store = build_store(failed={3: ("timeout", "slow")})
    first = next(clip for clip in store.read_clips(0) if clip.row == 3)
    again = ClipRow(**{**vars(first), "row": store.next_row(), "attempt": 1})
    before = find_examples(store, ["dense", "few"])
    assert first.clip_id not in before.clip_ids
    store.plan_clips([again])
    spec = store.producers()["dense"]
    arrays = {o.name: np.zeros((16, *o.shape), np.float32) for o in spec.outputs}
    store.write_shard("dense", again.row // 16, arrays, failures={}, timings={})

    after = find_examples(store, ["dense", "few"])
    place = after.clip_ids.index(first.clip_id)
    assert len(after) == len(before) + 1
    assert (after.rows["dense"][place], after.rows["few"][place]) == (again.row, 3)


def test_a_clip_that_was_decoded_in_part_is_no_example(build_store) -> None:
    store = build_store(failed={7: ("partial", "1 of 2 frames")})
    assert 7 in store.ok_rows("dense")
    assert 7 not in find_examples(store, ["dense"]).clip_rows
    assert 7 in find_examples(store, ["few"]).clip_rows


def test_a_split_of_the_corpus_may_be_taken_alone(store: Store) -> None:
    labelled = find_examples(store, ["few"], "labelled")
    unlabelled = find_examples(store, ["few"], "unlabelled")
    assert {int(name.removeprefix("recording")) % 4 for name in labelled.recording_ids} == {0}
    assert len(labelled) + len(unlabelled) == 40
    assert len(find_examples(store, ["few"], "none such")) == 0


def test_rows_may_be_taken_by_the_values_of_columns(store: Store) -> None:
    every = find_examples(store, ["few"])
    both = find_examples(store, ["few"], where={"split": ("labelled", "unlabelled")})
    assert both.clip_ids == every.clip_ids
    some = find_examples(store, ["few"], where={"split": ("labelled", "other")})
    assert some.clip_ids == find_examples(store, ["few"], "labelled").clip_ids
    assert len(find_examples(store, ["few"], "unlabelled", where={"split": ("labelled",)})) == 0
    for value in ("labelled", "None"):
        assert len(find_examples(store, ["few"], where={"none such": (value,)})) == 0


def test_rows_without_a_label_are_examples_only_where_they_are_wanted(store: Store) -> None:
    column = "split"  # which all have, and one that none has
    assert len(find_examples(store, ["few"], None, "none such")) == 0
    kept = find_examples(store, ["few"], None, "none such", keep_unlabelled=True)
    assert kept.labels == ("",) * 40
    labelled = find_examples(store, ["few"], None, column)
    both = find_examples(store, ["few"], None, column, keep_unlabelled=True)
    assert (both.clip_ids, both.labels) == (labelled.clip_ids, labelled.labels)
    assert set(both.labels) == {"labelled", "unlabelled"}


def test_a_recording_is_wholly_held_out_or_not_at_all(store: Store) -> None:
    examples = find_examples(store, ["dense"])
    train, validation = split_validation(examples, 0.3)
    assert len(train) + len(validation) == len(examples)
    assert validation.recording_ids
    assert not set(train.recording_ids) & set(validation.recording_ids)


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_fraction_holds_out_more(name: str, one: float, other: float) -> None:
    small, large = sorted([one, other])
    assert is_held_out(name, small) <= is_held_out(name, large)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5])
def test_about_the_fraction_of_recordings_is_held_out(fraction: float) -> None:
    share = np.mean([is_held_out(f"video{i}", fraction) for i in range(4000)])
    assert abs(share - fraction) < 0.03
