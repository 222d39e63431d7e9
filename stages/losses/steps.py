"""From a value for each step to the loss of a batch."""

import torch
from torch import Tensor


def sum_real_steps(values: Tensor, num_steps: Tensor) -> Tensor:
    """Scalar: the sum over each clip's real steps, then the mean over clips.

    ``values`` are (B, steps), ``num_steps`` (B,). Masked steps give neither loss nor gradient,
    whatever they hold.
    """
    steps = torch.arange(values.shape[1], device=values.device)
    real = steps < num_steps.to(values.device)[:, None]
    # where, not a product: a masked step may hold nan or inf, and 0 * nan is nan.
    return torch.where(real, values, torch.zeros_like(values)).sum() / values.shape[0]
