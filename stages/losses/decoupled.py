"""Newer ways to match a teacher's logits than one KL divergence.

Conventions: B clips, K classes; logits before the softmax.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, softmax

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import (
    in_full_precision,
    require_above_zero,
    require_class_labels,
    require_clips,
    require_pair,
)
from avkd.stages.losses.correlation import pearson
from avkd.stages.losses.geometry import matrix_product
from avkd.stages.losses.kl import dense_kl


def dkd(
    student_BK: Tensor,
    teacher_BK: Tensor,
    labels: Tensor | None = None,
    alpha: float = 1.0,
    beta: Tensor | float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """Scalar: the mean of ``dkd_per_clip`` over clips."""
    return dkd_per_clip(student_BK, teacher_BK, labels, alpha, beta, temperature).mean()


def dkd_per_clip(
    student_BK: Tensor,
    teacher_BK: Tensor,
    labels: Tensor | None = None,
    alpha: float = 1.0,
    beta: Tensor | float = 8.0,
    temperature: float = 4.0,
) -> Tensor:
    """(B,): T squared (alpha TCKD + beta NCKD), decoupled distillation.

    Zhao et al., CVPR 2022, equation 7 [R] and released code [S]: TCKD is the KL over the target
    class and all others as one, NCKD the KL over the others among themselves. The plain KL is
    alpha = 1, beta = 1 - the teacher's target probability (``beta`` may be (B,)); it hides the
    others where the teacher is sure. The target is the label, and the teacher's largest class
    where there is none or it is -1. The code raises the loss linearly over its first epochs [S].

    Raises:
        InvalidValueError: The shapes differ, there is one class only, or a label is out of range.
    """
    require_pair(student_BK, teacher_BK)
    require_above_zero("temperature", temperature)
    if student_BK.shape[1] < 2:
        raise InvalidValueError("DKD splits a target class from others; give 2 classes or more")
    student, teacher = in_full_precision(student_BK, teacher_BK)
    is_target = _is_target(teacher, labels)
    target_part = temperature**2 * dense_kl(
        _target_against_rest(student / temperature, is_target),
        _target_against_rest(teacher / temperature, is_target),
    )
    others_part = dense_kl(_others(student, is_target), _others(teacher, is_target), temperature)
    return alpha * target_part + beta * others_part


def standardise_logits(logits_BK: Tensor, epsilon: float = 1e-8) -> Tensor:
    """(B, K): each clip's logits less their mean, over their standard deviation.

    For both sides before any KL: the student then matches relations, not magnitude (Sun et al.,
    Logit Standardization, CVPR 2024, algorithm 1 [R]). The deviation is that of the K logits
    (over K; the released code divides by K - 1 [S]). ``epsilon`` is added to the variance:
    constant logits give zeros and a finite gradient.
    """
    (logits,) = in_full_precision(logits_BK)
    return layer_norm(logits, logits.shape[-1:], eps=epsilon)


def multi_level(
    student_BK: Tensor,
    teacher_BK: Tensor,
    temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
    instance_weight: float = 1.0,
    batch_weight: float = 1.0,
    class_weight: float = 1.0,
) -> Tensor:
    """Scalar: alignment of clips, of pairs of clips and of pairs of classes, summed over T.

    MLLD (Jin et al., CVPR 2023; temperatures and forms of the released code [S]): T squared KL;
    the squared differences of the Gram matrices P P^T over B; and of P^T P over K, where P (B, K)
    are probabilities at T. That code also leaves out what the teacher is less sure of than the
    median, which is for the caller (``confidence``).

    Raises:
        InvalidValueError: The shapes differ, or no temperature is given, or one is not above 0.
    """
    require_pair(student_BK, teacher_BK)
    if not temperatures:
        raise InvalidValueError("temperatures are empty; give one or more")
    student, teacher = in_full_precision(student_BK, teacher_BK)
    levels: list[Tensor] = []
    for temperature in temperatures:
        require_above_zero("temperature", temperature)
        ours, theirs = softmax(student / temperature, -1), softmax(teacher / temperature, -1)
        levels.append(instance_weight * dense_kl(student, teacher, temperature).mean())
        levels.append(batch_weight * _gram_difference(ours, theirs))
        levels.append(class_weight * _gram_difference(ours.T, theirs.T))
    return torch.stack(levels).sum()


def dist(
    student_BK: Tensor,
    teacher_BK: Tensor,
    temperature: float = 1.0,
    inter_weight: float = 1.0,
    intra_weight: float = 1.0,
) -> Tensor:
    """Scalar: T squared times one minus Pearson's correlation of probabilities, two ways.

    DIST (Huang et al., NeurIPS 2022; form of the released code [S]): ``inter``, the mean over
    clips of the correlation over classes, and ``intra``, the mean over classes of that over
    clips. A class that does not vary in the batch counts as uncorrelated and has no gradient.

    Raises:
        InvalidValueError: The shapes differ, or there is one clip only.
    """
    require_pair(student_BK, teacher_BK)
    require_above_zero("temperature", temperature)
    require_clips(student_BK.shape[0], 2, "DIST")
    student, teacher = in_full_precision(student_BK, teacher_BK)
    ours, theirs = softmax(student / temperature, -1), softmax(teacher / temperature, -1)
    inter = 1 - pearson(ours, theirs).mean()
    intra = 1 - pearson(ours.T, theirs.T).mean()
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def _is_target(teacher_BK: Tensor, labels: Tensor | None) -> Tensor:
    """(B, K) of bool: one class a clip."""
    target = teacher_BK.argmax(dim=-1)
    if labels is not None:
        require_class_labels(labels, teacher_BK)
        target = torch.where(labels >= 0, labels, target)
    return torch.zeros_like(teacher_BK, dtype=torch.bool).scatter(-1, target[:, None], True)


def _target_against_rest(logits_BK: Tensor, is_target: Tensor) -> Tensor:
    """(B, 2): logits of the target class, and of all others as one."""
    return torch.stack([logits_BK[is_target], _others(logits_BK, is_target).logsumexp(-1)], dim=-1)


def _others(logits_BK: Tensor, is_target: Tensor) -> Tensor:
    """(B, K - 1): the logits of the other classes."""
    return logits_BK[~is_target].view(logits_BK.shape[0], -1)


def _gram_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """The squared difference of the products of all pairs of rows, over the number of rows."""
    ours, theirs = matrix_product(student, student.T), matrix_product(teacher, teacher.T)
    return (ours - theirs).square().sum() / student.shape[0]
