"""The complete description of a segmenter's training, as frozen values that go to JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from avkd.pipeline.picture_training.recipe_values import (
    STRICT,
    check_pictures,
    require,
    shown_frames,
)
from avkd.pipeline.recipe import OptimiserConfig, ScheduleConfig
from avkd.stages.teachers.segmenter_folder import SegmenterDescription
from avkd.stages.teachers.segmenter_options import MAP_STRIDES, SegmenterOptions
from avkd.stages.types import FrameFormat


@dataclass(frozen=True, kw_only=True)
class SegmenterData:
    """Which pictures are learned from, and what of their truth."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = STRICT

    stream: str = "rgb"
    value_range: tuple[float, float] | None = None
    """Of 16-bit gray pictures: what becomes 0 and what becomes 1. None: 8-bit RGB."""
    picture_size: tuple[int, int] = (320, 192)
    """Width and height to which pictures are stretched: multiples of 32."""
    map_stride: int = 2
    """Pixels of these to a cell of the stored map, in each direction: it is the class whose mean
    probability over them is largest."""
    classes: tuple[str, ...] = ()
    """Each a class of the truth, or ``NAME=CLASS,CLASS``; none: those of the truth."""
    split: str | None = None
    """Only recordings whose corpus column ``split`` says so; None: all."""
    frames_per_recording: int | None = 4
    """How many pictures of each, evenly over it; None: all."""
    validation_fraction: float = 0.15
    """Share of the recordings held out for the score."""
    batch_size: int = 8
    max_gigabytes: float = 2.0
    """Of memory for decoded pictures; of more, every second, third, ... is learned from."""
    flip: float = 0.5
    """How likely a picture is mirrored."""
    brightness: float = 0.3
    """RGB is made brighter or darker, and its contrast weaker or stronger, by up to this share."""
    balance: float = 0.5
    """A pixel counts by the share of its class to minus this power: 0 is all alike, 1 gives every
    class the same weight in all."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_pictures(self)
        stride = self.map_stride
        require(stride in MAP_STRIDES, "map_stride", stride, f"one of {MAP_STRIDES}")
        require(len(self.classes) != 1, "classes", self.classes, "two or more, or none for all")
        num = self.frames_per_recording
        require(num is None or num >= 1, "frames_per_recording", num, "1 or more, or none for all")
        require(0 <= self.balance <= 1, "balance", self.balance, "from 0 to 1")

    @property
    def frame_format(self) -> FrameFormat:
        """The pictures as extraction shows them to the segmenter."""
        return shown_frames(self)


@dataclass(frozen=True, kw_only=True)
class SegmenterRecipe:
    """One complete description of a segmenter's training."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = STRICT

    data: SegmenterData = field(default_factory=SegmenterData)
    network: SegmenterOptions = field(default_factory=SegmenterOptions)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            name="adamw", learning_rate=3e-3, weight_decay=0.02, max_grad_norm=10.0
        )
    )
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(
            num_updates=400, warmup_updates=25, shape="cosine", checkpoint_updates=100
        )
    )
    """By updates: a corpus of any size takes the same time."""
    seed: int = 0

    def describe(
        self, class_names: tuple[str, ...], facts: Mapping[str, object]
    ) -> SegmenterDescription:
        """Describe the segmenter that it makes."""
        return SegmenterDescription(
            stream=self.data.stream,
            value_range=self.data.value_range,
            picture_size=self.data.picture_size,
            map_stride=self.data.map_stride,
            class_names=class_names,
            network=self.network,
            seed=self.seed,
            facts=facts,
        )
