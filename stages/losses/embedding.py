"""Distances other than the KL divergence, one value a step.

Conventions: B clips, S steps, C classes, D embedding width; inputs are cast to float32, results are
(B, S) and go through ``sum_real_steps``.
"""

from torch import Tensor
from torch.nn.functional import cosine_similarity


def l2_of_probabilities(
    student_BSC: Tensor, teacher_BSC: Tensor, temperature: float = 1.0
) -> Tensor:
    """The squared distance of the two distributions, from logits: SoundNet's ablation of the KL.

    Between 0 and 2.
    """
    student = (student_BSC.float() / temperature).softmax(dim=-1)
    teacher = (teacher_BSC.float() / temperature).softmax(dim=-1)
    return (student - teacher).square().sum(dim=-1)


def cosine_distance(student_BSD: Tensor, teacher_BSD: Tensor) -> Tensor:
    """One minus the cosine of the angle between two embeddings: 0 to 2, blind to their lengths."""
    return 1 - cosine_similarity(student_BSD.float(), teacher_BSD.float(), dim=-1)


def mean_squared_error(student_BSD: Tensor, teacher_BSD: Tensor) -> Tensor:
    """The squared difference of two embeddings, mean over their width."""
    return (student_BSD.float() - teacher_BSD.float()).square().mean(dim=-1)
