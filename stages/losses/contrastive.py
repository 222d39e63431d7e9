"""A student's embedding should point to its own clip's teacher among those of the batch.

Conventions: B clips, D embedding width.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from avkd.stages.losses.batch_rules import (
    in_full_precision,
    require_above_zero,
    require_clips,
    require_pair,
)
from avkd.stages.losses.geometry import matrix_product, unit_vectors


def info_nce(student_BD: Tensor, teacher_BD: Tensor, temperature: float = 0.07) -> Tensor:
    """Scalar: the mean of ``info_nce_per_clip`` over clips."""
    return info_nce_per_clip(student_BD, teacher_BD, temperature).mean()


def info_nce_per_clip(student_BD: Tensor, teacher_BD: Tensor, temperature: float = 0.07) -> Tensor:
    """(B,): minus the log share of the own pair among the student's pairs with all teachers'.

    InfoNCE (van den Oord et al., 2018, equation 4 [R]) with (student i, teacher i) positive and
    the other clips of the batch negative; log B where the embeddings tell nothing. CRD (Tian et
    al., ICLR 2020) has the same pairs but a memory of negatives and another estimator, and this
    temperature [R]; negatives from the batch need no state. Two clips of one speaker count as
    negatives of each other.

    Raises:
        InvalidValueError: The widths differ, there is one clip only, or T is not above 0.
    """
    require_pair(student_BD, teacher_BD)
    require_above_zero("temperature", temperature)
    require_clips(student_BD.shape[0], 2, "InfoNCE")
    student, teacher = in_full_precision(student_BD, teacher_BD)
    cosines_BB = matrix_product(unit_vectors(student), unit_vectors(teacher).T)
    own = torch.arange(len(cosines_BB), device=cosines_BB.device)
    return cross_entropy(cosines_BB / temperature, own, reduction="none")
