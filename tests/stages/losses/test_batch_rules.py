import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import (
    in_full_precision,
    mean_of_kept,
    require_above_zero,
    require_class_labels,
    require_clips,
    require_pair,
    require_same_clips,
)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (torch.float16, torch.float16, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float64, torch.float16, torch.float64),
        (torch.int64, torch.float32, torch.float32),
    ],
)
def test_half_types_go_up_and_float64_stays(
    left: torch.dtype, right: torch.dtype, expected: torch.dtype
) -> None:
    cast = in_full_precision(torch.ones(2, dtype=left), torch.ones(2, dtype=right))
    assert [tensor.dtype for tensor in cast] == [expected, expected]


def test_mean_is_over_kept_clips_and_zero_without_any() -> None:
    values = torch.tensor([1.0, torch.nan, 3.0], requires_grad=True)
    mean = mean_of_kept(values, torch.tensor([True, False, True]))
    mean.backward()
    assert mean.item() == 2.0
    assert values.grad is not None
    assert values.grad.tolist() == [0.5, 0.0, 0.5]
    assert mean_of_kept(values, torch.zeros(3, dtype=torch.bool)).item() == 0.0


def test_pairs_of_other_clips_or_sizes_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"student is \(2, 3\) and teacher \(1, 3\)"):
        require_same_clips(torch.zeros(2, 3), torch.zeros(1, 3))
    with pytest.raises(InvalidValueError, match="no step axis"):
        require_pair(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3))
    with pytest.raises(InvalidValueError, match="3 numbers a clip but the teacher 4; project"):
        require_pair(torch.zeros(2, 3), torch.zeros(2, 4))
    require_same_clips(torch.zeros(2, 3), torch.zeros(2, 4))


def test_batches_that_are_too_small_name_the_smallest() -> None:
    with pytest.raises(InvalidValueError, match=r"MMD .* got 1; the smallest batch is 2 clips"):
        require_clips(1, 2, "MMD")
    require_clips(2, 2, "MMD")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 3]), "labels run from 0 to 3; 3 classes go from 0 to 2"),
        (torch.tensor([0]), "one class number for each of 2 clips"),
        (torch.tensor([0.0, 1.0]), "torch.float32"),
    ],
)
def test_labels_outside_the_classes_are_refused(labels: torch.Tensor, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        require_class_labels(labels, torch.zeros(2, 3))


def test_labels_may_be_missing_as_minus_one_and_no_other_number() -> None:
    require_class_labels(torch.tensor([-1, 2]), torch.zeros(2, 3))
    with pytest.raises(InvalidValueError, match="labels run from -2 to 2"):
        require_class_labels(torch.tensor([-2, 2]), torch.zeros(2, 3))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_options_that_must_be_above_zero(value: float) -> None:
    with pytest.raises(InvalidValueError, match=r"scale .* must be above 0"):
        require_above_zero("scale", value)
