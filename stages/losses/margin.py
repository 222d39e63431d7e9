"""Losses with a margin: a harder one between classes, a looser one towards a teacher.

Conventions: B clips, K classes, D embedding width.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import (
    in_full_precision,
    mean_of_kept,
    require_above_zero,
    require_class_labels,
    require_pair,
)
from avkd.stages.losses.geometry import root_or_zero, unit_vectors

_COSINE_ROUNDING = 0.01
"""How far a cosine may leave [-1, 1]: bfloat16 has 8 bits."""


def aam_softmax(
    cosines_BK: Tensor, labels: Tensor, scale: float = 32.0, margin: float = 0.2
) -> Tensor:
    """Scalar: the mean of ``aam_softmax_per_clip`` over the labelled clips; 0 where none is.

    Additive angular margin softmax (ArcFace, Deng et al., CVPR 2019, equation 3 [R]). Scale 32 and
    margin 0.2 are usual for speakers [R]; what Zhang et al. (Interspeech 2021) took is [U].
    """
    per_clip = aam_softmax_per_clip(cosines_BK, labels, scale, margin)
    return mean_of_kept(per_clip, labels >= 0)


def aam_softmax_per_clip(
    cosines_BK: Tensor, labels: Tensor, scale: float = 32.0, margin: float = 0.2
) -> Tensor:
    """(B,): the cross-entropy of ``aam_logits``; 0 for a clip whose label is -1."""
    logits = aam_logits(cosines_BK, labels, scale, margin)
    return cross_entropy(logits, labels, ignore_index=-1, reduction="none")


def aam_logits(
    cosines_BK: Tensor, labels: Tensor, scale: float = 32.0, margin: float = 0.2
) -> Tensor:
    """(B, K): scaled cosines, with the margin on each clip's own class.

    ``margin`` is in radians. For a KL to a teacher use ``scale * cosines``, without the margin.

    Raises:
        InvalidValueError: These are no cosines, a label is out of range, or an option is.
    """
    require_above_zero("scale", scale)
    if not 0 <= margin < math.pi / 2:
        raise InvalidValueError(f"margin {margin:g} must be from 0 to below pi / 2 (radians)")
    require_class_labels(labels, cosines_BK)
    _require_cosines(cosines_BK)
    (cosines,) = in_full_precision(cosines_BK)
    own_class = labels.clamp_min(0)[:, None]
    own = cosines.gather(-1, own_class)
    own = torch.where(labels[:, None] >= 0, add_angular_margin(own, margin), own)
    return scale * cosines.scatter(-1, own_class, own)


def add_angular_margin(cosines: Tensor, margin: float) -> Tensor:
    """cos(angle + margin) of cosines, and below every such value once the angle passes pi - margin.

    There the cosine would rise again; as released code does [R], cos(angle) - margin sin(margin)
    takes its place. This still falls with the angle, and steps down where the two meet. It is not
    the "easy margin" of that code, which leaves every angle above pi / 2 as it is.
    """
    # Within rounding of a right cosine of 1 or -1 the sine has no gradient that means anything.
    sines = root_or_zero(1 - cosines.square(), torch.finfo(cosines.dtype).eps)
    moved = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines < -math.cos(margin), cosines - margin * math.sin(margin), moved)


def margin_alignment(student_BD: Tensor, teacher_BD: Tensor, margin: float = 0.2) -> Tensor:
    """Scalar: the mean of ``margin_alignment_per_clip`` over clips."""
    return margin_alignment_per_clip(student_BD, teacher_BD, margin).mean()


def margin_alignment_per_clip(
    student_BD: Tensor, teacher_BD: Tensor, margin: float = 0.2
) -> Tensor:
    """(B,): how far the cosine distance of two embeddings exceeds the margin; 0 within it.

    The loose constraint of VGSR (Jin et al., AAAI 2023 [S: abstract]), because voices that must
    equal faces overfit. The paper's equation and margin are [U]; the hinge on 1 - cosine is ours.

    Raises:
        InvalidValueError: The shapes differ, or the margin is not from 0 to below 2.
    """
    require_pair(student_BD, teacher_BD)
    if not 0 <= margin < 2:
        raise InvalidValueError(f"margin {margin:g} must be from 0 to below 2, a cosine distance")
    student, teacher = in_full_precision(student_BD, teacher_BD)
    cosines = (unit_vectors(student) * unit_vectors(teacher)).sum(dim=-1)
    return (1 - cosines - margin).relu()


def _require_cosines(cosines: Tensor) -> None:
    largest = float(cosines.detach().abs().max())
    if largest > 1 + _COSINE_ROUNDING:
        raise InvalidValueError(
            f"the largest cosine is {largest:g}; give cosines from -1 to 1, not scaled logits"
        )
