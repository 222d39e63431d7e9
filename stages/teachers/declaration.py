"""What a teacher says of itself before it runs: what it looks at, what it gives, what it is.

Imports no torch: asking whether a store already holds a teacher must be quick.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import InvalidValueError
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat, TeacherOutput
from avkd.stages.views import ViewSettings

EXTRACTION_VERSION = 1
TORCH_CPU_THREADS = 1
"""torch's bits on a CPU depend on it, so it is fixed; workers are processes, not threads."""

Unit: TypeAlias = Literal["frame", "step", "clip"]
Predictions: TypeAlias = Mapping[str, npt.NDArray[np.float32 | np.uint8]]
"""Output name to (batch_size, *shape of the output): uint8 where the output is, else float32; boxes
too (``types.TeacherOutput``)."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture becomes the input of a network; mean and std are of RGB in [0, 1]."""

    height: int
    width: int
    crop_fraction: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def frame_format(self) -> FrameFormat:
        """The part that decoding does; the network normalises."""
        return FrameFormat(height=self.height, width=self.width, crop_fraction=self.crop_fraction)


@dataclass(frozen=True, kw_only=True)
class TeacherDeclaration:
    """A teacher without its network."""

    name: str
    stream: str = "rgb"
    frame_format: FrameFormat
    outputs: tuple[TeacherOutput, ...]
    fingerprint: Mapping[str, object]
    """JSON; all that decides the bytes of the targets (docs: storage format)."""
    batch_size: int
    """Every batch has exactly this many frames, or units; the last one of a shard is padded."""
    unit: Unit = "frame"
    """What is one input of its network: a picture, or all of a step or of a clip together, which is
    (pictures, height, width, channels). Where some are missing, the others come over again."""
    num_pictures: int = 0
    """Of a unit, where the network takes no other number; 0 takes any."""
    per: Literal["step", "clip"] = "step"
    """What is stored: one thing a step, or one a clip, the mean over all that the network saw."""
    views: ViewSettings | None = None
    """Augmented views of every picture, which the network looks at in its place."""

    def input_shape(self, num_pictures: int) -> tuple[int, ...]:
        """Give the shape of one input of its network, where a unit has that many pictures."""
        height, width, num_channels = self.frame_format.picture_shape
        if self.views is not None:
            height, width = self.views.height, self.views.width
        shape = (height, width, num_channels)
        return shape if self.unit == "frame" else (num_pictures, *shape)


class Teacher(Protocol):
    """A loaded teacher."""

    @property
    def declaration(self) -> TeacherDeclaration:
        """What it declared."""
        ...

    def predict(self, frames: npt.NDArray[Any]) -> Predictions:
        """Look at (batch_size, height, width, channels) frames as its format has them.

        With pictures of a unit, (batch_size, pictures, height, width, channels); with views, of
        their size. A frame's, or a unit's, result depends on it alone.
        """
        ...


def declare_classifier(
    request: TeacherRequest,
    *,
    weights_sha256: str,
    preprocessing: Preprocessing,
    num_classes: int,
    num_features: int,
    class_names: tuple[str, ...],
) -> TeacherDeclaration:
    """Declare the two outputs of every classifier, ``logits`` and ``embedding``.

    Raises:
        InvalidValueError: if class names are given and are not ``num_classes``.
    """
    if class_names and len(class_names) != num_classes:
        raise InvalidValueError(
            f"{len(class_names)} class names for the {num_classes} classes of teacher "
            f"{request.name!r}; give a file with one name a line with --classes"
        )
    outputs = (
        TeacherOutput(
            name="logits",
            shape=(num_classes,),
            axes=("class",),
            class_names=class_names,
            activation="softmax",
        ),
        TeacherOutput(name="embedding", shape=(num_features,), axes=("feature",)),
    )
    return TeacherDeclaration(
        name=request.name,
        frame_format=preprocessing.frame_format,
        outputs=outputs,
        fingerprint=_build_fingerprint(request, weights_sha256, preprocessing, outputs),
        batch_size=request.batch_size,
    )


def digest_file(path: Path) -> str:
    """Give the sha256 of a file's bytes in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_fingerprint(
    request: TeacherRequest,
    weights_sha256: str,
    preprocessing: Preprocessing,
    outputs: tuple[TeacherOutput, ...],
) -> dict[str, object]:
    """Lists, not tuples: the fingerprint must equal itself after a trip through JSON."""
    return {
        "family": request.family,
        "weights_sha256": weights_sha256,
        "preprocessing": {
            "height": preprocessing.height,
            "width": preprocessing.width,
            "crop_fraction": preprocessing.crop_fraction,
            # Decoding scales by one method for every teacher.
            "interpolation": "bicubic",
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
        "outputs": [{"name": output.name, "shape": list(output.shape)} for output in outputs],
        **runtime_fingerprint(request),
    }


def runtime_fingerprint(request: TeacherRequest) -> dict[str, object]:
    """Give the part of a fingerprint that says how a network is run."""
    is_torch_cpu = request.runtime == "torch" and request.device == "cpu"
    threads = {"num_threads": TORCH_CPU_THREADS} if is_torch_cpu else {}
    compiled = {"compiled": True} if request.is_compiled else {}
    return {
        "runtime": request.runtime,
        "precision": request.precision,
        "batch_size": request.batch_size,
        "device": request.device,
        **threads,
        **compiled,
        "extraction_version": EXTRACTION_VERSION,
    }
