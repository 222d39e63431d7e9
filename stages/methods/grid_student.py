"""A student that says of every step which boxes are in the picture, on a grid.

Conventions: B clips, T steps, D width of an embedding, A anchors, K classes, H and W cells of the
grid, C channels of the map.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.detection.anchors import fit_anchors
from avkd.stages.detection.boxes import BoxTargets
from avkd.stages.detection.decoding import decode_steps
from avkd.stages.detection.grid_network import GridNetwork
from avkd.stages.encoders.real_steps import real_mask
from avkd.stages.encoders.step_sound import StepSoundEncoder
from avkd.stages.methods.box_student import BoxStudent


class GridOutput(NamedTuple):
    """What a student says of the steps of a batch; 0 in steps that are not real."""

    head: Tensor
    """(B, T, A * (5 + K), H, W) as in detection/grid.py."""
    maps: Tensor
    """(B, T, C, H, W): the features before the head."""
    anchors: Tensor
    """(A, 2): the student's own, in cells; here too, because a student may be wrapped."""
    class_places: Tensor
    """int64 (classes of the teacher,): the student's class of each, -1 for those not learned."""


class GridStudent(BoxStudent):
    """An encoder of the sound around steps, a network to a grid, and a head.

    The anchors are a buffer, so that they are saved with the weights: (A, 2), in cells, 0 as long
    as nobody fitted them.
    """

    anchors: Tensor
    class_places: Tensor

    def __init__(
        self,
        encoder: StepSoundEncoder,
        network: GridNetwork,
        head: nn.Conv2d,
        anchors: Tensor,
        *,
        teacher: str,
        teacher_classes: tuple[str, ...],
        class_names: tuple[str, ...],
        feature_map: str,
        grid: tuple[int, int],
    ) -> None:
        """``class_names`` are those learned of the teacher's; ``grid`` is (H, W).

        ``feature_map`` is the teacher's output that the map is to resemble, empty without one.
        """
        super().__init__()
        self.encoder = encoder
        self.network = network
        self.head = head
        self.register_buffer("anchors", anchors)
        places = [class_names.index(n) if n in class_names else -1 for n in teacher_classes]
        self.register_buffer("class_places", torch.tensor(places), persistent=False)
        self.teacher = teacher
        self.teachers = (teacher,)
        self.class_names = class_names
        self.feature_map = feature_map
        self.grid = grid

    def forward(self, inputs: Mapping[str, Tensor], num_steps: Tensor) -> GridOutput:
        """Hear clips, ``num_steps`` (B,) of which are real."""
        embedding_BTD = self.encoder.encode_steps(inputs, num_steps)
        mask_BT = real_mask(num_steps.to(embedding_BTD.device), embedding_BTD.shape[1])
        maps = self.network(embedding_BTD[mask_BT])
        heads = _spread(self.head(maps), mask_BT)
        return GridOutput(heads, _spread(maps, mask_BT), self.anchors, self.class_places)

    def say_boxes(
        self,
        inputs: Mapping[str, Tensor],
        num_steps: Tensor,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        max_boxes: int = 100,
    ) -> BoxTargets:
        """The boxes of clips; see ``BoxStudent``.

        Raises:
            InvalidValueError: The student has no anchors, or an option is out of its range.
        """
        return decode_student_output(
            self(inputs, num_steps),
            num_steps,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_boxes=max_boxes,
        )

    def describe(self) -> dict[str, object]:
        """Also the one teacher, the map that is to resemble its own, the grid and the anchors."""
        return super().describe() | {
            "teacher": self.teacher,
            "feature_map": self.feature_map,
            "grid": self.grid,
            "anchors": self.anchors.tolist(),
        }

    @property
    def has_anchors(self) -> bool:
        """Whether the anchors are known."""
        return bool((self.anchors > 0).all())

    def fit_anchors(self, sizes: Tensor) -> None:
        """Take as anchors what k-means finds in the sizes (M, 2) of boxes, in fractions.

        Raises:
            InvalidValueError: There are fewer different sizes than anchors.
        """
        height, width = self.grid
        cells = sizes.double().cpu() * sizes.new_tensor((width, height)).double().cpu()
        fitted = fit_anchors(cells.numpy(), len(self.anchors))
        self.anchors.copy_(torch.from_numpy(fitted))


def require_anchors(anchors: Tensor) -> None:
    """Refuse anchors (A, 2) that nobody fitted.

    Raises:
        InvalidValueError: They are not above 0.
    """
    if not bool((anchors > 0).all()):
        raise InvalidValueError(
            "the student has no anchors; fit them to the sizes of the teacher's boxes, or set "
            "method.options.anchors to widths and heights in cells"
        )


def decode_student_output(
    output: GridOutput,
    num_steps: Tensor,
    *,
    score_threshold: float = 0.05,
    iou_threshold: float = 0.5,
    max_boxes: int = 100,
) -> BoxTargets:
    """The boxes of every real step after non-maximum suppression; see ``decode_steps``.

    Raises:
        InvalidValueError: The student has no anchors, or an option is out of its range.
    """
    require_anchors(output.anchors)
    return decode_steps(
        output.head,
        num_steps,
        output.anchors,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_boxes=max_boxes,
    )


def _spread(values: Tensor, mask_BT: Tensor) -> Tensor:
    """(B, T, ...) of values (N, ...) of the real steps, in order."""
    spread = values.new_zeros((*mask_BT.shape, *values.shape[1:]))
    spread[mask_BT] = values
    return spread
