"""Lengths, directions and products of embeddings whose gradients stay finite where points meet."""

import torch
from torch import Tensor


def root_or_zero(values: Tensor, floor: Tensor | float = 0.0) -> Tensor:
    """The square root; 0 with gradient 0 for values that are not above ``floor``."""
    # Not > floor: nan must go through, or a student that diverged would look well.
    above = ~(values <= floor)
    # where twice: the gradient of a root of 0 is infinite, and 0 * inf is nan.
    roots = torch.where(above, values, torch.ones_like(values)).sqrt()
    return torch.where(above, roots, torch.zeros_like(roots))


def unit_vectors(vectors: Tensor, floor: Tensor | float = 0.0) -> Tensor:
    """Each vector of the last axis over its length; zeros with gradient 0 for those of no length.

    ``floor`` is the squared length up to which a vector counts as having none.
    """
    lengths = root_or_zero(vectors.square().sum(dim=-1, keepdim=True), floor)
    directed = lengths != 0
    units = vectors / torch.where(directed, lengths, torch.ones_like(lengths))
    return torch.where(directed, units, torch.zeros_like(units))


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` in their own precision: under autocast a plain product would be half."""
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def off_diagonal(square_BB: Tensor) -> Tensor:
    """(B, B - 1): each row without its own clip."""
    num_clips = square_BB.shape[0]
    others = ~torch.eye(num_clips, dtype=torch.bool, device=square_BB.device)
    return square_BB[others].view(num_clips, num_clips - 1)
