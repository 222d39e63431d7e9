"""A network behind one call, by torch or by ONNX Runtime.

Normalising is part of the network, so that uint8 travels to the device. The bits of a frame's
output do not depend on the other frames of the batch, nor on the number of threads: ONNX Runtime
gives the same for 1, 2 and 4 (7 networks, batches of 1, 7 and 32), torch on a CPU does not and runs
on one. Between the two runtimes outputs differ by about 1e-6 of the largest.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy.typing as npt
import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.declaration import TORCH_CPU_THREADS, Predictions, TeacherDeclaration
from avkd.stages.teachers.request import TeacherRequest

Frames: TypeAlias = npt.NDArray[Any]
Run: TypeAlias = Callable[[Frames], Predictions]

_OPSET = 17
_BATCH_AXIS = "batch"


@dataclass(frozen=True, kw_only=True)
class LoadedTeacher:
    """A declaration and the call that keeps it."""

    declaration: TeacherDeclaration
    run: Run

    def predict(self, frames: Frames) -> Predictions:
        """Look at one whole batch.

        Raises:
            InvalidValueError: for another shape or dtype than was declared.
        """
        declared = self.declaration
        frame_format = declared.frame_format
        expected = (declared.batch_size, *frame_format.picture_shape)
        if frames.shape != expected or frames.dtype != frame_format.dtype:
            raise InvalidValueError(
                f"teacher {declared.name!r} takes {frame_format.dtype.__name__} frames of shape "
                f"{expected}, not {frames.dtype} {frames.shape}; pad the batch"
            )
        return self.run(frames)


def build_runtime(
    network: nn.Module,
    output_names: Sequence[str],
    declaration: TeacherDeclaration,
    request: TeacherRequest,
) -> Run:
    """Put a network that maps a batch of frames to a tuple of outputs into the request's runtime.

    Raises:
        InvalidValueError: if it does not export to ONNX, or there is no such device.
    """
    if request.runtime == "torch":
        return _build_torch(network, output_names, request)
    size = (declaration.frame_format.height, declaration.frame_format.width)
    return _build_onnxruntime(network, output_names, size, request)


def export_onnx(network: nn.Module, output_names: Sequence[str], size: tuple[int, int]) -> bytes:
    """Export with a free batch axis, traced on a batch of one: 0.4 s where 32 frames take 2."""
    names = list(output_names)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder, "teacher.onnx")
        # The exporter that took its place needs onnxscript, which avkd does not install.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export")
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        # Picture size is fixed, so sizes may be traced as constants; the batch axis is checked.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            network,
            (torch.zeros((1, *size, 3), dtype=torch.uint8),),
            path,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["frames"],
            output_names=names,
            dynamic_axes={name: {0: _BATCH_AXIS} for name in ["frames", *names]},
        )
        return path.read_bytes()


def _build_torch(network: nn.Module, output_names: Sequence[str], request: TeacherRequest) -> Run:
    device = _find_torch_device(request)
    network = network.to(device).to(memory_format=torch.channels_last)
    is_bfloat16 = request.precision == "bfloat16"

    def run(frames: Frames) -> Predictions:
        with (
            cpu_threads(TORCH_CPU_THREADS),
            torch.inference_mode(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bfloat16),
            # float32 shall mean it, and the same bytes each time: neither TF32 nor trial kernels.
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            outputs = network(torch.tensor(frames, device=device))
        return {
            name: (output if output.dtype == torch.uint8 else output.float()).cpu().numpy()
            for name, output in zip(output_names, outputs, strict=True)
        }

    return run


@contextmanager
def cpu_threads(num_threads: int) -> Iterator[None]:
    """Some of torch's CPU kernels sum in an order that the number of threads decides."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _find_torch_device(request: TeacherRequest) -> torch.device:
    if request.device == "cuda" and not torch.cuda.is_available():
        raise InvalidValueError(
            f"teacher {request.name!r} was declared for device cuda, which torch does not find "
            "here; run on a machine with one, or use --device cpu under another name"
        )
    return torch.device(request.device)


def _build_onnxruntime(
    network: nn.Module, output_names: Sequence[str], size: tuple[int, int], request: TeacherRequest
) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # A number of its own, or ONNX Runtime pins threads to cores, which containers forbid.
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_free_dimension_override_by_name(_BATCH_AXIS, request.batch_size)
    try:
        session = onnxruntime.InferenceSession(
            export_onnx(network, output_names, size), options, providers=["CPUExecutionProvider"]
        )
        shapes = [output.shape for output in session.get_outputs()]
        if any(shape[0] != request.batch_size for shape in shapes):
            raise ValueError(f"the batch axis was traced as a constant: {shapes}")
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise InvalidValueError(
            f"teacher {request.family!r} does not run under ONNX Runtime "
            f"({type(error).__name__}: {reason}); use --runtime torch"
        ) from error

    def run(frames: Frames) -> Predictions:
        outputs = session.run(list(output_names), {"frames": frames})
        return dict(zip(output_names, outputs, strict=True))

    return run
