"""The focal loss of a detector with many anchors, most of them on nothing (Lin et al., 2017).

Conventions: A anchors of one picture, K classes, each a probability of its own.
"""

import math

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.matching import IGNORED, NEGATIVE
from avkd.stages.losses.batch_rules import in_full_precision

LEAST_PROBABILITY = 1e-4


def focal_loss(
    logits: Tensor,
    matched: Tensor,
    classes: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    least_probability: float = LEAST_PROBABILITY,
) -> Tensor:
    """Scalar: the sum over anchors and classes of one picture, over its positive anchors (or 1).

    ``logits`` (A, K); ``matched`` int64 (A,) from ``match_anchors``; ``classes`` int64 (M,) of the
    boxes. Of a class that an anchor has, -alpha (1 - p)^gamma log p; of the others,
    -(1 - alpha) p^gamma log(1 - p); ignored anchors cost nothing. Probabilities stay
    ``least_probability`` away from 0 and 1, beyond which there is no gradient [S:MM-code]; 0 lets
    them go.

    Raises:
        InvalidValueError: ``least_probability`` is not from 0 to below one half.
    """
    from torchvision.ops import sigmoid_focal_loss

    if not 0 <= least_probability < 0.5:
        raise InvalidValueError(
            f"least_probability {least_probability:g} must be from 0 to below one half"
        )
    (logits,) = in_full_precision(logits)
    if least_probability:
        # To clamp a probability is to clamp its logit.
        limit = math.log(1 / least_probability - 1)
        logits = logits.clamp(-limit, limit)
    targets = class_targets(matched, classes, logits.shape[1]).to(logits)
    losses: Tensor = sigmoid_focal_loss(logits, targets, alpha=alpha, gamma=gamma)
    counts = (matched != IGNORED)[:, None]
    # where, not a product: what an ignored anchor holds never matters.
    total = torch.where(counts, losses, torch.zeros_like(losses)).sum()
    return total / (matched > NEGATIVE).sum().clamp_min(1)


def class_targets(matched: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """float32 (A, K) of 0 and 1: the class of each anchor's box; all 0 where it has none."""
    targets = torch.zeros(len(matched), num_classes, device=matched.device)
    positive = (matched > NEGATIVE).nonzero()[:, 0]
    targets[positive, classes[matched[positive]]] = 1.0
    return targets
