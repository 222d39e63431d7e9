"""Maximum mean discrepancy: do two batches of embeddings look drawn from one distribution?

Conventions: B clips, D embedding width.
"""

import torch
from torch import Tensor

from avkd.stages.losses.batch_rules import (
    in_full_precision,
    require_above_zero,
    require_clips,
    require_pair,
)
from avkd.stages.losses.geometry import off_diagonal

BANDWIDTH_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""[R] by methods of person verification: a kernel for each, times the median distance."""


def mmd(
    student_BD: Tensor,
    teacher_BD: Tensor,
    bandwidth: float | None = None,
    unbiased: bool = False,
) -> Tensor:
    """Scalar: MMD squared under a sum of five Gaussian kernels exp(-distance^2 / (2 sigma^2)).

    Gretton et al., JMLR 2012, equation 5 (biased, the default: 0 for equal batches and never
    below) and equation 3 (``unbiased``: without each clip's kernel with itself, may be negative)
    [R]. sigma is ``bandwidth`` times 1/4, 1/2, 1, 2 and 4. Without ``bandwidth`` it is the median
    distance within the batch (``median_distance``), a constant for the gradient. Clips are not
    paired: any order of the teacher's gives the same.

    Raises:
        InvalidValueError: The widths differ, there is one clip only, or the bandwidth is not
            above 0.
    """
    require_pair(student_BD, teacher_BD)
    require_clips(student_BD.shape[0], 2, "MMD")
    if bandwidth is not None:
        require_above_zero("bandwidth", bandwidth)
    student, teacher = in_full_precision(student_BD, teacher_BD)
    pooled = torch.cat([student, teacher])
    # Without the matrix product, whose differences of large squares would blur close pairs.
    distances = torch.cdist(pooled, pooled, compute_mode="donot_use_mm_for_euclid_dist")
    sigma = median_distance(distances) if bandwidth is None else bandwidth
    scaled = distances.square() / (2 * sigma**2)
    kernels = torch.stack([(-scaled / factor**2).exp() for factor in BANDWIDTH_FACTORS]).sum(dim=0)
    return _discrepancy(kernels, student.shape[0], unbiased)


@torch.no_grad()
def median_distance(distances: Tensor) -> Tensor:
    """Scalar: the median over the distinct pairs of a square table of distances; 1 where it is 0.

    Of the pooled batch of 2 B embeddings, student and teacher alike (the heuristic of Gretton et
    al., section 8, takes the aggregate sample [R]); the mean of the two middle ones where the
    number of pairs is even.
    """
    size = len(distances)
    row, column = torch.triu_indices(size, size, offset=1, device=distances.device)
    median = distances[row, column].quantile(0.5)
    return torch.where(median > 0, median, torch.ones_like(median))


def _discrepancy(kernels: Tensor, num_clips: int, unbiased: bool) -> Tensor:
    within_student = kernels[:num_clips, :num_clips]
    within_teacher = kernels[num_clips:, num_clips:]
    between = kernels[:num_clips, num_clips:]
    if unbiased:
        within_student, within_teacher = off_diagonal(within_student), off_diagonal(within_teacher)
    return within_student.mean() + within_teacher.mean() - 2 * between.mean()
