import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import adaptive_avg_pool2d, interpolate, kl_div, normalize

from avkd.errors import InvalidValueError
from avkd.stages.losses.attention_transfer import (
    ATTENTION_FORMS,
    COMBINATIONS,
    FLOOR,
    AttentionForm,
    Combination,
    activation_attention,
    attention_transfer,
)

UNEVEN = [0.8, 0.35, 0.35, 0.35]


def picture(values: list[float]) -> Tensor:
    """(1, 2, 2) of four values."""
    return torch.tensor(values, dtype=torch.float64).view(1, 2, 2)


def random_maps(seed: int, *shape: int) -> Tensor:
    """From about 0.05 to 1, so that all is above the floor."""
    draws = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return 0.05 + draws**3


def term(
    student: Tensor,
    *teachers: Tensor,
    form: AttentionForm = "as_paper",
    combination: Combination = "product",
    beta: float = 0.5,
    seen: Tensor | None = None,
) -> Tensor:
    """Of one level."""
    return attention_transfer(
        [student],
        [[each] for each in teachers],
        form=form,
        combination=combination,
        beta=beta,
        seen=seen,
    )


def shares(attention: Tensor) -> Tensor:
    return attention.flatten(1) / attention.flatten(1).sum(dim=1, keepdim=True)


def gradient_of(loss: Tensor, student: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    return gradient


# What attention is.


def test_attention_is_the_mean_over_channels_of_a_power() -> None:
    maps = torch.tensor([[[[3.0, -1.0]], [[-4.0, 0.0]]]])
    assert activation_attention(maps).tolist() == [[[12.5, 0.5]]]
    assert activation_attention(maps, power=1.0).tolist() == [[[3.5, 0.5]]]
    assert activation_attention(maps, power=4.0).tolist() == [[[168.5, 0.5]]]


def test_squares_that_leave_half_precision_are_attention_still() -> None:
    maps = torch.tensor([[[[60000.0, 1e-4]]]]).half()
    attention = activation_attention(maps)
    assert attention.dtype == torch.float32
    torch.testing.assert_close(attention, maps.float().square()[:, 0])


# The form of the paper, made a divergence.


def test_value_worked_out_by_hand() -> None:
    student, teacher = picture([1, 1, 1, 1]), picture([5, 1, 1, 1])
    expected = 5 / 8 * math.log(5 / 2) + 3 / 8 * math.log(1 / 2)
    assert term(student, teacher).tolist() == pytest.approx([0.5 * expected])
    assert term(student, teacher, beta=3.0).tolist() == pytest.approx([3 * expected])


def test_the_product_worked_out_by_hand() -> None:
    # (4, 2, 1, 1) * (1, 2, 4, 1) = (4, 4, 4, 1).
    teachers = picture([4, 2, 1, 1]), picture([1, 2, 4, 1])
    assert term(picture([4, 4, 4, 1]), *teachers).abs().item() < 1e-12
    expected = 3 * 4 / 13 * math.log(16 / 13) + 1 / 13 * math.log(4 / 13)
    assert term(picture([1, 1, 1, 1]), *teachers).tolist() == pytest.approx([expected / 2])


def test_the_average_worked_out_by_hand_is_of_maps_at_one_scale() -> None:
    # Shares (.5, .25, .125, .125) and (.1, .2, .6, .1), however loud the second is.
    for scale in (1.0, 1000.0):
        teachers = picture([4, 2, 1, 1]), scale * picture([1, 2, 6, 1])
        equal = picture([0.6, 0.45, 0.725, 0.225])
        assert term(equal, *teachers, combination="average").abs().item() < 1e-12
    assert term(picture([1, 1, 1, 1]), *teachers, combination="average").item() > 0.01


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 10_000),
    st.floats(-12, 12),
    st.integers(1, 3),
    st.sampled_from(["product", "average"]),
)
def test_at_equal_attention_it_is_zero_with_zero_gradient(
    seed: int, log_scale: float, num_teachers: int, combination: Combination
) -> None:
    teachers = random_maps(seed, num_teachers, 2, 3, 5)
    together = teachers.prod(dim=0)
    if combination == "average":
        together = sum(shares(each) for each in teachers).view(2, 3, 5)  # type: ignore[union-attr]
    student = (10**log_scale * together).requires_grad_()
    loss = term(student, *teachers, combination=combination)
    assert loss.abs().max() < 1e-12
    # Times the student: the change of the loss for a change in proportion.
    assert (gradient_of(loss, student) * student).abs().max() < 1e-12


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from(COMBINATIONS))
def test_elsewhere_it_is_positive_and_pulls(
    seed: int, num_teachers: int, combination: Combination
) -> None:
    teachers = random_maps(seed, num_teachers, 2, 3, 5)
    student = random_maps(seed + 1, 2, 3, 5).requires_grad_()
    loss = term(student, *teachers, combination=combination)
    assert loss.min() > 1e-4
    gradient = gradient_of(loss, student)
    assert gradient.flatten(1).abs().amax(dim=1).min() > 1e-3
    # A small step against it is a step down.
    step = student.detach() - 1e-4 * gradient
    assert (term(step, *teachers, combination=combination) < loss).all()


def test_equal_attention_with_zeros_is_equal_too() -> None:
    teacher = picture([1, 0, 0, 0.5])
    student = (7 * teacher).requires_grad_()
    loss = term(student, teacher)
    assert loss.abs().item() < 1e-12
    assert gradient_of(loss, student).abs().max() < 1e-8


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_of_logits_of_attention_the_gradient_is_softmax_minus_target(
    combination: Combination,
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    teachers = random_maps(1, 2, 3, 4, 5)
    gradient = gradient_of(
        term(logits.exp(), *teachers, combination=combination, beta=0.7), logits
    ).flatten(1)
    softmax = logits.detach().flatten(1).softmax(dim=1)
    first, second = (shares(each) for each in teachers)
    expected = {
        "product": softmax - shares(teachers.prod(dim=0)),
        "average": softmax - (first + second) / 2,
        "per_teacher": 2 * softmax - first - second,
    }[combination]
    torch.testing.assert_close(gradient, 0.7 * expected)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.floats(-9, 12), st.floats(-9, 12))
def test_the_scales_of_maps_do_not_matter(seed: int, own: float, theirs: float) -> None:
    student, first, second = random_maps(seed, 3, 2, 3, 3)
    for form in ATTENTION_FORMS:
        scaled = term(10**own * student, 10**theirs * first, second, form=form)
        torch.testing.assert_close(scaled, term(student, first, second, form=form))


# Blind and half-blind teachers, dead students.


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_a_flat_teacher_changes_no_product(form: AttentionForm) -> None:
    student, first, second = random_maps(0, 3, 2, 4, 4)
    flat = torch.full_like(first, 0.3)
    torch.testing.assert_close(
        term(student, first, flat, second, form=form), term(student, first, second, form=form)
    )


@pytest.mark.parametrize("form", ["as_paper", "as_printed"])
def test_a_teacher_that_sees_nothing_counts_as_flat(form: AttentionForm) -> None:
    student, first, second = random_maps(0, 3, 2, 4, 4)
    for nothing in (torch.zeros_like(first), 1e-35 * second):
        torch.testing.assert_close(
            term(student, first, nothing, form=form), term(student, first, form=form)
        )
        together = term(student, first, nothing, second, form=form)
        torch.testing.assert_close(together, term(student, first, second, form=form))


def test_as_released_a_teacher_that_sees_nothing_makes_the_product_even() -> None:
    student, first = random_maps(0, 2, 1, 4, 4)
    blind = term(student, first, torch.zeros_like(first), form="as_released")
    even = torch.ones_like(first)
    torch.testing.assert_close(blind, term(student, even, form="as_released"))


def test_what_a_half_blind_teacher_leaves_dark_keeps_the_proportions_of_the_others() -> None:
    logits = torch.zeros(1, 2, 2, dtype=torch.float64, requires_grad=True)
    # The second sees the last cell alone; of the others' 8 : 4 : 2 the floor leaves its millionth.
    product = term(logits.exp(), picture([8, 4, 2, 2]), picture([0, 0, 0, 1]), beta=1.0)
    target = (0.25 - gradient_of(product, logits)).flatten()
    assert target[3].item() == pytest.approx(1, abs=1e-5)
    expected = [4 * FLOOR, 2 * FLOOR, FLOOR]
    assert target[:3].tolist() == pytest.approx(expected, rel=1e-4)


def test_what_a_student_leaves_dark_is_pulled_up() -> None:
    student = picture([1, 1e-9, 0, 0]).requires_grad_()
    loss = term(student, picture([1, 1, 1, 1]))
    # Of four quarters one is there, of three a floor.
    expected = 0.5 * (math.log(0.25) - 0.75 * math.log(FLOOR))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    gradient = gradient_of(loss, student).flatten()
    assert (gradient[1:] < -1e4).all()
    assert gradient[0] > 0


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_a_student_without_any_attention_has_finite_gradients(form: AttentionForm) -> None:
    maps = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss = term(activation_attention(maps), picture([4, 2, 1, 1]).float(), form=form)
    assert loss.isfinite().all()
    assert gradient_of(loss, maps).isfinite().all()


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_a_student_that_diverged_does_not_look_well(form: AttentionForm) -> None:
    assert term(picture([1, math.nan, 1, 1]), picture(UNEVEN), form=form).isnan().all()


# The form as printed.


def test_as_printed_has_the_value_of_its_formula() -> None:
    student, teacher = random_maps(0, 2, 3, 4, 4)
    s, t = (normalize(each.flatten(1), dim=1) for each in (student, teacher))
    expected = 0.5 * (s * (s / t).log()).sum(dim=1)
    torch.testing.assert_close(term(student, teacher, form="as_printed"), expected)


def test_as_printed_can_be_negative() -> None:
    found = term(picture(UNEVEN), picture([1, 1, 1, 1]), form="as_printed", beta=1.0)
    # Lengths 1.00374 and 2: .79702 log 1.59403 + 3 * .34869 log .69739.
    assert found.item() == pytest.approx(-0.0054, abs=5e-5)
    halved = term(picture(UNEVEN), picture([1, 1, 1, 1]), form="as_printed")
    assert halved.item() == pytest.approx(-0.0027, abs=5e-5)
    assert term(picture(UNEVEN), picture([1, 1, 1, 1])).item() > 0.01


def test_as_printed_equality_is_no_minimum() -> None:
    teacher = picture([4, 2, 1, 1])
    student = teacher.clone().requires_grad_()
    loss = term(student, teacher, form="as_printed", beta=1.0)
    assert loss.abs().item() < 1e-12
    gradient = gradient_of(loss, student)
    # On the sphere of length 1 the ones remain, less their part along the map itself.
    unit = normalize(teacher.flatten(), dim=0)
    expected = (1 - unit * unit.sum()) / teacher.norm()
    torch.testing.assert_close(gradient.flatten(), expected)
    step = teacher - gradient
    assert term(step, teacher, form="as_printed", beta=1.0).item() < -0.04


# The form as released.


def released(student: Tensor, *teachers: Tensor) -> Tensor:
    """Scalar: as the released code computes it, in words of torch."""

    def attend(attention: Tensor) -> Tensor:
        return normalize(attention.flatten(1))

    target = attend(teachers[0])
    if len(teachers) > 1:
        for each in teachers[1:]:
            target = target * attend(each)
        target = normalize(target, p=1)
    said = (attend(student) / 9).softmax(dim=1)
    return kl_div(said, (target / 9).softmax(dim=1), reduction="batchmean")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_as_released_the_mean_over_pictures_is_batchmean(seed: int, num_teachers: int) -> None:
    student, *teachers = random_maps(seed, 1 + num_teachers, 5, 4, 6)
    found = term(student, *teachers, form="as_released")
    torch.testing.assert_close(found.mean(), released(student, *teachers))
    # Beta is of the other forms.
    assert torch.equal(found, term(student, *teachers, form="as_released", beta=9.0))


def test_as_released_only_the_inner_product_is_rewarded() -> None:
    student, teacher = random_maps(0, 2, 1, 4, 4)
    student.requires_grad_()
    gradient = gradient_of(term(student, teacher, form="as_released"), student).flatten()
    # By hand: -t for the student's probabilities, whatever they are; then back through the softmax
    # at T = 9 and through the length.
    unit = normalize(student.detach().flatten(), dim=0)
    said, wanted = (unit / 9).softmax(dim=0), (normalize(teacher.flatten(), dim=0) / 9).softmax(0)
    of_unit = -said * (wanted - wanted @ said) / 9
    expected = (of_unit - unit * (unit @ of_unit)) / student.detach().norm()
    torch.testing.assert_close(gradient, expected)


def test_as_released_equality_is_no_minimum() -> None:
    teacher = picture([4, 2, 1, 1])
    equal = term(teacher, teacher, form="as_released")
    # Attention on the highest cell alone has the larger inner product.
    assert term(picture([1, 0, 0, 0]), teacher, form="as_released") < equal


def test_as_released_it_is_nearly_inert_at_the_size_of_the_paper() -> None:
    # On 96 x 96 cells, from the best that a student can do to the worst.
    teacher = torch.zeros(1, 96, 96, dtype=torch.float64)
    teacher[0, 0, 0] = 1.0
    best, worst = teacher, teacher.flip(1)
    values = [term(each, teacher, form="as_released").item() for each in (best, worst)]
    assert values == pytest.approx([-math.log(9216)] * 2, abs=2e-4)
    # (e^(1/9) - 1)^2 / 9216^2: beyond the digits of float32 at 9.1.
    assert values[1] - values[0] == pytest.approx(math.expm1(1 / 9) ** 2 / 9216**2, rel=1e-3)
    assert values[1] - values[0] < 2e-10
    assert term(worst, teacher).item() - term(best, teacher).item() > 5


# Several teachers, levels and pictures.


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_per_teacher_is_the_sum_of_terms_of_one_teacher(form: AttentionForm) -> None:
    student, *teachers = random_maps(0, 4, 2, 3, 3)
    found = term(student, *teachers, form=form, combination="per_teacher")
    alone = [term(student, each, form=form) for each in teachers]
    torch.testing.assert_close(found, torch.stack(alone).sum(dim=0))


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_of_one_teacher_all_combinations_are_the_same(form: AttentionForm) -> None:
    student, teacher = random_maps(0, 2, 2, 3, 3)
    found = [term(student, teacher, form=form, combination=each) for each in COMBINATIONS]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_teacher_that_did_not_see_a_picture_takes_no_part_in_it(
    form: AttentionForm, combination: Combination
) -> None:
    student, *teachers = random_maps(0, 4, 4, 3, 3)
    seen = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0]], dtype=torch.bool)
    blank = [torch.where(s[:, None, None], t, 0) for t, s in zip(teachers, seen, strict=True)]
    broken = [
        torch.where(s[:, None, None], t, torch.nan) for t, s in zip(teachers, seen, strict=True)
    ]
    for maps in (blank, broken):
        own = student.clone().requires_grad_()
        found = term(own, *maps, form=form, combination=combination, seen=seen)
        for n in range(4):
            some = [t[n : n + 1] for t, s in zip(teachers, seen, strict=True) if s[n]]
            expected = torch.zeros(1, dtype=torch.float64)
            if some:
                expected = term(student[n : n + 1], *some, form=form, combination=combination)
            torch.testing.assert_close(found[n : n + 1], expected)
        gradient = gradient_of(found, own)
        assert gradient.isfinite().all()
        assert not gradient[3].any()
        assert gradient[:3].flatten(1).any(dim=1).all()


@pytest.mark.parametrize("form", ATTENTION_FORMS)
def test_levels_are_summed_and_pictures_kept_apart(form: AttentionForm) -> None:
    shapes = ((3, 8, 8), (3, 4, 4), (3, 2, 3))
    student = [random_maps(0, *shape) for shape in shapes]
    teachers = [[random_maps(seed, *shape) for shape in shapes] for seed in (1, 2)]
    found = attention_transfer(student, teachers, form=form)
    by_level = [
        term(own, *theirs, form=form) for own, *theirs in zip(student, *teachers, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(by_level).sum(dim=0))
    one = attention_transfer(
        [level[1:2] for level in student],
        [[level[1:2] for level in levels] for levels in teachers],
        form=form,
    )
    torch.testing.assert_close(found[1:2], one)


@pytest.mark.parametrize(
    ("own", "theirs"), [((8, 8), (4, 4)), ((7, 5), (3, 4)), ((9, 3), (1, 1)), ((6, 6), (6, 2))]
)
def test_a_larger_student_is_brought_to_means_over_its_cells(
    own: tuple[int, int], theirs: tuple[int, int]
) -> None:
    student, teacher = random_maps(0, 2, *own), random_maps(1, 2, *theirs)
    pooled = adaptive_avg_pool2d(student, theirs)
    torch.testing.assert_close(term(student, teacher), term(pooled, teacher))
    assert term(student, pooled).abs().max() < 1e-12


@pytest.mark.parametrize(("own", "theirs"), [((2, 2), (4, 4)), ((3, 4), (7, 5)), ((2, 6), (2, 9))])
def test_a_smaller_student_is_interpolated(own: tuple[int, int], theirs: tuple[int, int]) -> None:
    student, teacher = random_maps(0, 2, *own), random_maps(1, 2, *theirs)
    larger = interpolate(student[:, None], size=theirs, mode="bilinear")[:, 0]
    torch.testing.assert_close(term(student, teacher), term(larger, teacher))


def test_each_axis_goes_its_own_way() -> None:
    student, teacher = random_maps(0, 2, 8, 2), random_maps(1, 2, 4, 4)
    pooled = adaptive_avg_pool2d(student, (4, 2))
    both = interpolate(pooled[:, None], size=(4, 4), mode="bilinear")[:, 0]
    torch.testing.assert_close(term(student, teacher), term(both, teacher))


def test_teachers_of_other_sizes_come_to_that_of_the_first() -> None:
    student, first, second = (
        random_maps(0, 2, 4, 4),
        random_maps(1, 2, 4, 4),
        random_maps(2, 2, 8, 8),
    )
    pooled = adaptive_avg_pool2d(second, (4, 4))
    torch.testing.assert_close(term(student, first, second), term(student, first, pooled))
    alone = term(student, first) + term(student, second)
    torch.testing.assert_close(term(student, first, second, combination="per_teacher"), alone)


# Precision and gradients.


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_gradients_agree_with_differences(form: AttentionForm, combination: Combination) -> None:
    teachers = random_maps(1, 2, 3, 3, 2)
    seen = torch.tensor([[True, True, False], [True, False, False]])

    def of(student: Tensor) -> Tensor:
        loss = term(student, *teachers, form=form, combination=combination, seen=seen)
        # As released the slopes lie near 1e-3; as large as the others a wrong one is seen.
        return loss * 100 if form == "as_released" else loss

    for size in ((3, 2), (6, 5)):
        student = random_maps(0, 3, *size).requires_grad_()
        assert gradcheck(of, (student,), atol=1e-7)


@pytest.mark.parametrize("form", ATTENTION_FORMS)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_half_precision_is_computed_in_full(form: AttentionForm, combination: Combination) -> None:
    student, first, second = random_maps(0, 3, 2, 16, 16).half()
    half = term(student, first, second, form=form, combination=combination)
    full = term(student.float(), first.float(), second.float(), form=form, combination=combination)
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_single_precision_is_enough_at_the_size_of_the_paper(combination: Combination) -> None:
    maps = random_maps(0, 4, 1, 96, 96) ** 4
    exact = term(*maps, combination=combination)
    found = term(*maps.float(), combination=combination)
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=0)


def test_descending_brings_the_student_to_look_where_the_teachers_look() -> None:
    teachers = random_maps(1, 2, 1, 4, 4)
    maps = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimiser = torch.optim.Adam([maps], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        loss = term(activation_attention(maps), *teachers).sum()
        loss.backward()
        optimiser.step()
    assert loss.item() < 1e-4
    together = shares(teachers.prod(dim=0)).float()
    learned = shares(activation_attention(maps.detach()))
    torch.testing.assert_close(learned, together, atol=0.01, rtol=0)


# What is refused.

EVEN = torch.ones(2, 3, 3)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: term(EVEN, EVEN, form="as_written"), "form 'as_written' is not known"),  # type: ignore[arg-type]
        (lambda: term(EVEN, EVEN, combination="sum"), "combination 'sum' is not known"),  # type: ignore[arg-type]
        (lambda: term(EVEN, EVEN, beta=0.0), "beta 0 must be above 0"),
        (
            lambda: attention_transfer([EVEN], [[EVEN]], temperature=-1.0),
            "temperature -1 must be above 0",
        ),
        (lambda: term(EVEN), "has 1 levels and the teachers none"),
        (
            lambda: attention_transfer([EVEN], [[EVEN], [EVEN, EVEN]]),
            "has 1 levels and the teachers 1, 2",
        ),
        (
            lambda: term(EVEN, EVEN[:1]),
            r"an attention map is \(1, 3, 3\); give \(2, height, width\)",
        ),
        (lambda: term(EVEN, EVEN[:, None]), r"an attention map is \(2, 1, 3, 3\)"),
        (
            lambda: term(EVEN, EVEN, seen=torch.ones(2, 1, dtype=torch.bool)),
            r"seen is torch.bool \(2, 1\); give bool \(1, 2\)",
        ),
        (lambda: term(EVEN, EVEN, seen=torch.ones(1, 2)), "seen is torch.float32"),
        (lambda: activation_attention(EVEN), r"give \(pictures, channels, height, width\)"),
        (lambda: activation_attention(EVEN[None], power=0.5), "power 0.5 must be 1 or more"),
    ],
)
def test_what_does_not_fit_is_refused(act: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        act()
