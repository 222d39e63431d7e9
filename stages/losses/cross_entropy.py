"""Cross-entropy with one class a clip.

Conventions: B clips, K classes; logits before the softmax, computed in float32 at least.
"""

from typing import Literal, TypeAlias

from torch import Tensor
from torch.nn.functional import cross_entropy

from avkd.errors import InvalidValueError
from avkd.stages.losses.batch_rules import in_full_precision, require_class_labels

LossOn: TypeAlias = Literal["logits", "probabilities"]
"""What the loss takes for logits: these, or by the slip of MKE's first version their softmax."""


def cross_entropy_per_clip(
    logits_BK: Tensor,
    classes: Tensor,
    loss_on: LossOn = "logits",
    label_smoothing: float = 0.0,
) -> Tensor:
    """(B,): the cross-entropy with each clip's class; 0 and no gradient where that is -1.

    Raises:
        InvalidValueError: The classes are not int64 (B,), or beyond K.
    """
    require_class_labels(classes, logits_BK)
    return cross_entropy(
        compared(logits_BK, loss_on),
        classes,
        ignore_index=-1,
        reduction="none",
        label_smoothing=label_smoothing,
    )


def compared(logits_BK: Tensor, loss_on: LossOn) -> Tensor:
    """What a loss of logits is given: (B, K).

    ``probabilities`` is the softmax before the softmax of the first commit of MKE's TwoMoon
    experiment (2e56f49 [S]); the logits of a loss are then between 0 and 1.
    """
    (logits,) = in_full_precision(logits_BK)
    return logits.softmax(dim=-1) if loss_on == "probabilities" else logits


def require_loss_on(loss_on: str) -> None:
    """Refuse a word that is no ``LossOn``.

    Raises:
        InvalidValueError: It is not.
    """
    if loss_on not in ("logits", "probabilities"):
        raise InvalidValueError(
            f"loss_on {loss_on!r} is not known; use 'logits' or 'probabilities'"
        )
