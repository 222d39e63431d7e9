"""What the folder of a trained segmenter says: where it looks, its classes, how it is built.

segmenter.json           the description, its presence means that training is finished
weights.safetensors      the weights
segmenter_training.json  what it is trained by and from, there from the start

Imports no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from avkd.stages.teachers.segmenter_options import SegmenterOptions
from avkd.stages.teachers.trained_folder import TrainedFolder

FORMAT_VERSION = 1
SEGMENTER_FOLDER = TrainedFolder(
    what="segmenter",
    task="segmentation",
    description_file="segmenter.json",
    training_file="segmenter_training.json",
)


@dataclass(frozen=True, kw_only=True)
class SegmenterDescription:
    """All that is needed to look through a trained segmenter, but its weights."""

    stream: str
    value_range: tuple[float, float] | None
    """Of 16-bit gray pictures; None: 8-bit RGB."""
    picture_size: tuple[int, int]
    """Width and height."""
    map_stride: int
    """Pixels of the picture to a cell of the stored map, in each direction."""
    class_names: tuple[str, ...]
    network: SegmenterOptions
    seed: int
    facts: Mapping[str, object] = field(default_factory=dict)
    """Of the training: counts and scores; JSON."""
    format_version: int = FORMAT_VERSION

    @property
    def num_channels(self) -> int:
        """Of the pictures that the network looks at."""
        return 3 if self.value_range is None else 1

    @property
    def map_shape(self) -> tuple[int, int]:
        """Height and width of its maps."""
        width, height = self.picture_size
        return height // self.map_stride, width // self.map_stride

    def to_json(self) -> str:
        """The description as ``read_segmenter`` takes it."""
        return json.dumps(asdict(self), indent=2)


def read_segmenter(path: str) -> SegmenterDescription:
    """Read what a finished segmenter says of itself; raises as ``TrainedFolder.read`` does."""
    return SEGMENTER_FOLDER.read(path, SegmenterDescription)
