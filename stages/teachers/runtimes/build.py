"""A network behind one call, by torch, ONNX Runtime or OpenVINO: which, and what all promise.

Normalising is part of the network, so that uint8 travels to the device. The bits of a frame's
output do not depend on the other frames of the batch, nor on the number of threads: ONNX Runtime
and OpenVINO give the same for any (measured: ``by_onnxruntime``, ``by_openvino``), torch on a CPU
does not and runs on one. Between two runtimes outputs differ by about 1e-6 of the largest.
"""

from collections.abc import Sequence

from torch import nn

from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.loaded import Run
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.by_torch import build_torch
from avkd.stages.teachers.runtimes.onnx_export import export_for
from avkd.stages.teachers.runtimes.sessions import build_session, count_threads


def build_runtime(
    network: nn.Module,
    output_names: Sequence[str],
    declaration: TeacherDeclaration,
    request: TeacherRequest,
) -> Run:
    """Put a network that maps a batch of frames to a tuple of outputs into the request's runtime.

    Raises:
        InvalidValueError: if it does not export to ONNX, there is no such device, or it does not
            compile.
    """
    if request.runtime == "torch":
        return build_torch(network, output_names, request)
    size = (declaration.frame_format.height, declaration.frame_format.width)
    return build_session(
        export_for(request.family, network, output_names, size),
        output_names,
        request,
        batch_size=request.batch_size,
        num_threads=count_threads(),
        way_out="use --runtime torch",
    )
