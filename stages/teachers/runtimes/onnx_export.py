"""A torch network as the bytes of an ONNX file."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from avkd.errors import InvalidValueError
from avkd.stages.teachers.runtimes.by_onnxruntime import BATCH_AXIS
from avkd.stages.teachers.runtimes.sessions import say_briefly

_OPSET = 17
_FRAMES = "frames"


def export_onnx(network: nn.Module, output_names: Sequence[str], size: tuple[int, int]) -> bytes:
    """Export with a free batch axis, traced on a batch of one: 0.4 s where 32 frames take 2.

    Args:
        network: of uint8 frames (B, height, width, 3), to a tuple of outputs.
        output_names: of these, in their order.
        size: height and width.
    """
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
            input_names=[_FRAMES],
            output_names=names,
            dynamic_axes={name: {0: BATCH_AXIS} for name in [_FRAMES, *names]},
        )
        return path.read_bytes()


def export_for(
    family: str, network: nn.Module, output_names: Sequence[str], size: tuple[int, int]
) -> bytes:
    """Export the network of a family.

    Raises:
        InvalidValueError: it has what ONNX has not.
    """
    try:
        return export_onnx(network, output_names, size)
    except Exception as error:
        raise InvalidValueError(
            f"teacher {family!r} does not export to ONNX ({say_briefly(error)}); "
            "use --runtime torch"
        ) from error
