"""What the folder of a trained detector says: where it looks, what it finds, how it is built.

detector.json           the description, its presence means that training is finished
weights.safetensors     the weights
detector_training.json  what it is trained by and from, there from the start

Imports no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from avkd.stages.teachers.pyramid_options import PyramidOptions
from avkd.stages.teachers.trained_folder import TrainedFolder

FORMAT_VERSION = 1
DETECTOR_FOLDER = TrainedFolder(
    what="detector",
    task="detection",
    description_file="detector.json",
    training_file="detector_training.json",
)


@dataclass(frozen=True, kw_only=True)
class DetectorDescription:
    """All that is needed to look through a trained detector, but its weights."""

    stream: str
    value_range: tuple[float, float] | None
    """Of 16-bit gray pictures; None: 8-bit RGB."""
    picture_size: tuple[int, int]
    """Width and height."""
    class_names: tuple[str, ...]
    network: PyramidOptions
    seed: int
    facts: Mapping[str, object] = field(default_factory=dict)
    """Of the training: counts and scores; JSON."""
    format_version: int = FORMAT_VERSION

    @property
    def num_channels(self) -> int:
        """Of the pictures that the network looks at."""
        return 3 if self.value_range is None else 1

    def to_json(self) -> str:
        """The description as ``read_description`` takes it."""
        return json.dumps(asdict(self), indent=2)


def read_description(path: str) -> DetectorDescription:
    """Read what a finished detector says of itself; raises as ``TrainedFolder.read`` does."""
    return DETECTOR_FOLDER.read(path, DetectorDescription)
