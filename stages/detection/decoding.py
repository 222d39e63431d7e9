"""Heads over a grid to the boxes of each step.

Conventions: B clips, T steps, A anchors, K classes, H and W cells of the grid.
"""

import torch
from torch import Tensor

from avkd.errors import InvalidValueError
from avkd.stages.detection.boxes import BoxTargets, suppress
from avkd.stages.detection.grid import decode_grid


@torch.no_grad()
def decode_steps(
    head: Tensor,
    num_steps: Tensor,
    anchors: Tensor,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_boxes: int = 100,
) -> BoxTargets:
    """The boxes of every real step, after non-maximum suppression within each class.

    ``head`` is (B, T, A * (5 + K), H, W), ``num_steps`` (B,), ``anchors`` (A, 2) in cells. A score
    is objectness times the probability of the class; an anchor may give a box of several classes.
    Boxes are clipped to the picture, those without area left out; by row and step, surest first.

    Raises:
        InvalidValueError: A threshold is not from 0 to 1, or no box may stay.
    """
    if not 0 <= score_threshold <= 1:
        raise InvalidValueError(f"score_threshold {score_threshold:g} must be from 0 to 1")
    is_real = torch.arange(head.shape[1], device=head.device) < num_steps.to(head.device)[:, None]
    row_of, step_of = is_real.nonzero().T
    decoded = decode_grid(head[is_real].float(), anchors)
    boxes = decoded.boxes.clamp(0, 1)
    scores = decoded.objectness[..., None] * decoded.classes
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)
    picture, anchor, cell_y, cell_x, class_number = (
        ((scores >= score_threshold) & has_area[..., None]).nonzero().T
    )
    said = BoxTargets(
        boxes=boxes[picture, anchor, cell_y, cell_x],
        scores=scores[picture, anchor, cell_y, cell_x, class_number],
        classes=class_number,
        row=row_of[picture],
        step=step_of[picture],
    )
    return suppress(said, iou_threshold, max_boxes)
