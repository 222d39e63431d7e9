"""Pictures that a store keeps: of any stream as student inputs, and true class maps.

``frames`` holds pictures of ``rgb`` that keep their proportions, the centre cut out. Those of a
stream by name are ``frames_<stream>``, and they show all of a picture, as class maps and detectors
do: a pixel of one is the same place in the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.errors import CorpusError, InvalidValueError, UnknownNameError
from avkd.pipeline.evaluation.class_truth import class_map_format, read_class_maps
from avkd.pipeline.extraction.buffers import USABLE_STATUSES, ShardContent
from avkd.pipeline.extraction.plan import Failure
from avkd.pipeline.extraction.producers import FRAMES, describe_decoder
from avkd.stages.teachers.request import PICTURE_STREAMS
from avkd.stages.types import (
    CLASS_MAP,
    IGNORED_CLASS,
    IS_TRUTH,
    ClipPolicy,
    DecodedClip,
    FrameFormat,
    Pictures,
    Pixels,
)
from avkd.storage.layout import check_name
from avkd.storage.schema import OutputSpec, ProducerSpec

PICTURES_VERSION = 1
"""Of both; raised only when bytes change."""
LEVELS = 255
Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class StoredPictures:
    """Pictures of one stream, stretched to one size, as uint8."""

    stream: str
    size: tuple[int, int]
    """Width and height."""
    value_range: tuple[float, float] | None = None
    """Of 16-bit gray pictures: what becomes 0 and what becomes 255. None: 8-bit RGB."""

    def __post_init__(self) -> None:
        if self.stream not in PICTURE_STREAMS:
            raise UnknownNameError("stream of pictures", self.stream, PICTURE_STREAMS)
        _require_size(self.name, self.size)
        low, high = self.value_range or (0.0, 1.0)
        if not low < high:
            raise InvalidValueError(
                f"the range {low:g} to {high:g} of {self.name} is empty; give the lower value first"
            )

    @property
    def name(self) -> str:
        """Of the student input."""
        return f"{FRAMES}_{self.stream}"

    @property
    def frame_format(self) -> FrameFormat:
        """In which they are decoded."""
        width, height = self.size
        pixels: Pixels = "rgb24" if self.value_range is None else "gray16"
        return FrameFormat(
            height=height, width=width, crop_fraction=1.0, fit="stretch", pixels=pixels
        )

    def describe(self, policy: ClipPolicy) -> ProducerSpec:
        """Give the input: per row uint8 (pictures, height, width, channels)."""
        limits = None if self.value_range is None else list(self.value_range)
        output = OutputSpec(
            name=self.name,
            shape=(policy.num_steps * policy.frames_per_step, *self.frame_format.picture_shape),
            dtype="uint8",
            axes=("step", "height", "width", "channel"),
            attributes={"frames_per_step": policy.frames_per_step, "value_range": limits},
        )
        width, height = self.size
        fingerprint = {
            "stream": self.stream,
            "height": height,
            "width": width,
            "fit": "stretch",
            "value_range": limits,
            **describe_decoder(self.frame_format.pixels, policy),
            "extraction_version": PICTURES_VERSION,
        }
        return ProducerSpec(
            kind="input", name=self.name, outputs=(output,), fingerprint=fingerprint
        )

    def convert(self, frames: Pictures) -> Bytes:
        """Give decoded pictures (n, height, width, channels) as they are stored."""
        if self.value_range is None:
            return frames
        low, high = self.value_range
        shares = (frames.astype(np.float64) - low) / (high - low)
        levels: Bytes = np.rint(LEVELS * np.clip(shares, 0.0, 1.0)).astype(np.uint8)
        return levels


@dataclass(frozen=True, kw_only=True)
class StoredClassMaps:
    """True class maps, of a stream with 16-bit gray class numbers; stored as a teacher's are."""

    name: str
    stream: str
    size: tuple[int, int]
    """Width and height."""
    class_names: tuple[str, ...] = ()
    """Settled by the corpus."""

    def __post_init__(self) -> None:
        check_name("class maps", self.name)
        _require_size(self.name, self.size)

    @property
    def frame_format(self) -> FrameFormat:
        """In which they are decoded."""
        return class_map_format(self.size)

    def describe(self, policy: ClipPolicy) -> ProducerSpec:
        """Give the teacher that they are stored as: per row uint8 (steps, height, width).

        Raises:
            InvalidValueError: there are several pictures a step, of which there is no mean class.
        """
        if policy.frames_per_step != 1:
            raise InvalidValueError(
                f"class maps {self.name!r} are of one picture a step, not of "
                f"{policy.frames_per_step}; extract with --frames-per-step 1 and shorter steps"
            )
        width, height = self.size
        output = OutputSpec(
            name=CLASS_MAP,
            shape=(policy.num_steps, height, width),
            dtype="uint8",
            axes=("step", "height", "width"),
            class_names=self.class_names,
            attributes={IS_TRUTH: True},
        )
        fingerprint = {
            "stream": self.stream,
            "height": height,
            "width": width,
            "interpolation": "nearest",
            "class_names": list(self.class_names),
            IS_TRUTH: True,
            "extraction_version": PICTURES_VERSION,
        }
        return ProducerSpec(
            kind="teacher", name=self.name, outputs=(output,), fingerprint=fingerprint
        )

    def convert(self, frames: Pictures) -> Bytes:
        """Give decoded pictures (n, height, width, 1) as they are stored.

        Raises:
            CorpusError: a pixel is of no class.
        """
        maps = read_class_maps(frames, len(self.class_names), f"stream {self.stream!r}")
        if (maps == IGNORED_CLASS).any():
            raise CorpusError(
                f"stream {self.stream!r}: a pixel is {IGNORED_CLASS}, of no known class, which a "
                "store does not keep; give it a class of its own"
            )
        return maps


AnyPictures: TypeAlias = StoredPictures | StoredClassMaps


class StoredPicturesBuffer:
    """Keeps the pictures of a shard, or its true class maps."""

    def __init__(self, spec: ProducerSpec, pictures: AnyPictures, rows_per_shard: int) -> None:
        """Make room for a shard: uint8 (rows_per_shard, *shape of the output)."""
        self.name = spec.name
        (output,) = spec.outputs
        self._output = output.name
        self._pictures = pictures
        self._kept = np.zeros((rows_per_shard, *output.shape), np.uint8)
        self._failures: dict[int, Failure] = {}

    def put(self, row: int, clip: DecodedClip) -> None:
        """Take the pictures of a row."""
        if clip.frames_status != "ok":
            self._failures[row] = (clip.frames_status, clip.frames_reason)
        if clip.frames_status not in USABLE_STATUSES:
            return
        frames = clip.frames[self._pictures.frame_format][: clip.num_frames]
        try:
            self._kept[row, : len(frames)] = self._pictures.convert(frames)
        except CorpusError as error:  # costs the row, not the run
            self._failures[row] = ("decode_error", str(error))

    def finish(self) -> ShardContent:
        """Give all rows."""
        return ShardContent(arrays={self._output: self._kept}, failures=self._failures)


def stored_pictures(spec: ProducerSpec) -> StoredPictures | None:
    """Give the pictures of a stored input; None where it is something else."""
    fields: Mapping[str, Any] = spec.fingerprint
    if spec.kind != "input" or not {"stream", "fit", "value_range"} <= fields.keys():
        return None
    limits = fields["value_range"]
    return StoredPictures(
        stream=fields["stream"],
        size=(fields["width"], fields["height"]),
        value_range=None if limits is None else (limits[0], limits[1]),
    )


def _require_size(name: str, size: tuple[int, int]) -> None:
    if min(size) < 1:
        raise InvalidValueError(f"{name} {size[0]}x{size[1]} must be 1 pixel or more each way")
