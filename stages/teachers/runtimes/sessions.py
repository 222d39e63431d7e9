"""A network in ONNX behind one call, by the runtime that a request names.

Imports no torch.
"""

import os
from collections.abc import Sequence

from avkd.errors import InvalidValueError
from avkd.stages.teachers.loaded import Run
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.teachers.runtimes.by_onnxruntime import build_onnxruntime
from avkd.stages.teachers.runtimes.by_openvino import build_openvino

SESSION_RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
"""Those that run ONNX, and what they are called."""


def build_session(
    model: bytes,
    output_names: Sequence[str],
    request: TeacherRequest,
    *,
    batch_size: int,
    num_threads: int,
    way_out: str,
) -> Run:
    """Put a network into the request's runtime.

    Args:
        model: its one input has a batch axis first.
        output_names: of the outputs to give.
        request: resolved.
        batch_size: of every batch.
        num_threads: to compute with.
        way_out: what to do where it does not run, to end the error's message.

    Raises:
        InvalidValueError: it does not run there.
    """
    try:
        if request.runtime == "openvino":
            return build_openvino(model, output_names, batch_size, num_threads, request.precision)
        return build_onnxruntime(model, output_names, batch_size, num_threads)
    except Exception as error:
        raise InvalidValueError(
            f"teacher {request.name!r} does not run under {SESSION_RUNTIMES[request.runtime]} "
            f"({say_briefly(error)}); {way_out}"
        ) from error


def count_threads() -> int:
    """Give the threads that this process may compute with.

    As many as its worker was told by ``OMP_NUM_THREADS``, which torch obeys too, or one a core.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):  # a list is for nested threads
        return int(asked)
    can_tell = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1


def say_briefly(error: Exception) -> str:
    """Give the kind of an error and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
