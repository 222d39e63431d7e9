"""How far two rows of numbers vary together, by value and by rank."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision, require_pair
from avkd.stages.losses.geometry import unit_vectors

RankCorrelation: TypeAlias = Literal["kendall", "spearman"]
_LARGEST_COMPARISON = 2**24
"""Numbers in one table of signs: 64 MiB, so that a thousand classes fit beside a model."""


def pearson(left: Tensor, right: Tensor) -> Tensor:
    """Pearson's correlation along the last axis, -1 to 1; blind to scale above 0 and to shift.

    0, with gradient 0, where a row does not vary within its rounding.
    """
    return (_deviations(left) * _deviations(right)).sum(dim=-1)


@torch.no_grad()
def rank_correlation(left_BK: Tensor, right_BK: Tensor, kind: RankCorrelation) -> Tensor:
    """(B,): Kendall's tau-b or Spearman's rho of each clip's rows, -1 to 1, without gradient.

    Ties count as in both definitions; 0 where a row is all ties.

    Raises:
        InvalidValueError: The rows differ in shape, or the kind is neither.
    """
    require_pair(left_BK, right_BK)
    if kind not in ("kendall", "spearman"):
        raise InvalidValueError(
            f"rank correlation {kind!r} is not known; use 'kendall' or 'spearman'"
        )
    left, right = in_full_precision(left_BK, right_BK)
    num_at_once = max(1, _LARGEST_COMPARISON // max(1, left.shape[1] ** 2))
    chunks = zip(torch.split(left, num_at_once), torch.split(right, num_at_once), strict=True)
    return torch.cat([(_ranks(a, kind) * _ranks(b, kind)).sum(dim=-1) for a, b in chunks])


def _deviations(rows: Tensor) -> Tensor:
    """Unit vectors of the rows less their means."""
    deviations = rows - rows.mean(dim=-1, keepdim=True)
    # The mean of equal numbers is rounded; what it leaves is no variation.
    floor = (4 * torch.finfo(rows.dtype).eps) ** 2 * rows.square().sum(dim=-1, keepdim=True)
    return unit_vectors(deviations, floor.detach())


def _ranks(rows_BK: Tensor, kind: RankCorrelation) -> Tensor:
    """Unit vectors whose products are the correlation.

    The signs of all pairs of a row say everything: tau-b is the cosine of two such tables, and
    their row sums are twice the (tied) ranks less the mean rank, whose cosine is rho.
    """
    signs_BKK = (rows_BK[:, :, None] - rows_BK[:, None, :]).sign()
    return unit_vectors(signs_BKK.flatten(1) if kind == "kendall" else signs_BKK.sum(dim=-1))
