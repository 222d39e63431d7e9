"""Which pseudo-labels to learn from: masks by a teacher's confidence, bool (B,).

Conventions: B clips, K classes; logits before the softmax; confidence is the largest probability.
Nothing here has a gradient.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision


@torch.no_grad()
def confidence(logits_BK: Tensor) -> Tensor:
    """(B,): the probability of each clip's largest class."""
    (logits,) = in_full_precision(logits_BK)
    return logits.softmax(dim=-1).amax(dim=-1)


def threshold_mask(logits_BK: Tensor, threshold: float = 0.95) -> Tensor:
    """The clips whose confidence reaches the threshold.

    FixMatch (Sohn et al., NeurIPS 2020, equation 4, threshold 0.95 [R]). MKE's released experiment
    uses none [S].

    Raises:
        InvalidValueError: The threshold is not from 0 to 1.
    """
    _require_share("threshold", threshold)
    return confidence(logits_BK) >= threshold


def quantile_mask(logits_BK: Tensor, quantile: float = 0.5) -> Tensor:
    """The clips whose confidence reaches that quantile of the batch's: 0.5 keeps the surer half.

    0 keeps all. Between two clips the quantile is interpolated; ties at it are all kept.

    Raises:
        InvalidValueError: The quantile is not from 0 to 1, or the batch is empty.
    """
    _require_share("quantile", quantile)
    if not len(logits_BK):
        raise InvalidValueError("a quantile of no clips was asked for; give a batch of 1 or more")
    values = confidence(logits_BK)
    return values >= values.quantile(quantile)


def class_threshold_mask(logits_BK: Tensor, thresholds: Tensor) -> Tensor:
    """The clips whose confidence reaches the threshold (K,) of their largest class.

    Raises:
        InvalidValueError: There is not one threshold for each class.
    """
    if thresholds.shape != logits_BK.shape[1:]:
        raise InvalidValueError(
            f"there are {tuple(thresholds.shape)} thresholds for {logits_BK.shape[1]} classes; "
            "give one for each"
        )
    return confidence(logits_BK) >= thresholds.to(logits_BK.device)[logits_BK.argmax(dim=-1)]


@torch.no_grad()
def class_thresholds(counts: Tensor, num_clips: int, threshold: float = 0.95) -> Tensor:
    """float32 (K,): FlexMatch's thresholds, lower for classes with fewer confident predictions.

    Zhang et al., NeurIPS 2021, equations 7, 11 and 12 [S: a reader's copy and released code]:
    M(beta) threshold with M(x) = x / (2 - x) and beta = counts / max(largest count, clips not
    counted yet). Until most clips are counted, thresholds of all classes are low (warm-up).

    ``counts`` are the confident predictions (K,) among ``num_clips``.

    Raises:
        InvalidValueError: The threshold is not from 0 to 1.
    """
    _require_share("threshold", threshold)
    (counted,) = in_full_precision(counts)
    learned = counted / (num_clips - counted.sum()).maximum(counted.max()).clamp_min(1)
    return threshold * learned / (2 - learned)


@dataclass(frozen=True, kw_only=True)
class ConfidentCounts:
    """How many confident predictions each class had so far: FlexMatch's state.

    The paper counts clips by the last confident prediction of each; this counts predictions. For
    stored targets, which say the same in every epoch, the ratios of full epochs are the same [D].
    """

    counts: Tensor
    """int64 (K,)."""
    num_clips: int
    """In the set to learn from."""

    @classmethod
    def none(cls, num_classes: int, num_clips: int) -> "ConfidentCounts":
        """The state before the first prediction."""
        counts = torch.zeros(num_classes, dtype=torch.int64)
        return cls(counts=counts, num_clips=num_clips)

    def updated(self, logits_BK: Tensor, threshold: float = 0.95) -> "ConfidentCounts":
        """The state after a batch, whose confidence is asked against the one fixed threshold."""
        classes = logits_BK.argmax(dim=-1)[threshold_mask(logits_BK, threshold)]
        more = classes.bincount(minlength=len(self.counts)).to(self.counts.device)
        return replace(self, counts=self.counts + more)

    def thresholds(self, threshold: float = 0.95) -> Tensor:
        """float32 (K,): ``class_thresholds`` of these counts."""
        return class_thresholds(self.counts, self.num_clips, threshold)


def _require_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InvalidValueError(f"{name} {value:g} must be from 0 to 1")
