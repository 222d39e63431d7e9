"""What a stored teacher takes clips for, and which of them it is sure of.

Conventions: B clips, S steps, K classes; logits before the softmax. Nothing here has a gradient.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.losses.confidence import (
    class_threshold_mask,
    class_thresholds,
    quantile_mask,
    threshold_mask,
)
from avkd.stages.losses.kl import SparseTargets
from avkd.stages.methods.batch import Batch

Threshold: TypeAlias = Literal["none", "fixed", "quantile", "flexmatch"]
THRESHOLD_VALUES: Mapping[str, float] = {
    "none": 0.0,
    "fixed": 0.95,
    "quantile": 0.5,
    "flexmatch": 0.95,
}
"""The thresholds there are and their usual values."""


def pseudo_labels(target: Tensor | SparseTargets, num_steps: Tensor) -> Tensor:
    """int64 (B,): the likeliest class of each clip, over the mean of its real steps' softmax."""
    return clip_scores(target, num_steps).argmax(dim=-1)


@torch.no_grad()
def clip_scores(target: Tensor | SparseTargets, num_steps: Tensor) -> Tensor:
    """(B, K): logits of each clip: its own, or the log of the mean softmax of its real steps.

    Of sparse targets K is what the kept classes need, and classes that were not kept count as
    impossible; the largest is the right one all the same.
    """
    if isinstance(target, Tensor) and target.ndim == 2:
        return target
    shares = _kept_shares(target) if isinstance(target, SparseTargets) else target.softmax(dim=-1)
    if shares.ndim == 3:
        real_BS = torch.arange(shares.shape[1], device=shares.device) < num_steps[:, None]
        shares = shares.masked_fill(~real_BS[..., None], 0.0).sum(dim=1)
        shares = shares / num_steps.clamp_min(1)[:, None]
    return shares.log()


def confident_clips(
    target: Tensor | SparseTargets, num_steps: Tensor, threshold: Threshold, value: float
) -> Tensor:
    """Bool (B,): the clips that a threshold keeps.

    ``fixed`` asks every confidence against the value (FixMatch), ``quantile`` keeps those that
    reach this quantile of the batch: of the whole set only where a batch is the set. ``flexmatch``
    lowers the value for classes with few confident clips in the batch. The paper counts over the
    set, and its student predicts; the stored teacher says the same in every epoch.

    Raises:
        InvalidValueError: The targets are sparse, so that they tell no confidence of steps.
    """
    if isinstance(target, SparseTargets):
        raise InvalidValueError(
            f"threshold {threshold!r} needs all logits but only the largest are stored; "
            "set it to none, or store them dense"
        )
    logits_BK = clip_scores(target, num_steps)
    if threshold == "fixed":
        return threshold_mask(logits_BK, value)
    if threshold == "quantile":
        return quantile_mask(logits_BK, value)
    num_clips, num_classes = logits_BK.shape
    sure = logits_BK.argmax(dim=-1)[threshold_mask(logits_BK, value)]
    counts = sure.bincount(minlength=num_classes)
    return class_threshold_mask(logits_BK, class_thresholds(counts, num_clips, value))


def take_clips(batch: Batch, places: Tensor) -> Batch:
    """Those clips of a batch, by their places (N,), each once."""
    return replace(
        batch,
        clip_ids=tuple(batch.clip_ids[place] for place in places.tolist()),
        inputs={name: value[places] for name, value in batch.inputs.items()},
        num_steps=batch.num_steps[places],
        targets={name: take_targets(target, places) for name, target in batch.targets.items()},
        embeddings={name: value[places] for name, value in batch.embeddings.items()},
        boxes={
            name: take_boxes(boxes, places, len(batch.clip_ids))
            for name, boxes in batch.boxes.items()
        },
        maps={key: maps[places] for key, maps in batch.maps.items()},
        seen={name: seen[places] for name, seen in batch.seen.items()},
        labels=None if batch.labels is None else batch.labels[places],
    )


def take_boxes(boxes: BoxTargets, places: Tensor, num_clips: int) -> BoxTargets:
    """The boxes of those clips out of so many, with their new places; in the order they were."""
    new_places = places.new_full((num_clips,), -1)
    new_places[places] = torch.arange(len(places), device=places.device)
    moved = replace(boxes, row=new_places[boxes.row])
    return moved.keep(moved.row >= 0)


def take_targets(target: Tensor | SparseTargets, places: Tensor) -> Tensor | SparseTargets:
    """The targets of those clips."""
    if isinstance(target, Tensor):
        return target[places]
    return replace(
        target,
        values=target.values[places],
        ids=target.ids[places],
        log_sum_exp=target.log_sum_exp[places],
    )


def _kept_shares(target: SparseTargets) -> Tensor:
    """Probabilities (B, [S,] K), 0 where none was kept."""
    shape = (*target.ids.shape[:-1], int(target.ids.max()) + 1)
    empty = torch.zeros(shape, device=target.ids.device)
    return empty.scatter(-1, target.ids, target.values.float().exp())
