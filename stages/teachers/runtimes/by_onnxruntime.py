"""A network in ONNX behind one call, by ONNX Runtime.

The bits of a frame's output do not depend on the other frames of the batch, nor on the number of
threads: the same for 1, 2 and 4 (7 networks, batches of 1, 7 and 32). Imports no torch.
"""

from collections.abc import Sequence

from avkd.stages.teachers.declaration import Predictions
from avkd.stages.teachers.loaded import Frames, Run

BATCH_AXIS = "batch"
_ERRORS_ONLY = 3


def build_onnxruntime(
    model: bytes, output_names: Sequence[str], batch_size: int, num_threads: int
) -> Run:
    """Put a network into ONNX Runtime.

    Args:
        model: its one input is uint8 or uint16 frames (batch, height, width, channels).
        output_names: of the outputs to give.
        batch_size: of every batch.
        num_threads: to compute with.

    Raises:
        Exception: whatever ONNX Runtime says of a network that it does not run.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # A number of its own, or ONNX Runtime pins threads to cores, which containers forbid.
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    # Threads that wait would burn the cores that decoders need; bits are the same.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    options.add_free_dimension_override_by_name(BATCH_AXIS, batch_size)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    refuse_constant_batch([output.shape for output in session.get_outputs()], batch_size)
    input_name = session.get_inputs()[0].name
    names = list(output_names)

    def run(frames: Frames) -> Predictions:
        return dict(zip(names, session.run(names, {input_name: frames}), strict=True))

    return run


def refuse_constant_batch(shapes: Sequence[Sequence[object]], batch_size: int) -> None:
    """Refuse outputs that say another number of frames; one that is no number is not known yet.

    Raises:
        ValueError: tracing took the batch axis for a constant.
    """
    firsts = [next(iter(shape), 0) for shape in shapes]
    if any(isinstance(first, int) and first != batch_size for first in firsts):
        raise ValueError(f"the batch axis was traced as a constant: {list(map(list, shapes))}")
