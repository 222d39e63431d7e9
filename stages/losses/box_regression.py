"""Smooth L1 of box offsets: squares near zero, absolute values beyond a knee.

Conventions: A anchors of one picture, M boxes.
"""

from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from avkd.stages.detection.matching import NEGATIVE
from avkd.stages.losses.batch_rules import in_full_precision, require_above_zero

KNEE = 1 / 9


def box_regression(
    offsets: Tensor, target_offsets: Tensor, matched: Tensor, knee: float = KNEE
) -> Tensor:
    """Scalar: the mean over positive anchors of a picture and their four offsets; 0 without any.

    ``offsets`` and ``target_offsets`` (A, 4), ``matched`` int64 (A,) from ``match_anchors``; what
    other anchors hold does not matter. A difference d costs d^2 / (2 knee) up to the knee, then
    |d| - knee / 2; 1/9 is [S:MM-code].

    Raises:
        InvalidValueError: The knee is not above 0.
    """
    require_above_zero("knee", knee)
    is_positive = matched > NEGATIVE
    said, wanted = in_full_precision(offsets[is_positive], target_offsets[is_positive])
    total = smooth_l1_loss(said, wanted, reduction="sum", beta=knee)
    return total / max(1, said.numel())
