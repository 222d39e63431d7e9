"""A torch.export file of anyone's (.pt2), made to take frames as they are decoded."""

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.files.description import FoundDescription, InputDescription
from avkd.stages.teachers.files.export_archive import (
    SAMPLE_INPUTS,
    check_archive,
    pack_archive,
)
from avkd.stages.teachers.files.normalising import normalising
from avkd.stages.teachers.files.onnx_file import check_input_shape
from avkd.stages.teachers.loaded import Run
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.by_torch import build_torch
from avkd.stages.teachers.runtimes.sessions import say_briefly

_TYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}


@dataclass(frozen=True, kw_only=True)
class ExportFile:
    """A file that was looked through and loaded."""

    program: torch.export.ExportedProgram
    digests: Mapping[str, str]
    batch_size: int
    """That it was exported with; 0 is any."""


class FromFrames(nn.Module):
    """Frames (B, H, W, channels) to a tuple of the outputs that a description names."""

    scale: Tensor | None
    offset: Tensor | None
    low: Tensor | None
    high: Tensor | None

    def __init__(
        self, program: nn.Module, told: InputDescription, sources: Sequence[str], path: str
    ) -> None:
        """Wrap the module of an exported program."""
        super().__init__()
        self.program = program
        self._dtype = _TYPES[told.dtype]
        self._is_nhwc = told.layout == "NHWC"
        self._sources = tuple(sources)
        self._path = path
        constants = {} if told.dtype == "uint8" else normalising(told)
        for name in ("scale", "offset", "low", "high"):
            array = constants.get(name)
            self.register_buffer(name, None if array is None else torch.from_numpy(array))

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Normalise and look."""
        pictures = frames.permute(0, 3, 1, 2)
        if self.scale is not None and self.offset is not None:
            pictures = pictures.to(torch.float32) * self.scale + self.offset
        if self.low is not None and self.high is not None:
            pictures = torch.minimum(torch.maximum(pictures, self.low), self.high)
        pictures = pictures.permute(0, 2, 3, 1) if self._is_nhwc else pictures
        outputs = self.program(pictures.to(self._dtype).contiguous())
        return select_outputs(outputs, self._sources, self._path)


def read_export(found: FoundDescription, request: TeacherRequest) -> ExportFile:
    """Look a file through and load it.

    Raises:
        InvalidValueError: it is not trusted, damaged, hostile, or not what the description says.
    """
    path = found.file
    if not request.is_trusted:
        raise InvalidValueError(
            f"teacher {request.name!r} is {path}: torch says that loading such a file may run code "
            f"of whoever made it; if you trust them, say --trust {request.name}, or use ONNX"
        )
    content = path.read_bytes()
    entries = check_archive(path, content)
    try:
        with _quiet():
            # What fails here would be unpickled by torch.export.load.
            torch.load(io.BytesIO(entries[SAMPLE_INPUTS]), weights_only=True)
            program = torch.export.load(pack_archive(entries))
    except Exception as error:
        raise InvalidValueError(
            f"{path} does not load by torch.export ({say_briefly(error)}); export it again with "
            "tensors as its one example input"
        ) from error
    return ExportFile(
        program=program,
        digests={"file": hashlib.sha256(content).hexdigest()},
        batch_size=_check_input(program, found),
    )


def build_export(found: FoundDescription, read: ExportFile, request: TeacherRequest) -> Run:
    """Put a loaded file on the request's device."""
    program = read.program
    if request.device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, request.device)
    sources = [output.source for output in found.told.outputs.values()]
    network = FromFrames(program.module(), found.told.input, sources, str(found.file))
    # The order of memory that it was traced with may be part of the graph.
    return build_torch(network, sources, request, is_channels_last=False)


def select_outputs(outputs: object, sources: Sequence[str], path: str) -> tuple[Tensor, ...]:
    """Take outputs by name from a mapping, by place from anything else.

    Raises:
        InvalidValueError: one is not there.
    """
    if isinstance(outputs, Mapping):
        named = {str(name): value for name, value in outputs.items()}
    else:
        values = outputs if isinstance(outputs, tuple | list) else (outputs,)
        named = {str(place): value for place, value in enumerate(values)}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    for source in sources:
        if source not in tensors:
            raise UnknownNameError(f"output of {path}", source, tensors)
    return tuple(tensors[source] for source in sources)


def _check_input(program: torch.export.ExportedProgram, found: FoundDescription) -> int:
    names = program.graph_signature.user_inputs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [nodes[name] for name in names if isinstance(name, str) and name in nodes]
    if len(inputs) != 1 or len(names) != 1:
        raise InvalidValueError(
            f"{found.file} has {len(names)} inputs; export the network with pictures as its one"
        )
    told, (placeholder,) = found.told.input, inputs
    tensor = cast(Tensor, placeholder.meta["val"])
    if tensor.dtype != _TYPES[told.dtype]:
        raise InvalidValueError(
            f"{found.path}: input.dtype {told.dtype} is not that of the file's input, "
            f"{str(tensor.dtype).removeprefix('torch.')}; say what the file takes"
        )
    if told.name not in ("", placeholder.name):
        raise UnknownNameError(f"input of {found.file}", told.name, [placeholder.name])
    sizes = [size if isinstance(size, int) else None for size in tensor.shape]
    return check_input_shape(found, placeholder.name, sizes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's loader tells its developers things before it raises what is told to the user."""
    logger = logging.getLogger("torch.export")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
