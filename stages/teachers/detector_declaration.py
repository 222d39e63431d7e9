"""What every detector declares: boxes of the whole picture, and maps of its network.

Pictures are stretched to the detector's size, each side by its own factor: nothing is cut off, and
a fraction of the picture shown is that fraction of the native one, whatever its proportions. So
boxes need no mapping back, and a cell of a map is the same part of every picture.

Imports no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import (
    TeacherDeclaration,
    runtime_fingerprint,
)
from avkd.stages.teachers.detector_maps import (
    LevelShape,
    choose_maps,
    declare_maps,
    projection_fingerprint,
)
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, TeacherOutput

BOXES = "boxes"
SCORE_THRESHOLD = 0.05
NMS_IOU = 0.5
MAX_BOXES = 100
BOX_NUMBERS = 6
_BOX_ATTRIBUTES = {"box": ["x_min", "y_min", "x_max", "y_max"], "unit": "fraction of the picture"}


@dataclass(frozen=True, kw_only=True)
class DetectorFacts:
    """What must be known of a detector's network to declare it."""

    weights_sha256: str
    frame_format: FrameFormat
    mean: Sequence[float]
    std: Sequence[float]
    class_names: tuple[str, ...]
    """Empty where nobody named them; without a background."""
    level_shapes: Sequence[LevelShape]
    """Of the pyramid, the finest level first; may be empty where no map is asked for."""


def detector_frames(request: TeacherRequest, width: int, height: int) -> FrameFormat:
    """Give the pictures that a detector looks at: the size asked for, or else its own."""
    width, height = request.picture_size or (width, height)
    return FrameFormat(
        height=height,
        width=width,
        crop_fraction=1.0,
        fit="stretch",
        pixels="rgb24" if request.value_range is None else "gray16",
    )


def declare_detector(request: TeacherRequest, facts: DetectorFacts) -> TeacherDeclaration:
    """Declare the output ``boxes`` and the maps asked for.

    Raises:
        InvalidValueError: the request asks for what detectors do not do.
    """
    if request.precision != "float32":
        raise InvalidValueError(
            f"detector {request.name!r} places boxes in float32, not in {request.precision}; "
            "leave --precision out"
        )
    boxes = TeacherOutput(
        name=BOXES,
        shape=(MAX_BOXES, BOX_NUMBERS),
        axes=("box", "number"),
        class_names=facts.class_names,
        dtype="float32",
        layout="boxes",
        attributes=_BOX_ATTRIBUTES,
    )
    choices = choose_maps(request.name, request.maps, facts.level_shapes)
    outputs = (boxes, *declare_maps(choices, facts.level_shapes, request.map_channels))
    return TeacherDeclaration(
        name=request.name,
        stream=request.stream or "rgb",
        frame_format=facts.frame_format,
        outputs=outputs,
        fingerprint=_build_fingerprint(request, facts, outputs),
        batch_size=request.batch_size,
    )


def looks_fingerprint(
    frames: FrameFormat,
    value_range: tuple[float, float] | None,
    mean: Sequence[float],
    std: Sequence[float],
) -> dict[str, object]:
    """Give the part of a fingerprint that says how pictures of any stream are shown."""
    return {
        "height": frames.height,
        "width": frames.width,
        "fit": frames.fit,
        "interpolation": "bicubic",
        "pixels": frames.pixels,
        "value_range": list(value_range) if value_range else None,
        "mean": list(mean),
        "std": list(std),
    }


def _build_fingerprint(
    request: TeacherRequest, facts: DetectorFacts, outputs: tuple[TeacherOutput, ...]
) -> dict[str, object]:
    return {
        "family": request.family,
        "weights_sha256": facts.weights_sha256,
        "stream": request.stream or "rgb",
        "preprocessing": looks_fingerprint(
            facts.frame_format, request.value_range, facts.mean, facts.std
        ),
        "detection": {
            "score_threshold": SCORE_THRESHOLD,
            "nms_iou": NMS_IOU,
            "max_boxes": MAX_BOXES,
        },
        "map_projection": projection_fingerprint(request.map_channels),
        "outputs": [{"name": output.name, "shape": list(output.shape)} for output in outputs],
        **runtime_fingerprint(request),
    }
