"""Several teachers at once: how much each counts, and on which clips they can be believed.

Conventions: B clips, K classes, M teachers; logits before the softmax. Nothing here has a
gradient: weights and masks are constants of a loss. Masks by one teacher are in ``confidence``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision, require_pair, require_same_clips
from avkd.stages.losses.correlation import RankCorrelation, rank_correlation


@torch.no_grad()
def entropy_weights(teachers: Sequence[Tensor], sharpness: float = 1.0) -> Tensor:
    """(B, M): a weight for each teacher (B, K of its own) and clip; a clip's weights sum to 1.

    Proportional to exp(-sharpness H), where H is the entropy of the teacher's softmax over log K,
    0 for a sure and 1 for a clueless teacher, so that teachers of different K compare. Weighting
    teachers by their entropy is known (Kwon et al., ICASSP 2020 [R]); this form is ours [U].
    ``sharpness`` 0 gives equal weights.

    Raises:
        InvalidValueError: There is no teacher, one has a single class, or their clips differ.
    """
    _require_teachers(teachers)
    if not 0 <= sharpness < math.inf:
        raise InvalidValueError(f"sharpness {sharpness:g} must be 0 or above, and finite")
    entropies = torch.stack([_relative_entropy(logits) for logits in teachers], dim=-1)
    return (-sharpness * entropies).softmax(dim=-1)


@torch.no_grad()
def agreement(teachers: Sequence[Tensor]) -> Tensor:
    """(B,): the share of teachers (B, K) whose largest class is the one that most of them name.

    From 1 / M to 1.

    Raises:
        InvalidValueError: There is no teacher, or they differ in clips or classes.
    """
    _require_teachers(teachers)
    for logits in teachers[1:]:
        require_pair(teachers[0], logits)
    votes_BM = torch.stack([logits.argmax(dim=-1) for logits in teachers], dim=-1)
    same_BMM = votes_BM[:, :, None] == votes_BM[:, None, :]
    return same_BMM.float().mean(dim=-1).amax(dim=-1)


def agreement_mask(teachers: Sequence[Tensor], least_share: float = 1.0) -> Tensor:
    """(B,) of bool: the clips on which at least that share of the teachers names one class.

    Raises:
        InvalidValueError: As ``agreement``, or the share is not above 0 and up to 1.
    """
    if not 0 < least_share <= 1:
        raise InvalidValueError(f"least_share {least_share:g} must be above 0 and up to 1")
    # Two of three is rounded down as a mean and may be rounded up as an option.
    return agreement(teachers) >= least_share - 1e-6


def rank_correlation_filter(
    student_BK: Tensor,
    teacher_BK: Tensor,
    threshold: float = 0.0,
    kind: RankCorrelation = "kendall",
) -> Tensor:
    """(B,) of bool: the clips on which student and teacher rank the classes alike enough.

    C2KD (Huo et al., CVPR 2024): learns across modalities only where Kendall's rank correlation
    (tau-b) of the two logits is above a threshold, 0 by default [S: released code, between its
    proxies]. ``spearman`` is ours.

    Raises:
        InvalidValueError: The shapes differ, or the kind is not known.
    """
    return rank_correlation(student_BK, teacher_BK, kind) > threshold


def _relative_entropy(logits_BK: Tensor) -> Tensor:
    (logits,) = in_full_precision(logits_BK)
    entropies: Tensor = torch.special.entr(logits.softmax(dim=-1)).sum(dim=-1)
    return entropies / math.log(logits.shape[-1])


def _require_teachers(teachers: Sequence[Tensor]) -> None:
    if not teachers:
        raise InvalidValueError("no teacher was given; give the logits of one or more")
    for logits in teachers:
        require_same_clips(teachers[0], logits)
        if logits.shape[1] < 2:
            raise InvalidValueError("a teacher of 1 class says nothing; give 2 classes or more")
