"""The small TOML beside a network of pictures in a file: what the file cannot say of itself.

Imports no torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from avkd.stages.teachers.files.reading import (
    ONNX_SUFFIX,
    STRICTLY,
    ClassNames,
    OutputDescription,
    find_class_names,
    find_network,
    parse,
    refuse_first,
    refuse_wrong_outputs,
)
from avkd.stages.teachers.request import PICTURE_STREAMS
from avkd.stages.types import Fit, FrameFormat

EXPORT_SUFFIX = ".pt2"


@dataclass(frozen=True, kw_only=True)
class InputDescription:
    """How pictures become the input of the network: value x scale, less mean, over std.

    Of 16-bit gray pictures ``value_range`` becomes 0 to 1 in place of ``scale``.
    """

    __pydantic_config__ = STRICTLY

    name: str = ""
    """In the file; empty where it has one input."""
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    """``uint8`` takes pictures as they are."""
    scale: float | None = None
    """By default 1/255."""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    """One number for each channel that the network takes."""
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    value_range: tuple[float, float] | None = None
    """Of 16-bit gray pictures: what becomes 0 and what becomes 1. None: 8-bit RGB."""


@dataclass(frozen=True, kw_only=True)
class FileDescription:
    """A network in a file."""

    __pydantic_config__ = STRICTLY

    file: str
    """Beside the TOML, or in a folder below."""
    width: int
    height: int
    outputs: Mapping[str, OutputDescription]
    """By the name under which they are stored."""
    stream: str = "rgb"
    fit: Fit = "cover"
    crop_fraction: float = 1.0
    """Of ``cover``: how much of the scaled picture's shorter side is kept."""
    input: InputDescription = field(default_factory=InputDescription)


@dataclass(frozen=True, kw_only=True)
class FoundDescription:
    """A description with the place where it was found."""

    path: Path
    told: FileDescription
    class_names: ClassNames

    @property
    def file(self) -> Path:
        """The network."""
        return self.path.parent / self.told.file

    @property
    def frame_format(self) -> FrameFormat:
        """The pictures to decode."""
        told = self.told
        return FrameFormat(
            height=told.height,
            width=told.width,
            crop_fraction=told.crop_fraction,
            fit=told.fit,
            pixels="rgb24" if told.input.value_range is None else "gray16",
        )


def read_file_description(path: str | Path) -> FoundDescription:
    """Read and check a description, and the names of classes that it points at.

    Raises:
        InvalidValueError: naming the first key that is wrong, and what it should be.
    """
    place = Path(path).expanduser().absolute()
    told = parse(place, FileDescription, {"input": InputDescription})
    _check_numbers(place, told)
    refuse_wrong_outputs(place, told.outputs)
    way_out = "export the network to ONNX, or by torch.export"
    find_network(place, told.file, (ONNX_SUFFIX, EXPORT_SUFFIX), way_out)
    return FoundDescription(
        path=place, told=told, class_names=find_class_names(place, told.outputs)
    )


def _check_numbers(path: Path, told: FileDescription) -> None:
    looks = told.input
    numbers = (*looks.mean, *looks.std, looks.scale or 0.0, *(looks.value_range or ()))
    low, high = looks.value_range or (0.0, 1.0)
    is_plain = (looks.mean, looks.std) == ((0.0,) * 3, (1.0,) * 3) and looks.scale is None
    num_channels = len(looks.mean)
    faults = {
        f"stream {told.stream!r} is none of {', '.join(PICTURE_STREAMS)}": told.stream
        not in PICTURE_STREAMS,
        f"pictures of {told.width}x{told.height} must be 1 to 16384 pixels each way": not (
            min(told.width, told.height) >= 1 and max(told.width, told.height) <= 16_384
        ),
        f"crop_fraction {told.crop_fraction} must be above 0 and at most 1": not (
            0 < told.crop_fraction <= 1
        ),
        f"crop_fraction {told.crop_fraction} cuts what fit 'stretch' shows whole; leave it out": (
            told.fit == "stretch" and told.crop_fraction != 1
        ),
        "input: mean, std, scale and value_range must be finite": not all(
            map(math.isfinite, numbers)
        ),
        "input: mean and std must have one number for each channel, 3 of RGB, 1 or 3 of gray": (
            len(looks.std) != num_channels
            or num_channels not in ((3,) if looks.value_range is None else (1, 3))
        ),
        "input: std and scale must not be 0": 0.0 in (*looks.std, looks.scale),
        f"input: the range {low:g} to {high:g} is empty; give the lower value first": not low
        < high,
        "input: value_range takes the place of scale; leave one out": looks.value_range is not None
        and looks.scale is not None,
        "input: uint8 pictures are taken as they are; leave mean, std, scale and value_range out": (
            looks.dtype == "uint8" and not (is_plain and looks.value_range is None)
        ),
    }
    refuse_first(path, faults)
