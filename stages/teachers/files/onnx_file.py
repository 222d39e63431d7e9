"""An ONNX file of anyone's.

A file is looked through before it is run: the weights that it keeps beside itself may lie in its
folder alone, and its operators are those of ONNX and ONNX Runtime, none by chance. Imports no
torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avkd.errors import InvalidValueError, UnknownNameError
from avkd.stages.teachers.declaration import digest_file
from avkd.stages.teachers.files.description import FoundDescription
from avkd.stages.teachers.files.reading import find_beside
from avkd.stages.teachers.runtimes.sessions import say_briefly

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Their operators are part of the runtimes; others come in libraries, which are code."""
_RANDOM = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_OLDEST_OPSET = 8  # whose Max and Min take values of other shapes


@dataclass(frozen=True, kw_only=True)
class OnnxFile:
    """A file that was looked through."""

    model: Any
    """An ``onnx.ModelProto`` with all weights inside."""
    digests: Mapping[str, str]
    """sha256 of the file and of those that it keeps weights in, by name; its own is ``file``."""
    input_name: str
    batch_size: int
    """That it was exported with; 0 is any."""


@dataclass(frozen=True, kw_only=True)
class OnnxInput:
    """What a network takes."""

    name: str
    dtype: str
    """In ONNX's words: ``float``, ``float16``, ``uint8``."""
    sizes: tuple[int | None, ...]
    """None is any size."""


def read_onnx(found: FoundDescription) -> OnnxFile:
    """Read a file and look it through.

    Raises:
        InvalidValueError: it is damaged, hostile, or not what the description says of its input.
    """
    model, digests = load_onnx(found.file)
    input_name, batch_size = _check_input(model, found)
    refuse_missing(model, _sources(found), found.file)
    return OnnxFile(model=model, digests=digests, input_name=input_name, batch_size=batch_size)


def load_onnx(path: Path) -> tuple[Any, Mapping[str, str]]:
    """Give a model with all weights inside, and the digests of its files.

    Raises:
        InvalidValueError: it is damaged or hostile.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx.checker import ValidationError
    from onnx.external_data_helper import load_external_data_for_model

    try:
        model = onnx.load(str(path), load_external_data=False)
        outside = _list_outside(model, path)
        _refuse_operators(model, path)
        load_external_data_for_model(model, str(path.parent))
    except (DecodeError, ValidationError, OSError, ValueError) as error:
        if isinstance(error, InvalidValueError):
            raise
        raise InvalidValueError(
            f"{path} is no whole ONNX file ({say_briefly(error)}); copy or export it again"
        ) from error
    _refuse_left_outside(model, path)
    digests = {name: digest_file(path.parent / name) for name in outside}
    return model, {"file": digest_file(path), **digests}


def _list_outside(model: Any, path: Path) -> list[str]:
    """List the files in which weights lie, in name order; they are beside the file or below."""
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    names = {
        ExternalDataInfo(each).location for each in _tensors(model) if uses_external_data(each)
    }
    for name in names:
        find_beside(path.parent, name, f"{path}: the file of weights")
    return sorted(names)


def _refuse_left_outside(model: Any, path: Path) -> None:
    """What onnx did not read a runtime would look for in whatever folder it is run in."""
    from onnx.external_data_helper import uses_external_data

    if any(map(uses_external_data, _tensors(model))):
        raise InvalidValueError(
            f"{path} keeps weights outside where onnx does not read them; save it in one file"
        )


def _refuse_operators(model: Any, path: Path) -> None:
    own = {(each.domain, each.name) for each in model.functions}
    for node in (node for graph in _graphs(model) for node in graph.node):
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise InvalidValueError(
                f"{path} has the operator {node.domain}::{node.op_type}, which comes in a library; "
                "export the network without it"
            )
        if node.op_type in _RANDOM and node.domain in _DOMAINS:
            raise InvalidValueError(
                f"{path} has the operator {node.op_type}, whose results change from run to run; "
                "export the network for inference"
            )
        if any(each.name == "training_mode" and each.i for each in node.attribute):
            raise InvalidValueError(
                f"{path} has the operator {node.op_type} as in training, when a picture feels the "
                "others of its batch; export the network for inference"
            )
    opsets = {each.domain: each.version for each in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    if opset < _OLDEST_OPSET:
        raise InvalidValueError(
            f"{path} is of opset {opset}; export it with opset {_OLDEST_OPSET} or later"
        )


def _graphs(model: Any) -> Iterator[Any]:
    """Give the graph, the functions, and every graph inside of these."""
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        yield graph
        for attribute in (each for node in graph.node for each in node.attribute):
            graphs += [attribute.g] if attribute.HasField("g") else []
            graphs += attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    """Give every tensor, also those of attributes."""
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())  # functions have none
        for each in getattr(graph, "sparse_initializer", ()):
            yield from (each.values, each.indices)
        for attribute in (each for node in graph.node for each in node.attribute):
            yield from _tensors_of(attribute)


def _tensors_of(attribute: Any) -> Iterator[Any]:
    yield attribute.t
    yield from attribute.tensors
    for each in (attribute.sparse_tensor, *attribute.sparse_tensors):
        yield from (each.values, each.indices)


def _check_input(model: Any, found: FoundDescription) -> tuple[str, int]:
    """Give the name of the input, and the batch size that the file was exported with."""
    told, path = found.told.input, found.file
    given = find_one_input(model, path)
    if told.name not in ("", given.name):
        raise UnknownNameError(f"input of {path}", told.name, [given.name])
    if given.dtype != {"float32": "float"}.get(told.dtype, told.dtype):
        raise InvalidValueError(
            f"{found.path}: input.dtype {told.dtype} is not that of the file's input "
            f"{given.name!r}, {given.dtype}; say what the file takes"
        )
    return given.name, check_input_shape(found, given.name, given.sizes)


def find_one_input(model: Any, path: Path) -> OnnxInput:
    """Find the one input of a network.

    Raises:
        InvalidValueError: there are more, or none.
    """
    import onnx

    weights = {each.name for each in model.graph.initializer}
    inputs = {each.name: each for each in model.graph.input if each.name not in weights}
    if len(inputs) != 1:
        raise InvalidValueError(
            f"{path} has {len(inputs)} inputs ({', '.join(inputs)}); "
            "export the network with what it looks or listens to as its one input"
        )
    ((name, only),) = inputs.items()
    tensor = only.type.tensor_type
    dims = tensor.shape.dim
    dtypes = {number: dtype.lower() for dtype, number in onnx.TensorProto.DataType.items()}
    return OnnxInput(
        name=name,
        dtype=dtypes.get(tensor.elem_type, "of no kind"),
        sizes=tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims),
    )


def check_input_shape(found: FoundDescription, name: str, sizes: Sequence[int | None]) -> int:
    """Compare the shape of a file's input with the description; None is any size.

    Returns:
        The batch size that it was exported with; 0 is any.

    Raises:
        InvalidValueError: they do not fit.
    """
    told = found.told
    picture = (told.height, told.width)
    channels = (3,) if told.input.dtype == "uint8" else (len(told.input.mean),)
    wanted = (*channels, *picture) if told.input.layout == "NCHW" else (*picture, *channels)
    batch_size, *rest = sizes or (None,)
    is_fitting = len(rest) == len(wanted) and all(
        given in (None, size) for given, size in zip(rest, wanted, strict=False)
    )
    if not is_fitting:
        shape = ", ".join("any" if size is None else str(size) for size in sizes)
        raise InvalidValueError(
            f"{found.path}: the file's input {name!r} is ({shape}), not (batch, "
            f"{', '.join(map(str, wanted))}); mend width, height, layout or mean"
        )
    return batch_size or 0


def refuse_missing(model: Any, sources: Sequence[str], path: Path) -> None:
    """Refuse outputs that the file does not have."""
    known = [output.name for output in model.graph.output]
    for source in sources:
        if source not in known:
            raise UnknownNameError(f"output of {path}", source, known)


def _sources(found: FoundDescription) -> list[str]:
    return [output.source for output in found.told.outputs.values()]
