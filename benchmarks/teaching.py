"""One teacher for the bare model and for the loops of others: avkd's weights in avkd's runtime.

In batches of any size: avkd fills batches of one size across clips and recordings; whoever batches
within one video must not pay for padding that it does not do.
"""

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avkd.stages.teachers.declaration import TeacherDeclaration
from avkd.stages.teachers.registry import declare_teacher, find_family, settle_teacher
from avkd.stages.teachers.request import TeacherRequest
from avkd.stages.types import FrameFormat

Frames: TypeAlias = npt.NDArray[np.uint8]
Outputs: TypeAlias = Mapping[str, npt.NDArray[np.float32]]
Look: TypeAlias = Callable[[Frames], Outputs]

OUTPUT_NAMES = ("logits", "embedding")


def write_request(request: TeacherRequest) -> str:
    """A request as an argument of a command."""
    return json.dumps(asdict(request))


def read_request(text: str) -> TeacherRequest:
    """The request in such an argument, with its open choices settled."""
    return settle_teacher(TeacherRequest(**json.loads(text)))


def find_format(request: TeacherRequest) -> FrameFormat:
    """How the teacher wants its pictures."""
    declared = declare_teacher(request)
    assert isinstance(declared, TeacherDeclaration), "benchmarks show pictures"
    return declared.frame_format


def import_libraries() -> None:
    """Import what takes long and is no load of a teacher: outside of what is timed as work."""
    for name in ("torch.onnx", "onnxruntime", "timm"):
        importlib.import_module(name)


def load_any_batch(request: TeacherRequest) -> tuple[FrameFormat, Look]:
    """The pictures that it wants, and the network for (n, height, width, 3) of them for any n."""
    from avkd.stages.teachers import network
    from avkd.stages.teachers.classifier import Classifier
    from avkd.stages.teachers.runtimes.onnx_export import export_for

    library: Any = find_family(request.family)
    built = network.build_network(library, request)
    classifier = Classifier(built.module, built.layer, built.preprocessing).eval()
    frame_format = built.preprocessing.frame_format
    if request.runtime == "torch":
        return frame_format, _run_torch(classifier, request)
    assert request.runtime == "onnxruntime", "the runtime that avkd takes on a CPU by itself"
    size = frame_format.height, frame_format.width
    model = export_for(request.family, classifier, OUTPUT_NAMES, size)
    return frame_format, _run_onnxruntime(model)


def _run_onnxruntime(model: bytes) -> Look:
    """As avkd does, but for the fixed batch."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    frames_name = session.get_inputs()[0].name

    def look(frames: Frames) -> Outputs:
        values: Sequence[Any] = session.run(list(OUTPUT_NAMES), {frames_name: frames})
        return dict(zip(OUTPUT_NAMES, values, strict=True))

    return look


def _run_torch(classifier: Any, request: TeacherRequest) -> Look:
    import torch

    device = torch.device(request.device)
    module = classifier.to(device).to(memory_format=torch.channels_last)
    is_bfloat16 = request.precision == "bfloat16"

    def look(frames: Frames) -> Outputs:
        with (
            torch.inference_mode(),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bfloat16),
        ):
            values = module(torch.tensor(frames, device=device))
        return {
            name: value.float().cpu().numpy()
            for name, value in zip(OUTPUT_NAMES, values, strict=True)
        }

    return look
