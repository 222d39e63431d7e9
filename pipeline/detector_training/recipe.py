"""The complete description of a detector's training, as frozen values that go to JSON and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from avkd.pipeline.picture_training.recipe_values import (
    STRICT,
    check_pictures,
    read_values,
    require,
    shown_frames,
)
from avkd.pipeline.recipe import OptimiserConfig, ScheduleConfig
from avkd.stages.teachers.detector_folder import DetectorDescription
from avkd.stages.teachers.pyramid_options import PyramidOptions
from avkd.stages.types import FrameFormat


@dataclass(frozen=True, kw_only=True)
class DetectorData:
    """Which pictures are learned from, and what of their truth."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = STRICT

    stream: str = "rgb"
    value_range: tuple[float, float] | None = None
    """Of 16-bit gray pictures: what becomes 0 and what becomes 1. None: 8-bit RGB."""
    picture_size: tuple[int, int] = (320, 192)
    """Width and height to which pictures are stretched: multiples of 32."""
    classes: tuple[str, ...] = ("vehicle",)
    """Each a kind of the truth, or ``NAME=KIND,KIND``; one alone that is no kind stands for all."""
    split: str | None = None
    """Only recordings whose corpus column ``split`` says so; None: all."""
    min_visible: float = 0.25
    """A box of which a smaller share is visible is neither something to find nor background."""
    validation_fraction: float = 0.15
    """Share of the recordings held out for the score."""
    batch_size: int = 8
    max_gigabytes: float = 2.0
    """Of memory for decoded pictures; of more, every second, third, ... is learned from."""
    flip: float = 0.5
    """How likely a picture is mirrored."""
    brightness: float = 0.3
    """RGB is made brighter or darker, and its contrast weaker or stronger, by up to this share."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        check_pictures(self)
        require(bool(self.classes), "classes", "()", "one name at least")
        require(0 <= self.min_visible <= 1, "min_visible", self.min_visible, "from 0 to 1")

    @property
    def frame_format(self) -> FrameFormat:
        """The pictures as extraction shows them to the detector."""
        return shown_frames(self)


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """One complete description of a detector's training."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = STRICT

    data: DetectorData = field(default_factory=DetectorData)
    network: PyramidOptions = field(default_factory=PyramidOptions)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            name="adamw", learning_rate=2e-3, weight_decay=0.02, max_grad_norm=10.0
        )
    )
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(
            num_updates=1000, warmup_updates=50, shape="cosine", checkpoint_updates=100
        )
    )
    """By updates: a corpus of any size takes the same time."""
    seed: int = 0

    def describe(
        self, class_names: tuple[str, ...], facts: Mapping[str, object]
    ) -> DetectorDescription:
        """Describe the detector that it makes."""
        return DetectorDescription(
            stream=self.data.stream,
            value_range=self.data.value_range,
            picture_size=self.data.picture_size,
            class_names=class_names,
            network=self.network,
            seed=self.seed,
            facts=facts,
        )


def read_recipe(values: Mapping[str, Any]) -> DetectorRecipe:
    """Read what ``recipe_values`` gave; raises as ``read_values`` does."""
    return read_values(DetectorRecipe, values)
