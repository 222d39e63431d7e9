import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avkd.errors import InvalidValueError
from avkd.stages.losses.weighting import (
    agreement,
    agreement_mask,
    entropy_weights,
    rank_correlation_filter,
)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.floats(0.0, 10.0), st.integers(0, 1000))
def test_weights_of_a_clip_sum_to_one(num_teachers: int, sharpness: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    teachers = [torch.randn(3, 2 + index, generator=generator) for index in range(num_teachers)]
    weights = entropy_weights(teachers, sharpness)
    assert weights.shape == (3, num_teachers)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3))
    if sharpness == 0:
        torch.testing.assert_close(weights, torch.full((3, num_teachers), 1 / num_teachers))


def test_the_surer_teacher_weighs_more_clip_by_clip() -> None:
    sure, clueless = torch.tensor([50.0, 0.0, 0.0]), torch.zeros(3)
    weights = entropy_weights([torch.stack([sure, clueless]), torch.stack([clueless, sure])], 2.0)
    # Entropies 0 and 1: exp(0) against exp(-2).
    high = 1 / (1 + math.exp(-2))
    torch.testing.assert_close(weights, torch.tensor([[high, 1 - high], [1 - high, high]]))


def test_clueless_teachers_of_any_number_of_classes_weigh_the_same() -> None:
    weights = entropy_weights([torch.zeros(1, 2), torch.zeros(1, 500)], 5.0)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.5]]))


def test_weights_are_constants_and_excluded_classes_count_as_impossible() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]], requires_grad=True)
    weights = entropy_weights([logits, torch.zeros(1, 2)])
    assert not weights.requires_grad
    expected = math.exp(-math.log(2) / math.log(3))
    assert weights[0, 0].item() == pytest.approx(expected / (expected + math.exp(-1)))


def test_agreement_is_the_share_of_the_largest_group() -> None:
    votes = torch.tensor([[0, 0, 0], [0, 1, 0], [0, 1, 2]])
    teachers = list(torch.nn.functional.one_hot(votes.T, 4).float())
    torch.testing.assert_close(agreement(teachers), torch.tensor([1.0, 2 / 3, 1 / 3]))
    assert agreement_mask(teachers).tolist() == [True, False, False]
    assert agreement_mask(teachers, 2 / 3).tolist() == [True, True, False]
    assert agreement_mask(teachers, 0.34).tolist() == [True, True, False]
    assert agreement_mask(teachers[:1]).all()


def test_a_filter_keeps_clips_whose_classes_rank_alike() -> None:
    teacher = torch.tensor([[3.0, 2.0, 1.0]]).repeat(3, 1)
    student = torch.tensor([[30.0, 2.0, -1.0], [1.0, 2.0, 3.0], [3.0, 1.0, 2.0]])
    # Kendall 1, -1 and 1/3; Spearman 1, -1 and 1/2.
    assert rank_correlation_filter(student, teacher).tolist() == [True, False, True]
    assert rank_correlation_filter(student, teacher, 0.4).tolist() == [True, False, False]
    spearman = rank_correlation_filter(student, teacher, 0.4, "spearman")
    assert spearman.tolist() == [True, False, True]
    assert rank_correlation_filter(student, torch.zeros(3, 3)).tolist() == [False, False, False]


def test_teachers_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="no teacher was given"):
        entropy_weights([])
    with pytest.raises(InvalidValueError, match=r"student is \(2, 3\) and teacher \(3, 3\)"):
        entropy_weights([torch.zeros(2, 3), torch.zeros(3, 3)])
    with pytest.raises(InvalidValueError, match="a teacher of 1 class"):
        entropy_weights([torch.zeros(2, 1)])
    with pytest.raises(InvalidValueError, match="3 numbers a clip but the teacher 4"):
        agreement([torch.zeros(2, 3), torch.zeros(2, 4)])
    with pytest.raises(InvalidValueError, match="least_share 0 must be above 0"):
        agreement_mask([torch.zeros(2, 3)], 0.0)
    with pytest.raises(InvalidValueError, match="sharpness -1 must be 0 or above"):
        entropy_weights([torch.zeros(2, 3)], -1.0)
