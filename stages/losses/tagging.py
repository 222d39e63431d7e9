"""Losses where a clip may have any number of classes: a Bernoulli for each.

Conventions: B clips, K classes; logits before the sigmoid. Both losses are sums over classes, so
that weights between them mean the same; over K they are the mean that others print.
"""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import (
    in_full_precision,
    mean_of_kept,
    require_above_zero,
    require_pair,
)


def binary_kl(student_BK: Tensor, teacher_BK: Tensor, temperature: float = 1.0) -> Tensor:
    """Scalar: the mean of ``binary_kl_per_clip`` over clips.

    Either side may be detached by the caller: mutual learning (Zhang et al., Deep Mutual Learning,
    CVPR 2018) calls this once each way. That Yin et al. (AAAI 2021) mean this divergence is [U].
    """
    return binary_kl_per_clip(student_BK, teacher_BK, temperature).mean()


def binary_kl_per_clip(student_BK: Tensor, teacher_BK: Tensor, temperature: float = 1.0) -> Tensor:
    """(B,): the sum over classes of KL(Bernoulli(teacher) || Bernoulli(student)), times T squared.

    Binary cross-entropy with soft targets, as EfficientAT uses (Schmid et al., ICASSP 2023 [S]),
    less the teacher's own entropy: the same gradient, sigmoid(student) - sigmoid(teacher) at
    T = 1, and 0 where both agree.

    Raises:
        InvalidValueError: The shapes differ, or the temperature is not above 0.
    """
    require_pair(student_BK, teacher_BK)
    require_above_zero("temperature", temperature)
    student, teacher = in_full_precision(student_BK, teacher_BK)
    student, teacher = student / temperature, teacher / temperature
    present = teacher.sigmoid() * (logsigmoid(teacher) - logsigmoid(student))
    absent = (-teacher).sigmoid() * (logsigmoid(-teacher) - logsigmoid(-student))
    return (present + absent).sum(dim=-1) * temperature**2


def label_bce(logits_BK: Tensor, labels_BK: Tensor) -> Tensor:
    """Scalar: the mean of ``label_bce_per_clip`` over the labelled clips; 0 where none is."""
    return mean_of_kept(label_bce_per_clip(logits_BK, labels_BK), is_labelled(labels_BK))


def label_bce_per_clip(logits_BK: Tensor, labels_BK: Tensor) -> Tensor:
    """(B,): binary cross-entropy with labels of 0 and 1, summed over classes.

    A row that holds -1 has no label: it gives 0 and no gradient.

    Raises:
        InvalidValueError: The shapes differ.
    """
    if logits_BK.shape != labels_BK.shape or logits_BK.dim() != 2:
        raise InvalidValueError(
            f"logits are {tuple(logits_BK.shape)} and labels {tuple(labels_BK.shape)}; "
            "give (clips, classes) of the same classes"
        )
    logits, labels = in_full_precision(logits_BK, labels_BK)
    per_class = binary_cross_entropy_with_logits(logits, labels, reduction="none")
    # masked_fill, not a product: logits of such a row may be anything.
    return per_class.sum(dim=-1).masked_fill(~is_labelled(labels_BK), 0.0)


def is_labelled(labels_BK: Tensor) -> Tensor:
    """(B,) of bool: the rows without any -1."""
    return (labels_BK >= 0).all(dim=-1)
