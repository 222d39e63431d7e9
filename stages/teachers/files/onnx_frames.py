"""An ONNX network made to take uint8 or uint16 frames as they are decoded. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avkd.errors import InvalidValueError
from avkd.stages.teachers.files.description import FoundDescription, InputDescription
from avkd.stages.teachers.files.normalising import normalising
from avkd.stages.teachers.files.onnx_file import OnnxFile

_FRAMES = "avkd/frames"
_MAX_BYTES = 2**31 - 1


def build_model(found: FoundDescription, read: OnnxFile, batch_size: int) -> bytes:
    """Give the network from frames (batch, height, width, channels) to the outputs of interest.

    Raises:
        InvalidValueError: it is too large for one message.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(read.model)
    graph, told = model.graph, found.told
    sources = [output.source for output in told.outputs.values()]
    kept = [output for output in graph.output if output.name in sources]
    initial = {each.name for each in graph.initializer}
    constants = [each for each in graph.input if each.name in initial]
    for each in kept:
        if each.type.tensor_type.shape.dim:
            each.type.tensor_type.shape.dim[0].dim_value = batch_size
    nodes = [*_prepare(told.input, read.input_name), *graph.node]
    frames = onnx.helper.make_tensor_value_info(
        _FRAMES,
        onnx.TensorProto.UINT8 if told.input.value_range is None else onnx.TensorProto.UINT16,
        [batch_size, *found.frame_format.picture_shape],
    )
    for field, content in (("node", nodes), ("input", [frames, *constants]), ("output", kept)):
        graph.ClearField(field)
        getattr(graph, field).extend(content)
    # What was inferred before, of a batch of any size.
    graph.ClearField("value_info")
    graph.initializer.extend(_prepare_constants(told.input))
    return serialise(model, found.file)


def serialise(model: Any, path: Path) -> bytes:
    """Give the bytes of a model.

    Raises:
        InvalidValueError: they are too many for one message.
    """
    if model.ByteSize() > _MAX_BYTES:
        raise InvalidValueError(
            f"{path} and its weights are larger than 2 GB; a network of pictures may come by "
            "torch.export (.pt2)"
        )
    serialised: bytes = model.SerializeToString()
    return serialised


def _prepare(told: InputDescription, input_name: str) -> list[Any]:
    """Give the nodes from frames to the network's own input."""
    import onnx

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
        name = f"avkd/{kind}/{output}"
        return onnx.helper.make_node(kind, list(inputs), [output], name=name, **attributes)

    planes = "avkd/planes"
    # Channels come last when frames are decoded; with float networks they do at the end as well.
    nodes = [node("Transpose", [_FRAMES], planes, perm=[0, 3, 1, 2])]
    value = planes
    if told.dtype != "uint8":
        nodes.append(node("Cast", [value], "avkd/values", to=onnx.TensorProto.FLOAT))
        value = "avkd/values"
        for kind, constant in (("Mul", "scale"), ("Add", "offset")):
            nodes.append(node(kind, [value, f"avkd/{constant}"], f"avkd/{constant}d"))
            value = f"avkd/{constant}d"
            if constant == "offset" and told.value_range is not None:
                for kind, bound in (("Max", "low"), ("Min", "high")):
                    nodes.append(node(kind, [value, f"avkd/{bound}"], f"avkd/{bound}_cut"))
                    value = f"avkd/{bound}_cut"
    if told.dtype == "float16":
        nodes.append(node("Cast", [value], "avkd/halves", to=onnx.TensorProto.FLOAT16))
        value = "avkd/halves"
    kind, attributes = ("Transpose", {"perm": [0, 2, 3, 1]})
    if told.layout == "NCHW":
        kind, attributes = "Identity", {}
    nodes.append(node(kind, [value], input_name, **attributes))
    return nodes


def _prepare_constants(told: InputDescription) -> list[Any]:
    from onnx import numpy_helper

    if told.dtype == "uint8":
        return []
    constants = normalising(told)
    return [numpy_helper.from_array(array, f"avkd/{name}") for name, array in constants.items()]
