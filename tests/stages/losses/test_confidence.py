import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.confidence import (
    ConfidentCounts,
    class_threshold_mask,
    class_thresholds,
    confidence,
    quantile_mask,
    threshold_mask,
)


def sure_of(*pairs: tuple[int, float]) -> Tensor:
    """Logits of three classes: of each clip the largest class and its probability."""
    rows = []
    for largest, probability in pairs:
        row = torch.full((3,), (1 - probability) / 2)
        row[largest] = probability
        rows.append(row.log())
    return torch.stack(rows)


def test_confidence_is_the_largest_probability() -> None:
    torch.testing.assert_close(confidence(sure_of((0, 0.9), (2, 0.5))), torch.tensor([0.9, 0.5]))
    assert confidence(torch.zeros(1, 4, dtype=torch.float16)).dtype == torch.float32


def test_a_threshold_keeps_the_sure_clips() -> None:
    logits = sure_of((0, 0.99), (1, 0.9), (2, 0.5))
    assert threshold_mask(logits).tolist() == [True, False, False]
    assert threshold_mask(logits, 0.8).tolist() == [True, True, False]
    assert threshold_mask(logits, 0.0).all()


def test_a_quantile_keeps_the_surer_part_of_the_batch() -> None:
    logits = sure_of((0, 0.4), (1, 0.9), (2, 0.8), (0, 0.6))
    assert quantile_mask(logits, 0.5).tolist() == [False, True, True, False]
    assert quantile_mask(logits, 0.0).all()
    assert quantile_mask(logits, 1.0).tolist() == [False, True, False, False]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 1000))
def test_a_quantile_keeps_its_share_and_never_none(
    num_clips: int, quantile: float, seed: int
) -> None:
    logits = torch.randn(num_clips, 5, generator=torch.Generator().manual_seed(seed))
    kept = int(quantile_mask(logits, quantile).sum())
    assert kept >= 1
    assert kept == pytest.approx((1 - quantile) * num_clips, abs=1)


def test_thresholds_of_classes_worked_out_by_hand() -> None:
    counts = torch.tensor([8, 4, 0])
    # All but two of 14 clips are counted: beta 1, 1/2, 0 and M(1/2) = (1/2) / (3/2).
    expected = torch.tensor([0.9, 0.9 / 3, 0.0])
    torch.testing.assert_close(class_thresholds(counts, 14, 0.9), expected)
    # Of 28 clips 16 are not counted, more than 8: beta 1/2, 1/4, 0.
    expected = 0.9 * torch.tensor([(1 / 2) / (3 / 2), (1 / 4) / (7 / 4), 0.0])
    torch.testing.assert_close(class_thresholds(counts, 28, 0.9), expected)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 50), min_size=2, max_size=6), st.integers(0, 400))
def test_thresholds_rank_as_counts_and_stay_below_the_fixed_one(
    counts: list[int], num_clips: int
) -> None:
    thresholds = class_thresholds(torch.tensor(counts), num_clips, 0.95)
    assert ((thresholds >= 0) & (thresholds <= 0.95 + 1e-6)).all()
    order = torch.tensor(counts).argsort()
    assert (thresholds[order].diff() >= 0).all()


def test_before_the_first_prediction_every_clip_passes() -> None:
    state = ConfidentCounts.none(num_classes=3, num_clips=10)
    assert state.thresholds().tolist() == [0.0, 0.0, 0.0]
    assert class_threshold_mask(torch.zeros(4, 3), state.thresholds()).all()
    assert class_thresholds(torch.zeros(3), 0).tolist() == [0.0, 0.0, 0.0]


def test_counting_gives_a_new_state_and_leaves_the_old() -> None:
    first = ConfidentCounts.none(num_classes=3, num_clips=6)
    logits = sure_of((0, 0.99), (0, 0.97), (1, 0.99), (2, 0.6))
    second = first.updated(logits)
    assert second.counts.tolist() == [2, 1, 0]
    assert first.counts.tolist() == [0, 0, 0]
    assert second.updated(logits).counts.tolist() == [4, 2, 0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        second.num_clips = 7  # type: ignore[misc]
    # beta = counts / max(2, 6 - 3), so the rare class has the lower threshold.
    expected = 0.95 * torch.tensor([(2 / 3) / (4 / 3), (1 / 3) / (5 / 3), 0.0])
    torch.testing.assert_close(second.thresholds(), expected)


def test_each_class_is_held_to_its_own_threshold() -> None:
    logits = sure_of((0, 0.7), (1, 0.7), (2, 0.7))
    mask = class_threshold_mask(logits, torch.tensor([0.8, 0.6, 0.0]))
    assert mask.tolist() == [False, True, True]


def test_epochs_of_stored_targets_leave_the_thresholds_as_they_are() -> None:
    logits = sure_of(*[(0, 0.99)] * 4, *[(1, 0.99)] * 2)
    once = ConfidentCounts.none(num_classes=3, num_clips=6).updated(logits)
    torch.testing.assert_close(once.updated(logits).thresholds(), once.thresholds())


def test_values_out_of_range_are_refused() -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(InvalidValueError, match=r"threshold 1\.5 must be from 0 to 1"):
        threshold_mask(logits, 1.5)
    with pytest.raises(InvalidValueError, match="quantile -1 must be from 0 to 1"):
        quantile_mask(logits, -1.0)
    with pytest.raises(InvalidValueError, match="quantile of no clips"):
        quantile_mask(logits[:0])
    with pytest.raises(InvalidValueError, match=r"\(2,\) thresholds for 3 classes"):
        class_threshold_mask(logits, torch.zeros(2))
    with pytest.raises(InvalidValueError, match="threshold nan must be from 0 to 1"):
        class_thresholds(torch.tensor([1, 2]), 4, float("nan"))
