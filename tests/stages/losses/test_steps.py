import torch

from avkd.stages.losses.steps import sum_real_steps


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
