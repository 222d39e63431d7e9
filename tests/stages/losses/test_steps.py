import torch

from avkd.stages.losses.steps import blank_masked_steps, sum_real_steps


def test_steps_are_summed_and_clips_averaged() -> None:
    values = torch.tensor([[1.0, 2.0, 100.0], [3.0, 100.0, 100.0]])
    assert sum_real_steps(values, torch.tensor([2, 1])).item() == 3.0


def test_what_masked_steps_hold_never_matters() -> None:
    values = torch.tensor([[1.0, torch.nan], [2.0, torch.inf]], requires_grad=True)
    total = sum_real_steps(values, torch.tensor([1, 1]))
    total.backward()
    assert total.item() == 1.5
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5, 0.0], [0.5, 0.0]]


def test_real_steps_go_through_as_they_are() -> None:
    values = torch.tensor([[[1.0, torch.nan], [2.0, 3.0]], [[4.0, 5.0], [torch.inf, 6.0]]])
    blanked = blank_masked_steps(values, torch.tensor([2, 1]))
    torch.testing.assert_close(blanked[0], values[0], equal_nan=True)
    assert blanked[1].tolist() == [[4.0, 5.0], [0.0, 0.0]]
