"""What the folder of a trained detector says: where it looks, what it finds, how it is built.

detector.json           the description, its presence means that training is finished
weights.safetensors     the weights
detector_training.json  what it is trained by and from, there from the start

Imports no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from avkd.errors import CorruptStoreError, StoreNotFoundError
from avkd.stages.teachers.pyramid_options import PyramidOptions

FORMAT_VERSION = 1
DESCRIPTION_FILE = "detector.json"
WEIGHTS_FILE = "weights.safetensors"
TRAINING_FILE = "detector_training.json"


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


def is_detector_folder(path: str) -> bool:
    """Tell whether a detector is, or is being, trained in that folder."""
    folder = _folder(path)
    return any((folder / name).is_file() for name in (DESCRIPTION_FILE, TRAINING_FILE))


def read_description(path: str) -> DetectorDescription:
    """Read what a finished detector says of itself.

    Raises:
        StoreNotFoundError: there is none, or its training is not finished.
        CorruptStoreError: the description cannot be read.
    """
    from pydantic import TypeAdapter, ValidationError

    folder = _folder(path)
    file = folder / DESCRIPTION_FILE
    if not file.is_file():
        if (folder / TRAINING_FILE).is_file():
            raise StoreNotFoundError(f"the run {folder} is not finished; go on with its command")
        raise StoreNotFoundError(
            f"no detector at {folder}; make one with avkd train-teacher --task detection"
        )
    try:
        return TypeAdapter(DetectorDescription).validate_json(file.read_bytes())
    except (ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptStoreError(f"{file}: {reason}; train again") from error


def weights_file(path: str) -> Path:
    """Where the weights of a detector's folder are.

    Raises:
        CorruptStoreError: they are not there.
    """
    file = _folder(path) / WEIGHTS_FILE
    if not file.is_file():
        raise CorruptStoreError(f"{file} is missing; copy it again, or train again")
    return file


def _folder(path: str) -> Path:
    return Path(path).expanduser()
