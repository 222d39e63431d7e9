import math

import pytest
import torch

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import mean_of_kept
from avkd.stages.losses.cross_entropy import cross_entropy_per_clip, require_loss_on


def test_it_is_minus_the_log_of_the_classes_probability() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    loss = cross_entropy_per_clip(logits, torch.tensor([1, 1]))
    assert loss.tolist() == pytest.approx([-math.log(3 / 4), -math.log(1 / 5)])


def test_a_clip_without_a_class_gives_neither_loss_nor_gradient() -> None:
    logits = torch.tensor([[1.0, -1.0], [2.0, 0.5]], requires_grad=True)
    loss = cross_entropy_per_clip(logits, torch.tensor([-1, 0]))
    assert loss[0] == 0
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == [0.0, 0.0]
    assert logits.grad[1].abs().sum() > 0


def test_the_first_version_has_a_softmax_before_the_softmax() -> None:
    logits = torch.tensor([[9.0, -9.0]])
    loss = cross_entropy_per_clip(logits, torch.tensor([0]), loss_on="probabilities")
    # A sure and right student is at most e : 1, so that its loss never goes to 0.
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-4)


def test_its_mean_has_the_gradient_of_torchs_mean_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(270, 2, generator=generator, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    classes = torch.randint(2, (270,), generator=generator)
    torch.nn.functional.cross_entropy(first, classes).backward()
    mean_of_kept(cross_entropy_per_clip(second, classes), classes >= 0).backward()
    assert first.grad is not None
    assert second.grad is not None
    assert torch.equal(first.grad, second.grad)


def test_a_class_beyond_the_logits_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="2 classes go from 0 to 1"):
        cross_entropy_per_clip(torch.zeros(1, 2), torch.tensor([2]))


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="use 'logits' or 'probabilities'"):
        require_loss_on("softmax")
