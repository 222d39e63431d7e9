"""Anchors: the few sizes of box that stand for all sizes of a set (YOLOv2, section 2 [R]).

Conventions: sizes are (width, height) above 0, in any unit, float64.
"""

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError

Sizes = npt.NDArray[np.float64]

PAPER_3_ANCHORS = (
    (1.3221, 1.73145),
    (3.19275, 4.00944),
    (5.05587, 8.09892),
    (9.47112, 4.84053),
    (11.2364, 10.0071),
)
"""In cells of a 13 x 13 grid: those of MM-DistillNet's code for its StereoSoundNet [S:MM-code]."""
MAX_ROUNDS = 300


def fit_anchors(sizes: npt.ArrayLike, num_anchors: int) -> Sizes:
    """(num_anchors, 2): centres of k-means with 1 - IoU as the distance, by area.

    Deterministic and blind to the order of the sizes: it starts from the sizes at even quantiles of
    area, and a centre is the mean of its sizes. That mean does not minimise the distance, so a
    round may lose; the round with the highest mean IoU counts.

    Raises:
        InvalidValueError: The sizes are not (M, 2), finite and above 0, or fewer than the anchors.
    """
    given = np.asarray(sizes, np.float64)
    _require_sizes(given, num_anchors)
    by_area = given[np.lexsort((given[:, 0], given.prod(axis=1)))]
    distinct = np.unique(by_area, axis=0)
    if len(distinct) < num_anchors:
        raise InvalidValueError(
            f"{num_anchors} anchors need as many different sizes of box but there are "
            f"{len(distinct)}; take fewer anchors or more boxes"
        )
    centres = best = _first_centres(by_area, distinct, num_anchors)
    best_iou = mean_best_iou(by_area, centres)
    nearest = np.full(len(by_area), -1)
    for _ in range(MAX_ROUNDS):
        previous, nearest = nearest, sizes_iou(by_area, centres).argmax(axis=1)
        if np.array_equal(previous, nearest):
            break
        centres = _move(by_area, centres, nearest)
        if (iou := mean_best_iou(by_area, centres)) > best_iou:
            best, best_iou = centres, iou
    return best[np.lexsort((best[:, 0], best.prod(axis=1)))]


def mean_best_iou(sizes: Sizes, anchors: Sizes) -> float:
    """How well anchors (A, 2) stand for sizes (M, 2): the mean IoU with the best, 0 to 1."""
    return float(sizes_iou(sizes, anchors).max(axis=1).mean())


def sizes_iou(sizes: Sizes, anchors: Sizes) -> npt.NDArray[np.float64]:
    """(M, A): intersection over union of sizes that share their centre."""
    shared = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    iou: npt.NDArray[np.float64] = shared / (
        sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - shared
    )
    return iou


def _first_centres(by_area: Sizes, distinct: Sizes, num_anchors: int) -> Sizes:
    quantiles = (np.arange(num_anchors) + 0.5) / num_anchors
    chosen = by_area[(quantiles * len(by_area)).astype(np.int64)]
    if len(np.unique(chosen, axis=0)) == num_anchors:
        return chosen
    # One size is so common that it fills two quantiles.
    ordered = distinct[np.lexsort((distinct[:, 0], distinct.prod(axis=1)))]
    return ordered[(quantiles * len(ordered)).astype(np.int64)]


def _move(sizes: Sizes, centres: Sizes, nearest: npt.NDArray[np.int64]) -> Sizes:
    """Each centre to the mean of its sizes; one without any to the size that fits worst."""
    moved = centres.copy()
    fit = sizes_iou(sizes, centres).max(axis=1)
    for number in range(len(centres)):
        own = nearest == number
        if own.any():
            moved[number] = sizes[own].mean(axis=0)
        else:
            worst = int(fit.argmin())
            moved[number], fit[worst] = sizes[worst], 1.0
    return moved


def _require_sizes(sizes: Sizes, num_anchors: int) -> None:
    if num_anchors < 1:
        raise InvalidValueError(f"num_anchors {num_anchors} must be 1 or more")
    if sizes.ndim != 2 or sizes.shape[1] != 2:
        raise InvalidValueError(f"sizes have shape {sizes.shape}; give (M, 2), width and height")
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise InvalidValueError(
            "sizes of boxes must be finite and above 0; drop boxes without area"
        )
