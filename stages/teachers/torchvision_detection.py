"""torchvision's detectors with the weights that a request names.

Thresholds are avkd's for every model, because torchvision's own differ from one to the next.
torchvision scales pictures inside its networks; here they come in the size declared and stay so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.checkpoint import (
    StateDict,
    digest_state_dict,
    load_strictly,
    read_state_dict,
)
from avkd.stages.teachers.class_names import read_class_names
from avkd.stages.teachers.declaration import digest_file
from avkd.stages.teachers.detector import Detections, order_levels
from avkd.stages.teachers.detector_declaration import (
    MAX_BOXES,
    NMS_IOU,
    SCORE_THRESHOLD,
    DetectorFacts,
    detector_frames,
)
from avkd.stages.teachers.detector_maps import LevelShape
from avkd.stages.teachers.network import seeded
from avkd.stages.teachers.request import RANDOM_WEIGHTS, TeacherRequest
from avkd.stages.types import FrameFormat

NUM_COCO_LABELS = 91
_SIZES = {
    "ssd300_vgg16": (300, 300),
    "ssdlite320_mobilenet_v3_large": (320, 320),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (576, 320),
}
"""Width and height near what a model learned from; of 16:9 where it kept proportions."""
_LARGE_SIZE = (1344, 768)
_COARSEST_CELL = 32
_CLASS_BIAS = re.compile(
    r"(cls_score|head.*cls_logits|classification_head\.module_list\.0(\.1)?)\.bias"
)
_RPN = "rpn."
_NORM_COUNTER = "num_batches_tracked"
# torchvision runs its COCO weights of these with that.
_MODELS_WITHOUT_EPS = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A detector ready to be declared or run."""

    network: "TorchvisionDetector"
    facts: DetectorFacts


class TorchvisionDetector(nn.Module):
    """A ``detector.DetectorNetwork``."""

    def __init__(self, model: Any, frame_format: FrameFormat) -> None:
        """Take over a torchvision model for pictures of one size."""
        super().__init__()
        height, width = frame_format.height, frame_format.width
        model.transform.fixed_size = (width, height)
        head = getattr(model, "roi_heads", model)
        head.score_thresh, head.nms_thresh = SCORE_THRESHOLD, NMS_IOU
        head.detections_per_img = MAX_BOXES
        self.model = model
        self._levels: list[Tensor] = []
        model.backbone.register_forward_hook(self._catch_levels)
        self.register_buffer("size", torch.tensor([width, height, width, height]).float())

    def forward(self, pictures: Tensor) -> tuple[Sequence[Detections], Sequence[Tensor]]:
        """Look at (B, 3, H, W) in [0, 1]."""
        found = [self._convert(each) for each in self.model(list(pictures))]
        levels, self._levels = self._levels, []
        return found, levels

    def _convert(self, found: dict[str, Tensor]) -> Detections:
        # Label 0 is the background, which RetinaNet and FCOS have an output for, but no examples.
        is_thing = found["labels"] > 0
        return Detections(
            boxes=found["boxes"][is_thing] / self.get_buffer("size"),
            scores=found["scores"][is_thing],
            classes=found["labels"][is_thing] - 1,
        )

    def _catch_levels(self, _: nn.Module, __: object, features: dict[str, Tensor]) -> None:
        self._levels = order_levels(features)


def build_detection(request: TeacherRequest) -> Detection:
    """Build the network with the weights that the request names.

    Raises:
        InvalidValueError: weights, names or picture size do not fit the model.
    """
    name = request.family.partition("/")[2]
    frame_format = detector_frames(request, *_SIZES.get(name, _LARGE_SIZE))
    level_shapes = _measure_levels(name, frame_format)
    model, digest, num_labels = _build_with_weights(name, request)
    facts = DetectorFacts(
        weights_sha256=digest,
        frame_format=frame_format,
        mean=model.transform.image_mean,
        std=model.transform.image_std,
        class_names=_find_class_names(name, request, num_labels),
        level_shapes=level_shapes,
    )
    return Detection(network=TorchvisionDetector(model.eval(), frame_format), facts=facts)


def _measure_levels(name: str, frame_format: FrameFormat) -> tuple[LevelShape, ...]:
    height, width = frame_format.height, frame_format.width
    is_own = (width, height) == _SIZES.get(name)
    if not is_own and (height % _COARSEST_CELL or width % _COARSEST_CELL):
        raise InvalidValueError(
            f"pictures of {width}x{height} are padded by {name!r}, which moves its maps; "
            f"choose multiples of {_COARSEST_CELL}"
        )
    with torch.device("meta"):  # sizes without arithmetic
        outline = _create(name, NUM_COCO_LABELS).eval()
        try:
            levels = order_levels(outline.backbone(torch.zeros((1, 3, height, width))))
        except RuntimeError as error:
            raise InvalidValueError(
                f"pictures of {width}x{height} are too small for {name!r}; choose larger ones"
            ) from error
    return tuple((level.shape[1], level.shape[2], level.shape[3]) for level in levels)


def _build_with_weights(name: str, request: TeacherRequest) -> tuple[Any, str, int]:
    """Give the model, the digest of its weights, and its number of labels."""
    if request.weights == RANDOM_WEIGHTS:
        num_labels = NUM_COCO_LABELS
        if request.classes:
            num_labels = 1 + len(read_class_names(Path(request.classes)))
        model: Any = seeded(lambda: _create(name, num_labels), request.seed)
        return model, digest_state_dict(model.state_dict()), num_labels
    if request.weights:
        return _build_from_file(name, Path(request.weights))
    model = _build_pretrained(name)
    return model, digest_state_dict(model.state_dict()), NUM_COCO_LABELS


def _build_from_file(name: str, path: Path) -> tuple[Any, str, int]:
    state = read_state_dict(path)
    with torch.device("meta"):
        outline = _create(name, NUM_COCO_LABELS).state_dict()
    num_labels = count_labels(name, path, state, outline)
    model = _create(name, num_labels)
    is_frozen = not any(key.endswith(_NORM_COUNTER) for key in state)
    if is_frozen:  # torchvision saves what it fine-tunes without the counters, which say nothing
        counters = {key: value for key, value in model.state_dict().items() if _is_counter(key)}
        state = {**counters, **state}
    load_strictly(model, state, source=str(path))
    if is_frozen and num_labels == NUM_COCO_LABELS and name in _MODELS_WITHOUT_EPS:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return model, digest_file(path), num_labels


def count_labels(name: str, path: Path, state: StateDict, outline: StateDict) -> int:
    """Count the labels, background included, that tensors are for.

    Every label has as many outputs as the next; ``outline`` is of ``NUM_COCO_LABELS``.

    Raises:
        InvalidValueError: the tensors are of another model.
    """
    key = next(key for key in outline if _CLASS_BIAS.search(key) and not key.startswith(_RPN))
    if key not in state:
        raise InvalidValueError(
            f"weights {str(path)!r} have no tensor {key!r} of the classes of {name!r}; "
            "name the family that they were trained as"
        )
    return len(state[key]) * NUM_COCO_LABELS // len(outline[key])


def _build_pretrained(name: str) -> Any:
    from torchvision import models

    entry = models.get_model_weights(name).DEFAULT
    try:
        # torchvision opens its files without weights_only: look first, with it.
        entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
        return models.get_model(name, weights=entry, progress=False)
    except Exception as error:
        raise InvalidValueError(
            f"torchvision gives no weights for {name!r} ({type(error).__name__}: is its site "
            "reachable?); give a file with --weights"
        ) from error


def _find_class_names(name: str, request: TeacherRequest, num_labels: int) -> tuple[str, ...]:
    """Read the user's names, one for each label but 0; without any, 91 labels are COCO's."""
    if request.classes:
        names = read_class_names(Path(request.classes))
        if len(names) + 1 != num_labels:
            raise InvalidValueError(
                f"{len(names)} class names for the {num_labels - 1} classes of teacher "
                f"{request.name!r} beside its background; give one name a line with --classes"
            )
        return names
    if num_labels != NUM_COCO_LABELS:
        return ()
    from torchvision import models

    return tuple(models.get_model_weights(name).DEFAULT.meta["categories"][1:])


def _create(name: str, num_labels: int) -> Any:
    from torchvision import models

    return models.get_model(name, weights=None, weights_backbone=None, num_classes=num_labels)


def _is_counter(key: str) -> bool:
    return key.endswith(_NORM_COUNTER)
