"""Attention transfer of several teachers: the student looks where they look, together.

MTA of MM-DistillNet (Valverde, Hurtado and Valada, CVPR 2021), in three forms (methods 3.4).

``as_paper`` brings attention to sum 1 and takes beta * KL(teacher || student): 0 at equal
attention, and above 0 elsewhere. Direction and sum are our choice [U].
``as_printed`` brings it to length 1 and takes beta * sum s log(s / t) with these [S:MM-note]: no
divergence, as lengths of 1 are no sums of 1. It can be below 0, and equality is no minimum [D].
``as_released`` brings it to length 1, takes softmax(attention / T) and then sum t (log t - s),
where s should be log s, without beta [S:MM-code]: its gradient in s is -t, whatever s is [D].

Conventions: N pictures, C channels, H and W cells of a level, P = H * W positions, K teachers.
Attention is 0 or more at any scale; a map without any counts as even. Half types are computed in
float32, float64 stays. In the first two forms no position is below ``FLOOR`` of its map's highest:
logs stay finite, and in a product a blind teacher cannot zero what the others see.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d, interpolate, log_softmax, normalize

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision, require_above_zero
from avkd.stages.losses.geometry import matrix_product, unit_vectors

AttentionForm: TypeAlias = Literal["as_paper", "as_printed", "as_released"]
Combination: TypeAlias = Literal["product", "average", "per_teacher"]
ATTENTION_FORMS: tuple[AttentionForm, ...] = get_args(AttentionForm)
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)
FLOOR = 1e-6
FAINTEST = 1e-30
"""A map that is nowhere above this is even: its scale would leave float32."""


def activation_attention(maps: Tensor, power: float = 2.0) -> Tensor:
    """(N, H, W): the mean over channels of |activation|^power of ``maps`` (N, C, H, W).

    Raises:
        InvalidValueError: The maps have another number of axes, or the power is below 1.
    """
    if maps.dim() != 4:
        raise InvalidValueError(
            f"maps are {tuple(maps.shape)}; give (pictures, channels, height, width)"
        )
    if not power >= 1:
        raise InvalidValueError(f"power {power:g} must be 1 or more")
    (maps,) = in_full_precision(maps)
    return maps.abs().pow(power).mean(dim=1)


def attention_transfer(
    student: Sequence[Tensor],
    teachers: Sequence[Sequence[Tensor]],
    *,
    form: AttentionForm = "as_paper",
    combination: Combination = "product",
    beta: float = 0.5,
    temperature: float = 9.0,
    seen: Tensor | None = None,
) -> Tensor:
    """(N,): the term of each picture, summed over levels.

    ``student`` holds (N, H, W) by level; ``teachers`` the same by teacher, then level. Where
    ``seen``, bool (K, N), says no, a teacher takes no part; a picture that none saw costs 0.
    ``product`` multiplies the teachers' maps; ``average`` takes the mean of maps that were brought
    to sum 1; ``per_teacher`` sums the terms of one teacher each, as the published configuration
    does [S:MM-code]. Maps are brought to the size of the first teacher's (``per_teacher``: of each)
    by means over smaller and bilinear interpolation over larger grids. ``as_released`` takes
    ``temperature`` alone, the others ``beta`` alone; times 1 / N, its sum is that code's batchmean.

    Raises:
        InvalidValueError: Levels, pictures or ``seen`` do not fit, there is no teacher, an option
            is not above 0, or a form or combination is not known.
    """
    _require_options(form, combination, beta, temperature)
    _require_levels(student, teachers)
    if seen is None:
        seen = torch.ones(len(teachers), len(student[0]), dtype=torch.bool)
    _require_seen(seen, len(teachers), len(student[0]))
    seen = seen.to(student[0].device)
    total = student[0].new_zeros(len(student[0]), dtype=torch.float32)
    for level, own in enumerate(student):
        maps = [each[level] for each in teachers]
        if combination == "per_teacher":
            groups = [([one], seen[k : k + 1]) for k, one in enumerate(maps)]
        else:
            groups = [(maps, seen)]
        for some, their_seen in groups:
            together = _combine(some, their_seen, form, combination)
            found = _compare(_flatten(own, some[0].shape[1:]), together, form, beta, temperature)
            total = total + torch.where(their_seen.any(dim=0), found, torch.zeros_like(found))
    return total


def _combine(
    maps: Sequence[Tensor], seen: Tensor, form: AttentionForm, combination: Combination
) -> Tensor:
    """(N, P): one map out of the teachers' (N, H, W), by those that saw the picture."""
    size = maps[0].shape[1:]
    flat_KNP = torch.stack(in_full_precision(*(_flatten(each, size) for each in maps)))
    takes_part = seen[:, :, None]
    # where, not a product: what a teacher holds that did not see the picture never matters.
    flat_KNP = torch.where(takes_part, flat_KNP, torch.ones_like(flat_KNP))
    if form == "as_released":
        return _combine_released(flat_KNP, takes_part, combination)
    if combination == "average":
        return _mean_of_seen(_to_shares(flat_KNP), takes_part)
    # A sum of logs: products of many maps leave float32.
    logs = (takes_part * _to_peak_one(flat_KNP).log()).sum(dim=0)
    return (logs - logs.amax(dim=1, keepdim=True)).exp()


def _combine_released(flat_KNP: Tensor, takes_part: Tensor, combination: Combination) -> Tensor:
    """(N, P): at length 1, but a product of two or more at sum 1 [S:MM-code]."""
    if combination == "average":
        shares = normalize(flat_KNP, p=1, dim=2)
        return normalize(_mean_of_seen(shares, takes_part), dim=1)
    units = normalize(flat_KNP, dim=2)
    product = torch.where(takes_part, units, torch.ones_like(units)).prod(dim=0)
    return torch.where(takes_part.sum(dim=0) > 1, normalize(product, p=1, dim=1), product)


def _mean_of_seen(shares_KNP: Tensor, takes_part: Tensor) -> Tensor:
    return (takes_part * shares_KNP).sum(dim=0) / takes_part.sum(dim=0).clamp_min(1)


def _compare(
    student: Tensor, teacher: Tensor, form: AttentionForm, beta: float, temperature: float
) -> Tensor:
    """(N,): the term of one level, from (N, P) each."""
    student, teacher = in_full_precision(student, teacher)
    if form == "as_released":
        said = (normalize(student, dim=1) / temperature).softmax(dim=1)
        wanted_log = log_softmax(teacher / temperature, dim=1)
        return (wanted_log.exp() * (wanted_log - said)).sum(dim=1)
    if form == "as_printed":
        said, wanted = (unit_vectors(_to_peak_one(each)) for each in (student, teacher))
        return beta * (said * (said.log() - wanted.log())).sum(dim=1)
    said, wanted = (_to_shares(each) for each in (student, teacher))
    return beta * (wanted * (wanted.log() - said.log())).sum(dim=1)


def _to_shares(attention: Tensor) -> Tensor:
    """(..., P) at sum 1, without zeros."""
    attention = _to_peak_one(attention)
    return attention / attention.sum(dim=-1, keepdim=True)


def _to_peak_one(attention: Tensor) -> Tensor:
    """(..., P) with 1 as the highest and ``FLOOR`` as the lowest; ones where there is nothing.

    What lies below the floor has the gradient that it would have without: it can be pulled up.
    """
    peak = attention.amax(dim=-1, keepdim=True)
    # Not > : nan must go through, or a student that diverged would look well.
    is_even = peak <= FAINTEST
    scaled = attention / torch.where(is_even, torch.ones_like(peak), peak)
    scaled = torch.where(is_even, torch.ones_like(scaled), scaled)
    return scaled + (scaled.clamp_min(FLOOR) - scaled).detach()


def _flatten(attention: Tensor, size: torch.Size) -> Tensor:
    """(N, P): a map (N, H, W) at another size, in full precision."""
    (attention,) = in_full_precision(attention)
    if attention.shape[1:] != size:
        rows, columns = (
            _resizing(now, wanted).to(attention)
            for now, wanted in zip(attention.shape[1:], size, strict=True)
        )
        # Products of matrices: the gradients of torch's own are not the same twice on a GPU.
        attention = matrix_product(matrix_product(rows, attention), columns.T)
    return attention.flatten(1)


def _resizing(now: int, wanted: int) -> Tensor:
    """(wanted, now): the matrix that brings an axis to another length."""
    unit = torch.eye(now, dtype=torch.float64)[None]
    if wanted < now:
        return adaptive_avg_pool1d(unit, wanted)[0].T
    return interpolate(unit, size=wanted, mode="linear", align_corners=False)[0].T


def _require_options(
    form: AttentionForm, combination: Combination, beta: float, temperature: float
) -> None:
    if form not in ATTENTION_FORMS:
        raise InvalidValueError(f"form {form!r} is not known; use one of {ATTENTION_FORMS}")
    if combination not in COMBINATIONS:
        raise InvalidValueError(
            f"combination {combination!r} is not known; use one of {COMBINATIONS}"
        )
    require_above_zero("beta", beta)
    require_above_zero("temperature", temperature)


def _require_levels(student: Sequence[Tensor], teachers: Sequence[Sequence[Tensor]]) -> None:
    if not student or not teachers or any(len(each) != len(student) for each in teachers):
        counts = ", ".join(str(len(each)) for each in teachers) or "none"
        raise InvalidValueError(
            f"the student has {len(student)} levels and the teachers {counts}; "
            "give one or more teachers, each with a map for every level of the student"
        )
    for each in (*student, *(level for levels in teachers for level in levels)):
        if each.dim() != 3 or len(each) != len(student[0]):
            raise InvalidValueError(
                f"an attention map is {tuple(each.shape)}; "
                f"give ({len(student[0])}, height, width) as the student's first level has pictures"
            )


def _require_seen(seen: Tensor, num_teachers: int, num_pictures: int) -> None:
    if seen.shape != (num_teachers, num_pictures) or seen.dtype != torch.bool:
        raise InvalidValueError(
            f"seen is {seen.dtype} {tuple(seen.shape)}; give bool ({num_teachers}, {num_pictures})"
        )
