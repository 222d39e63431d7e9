"""Distances other than the KL divergence, one value a step.

Conventions: B clips, S steps, C classes, D embedding width; half types are computed in float32,
float64 stays; results are (B, S) and go through ``sum_real_steps``.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from avkd.stages.losses.batch_rules import in_full_precision


def l2_of_probabilities(
    student_BSC: Tensor, teacher_BSC: Tensor, temperature: float = 1.0
) -> Tensor:
    """The squared distance of the two distributions, from logits: SoundNet's ablation of the KL.

    Between 0 and 2.
    """
    logits = in_full_precision(student_BSC, teacher_BSC)
    student, teacher = ((each / temperature).softmax(dim=-1) for each in logits)
    return (student - teacher).square().sum(dim=-1)


def cosine_distance(student_BSD: Tensor, teacher_BSD: Tensor) -> Tensor:
    """One minus the cosine of the angle between two embeddings: 0 to 2, blind to their lengths.

    1 with gradient 0 where either is all zeros and has no direction.
    """
    student, teacher = map(_held_at_zero, in_full_precision(student_BSD, teacher_BSD))
    return 1 - cosine_similarity(student, teacher, dim=-1)


def mean_squared_error(student_BSD: Tensor, teacher_BSD: Tensor) -> Tensor:
    """The squared difference of two embeddings, mean over their width."""
    student, teacher = in_full_precision(student_BSD, teacher_BSD)
    return (student - teacher).square().mean(dim=-1)


def _held_at_zero(vectors_BSD: Tensor) -> Tensor:
    """The same vectors; those of zeros get no gradient: 1e8 times the other, inf in half types."""
    is_zero = ~vectors_BSD.any(dim=-1, keepdim=True)
    return torch.where(is_zero, vectors_BSD.detach(), vectors_BSD)
