"""The Kullback-Leibler divergence of clips: one distribution of the student for each.

Conventions: B clips, S steps, K classes, as ``kl``; weighted with the squared temperature, mean
over clips. float64 stays float64.
"""

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import require_above_zero
from avkd.stages.losses.kl import SparseTargets, dense_kl, sparse_kl_per_step
from avkd.stages.losses.steps import blank_masked_steps, real_steps


def clip_kl(
    student_BK: Tensor,
    target: Tensor | SparseTargets,
    num_steps: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Scalar: the mean of ``clip_kl_per_clip`` over clips.

    The label level of person verification, T^2 KL(softmax(l_T / T) || softmax(l_S / T)): a design
    in standard form [R], its temperature and weight [U]. Gradient for a dense clip at T = 1:
    softmax(student) - softmax(target), over B.
    """
    return clip_kl_per_clip(student_BK, target, num_steps, temperature).mean()


def clip_kl_per_clip(
    student_BK: Tensor,
    target: Tensor | SparseTargets,
    num_steps: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """(B,): KL(target || student), times temperature squared.

    ``target`` is (B, K), or (B, S, K) with ``num_steps`` (B,): then the mean over each clip's real
    steps, whose gradient is that of the mean of the steps' distributions. Sparse targets of either
    rank are compared over their kept classes and one for all others: a lower bound.

    Raises:
        InvalidValueError: The shapes do not fit, ``num_steps`` is missing, or the log-sum-exp of
            that temperature was not stored.
    """
    require_above_zero("temperature", temperature)
    shape = (target.ids if isinstance(target, SparseTargets) else target).shape
    _require_targets(student_BK, shape, is_sparse=isinstance(target, SparseTargets))
    if len(shape) == 2:
        return _divergence(student_BK, target, temperature)
    if num_steps is None:
        raise InvalidValueError(
            f"targets are {tuple(shape)} with a step axis; give num_steps, the real steps of a clip"
        )
    # Every step pulls on the same logits: nan in a masked one would reach them as 0 * nan.
    if isinstance(target, SparseTargets):
        target = target.blank_masked_steps(num_steps)
    else:
        target = blank_masked_steps(target, num_steps)
    student_BSK = student_BK[:, None].expand(-1, shape[1], -1)
    return mean_real_steps(_divergence(student_BSK, target, temperature), num_steps)


def mean_real_steps(values_BS: Tensor, num_steps: Tensor) -> Tensor:
    """(B,): the mean over each clip's real steps; 0 for a clip that has none."""
    real = real_steps(num_steps, values_BS.shape[1], values_BS.device)
    # Filled, not multiplied: a masked step may hold nan or inf, and 0 * nan is nan.
    return values_BS.masked_fill(~real, 0).sum(dim=-1) / real.sum(dim=-1).clamp_min(1)


def _divergence(student: Tensor, target: Tensor | SparseTargets, temperature: float) -> Tensor:
    if isinstance(target, SparseTargets):
        return sparse_kl_per_step(student, target, temperature)
    return dense_kl(student, target, temperature)


def _require_targets(student_BK: Tensor, shape: torch.Size, *, is_sparse: bool) -> None:
    fits = student_BK.dim() == 2 and len(shape) in (2, 3) and student_BK.shape[0] == shape[0]
    num_classes = student_BK.shape[-1]
    if not fits or (shape[-1] > num_classes if is_sparse else shape[-1] != num_classes):
        raise InvalidValueError(
            f"student is {tuple(student_BK.shape)} and targets {tuple(shape)}; give logits "
            "(clips, classes) and targets (clips, classes) or (clips, steps, classes) of the same"
        )
