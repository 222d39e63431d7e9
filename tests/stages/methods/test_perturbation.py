import pytest
import torch

from avkd.stages.methods.perturbation import Mixture, mix_up


@pytest.fixture
def mixture() -> Mixture:
    torch.manual_seed(3)
    inputs = {
        "vector": torch.eye(6),
        "frames": torch.full((6, 2, 4, 4, 3), 200, dtype=torch.uint8),
    }
    return mix_up(inputs, torch.tensor([1, 2, 1, 2, 1, 2]), alpha=0.3)


def test_every_clip_is_itself_and_some_of_its_partner(mixture: Mixture) -> None:
    own = torch.eye(6) * mixture.share[:, None]
    other = torch.eye(6)[mixture.partner] * (1 - mixture.share)[:, None]
    assert torch.allclose(mixture.inputs["vector"], own + other)


def test_a_clip_remains_more_itself_than_its_partner(mixture: Mixture) -> None:
    assert (mixture.share >= 0.5).all()
    assert mixture.share.unique().numel() > 1


def test_partners_are_a_permutation(mixture: Mixture) -> None:
    assert sorted(mixture.partner.tolist()) == list(range(6))


def test_pictures_stay_pictures(mixture: Mixture) -> None:
    assert mixture.inputs["frames"].dtype == torch.uint8
    assert (mixture.inputs["frames"] == 200).all()


def test_the_mixture_is_as_long_as_the_longer_of_the_two(mixture: Mixture) -> None:
    num_steps = torch.tensor([1, 2, 1, 2, 1, 2])
    assert torch.equal(mixture.num_steps, num_steps.maximum(num_steps[mixture.partner]))
