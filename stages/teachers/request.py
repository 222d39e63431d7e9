"""What a user asks for when naming a teacher, and how the open choices are settled.

Imports no torch: asking whether a store already holds a teacher must be quick.
"""

import ctypes
import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from avkd.errors import InvalidValueError, UnknownNameError

RuntimeName: TypeAlias = Literal["auto", "torch", "onnxruntime", "openvino"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]
Device: TypeAlias = Literal["auto", "cpu", "cuda"]

RANDOM_WEIGHTS = "random"
RUNTIMES = ("torch", "onnxruntime", "openvino")
TEACHER_FILE_SUFFIX = ".toml"
PICTURE_STREAMS = ("rgb", "depth", "thermal")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CHOICES = {
    "runtime": get_args(RuntimeName),
    "precision": get_args(Precision),
    "device": get_args(Device),
    "per": ("", "step", "clip"),
}


@dataclass(frozen=True, kw_only=True)
class TeacherRequest:
    """A teacher as it is asked for; ``dataclasses.asdict`` of it is JSON and makes it again."""

    name: str
    """Under which its targets are stored: letters, digits, dots, dashes and underscores."""
    family: str
    """Such as ``efficientnet_lite0``, ``timm/resnet18`` or ``torchvision/mobilenet_v3_small``."""
    weights: str = ""
    """A local .safetensors file or weights_only checkpoint, ``random`` (seeded), or empty for the
    weights that the family comes with."""
    classes: str = ""
    """A file with one class name a line, in the order of the logits."""
    runtime: RuntimeName = "auto"
    precision: Precision = "float32"
    batch_size: int = 32
    device: Device = "auto"
    seed: int = 0
    """Of random weights, and of views."""
    stream: str = ""
    """Whose pictures it looks at; empty for those that the family looks at."""
    value_range: tuple[float, float] | None = None
    """Of 16-bit gray pictures: what becomes 0 and what becomes 1. None: 8-bit RGB."""
    picture_size: tuple[int, int] | None = None
    """Width and height of the pictures shown to it, where the family lets one choose."""
    maps: tuple[str, ...] = ()
    """Which maps of its network it stores, where the family has any."""
    map_channels: int = 0
    """To how many channels feature maps are projected; 0 stores all of them."""
    per: Literal["", "step", "clip"] = ""
    """Whether one thing a step is stored or one a clip; empty as the family does."""
    views: int = 0
    """Augmented views of each picture that it looks at instead, drawn from ``seed``; 0: none."""
    is_compiled: bool = False
    """Whether torch compiles its network first."""
    is_trusted: bool = False
    """Whether the user takes it that a file of this teacher may run code while it is loaded."""

    def __post_init__(self) -> None:
        for field in ("value_range", "picture_size", "maps"):
            if isinstance(value := getattr(self, field), list):  # JSON knows no tuples
                object.__setattr__(self, field, tuple(value))
        if not NAME_PATTERN.fullmatch(self.name):
            raise InvalidValueError(
                f"teacher name {self.name!r} is not made of letters, digits, '.', '-' and '_' "
                "alone; choose another with NAME=FAMILY"
            )
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise InvalidValueError(
                    f"{field} {getattr(self, field)!r} is unknown; choose {' or '.join(choices)}"
                )
        if self.batch_size < 1:
            raise InvalidValueError(f"batch size {self.batch_size} must be 1 or more")
        self._check_looks()

    def _check_looks(self) -> None:
        if self.stream and self.stream not in PICTURE_STREAMS:
            raise UnknownNameError("stream of pictures", self.stream, PICTURE_STREAMS)
        low, high = self.value_range or (0.0, 1.0)
        if not low < high:
            raise InvalidValueError(
                f"the range {low:g} to {high:g} of teacher {self.name!r} is empty; "
                "give the lower value first"
            )
        if min(self.picture_size or (1,)) < 1:
            raise InvalidValueError(f"pictures of {self.picture_size} must be 1 pixel or more")
        if self.views < 0:
            raise InvalidValueError(f"views {self.views} of {self.name!r} must be 0 or more")
        if self.map_channels < 0:
            raise InvalidValueError(f"map_channels {self.map_channels} must be 0 or more")


def parse_teacher(
    text: str,
    *,
    weights: str = "",
    classes: str = "",
    runtime: RuntimeName = "auto",
    precision: Precision = "float32",
    batch_size: int = 32,
    device: Device = "auto",
    seed: int = 0,
) -> TeacherRequest:
    """Read ``FAMILY`` or ``NAME=FAMILY``; the default name is the last part of the family.

    Of a description in a file it is the name of that file without ``.toml``.
    """
    given_name, equals, after = text.partition("=")
    family = after if equals else text
    return TeacherRequest(
        name=given_name if equals else _last_part(family),
        family=family,
        weights=weights,
        classes=classes,
        runtime=runtime,
        precision=precision,
        batch_size=batch_size,
        device=device,
        seed=seed,
    )


def resolve(request: TeacherRequest, runtimes: Sequence[str] = RUNTIMES) -> TeacherRequest:
    """Settle device, runtime and file paths once, so that every worker does the same.

    Raises:
        InvalidValueError: for family, runtime, device and precision that do not go together.
    """
    device, runtime = choose_place(request, runtimes)
    if runtime not in runtimes:
        raise InvalidValueError(
            f"teacher {request.family!r} does not run under {runtime}; "
            f"use --runtime {' or '.join(runtimes)}"
        )
    settled = replace(
        request,
        device=device,
        runtime=runtime,
        weights=_absolute(request.weights),
        classes=_absolute(request.classes),
    )
    _refuse_unfit(settled)
    return settled


def choose_place(
    request: TeacherRequest, runtimes: Sequence[str] = RUNTIMES
) -> tuple[Device, RuntimeName]:
    """Choose device and runtime where the request leaves them open.

    CUDA runs torch. A CPU runs ONNX Runtime, or torch where bfloat16 or compiling is asked for.
    What torch does not run is for a CPU, and bfloat16 of it for OpenVINO.

    Args:
        request: of a teacher.
        runtimes: those that run it.
    """
    device, runtime = request.device, request.runtime
    if device == "auto":
        may_be_torch = "torch" in runtimes and runtime in ("auto", "torch")
        device = _find_device() if may_be_torch else "cpu"
    if runtime == "auto":
        is_plain = (device, request.precision, request.is_compiled) == ("cpu", "float32", False)
        if "torch" in runtimes and not (is_plain and "onnxruntime" in runtimes):
            runtime = "torch"
        else:
            runtime = "openvino" if request.precision == "bfloat16" else "onnxruntime"
    return device, runtime


def _refuse_unfit(request: TeacherRequest) -> None:
    """Refuse what a runtime does not do."""
    runtime, precision = request.runtime, request.precision
    if runtime != "torch":
        if request.device != "cpu":
            raise InvalidValueError(f"runtime {runtime} works on device cpu; use --runtime torch")
        if request.is_compiled:
            raise InvalidValueError(
                f"runtime {runtime} has a compiler of its own; leave --compile out, or use "
                "--runtime torch"
            )
    if runtime == "onnxruntime" and precision != "float32":
        raise InvalidValueError(
            f"runtime onnxruntime works in float32, not {precision}; use --runtime torch"
        )
    if precision == "float16" and request.device != "cuda":
        raise InvalidValueError(
            "precision float16 is for device cuda, which gains by it; use float32 or bfloat16"
        )
    if runtime == "openvino" and importlib.util.find_spec("openvino") is None:
        raise InvalidValueError(
            "runtime openvino is not installed; pip install 'avkd[openvino]', or use another "
            "--runtime"
        )


def _last_part(family: str) -> str:
    return family.rpartition("/")[2].removesuffix(TEACHER_FILE_SUFFIX)


def _absolute(path: str) -> str:
    """Tasks travel to workers that may stand in another folder."""
    return path if path in ("", RANDOM_WEIGHTS) else str(Path(path).expanduser().absolute())


def _find_device() -> Device:
    return "cuda" if _torch_has_cuda() and _num_nvidia_devices() > 0 else "cpu"


def _torch_has_cuda() -> bool:
    """Importing torch to ask costs seconds; its version says it for the wheels without CUDA."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _num_nvidia_devices() -> int:
    """Ask NVML, which, unlike the CUDA driver, makes no context that a forked child inherits."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return 0
    library = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
    try:
        nvml = ctypes.CDLL(library)
        count = ctypes.c_uint(0)
        if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return 0
    except (OSError, AttributeError):
        return 0
    return count.value
