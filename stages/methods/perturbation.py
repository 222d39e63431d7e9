"""What disturbs a student's input in a whole batch at once: mixup.

Noise, dropout and the augmentations of one clip are options of the encoders.

Conventions: B clips.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Clips with some of another clip in each."""

    inputs: Mapping[str, Tensor]
    """By name, as in a batch; pictures stay uint8."""
    num_steps: Tensor
    """int64 (B,): of the longer of the two."""
    partner: Tensor
    """int64 (B,): the clip that is mixed in."""
    share: Tensor
    """float32 (B,): how much is the clip itself, from 1/2 to 1: the weight of its own target."""


def mix_up(inputs: Mapping[str, Tensor], num_steps: Tensor, alpha: float) -> Mixture:
    """Mix every clip with another of the batch (mixup; Zhang et al., ICLR 2018 [R]).

    The share is drawn for each clip from Beta(alpha, alpha), its larger side, so that a clip
    remains itself; all from torch's global generator, on the CPU. Targets are not touched: a loss
    is taken of the clip's own and of its partner's, weighted by the share, which for cross-entropy
    and KL has the gradient of the mixed target.
    """
    device = num_steps.device
    drawn = torch.distributions.Beta(alpha, alpha).sample((len(num_steps),))
    share = torch.maximum(drawn, 1 - drawn).to(device)
    partner = torch.randperm(len(num_steps)).to(device)
    return Mixture(
        inputs={name: _mixed(value, partner, share) for name, value in inputs.items()},
        num_steps=num_steps.maximum(num_steps[partner]),
        partner=partner,
        share=share,
    )


def _mixed(values: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    own = share.reshape(-1, *[1] * (values.ndim - 1))
    mixed = own * values + (1 - own) * values[partner]
    return mixed if values.is_floating_point() else mixed.round().to(values.dtype)
