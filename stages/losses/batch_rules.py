"""What the losses of clips ask of a batch: precision, shapes, numbers of clips.

Conventions: B clips, K classes, D embedding width. Marks in the docstrings of these losses say how
well a fact is known: [S] sourced, [R] recalled, [D] derived, [U] unknown, so that we chose.
"""

from functools import reduce

import torch
from torch import Tensor

from avkd.errors import InvalidValueError


def in_full_precision(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All in one type, float32 at least: half types go up and float64 stays."""
    dtype = reduce(torch.promote_types, (tensor.dtype for tensor in tensors), torch.float32)
    return tuple(tensor.to(dtype) for tensor in tensors)


def mean_of_kept(values: Tensor, kept: Tensor) -> Tensor:
    """Scalar: the mean of ``values`` (B,) over the clips that the mask ``kept`` (B,) keeps.

    0 where it keeps none. What left-out clips hold never matters, not even nan.
    """
    # where, not a product: 0 * nan is nan.
    return torch.where(kept, values, torch.zeros_like(values)).sum() / kept.sum().clamp_min(1)


def require_pair(student: Tensor, teacher: Tensor) -> None:
    """Refuse tensors that are not (clips, size) with both the same.

    Raises:
        InvalidValueError: They are not.
    """
    require_same_clips(student, teacher)
    if student.shape[1] != teacher.shape[1]:
        raise InvalidValueError(
            f"student gives {student.shape[1]} numbers a clip but the teacher {teacher.shape[1]}; "
            "project one to the size of the other, or compare the same classes"
        )


def require_same_clips(student: Tensor, teacher: Tensor) -> None:
    """Refuse tensors that are not (clips, size) with the same clips; the sizes may differ.

    Raises:
        InvalidValueError: They are not.
    """
    if student.dim() != 2 or teacher.dim() != 2 or student.shape[0] != teacher.shape[0]:
        raise InvalidValueError(
            f"student is {tuple(student.shape)} and teacher {tuple(teacher.shape)}; "
            "give (clips, size) of the same clips, with no step axis"
        )


def require_clips(num_clips: int, least: int, loss: str) -> None:
    """Refuse a batch that is too small to compare its clips with each other.

    Raises:
        InvalidValueError: It is.
    """
    if num_clips < least:
        raise InvalidValueError(
            f"{loss} compares the clips of a batch and got {num_clips}; "
            f"the smallest batch is {least} clips (also the last one of an epoch)"
        )


def require_class_labels(labels: Tensor, scores_BK: Tensor) -> None:
    """Refuse labels that are not one class number a clip, -1 where a clip has none.

    Raises:
        InvalidValueError: They are not, or one is beyond the classes of the scores.
    """
    num_clips, num_classes = scores_BK.shape
    if labels.shape != (num_clips,) or labels.is_floating_point():
        raise InvalidValueError(
            f"labels are {labels.dtype} {tuple(labels.shape)}; "
            f"give one class number for each of {num_clips} clips"
        )
    lowest, highest = (int(limit) for limit in labels.aminmax())
    if lowest < -1 or highest >= num_classes:
        raise InvalidValueError(
            f"labels run from {lowest} to {highest}; {num_classes} classes go from 0 to "
            f"{num_classes - 1}, and -1 is a clip without a label"
        )


def require_above_zero(name: str, value: float) -> None:
    """Refuse an option that is zero or negative.

    Raises:
        InvalidValueError: It is.
    """
    if not value > 0:
        raise InvalidValueError(f"{name} {value:g} must be above 0")
