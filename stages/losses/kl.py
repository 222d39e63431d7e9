"""The Kullback-Leibler divergence of a student from what a teacher stored.

Conventions: B clips, S steps, C classes, K kept classes; logits are before softmax, log natural.
Half types are computed in float32, float64 stays. Soft targets at a temperature are weighted with
its square, so that gradients keep their size (Hinton, Vinyals and Dean 2015).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision
from avkd.stages.losses.steps import blank_masked_steps, sum_real_steps

TORCH7_LAMBDA = 250.0
TORCH7_NUM_TERMS = 8


@dataclass(frozen=True, kw_only=True)
class SparseTargets:
    """The largest logits of each step and what the rest sums up to."""

    values: Tensor
    """float (B, S, K): logit - LSE_1, so that ``exp`` gives the probability at temperature 1."""
    ids: Tensor
    """int64 (B, S, K): the classes of the values, no class twice."""
    log_sum_exp: Tensor
    """float (B, S, len(temperatures)): LSE_T, the log of the sum of exp(logit / T) over all."""
    temperatures: tuple[float, ...]

    def to(self, device: torch.device | str) -> "SparseTargets":
        """The same targets on that device."""
        return SparseTargets(
            values=self.values.to(device),
            ids=self.ids.to(device),
            log_sum_exp=self.log_sum_exp.to(device),
            temperatures=self.temperatures,
        )

    def blank_masked_steps(self, num_steps: Tensor) -> "SparseTargets":
        """The same targets with zeros in the masked steps; of use to gradients, not to read."""
        return replace(
            self,
            values=blank_masked_steps(self.values, num_steps),
            log_sum_exp=blank_masked_steps(self.log_sum_exp, num_steps),
        )


def kl_over_steps(
    student_BSC: Tensor, teacher_BSC: Tensor, num_steps: Tensor, temperature: float = 1.0
) -> Tensor:
    """KL(teacher || student) summed over real steps, mean over clips, times temperature squared.

    SoundNet's loss for one teacher (methods of that paper, section 4.1) with a per-clip mean.
    """
    require_same_steps(student_BSC, teacher_BSC.shape[:2])
    student, teacher = (blank_masked_steps(each, num_steps) for each in (student_BSC, teacher_BSC))
    return sum_real_steps(dense_kl(student, teacher, temperature), num_steps)


def sparse_kl_over_steps(
    student_BSC: Tensor, targets: SparseTargets, num_steps: Tensor, temperature: float = 1.0
) -> Tensor:
    """As ``kl_over_steps``, over K + 1 outcomes: the kept classes, and all others as one.

    Never above the dense KL (log-sum inequality), and equal to it when every class is kept.

    Raises:
        InvalidValueError: The log-sum-exp of that temperature was not stored.
    """
    require_same_steps(student_BSC, targets.ids.shape[:2])
    student = blank_masked_steps(student_BSC, num_steps)
    kept = targets.blank_masked_steps(num_steps)
    return sum_real_steps(sparse_kl_per_step(student, kept, temperature), num_steps)


def dense_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(teacher || student) along the last axis, from logits, times temperature squared."""
    student, teacher = in_full_precision(student, teacher)
    student_log = log_softmax(student / temperature, dim=-1)
    teacher_log = log_softmax(teacher / temperature, dim=-1)
    pointwise = kl_div(student_log, teacher_log, reduction="none", log_target=True)
    return pointwise.sum(dim=-1) * temperature**2


def sparse_kl_per_step(
    student_BSC: Tensor, targets: SparseTargets, temperature: float = 1.0
) -> Tensor:
    """(B, S): the divergence of each step over K + 1 outcomes, times temperature squared."""
    student_BSC, teacher_BSK = in_full_precision(
        student_BSC, _log_probabilities(targets, temperature)
    )
    student_BSC = log_softmax(student_BSC / temperature, dim=-1)
    kept = (teacher_BSK.exp() * (teacher_BSK - student_BSC.gather(-1, targets.ids))).sum(dim=-1)
    if targets.ids.shape[-1] < student_BSC.shape[-1]:
        # The log of the student's tail from the logits themselves: 1 - sum would cancel.
        rest = student_BSC.scatter(-1, targets.ids, -torch.inf).logsumexp(dim=-1)
        tail = (1 - teacher_BSK.exp().sum(dim=-1)).clamp_min(torch.finfo(torch.float32).tiny)
        kept = kept + tail * (tail.log() - rest)
    return kept * temperature**2


def torch7_weight(num_classes: int) -> float:
    """What SoundNet's released code multiplies the per-clip KL of one teacher with.

    It scales eight terms by lambda / 8, and Torch7's criterion averages over classes as well; so a
    teacher with fewer classes weighs more (0.031 for 1000 of them, 0.078 for 401).
    """
    return TORCH7_LAMBDA / TORCH7_NUM_TERMS / num_classes


def require_same_steps(student: Tensor, shape: torch.Size) -> None:
    """Refuse a student whose clips or steps are not those of the targets.

    Raises:
        InvalidValueError: The first two axes differ.
    """
    if student.shape[:2] != shape:
        raise InvalidValueError(
            f"student gives (clips, steps) {tuple(student.shape[:2])} but the targets have "
            f"{tuple(shape)}; ask the student for as many steps as were stored"
        )


def _log_probabilities(targets: SparseTargets, temperature: float) -> Tensor:
    """(B, S, K): the teacher's log-probabilities at the temperature."""
    for needed in (1.0, temperature):
        if needed not in targets.temperatures:
            stored = ", ".join(f"{value:g}" for value in targets.temperatures)
            raise InvalidValueError(
                f"temperature {needed:g} was not stored with these sparse targets; "
                f"choose one of {stored}, or store the logits dense"
            )
    values, lse = in_full_precision(targets.values, targets.log_sum_exp)
    lse_1 = lse[..., targets.temperatures.index(1.0), None]
    lse_T = lse[..., targets.temperatures.index(temperature), None]
    return (values + lse_1) / temperature - lse_T
