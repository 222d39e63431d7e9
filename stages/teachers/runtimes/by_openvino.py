"""A network in ONNX behind one call, by OpenVINO on a CPU.

The bits of a frame's output do not depend on the other frames of the batch, nor on the number of
threads: the same for 1, 2, 3 and 4, in float32 and bfloat16 (EfficientNet-Lite0, ResNet-18,
MobileNetV3 small, ViT tiny and ConvNeXt atto; batches of 1, 7 and 32). float32 differs from ONNX
Runtime by about 1e-6 of the largest output, bfloat16 by 1e-2. Imports no torch.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from avkd.stages.teachers.declaration import Predictions
from avkd.stages.teachers.loaded import Frames, Run
from avkd.stages.teachers.request import Precision
from avkd.stages.teachers.runtimes.by_onnxruntime import refuse_constant_batch

_REPORTER = "openvino_telemetry"
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def build_openvino(
    model: bytes,
    output_names: Sequence[str],
    batch_size: int,
    num_threads: int,
    precision: Precision = "float32",
) -> Run:
    """Put a network into OpenVINO.

    Args:
        model: as for ONNX Runtime.
        output_names: of the outputs to give.
        batch_size: of every batch.
        num_threads: to compute with.
        precision: float32 or bfloat16; OpenVINO's own choice differs from machine to machine.

    Raises:
        Exception: whatever OpenVINO says of a network that it does not run.
    """
    with _no_reports():
        import openvino

    core = openvino.Core()
    network = core.read_model(model)
    (frames_port,) = network.inputs
    _, *rest = frames_port.get_partial_shape()
    network.reshape({frames_port: openvino.PartialShape([batch_size, *rest])})
    refuse_constant_batch([_known(output) for output in network.outputs], batch_size)
    compiled = core.compile_model(network, "CPU", _settings(num_threads, precision))
    request = compiled.create_infer_request()
    ports = [compiled.output(name) for name in output_names]
    # A worker may have several threads; one request computes one batch at a time.
    lock = threading.Lock()

    def run(frames: Frames) -> Predictions:
        with lock:
            request.infer([frames])
            arrays = [np.array(request.get_tensor(port).data) for port in ports]
        return dict(zip(output_names, arrays, strict=True))

    return run


def _settings(num_threads: int, precision: Precision) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "EXECUTION_MODE_HINT": "ACCURACY" if precision == "float32" else "PERFORMANCE",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(num_threads),
        # Workers that pin their threads all pin them to the same cores.
        "ENABLE_CPU_PINNING": "NO",
    }


def _known(output: Any) -> list[object]:
    shape = output.get_partial_shape()
    if shape.rank.is_dynamic:
        return ["unknown"]
    return [each.get_length() if each.is_static else "unknown" for each in shape]


@contextmanager
def _no_reports() -> Iterator[None]:
    """Importing OpenVINO tells its makers so, unless the module that does it is not there."""
    was_there = sys.modules.get(_REPORTER)
    if was_there is None:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if was_there is None:
            sys.modules.pop(_REPORTER, None)
