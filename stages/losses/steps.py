"""From a value for each step to the loss of a batch.

Conventions: B clips, S steps, X what a step holds; ``num_steps`` (B,) are the real steps of a clip,
and the masked ones after them give neither loss nor gradient, whatever they hold.
"""

import torch
from torch import Tensor


def sum_real_steps(values_BS: Tensor, num_steps: Tensor) -> Tensor:
    """Scalar: the sum over each clip's real steps, then the mean over clips."""
    return blank_masked_steps(values_BS, num_steps).sum() / values_BS.shape[0]


def blank_masked_steps(values: Tensor, num_steps: Tensor) -> Tensor:
    """(B, S) or (B, S, X): zeros in the masked steps.

    Before a distance as well as after it: where a masked step holds nan or inf, the slope of a
    distance is nan there, and a gradient of 0 times nan is nan.
    """
    real = real_steps(num_steps, values.shape[1], values.device)
    # where, not a product: 0 * nan is nan.
    return torch.where(real if values.dim() == 2 else real[..., None], values, 0)


def real_steps(num_steps: Tensor, total_steps: int, device: torch.device) -> Tensor:
    """(B, S) of bool: the steps below each clip's ``num_steps``."""
    return torch.arange(total_steps, device=device) < num_steps.to(device)[:, None]
