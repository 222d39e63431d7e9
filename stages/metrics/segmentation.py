"""How well the classes of pixels are said: counts of pixels, and numbers from these.

Conventions: K classes; a confusion is int64 (K, K): pixels of each true class (rows) by what was
said of them (columns). Counts of pictures are summed before a number is taken: a picture without a
class has no IoU of it, and a mean over pictures would count small ones as much as large.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.types import IGNORED_CLASS

Classes = npt.NDArray[np.integer]
"""Class numbers of pixels, of any shape."""
Confusion = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SegmentationScores:
    """Numbers of a confusion; None where there is nothing to measure."""

    num_pixels: int
    """Those that count."""
    mean_iou: float | None
    """Over the classes that are true or said somewhere."""
    pixel_accuracy: float | None
    """The share of pixels whose class is right."""
    class_ious: tuple[float | None, ...]
    """None of a class that neither is true nor said."""


def count_confusion(said: Classes, truth: Classes, num_classes: int) -> Confusion:
    """Count pixels; those whose true class is ``IGNORED_CLASS`` are left out.

    Raises:
        InvalidValueError: Shapes differ, or a class number is not below ``num_classes``.
    """
    if said.shape != truth.shape:
        raise InvalidValueError(
            f"classes of {said.shape} pixels are said but {truth.shape} are true; "
            "bring them to one size"
        )
    counts = truth != IGNORED_CLASS
    pairs = said[counts].astype(np.int64), truth[counts].astype(np.int64)
    largest = max((int(each.max(initial=0)) for each in pairs), default=0)
    if largest >= num_classes:
        raise InvalidValueError(f"class {largest} does not fit {num_classes} classes; give more")
    places = pairs[1] * num_classes + pairs[0]
    return np.bincount(places, minlength=num_classes**2).reshape(num_classes, num_classes)


def score_confusion(confusion: Confusion) -> SegmentationScores:
    """Take the numbers of a confusion: IoU is right over true or said."""
    right = np.diag(confusion)
    either = confusion.sum(axis=0) + confusion.sum(axis=1) - right
    ious = [float(r / e) if e else None for r, e in zip(right, either, strict=True)]
    num_pixels = int(confusion.sum())
    return SegmentationScores(
        num_pixels=num_pixels,
        mean_iou=_mean([iou for iou in ious if iou is not None]),
        pixel_accuracy=float(right.sum() / num_pixels) if num_pixels else None,
        class_ious=tuple(ious),
    )


def resize_classes(maps: Classes, size: tuple[int, int]) -> Classes:
    """Bring maps (..., h, w) to another height and width by the nearest neighbour.

    A pixel of the result is the one of the source in which its middle lies.
    """
    height, width = size
    rows, columns = _middles(maps.shape[-2], height), _middles(maps.shape[-1], width)
    if maps.shape[-2:] == size:
        return maps
    resized: Classes = maps[..., rows[:, None], columns]
    return resized


def _middles(source: int, target: int) -> npt.NDArray[np.int64]:
    # In whole numbers: a middle that lies on an edge belongs to the pixel after it, everywhere.
    return (2 * np.arange(target) + 1) * source // (2 * target)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
