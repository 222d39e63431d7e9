import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from avkd.errors import InvalidValueError
from avkd.stages.losses.clip_level import clip_kl
from avkd.stages.losses.decoupled import dist, dkd, dkd_per_clip, multi_level, standardise_logits
from avkd.stages.losses.kl import dense_kl


def pair_of(*shape: int, seed: int = 0, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    pair = spread * torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))
    student, teacher = pair.double()
    return student, teacher


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(2, 8), st.sampled_from([1.0, 2.0, 4.0]))
def test_dkd_with_the_weights_of_the_decomposition_is_the_kl(
    seed: int, num_classes: int, temperature: float
) -> None:
    student, teacher = pair_of(4, num_classes, seed=seed)
    labels = torch.arange(4) % num_classes
    target = (teacher / temperature).softmax(-1).gather(-1, labels[:, None])[:, 0]
    decoupled = dkd_per_clip(student, teacher, labels, 1.0, 1 - target, temperature)
    torch.testing.assert_close(decoupled, dense_kl(student, teacher, temperature))


def test_dkd_parts_worked_out_by_hand() -> None:
    teacher = torch.tensor([[0.5, 0.25, 0.25]]).log()
    student = torch.tensor([[0.25, 0.5, 0.25]]).log()
    labels = torch.tensor([0])
    target_part = dkd(student, teacher, labels, alpha=1.0, beta=0.0, temperature=1.0)
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert target_part.item() == pytest.approx(expected)
    others_part = dkd(student, teacher, labels, alpha=0.0, beta=1.0, temperature=1.0)
    # Among the others: teacher (1/2, 1/2), student (2/3, 1/3).
    expected = 0.5 * math.log(0.5 / (2 / 3)) + 0.5 * math.log(0.5 / (1 / 3))
    assert others_part.item() == pytest.approx(expected)


def test_dkd_of_equal_logits_is_zero() -> None:
    _, teacher = pair_of(3, 6)
    assert dkd(teacher + 2, teacher).abs().item() < 1e-12


def test_others_learn_even_from_a_teacher_that_is_sure() -> None:
    teacher = torch.tensor([[30.0, 1.0, -1.0]])
    student = torch.tensor([[30.0, 0.0, 0.0]], requires_grad=True)
    (plain,) = torch.autograd.grad(dense_kl(student, teacher).mean(), student)
    (decoupled,) = torch.autograd.grad(dkd(student, teacher, temperature=1.0, beta=1.0), student)
    assert plain[0, 1:].abs().max() < 1e-9
    assert decoupled[0, 1:].abs().min() > 0.1


def test_without_a_label_the_teachers_largest_class_is_the_target() -> None:
    student, teacher = pair_of(3, 5)
    largest = teacher.argmax(-1)
    expected = dkd_per_clip(student, teacher, largest)
    torch.testing.assert_close(dkd_per_clip(student, teacher), expected)
    other = (largest + 1) % 5
    mixed = dkd_per_clip(student, teacher, torch.tensor([-1, int(other[1]), -1]))
    torch.testing.assert_close(mixed[[0, 2]], expected[[0, 2]])
    assert not torch.isclose(mixed[1], expected[1])


def test_of_two_classes_nothing_is_left_among_the_others() -> None:
    student, teacher = pair_of(3, 2)
    assert dkd(student, teacher, alpha=0.0, beta=1.0).item() == 0.0
    with pytest.raises(InvalidValueError, match="2 classes or more"):
        dkd(student[:, :1], teacher[:, :1])


def test_standardised_logits_have_mean_zero_and_deviation_one() -> None:
    logits, _ = pair_of(4, 7)
    standard = standardise_logits(logits)
    torch.testing.assert_close(standard.mean(-1), torch.zeros(4).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(
        standard.std(-1, correction=0), torch.ones(4).double(), atol=1e-6, rtol=0
    )


@settings(deadline=None, max_examples=30)
@given(st.floats(0.1, 100.0), st.floats(-100.0, 100.0))
def test_a_kl_of_standardised_logits_is_blind_to_scale_and_shift(
    scale: float, shift: float
) -> None:
    student, teacher = pair_of(3, 6)
    moved = clip_kl(standardise_logits(scale * student + shift), standardise_logits(teacher))
    still = clip_kl(standardise_logits(student), standardise_logits(teacher))
    torch.testing.assert_close(moved, still, atol=1e-5, rtol=1e-5)
    same = clip_kl(standardise_logits(scale * teacher + shift), standardise_logits(teacher))
    assert same.abs().item() < 1e-5


def test_constant_logits_standardise_to_zero_with_a_finite_gradient() -> None:
    logits = torch.full((2, 5), 3.0, requires_grad=True)
    teacher = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    standard = standardise_logits(logits)
    clip_kl(standard, standardise_logits(teacher)).backward()
    assert not standard.any()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_multi_level_is_its_three_levels_written_out() -> None:
    student, teacher = pair_of(3, 4)
    p, q = (student / 2).softmax(-1), (teacher / 2).softmax(-1)
    batch = ((p @ p.T - q @ q.T) ** 2).sum() / 3
    classes = ((p.T @ p - q.T @ q) ** 2).sum() / 4
    instance = dense_kl(student, teacher, 2.0).mean()
    torch.testing.assert_close(multi_level(student, teacher, (2.0,)), instance + batch + classes)
    torch.testing.assert_close(multi_level(student, teacher, (2.0,), 0.0, 3.0, 0.0), 3 * batch)
    both = multi_level(student, teacher, (2.0,)) + multi_level(student, teacher, (5.0,))
    torch.testing.assert_close(multi_level(student, teacher, (2.0, 5.0)), both)


def test_multi_level_of_equal_logits_is_zero() -> None:
    _, teacher = pair_of(3, 6)
    assert multi_level(teacher + 1, teacher).abs().item() < 1e-12


def test_batch_level_sees_pairs_where_the_class_level_sees_only_sums() -> None:
    teacher = torch.eye(3).double() * 50
    swapped = teacher[[1, 2, 0]]
    # The same clips in another order: pairs of different clips stay apart, classes balanced.
    assert multi_level(swapped, teacher, (1.0,), 0.0, 1.0, 1.0).abs().item() < 1e-9
    collapsed = teacher[[0, 0, 0]]
    assert multi_level(collapsed, teacher, (1.0,), 0.0, 1.0, 0.0).item() == pytest.approx(2.0)


def test_multi_level_refuses_no_temperature() -> None:
    with pytest.raises(InvalidValueError, match="temperatures are empty"):
        multi_level(torch.zeros(2, 3), torch.zeros(2, 3), ())
    with pytest.raises(InvalidValueError, match="temperature -1 must be above 0"):
        multi_level(torch.zeros(2, 3), torch.zeros(2, 3), (1.0, -1.0))


def test_dist_is_zero_for_equal_and_two_for_opposite_rows() -> None:
    _, teacher = pair_of(4, 5)
    assert dist(teacher + 1, teacher).abs().item() < 1e-9
    probabilities = torch.tensor([[0.2, 0.8], [0.7, 0.3], [0.9, 0.1]]).double()
    opposite = (1 - probabilities).log()
    assert dist(opposite, probabilities.log(), intra_weight=0.0).item() == pytest.approx(2.0)
    assert dist(opposite, probabilities.log(), inter_weight=0.0).item() == pytest.approx(2.0)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 1.0), st.integers(0, 1000))
def test_dist_is_blind_to_how_sure_each_clip_is(share: float, seed: int) -> None:
    """Mixing with the uniform distribution is an affine map of a clip's probabilities."""
    _, teacher = pair_of(4, 5, seed=seed)
    probabilities = teacher.softmax(-1)
    mixed = (share * probabilities + (1 - share) / 5).log()
    assert dist(mixed, teacher).abs().item() < 1e-9
    # Closer to the teacher the divergence is below its own rounding.
    assert clip_kl(mixed, teacher).item() > 0 or share > 0.999


def test_dist_needs_two_clips_and_survives_a_class_that_never_varies() -> None:
    with pytest.raises(InvalidValueError, match=r"DIST .* the smallest batch is 2 clips"):
        dist(torch.zeros(1, 3), torch.zeros(1, 3))
    student = torch.zeros(3, 4, requires_grad=True)
    value = dist(student, torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    value.backward()
    assert value.item() == pytest.approx(2.0)
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("loss", [dkd, multi_level, dist])
def test_gradients_agree_with_differences(loss: object) -> None:
    student, teacher = pair_of(3, 4, spread=1.0)
    assert gradcheck(loss, (student.requires_grad_(), teacher.requires_grad_()))


def test_gradients_of_standardisation_agree_with_differences() -> None:
    student, _ = pair_of(3, 4)
    assert gradcheck(standardise_logits, (student.requires_grad_(),))


@pytest.mark.parametrize("loss", [dkd, multi_level, dist])
def test_half_precision_is_computed_in_full(loss: object) -> None:
    assert callable(loss)
    student, teacher = (logits.half() for logits in pair_of(3, 5))
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(loss(student.float(), teacher.float()), value)
