"""Columns of a head to the steps that the teacher looked at.

Conventions: logits_BCT are over classes and columns; the result is (B, steps, C), the axis order in
which targets are stored.
"""

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d


def columns_to_steps(values_BCT: Tensor, num_steps: int) -> Tensor:
    """One vector for each step, (B, num_steps, C), from columns that span the same time.

    As many columns as steps pass unchanged, which is SoundNet's own pairing. Otherwise step ``t``
    is the mean of the columns from ``floor(t * T / num_steps)`` up to
    ``ceil((t + 1) * T / num_steps)``: every column counts, and where there are fewer columns than
    steps neighbouring steps share one.
    """
    if values_BCT.shape[-1] != num_steps:
        values_BCT = adaptive_avg_pool1d(values_BCT, num_steps)
    return values_BCT.transpose(1, 2)
