"""The loss of a detector with anchors over a batch of pictures: focal loss and smooth L1.

For each picture what ``focal_loss`` and ``box_regression`` say, of all pictures at once.

Conventions: N pictures, A anchors of each, K classes, M boxes of all pictures. Anchors and boxes
are corners in fractions of the picture, offsets (dy, dx, dh, dw) as in detection/matching.py.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, paired_iou, pairwise_iou
from avkd.stages.detection.matching import IGNORED, NEGATIVE, decode_offsets, encode_offsets
from avkd.stages.losses.batch_rules import in_full_precision, require_above_zero
from avkd.stages.losses.box_regression import KNEE
from avkd.stages.losses.focal import LEAST_PROBABILITY, class_targets


class AnchorLoss(NamedTuple):
    """The terms of each picture, unweighted, and how well its boxes are met."""

    classification: Tensor
    regression: Tensor
    """(N,) each."""
    iou: Tensor
    """Scalar without gradient: the mean IoU of what positive anchors say with their boxes."""


def anchor_detection_loss(
    class_logits: Tensor,
    offsets: Tensor,
    anchors: Tensor,
    boxes: BoxTargets,
    picture: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    knee: float = KNEE,
    negative_below: float = 0.4,
    positive_from: float = 0.5,
    match_best: bool = False,
) -> AnchorLoss:
    """The terms of N pictures.

    ``class_logits`` (N, A, K), ``offsets`` (N, A, 4), ``anchors`` (A, 4); ``picture`` int64 (M,) is
    each box's place among the pictures. For ``match_best`` see ``match_batch``.

    Raises:
        InvalidValueError: Shapes do not fit, a class is beyond those of the logits, the knee is not
            above 0, or the thresholds are not in order.
    """
    require_above_zero("knee", knee)
    _require_shapes(class_logits, offsets, anchors)
    _require_classes(boxes.classes, class_logits.shape[2])
    class_logits, offsets = in_full_precision(class_logits, offsets)
    matched = match_batch(
        anchors,
        boxes.boxes,
        picture,
        len(class_logits),
        negative_below=negative_below,
        positive_from=positive_from,
        match_best=match_best,
    )
    num_positive = (matched > NEGATIVE).sum(dim=1).clamp_min(1)
    focal = _focal_sums(class_logits, matched, boxes.classes, alpha, gamma)
    place, anchor = (matched > NEGATIVE).nonzero(as_tuple=True)
    said, reference = offsets[place, anchor], anchors[anchor].to(offsets)
    wanted = boxes.boxes[matched[place, anchor]].to(offsets)
    distance = smooth_l1_loss(
        said, encode_offsets(wanted, reference), reduction="none", beta=knee
    ).sum(dim=1)
    iou = paired_iou(decode_offsets(said.detach(), reference), wanted)
    return AnchorLoss(
        classification=focal / num_positive,
        regression=offsets.new_zeros(len(offsets)).index_add(0, place, distance)
        / (4 * num_positive),
        iou=iou.sum() / max(1, len(iou)),
    )


@torch.no_grad()
def match_batch(
    anchors: Tensor,
    boxes: Tensor,
    picture: Tensor,
    num_pictures: int,
    *,
    negative_below: float = 0.4,
    positive_from: float = 0.5,
    match_best: bool = False,
) -> Tensor:
    """int64 (N, A): the place among all M boxes of each anchor's box, ``NEGATIVE`` or ``IGNORED``.

    By picture what ``match_anchors`` says. There a box that no anchor reaches is lost [S:MM-code];
    with ``match_best`` every box that overlaps an anchor gets the one it shares most with, whatever
    else that anchor overlaps; of two boxes with one best anchor, the one that shares more.

    Raises:
        InvalidValueError: The thresholds are not in order, or a box is of a picture not there.
    """
    _require_thresholds(negative_below, positive_from)
    _require_pictures(picture, num_pictures)
    (anchors,) = in_full_precision(anchors)
    best = anchors.new_full((num_pictures, len(anchors)), -1.0)
    matched = torch.zeros_like(best, dtype=torch.int64)
    for chosen in _one_of_each_picture(picture):
        iou = pairwise_iou(boxes[chosen].to(anchors), anchors)
        if match_best:
            highest, anchor = iou.max(dim=1)
            # Beyond any IoU, and still in the order of theirs.
            iou[torch.arange(len(iou), device=iou.device), anchor] += 2 * (highest > 0)
        place = picture[chosen]
        is_better = iou > best[place]
        matched[place] = torch.where(is_better, chosen[:, None], matched[place])
        best[place] = torch.maximum(iou, best[place])
    matched[best < positive_from] = IGNORED
    matched[best < negative_below] = NEGATIVE
    return matched


def _one_of_each_picture(picture: Tensor) -> list[Tensor]:
    """Places of boxes, at most one of each picture at a time: the first of each, the second...

    As many comparisons at once as there are anchors in the batch, never M times all of them.
    """
    if not len(picture):
        return []
    order = picture.argsort(stable=True)
    ordered = picture[order]
    rank = torch.arange(len(order), device=order.device) - torch.searchsorted(ordered, ordered)
    by_rank = rank.argsort(stable=True)
    sizes: list[int] = torch.bincount(rank).tolist()
    return list(torch.split(order[by_rank], sizes))


def _focal_sums(
    class_logits: Tensor, matched: Tensor, classes: Tensor, alpha: float, gamma: float
) -> Tensor:
    """(N,): the focal loss of each picture, summed over its anchors and classes."""
    from torchvision.ops import sigmoid_focal_loss

    # To clamp a probability is to clamp its logit.
    limit = math.log(1 / LEAST_PROBABILITY - 1)
    logits = class_logits.clamp(-limit, limit)
    targets = class_targets(matched.flatten(), classes, logits.shape[2]).view(logits.shape)
    losses: Tensor = sigmoid_focal_loss(logits, targets.to(logits), alpha=alpha, gamma=gamma)
    # where, not a product: what an ignored anchor holds never matters.
    counts = (matched != IGNORED)[:, :, None]
    return torch.where(counts, losses, torch.zeros_like(losses)).sum(dim=(1, 2))


def _require_shapes(class_logits: Tensor, offsets: Tensor, anchors: Tensor) -> None:
    expected = (*class_logits.shape[:2], 4)
    if class_logits.dim() != 3 or offsets.shape != expected or anchors.shape != expected[1:]:
        raise InvalidValueError(
            f"class logits are {tuple(class_logits.shape)}, offsets {tuple(offsets.shape)} and "
            f"anchors {tuple(anchors.shape)}; give (N, A, K), (N, A, 4) and (A, 4)"
        )


def _require_classes(classes: Tensor, num_classes: int) -> None:
    if len(classes) and (int(classes.min()) < 0 or int(classes.max()) >= num_classes):
        raise InvalidValueError(
            f"classes of boxes run from {int(classes.min())} to {int(classes.max())} but the head "
            f"knows {num_classes}; build the student for the teacher's classes"
        )


def _require_thresholds(negative_below: float, positive_from: float) -> None:
    if not 0 <= negative_below <= positive_from <= 1:
        raise InvalidValueError(
            f"negative_below {negative_below:g} must be at most positive_from {positive_from:g}, "
            "both from 0 to 1"
        )


def _require_pictures(picture: Tensor, num_pictures: int) -> None:
    if len(picture) and (int(picture.min()) < 0 or int(picture.max()) >= num_pictures):
        raise InvalidValueError(
            f"boxes are of pictures {int(picture.min())} to {int(picture.max())} but the batch has "
            f"{num_pictures}; give each box's place in the batch"
        )
